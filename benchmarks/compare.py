"""OMIB beside the paper's methods and what scikit-learn has, on the same splits.

    python benchmarks/compare.py --jobs -1          # all of it; goes on where it was
    python benchmarks/compare.py --quick --jobs -1  # a reduced run, into benchmark_output
    python benchmarks/compare.py --data FOLDER      # data of your own
    python benchmarks/compare.py --report           # only the page, from the rows there are

Each seed is another split (for generated data other rows, for CMU-MOSI another network only).
Every method is fitted with its defaults and, but for detectors, tuned: each has the same number of
configurations, the first of them its defaults and the rest drawn from its space, rated by
cross-validation within the training part. Data sets are in ``comparison/data.py``, methods and
their spaces in ``comparison/methods.py``.

``--data`` reads every ``*.npz`` of a folder: arrays ``X_<modality>`` and ``y`` with samples on the
first axis, and ``groups`` where samples belong together. Numbers with a decimal point in y are a
target of regression, all else are classes.
"""

import argparse
from functools import partial
from pathlib import Path

from comparison.data import DATA, from_folder
from comparison.methods import METHODS, available
from comparison.report import write
from comparison.runs import evaluate, jobs
from resumable import Rows, present

OUT = Path("benchmark_output")  # of runs that are not the evidence of the page
SIZES = {False: {"seeds": 5, "budget": 8}, True: {"seeds": 2, "budget": 3}}  # by --quick


def arguments(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), metavar="METHOD",
                        help=f"some of: {', '.join(METHODS)}")  # fmt: skip
    parser.add_argument("--data-sets", nargs="+", metavar="NAME",
                        help=f"some of: {', '.join(DATA)}, or files of --data")  # fmt: skip
    parser.add_argument("--seeds", type=int, help="number of splits")
    parser.add_argument("--budget", type=int, help="configurations of each tuned method")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes side by side, -1 for one per core"
    )
    parser.add_argument("--quick", action="store_true", help="small data, seeds and budget")
    parser.add_argument("--data", metavar="FOLDER", help="compare on your own *.npz")
    parser.add_argument("--out", metavar="FOLDER", help="for rows, page and pictures")
    parser.add_argument("--report", action="store_true", help="only write the page")
    chosen = parser.parse_args(argv)
    for name, value in SIZES[chosen.quick].items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, value)
    if chosen.quick or chosen.data:
        chosen.out = chosen.out or OUT / (Path(chosen.data).name if chosen.data else "quick")
    return chosen


def data_sets(chosen):
    """The data sets asked for that are there, by name."""
    sets = from_folder(chosen.data) if chosen.data else DATA
    for name in chosen.data_sets or sets:
        if name not in sets:
            raise SystemExit(f"There is no data set {name!r}; there are {', '.join(sets)}.")
    names = chosen.data_sets or [
        name for name, one in sets.items() if one.reduced or not chosen.quick
    ]
    return {name: sets[name] for name in present(names, lambda name: sets[name].draw(0, True))}


def main(argv=None):
    chosen = arguments(argv)
    rows = Rows("compare", chosen.out)
    if not chosen.report:
        sets = data_sets(chosen)
        wanted = jobs(sets, chosen.methods or available(), range(chosen.seeds), chosen.budget, sets)
        missing = rows.missing(wanted)
        rows.run(partial(evaluate, sets=sets, small=chosen.quick), missing, chosen.jobs)
        failed = rows.missing(wanted)
        print(f"{len(wanted) - len(failed)} of {len(wanted)} jobs have rows in {rows.path}.")
    write(rows.rows(), rows.docs)


if __name__ == "__main__":
    main()
