"""What all benchmarks share: rows of runs that resume, options of commands, data that are there."""

import argparse
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
import torch
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning

ROOT = Path(__file__).parents[1]
DEVICE = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


class Rows:
    """The rows of an experiment, in a file to which an interrupted run adds.

    Parameters
    ----------
    name : str
        The file is ``<name>.csv``.
    out : path-like or None
        Folder for all that is written; None is benchmarks/results and docs.
    """

    def __init__(self, name, out=None):
        self.name = name
        self.results = Path(out) if out else ROOT / "benchmarks" / "results"
        self.docs = Path(out) if out else ROOT / "docs"
        self.results.mkdir(parents=True, exist_ok=True)
        self.path = self.results / f"{name}.csv"

    def rows(self):
        return pd.read_csv(self.path)

    def missing(self, jobs):
        """Those of some jobs, dicts of the same keys, that have no row yet."""
        if not self.path.exists():
            return list(jobs)
        rows = pd.read_csv(self.path, dtype=str)  # as written: a float may not survive parsing
        done = set(zip(*(rows[name] for name in jobs[0]), strict=True)) if jobs else set()
        return [job for job in jobs if tuple(map(str, job.values())) not in done]

    def run(self, evaluate, tasks, n_jobs=1):
        """Append the rows of ``evaluate(**task)``, if any, to the file, task by task."""
        runs = Parallel(n_jobs, return_as="generator_unordered")(
            delayed(_timed)(evaluate, task) for task in tasks
        )
        for i, (task, rows, seconds) in enumerate(runs, start=1):
            print(f"{self.name} {i}/{len(tasks)} {task} {seconds:.0f} s", flush=True)
            if rows:
                self._append(pd.DataFrame(rows))

    def _append(self, rows):
        machine = {"device": DEVICE, "n_cores": os.cpu_count(), "torch": torch.__version__}
        known = list(pd.read_csv(self.path, nrows=0)) if self.path.exists() else [*rows, *machine]
        # the oldest files do not tell the machine
        rows = rows.assign(**{name: what for name, what in machine.items() if name in known})
        if set(known) != set(rows):
            lacks, has = sorted(set(rows) - set(known)), sorted(set(known) - set(rows))
            raise ValueError(
                f"{self.path} is of another version: it lacks columns {lacks} and has {has} "
                "besides. Move it away."
            )
        rows[known].to_csv(self.path, mode="a", header=not self.path.exists(), index=False)


def _timed(evaluate, task):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.filterwarnings("ignore", "beta=.* is above")  # some go there on purpose
    start = time.perf_counter()
    return task, evaluate(**task), time.perf_counter() - start


def arguments(doc, seeds, *, jobs=True, more=()):
    """Options that commands share; ``more`` are (name or flag, options) of argparse."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=seeds, help="number of seeds")
    parser.add_argument("--out", help="folder for all files, to try something out")
    if jobs:
        parser.add_argument(
            "--jobs", type=int, default=1, help="processes side by side, -1 for one per core"
        )
    for name, options in more:
        parser.add_argument(name, **options)
    return parser.parse_args()


def present(names, load):
    """Those of some data sets that ``load(name)`` finds; the others are told of."""
    for name in names:
        try:
            load(name)
        except FileNotFoundError as error:
            print(f"Left out: {name}. {error}")
        else:
            yield name
