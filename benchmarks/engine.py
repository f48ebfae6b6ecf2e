"""What the engine costs: time and memory beside others, measured in turns in one run.

    python benchmarks/engine.py                         # every part
    python benchmarks/engine.py fit predict --rounds 5  # some; the others keep their rows
    python benchmarks/engine.py fit --against FOLDER    # beside another checkout of the package
    python benchmarks/engine.py gpu                     # on a machine that has one
    python benchmarks/engine.py --quick                 # tiny sizes, into benchmark_output
    python benchmarks/engine.py --report                # only the page, from the rows there are

The checkout of an earlier commit, for ``--against``, is made by git::

    git worktree add ../earlier 53e681e

A part replaces its rows in results/engine.csv, from which docs/engine.rst is written. Nothing else
should run on the machine. Parts are in ``speed/parts.py``; those that need a process of their own
(another checkout, a first fit, a peak of memory) have one.
"""

import argparse
import os
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from resumable import DEVICE, Rows
from sklearn.exceptions import ConvergenceWarning
from speed.page import TITLES, number, write
from speed.parts import PARTS, QUICK, Run, Sizes

OUT = Path("benchmark_output") / "engine"  # of runs that are not the evidence of the page
COLUMNS = [
    "part", "setting", "what", "value", "low", "high", "unit", "target", "rounds", "device",
    "n_cores", "torch",
]  # fmt: skip


def measure(part, run):
    """The rows of a part."""
    rows = []
    for figure in PARTS[part](run):
        value, low, high = (float(f(figure.values)) for f in (np.median, np.min, np.max))
        spread = f"{number(low)} to {number(high)}"
        shown = number(value, figure.unit)
        print(f"{part:8} {figure.setting}: {figure.what} {shown} ({spread})", flush=True)
        rows.append([
            part, figure.setting, figure.what, value, low, high, figure.unit, figure.target,
            run.rounds, DEVICE, os.cpu_count(), torch.__version__,
        ])  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def known(path):
    """The rows of earlier runs; those of a version with other columns are left behind."""
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
    return rows if list(rows) == COLUMNS else rows.iloc[:0].reindex(columns=COLUMNS)


def arguments(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, help="turns of each contestant")
    parser.add_argument("--against", metavar="FOLDER", help="another checkout of the package")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and one round")
    parser.add_argument("--out", metavar="FOLDER", help="for rows, page and picture")
    parser.add_argument("--report", action="store_true", help="only write the page")
    chosen = parser.parse_args(argv)
    unknown = set(chosen.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {sorted(unknown)}; there are {', '.join(PARTS)}")
    if chosen.against and not (Path(chosen.against) / "sklearn_omib").is_dir():
        parser.error(f"--against {chosen.against} has no folder sklearn_omib")
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 5)
    chosen.out = chosen.out or (OUT if chosen.quick else None)
    return chosen


def main(argv=None):
    chosen = arguments(argv)
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    file = Rows("engine", chosen.out)
    rows = known(file.path)
    run = Run(chosen.rounds, QUICK if chosen.quick else Sizes(), chosen.against)
    for part in () if chosen.report else chosen.parts or PARTS:
        new = measure(part, run)
        if len(new):  # else a part that cannot run here keeps what it has
            rows = pd.concat([rows[rows.part != part], new]) if len(rows) else new
            order = rows.part.map(list(TITLES).index)
            rows = rows.iloc[order.argsort(kind="stable")]
            rows.to_csv(file.path, index=False, float_format="%.4g")
    if len(rows):
        write(known(file.path), file.docs)


if __name__ == "__main__":
    main()
