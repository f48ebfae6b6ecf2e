"""How things are measured beside each other: in turns, where need be in processes of their own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

BENCHMARKS = Path(__file__).parents[1]
ROOT = BENCHMARKS.parent
CHILD = Path(__file__).with_name("child.py")


class Figure(NamedTuple):
    """One thing measured.

    Attributes
    ----------
    setting, what : str
    values : sequence of float
        One of each round.
    unit : str
    target : float
        What the median should not be above, nan if there is no such.
    """

    setting: str
    what: str
    values: np.ndarray
    unit: str = "ratio"
    target: float = np.nan


def take_turns(contestants, rounds):
    """What contestants measure, each in every round, one after the other.

    Parameters
    ----------
    contestants : dict of name to callable
        Called with the number of the round; returns a float or a dict of floats.
    rounds : int

    Returns
    -------
    dict of name to (ndarray of shape (rounds,), or dict of such)
    """
    found = {name: [] for name in contestants}
    for turn in range(rounds):
        for name, call in contestants.items():
            found[name].append(call(turn))
    return {name: _columns(values) for name, values in found.items()}


def _columns(values):
    if not isinstance(values[0], dict):
        return np.array(values)
    return {key: np.array([value[key] for value in values]) for key in values[0]}


def seconds(call, *args, times=1):
    """Seconds of a call, the median of several."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        call(*args)
        took.append(time.perf_counter() - start)
    return float(np.median(took))


class Process:
    """A fresh process with the package of a checkout, which does the jobs of ``child.py``.

    Parameters
    ----------
    checkout : path-like
        The folder that has sklearn_omib in it.
    """

    def __init__(self, checkout=ROOT):
        path = os.pathsep.join(map(str, (Path(checkout).resolve(), BENCHMARKS)))
        self.process = subprocess.Popen(
            [sys.executable, CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def __call__(self, job, **options):
        self.process.stdin.write(json.dumps([job, options]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"The process that was to do {job!r} has ended, see above.")
        return json.loads(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def fresh(job, checkout=ROOT, **options):
    """A job in a process that does nothing else."""
    with Process(checkout) as process:
        return process(job, **options)


def version_of(checkout):
    """The commit of a checkout, or the name of the folder where git knows of none."""
    shown = subprocess.run(
        ["git", "-C", checkout, "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return shown.stdout.strip() or Path(checkout).resolve().name
