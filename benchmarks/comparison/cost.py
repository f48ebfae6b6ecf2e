"""What work costs: seconds, and memory beyond what was in use before."""

import gc
import time
from contextlib import contextmanager
from ctypes import CDLL
from pathlib import Path

import numpy as np

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PEAK = "5"  # what to write for the peak to start anew


@contextmanager
def measured():
    """A dict that has "seconds" and "mebibytes" when the block is left.

    Memory is the peak of this process above what it held at the beginning, so without data that
    were there; nan where the system does not tell (it takes Linux). A GPU's is not in it.
    """
    cost: dict = {}
    before = _settled()
    start = time.perf_counter()
    yield cost
    cost["seconds"] = time.perf_counter() - start
    cost["mebibytes"] = (_kibibytes("VmHWM") - before) / 1024


def _settled():
    """Resident memory in KiB after what was freed has gone back, with the peak set to it."""
    gc.collect()
    if not CLEAR.exists():
        return np.nan
    try:
        CDLL(None).malloc_trim(0)
        CLEAR.write_text(PEAK)
    except (OSError, AttributeError):  # not ours to write, or another C library
        return np.nan
    return _kibibytes("VmRSS")


def _kibibytes(name):
    for line in STATUS.read_text().splitlines() if STATUS.exists() else ():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return np.nan
