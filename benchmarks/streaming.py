"""Peak memory and time of one epoch over a memory map larger than memory should hold.

    python benchmarks/streaming.py --rows 1000000 --columns 2000      # 8 GB on disk

Writes a float32 memory map into a temporary folder (``TMPDIR`` tells where), fits a classifier on
two views of its columns for one epoch in a process of its own, and prints the peak resident memory
of that process, imports included, the seconds of the epoch and how many of them reading took: what
the reading thread was busy, and what training waited for it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np


def generate(path, n_rows, n_columns, n_at_once=10_000):
    """Write normal numbers, one of two classes shifted in every 20th column, piece by piece."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, n_rows)
    with open(path / "X.f32", "wb") as file:
        for start in range(0, n_rows, n_at_once):
            labels = target[start : start + n_at_once]
            rows = rng.standard_normal((len(labels), n_columns), dtype=np.float32)
            rows[:, ::20] += 0.3 * labels[:, None]
            rows.tofile(file)
    np.save(path / "y.npy", target)


def timed(function, seconds):
    def wrapper(*args, **kwargs):
        start = time.perf_counter()
        result = function(*args, **kwargs)
        seconds.append(time.perf_counter() - start)
        return result

    return wrapper


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path, n_rows, n_columns):
    """Fit for one epoch and predict; print what was measured as JSON."""
    from sklearn_omib import OMIBClassifier, _stream

    result = {"imports, MiB": peak_mib()}
    busy, waited = [], []
    _stream.StreamData._load = timed(_stream.StreamData._load, busy)
    Future.result = timed(Future.result, waited)
    table = np.memmap(path / "X.f32", np.float32, "r", shape=(n_rows, n_columns))
    cut = n_columns * 3 // 5
    X = {"a": table[:, :cut], "b": table[:, cut:]}
    y = np.load(path / "y.npy")
    clf = OMIBClassifier(warmup_epochs=0, max_epochs=1, random_state=0)
    start = time.perf_counter()
    clf.fit(X, y)
    result["fit, seconds"] = time.perf_counter() - start
    result["fit, MiB"] = peak_mib()
    result["epoch, seconds"] = clf.history_.seconds.iloc[-1]
    result["reading thread busy in it, seconds"] = sum(busy[1:])  # the first is for validation
    result["training waited for it, seconds"] = sum(waited)
    start = time.perf_counter()
    result["accuracy on the same rows"] = clf.score(X, y)
    result["score, seconds"] = time.perf_counter() - start
    result["fit and score, MiB"] = peak_mib()
    print(json.dumps(result))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=2000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        measure(args.measure, args.rows, args.columns)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), args.rows, args.columns)
        size = ["--rows", str(args.rows), "--columns", str(args.columns)]
        command = [sys.executable, __file__, *size, "--measure", folder]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(
        f"{args.rows} rows x {args.columns} columns, {4 * args.rows * args.columns / 2**30:.2f} GiB"
    )
    for name, value in json.loads(output.splitlines()[-1]).items():
        print(f"{name:40} {value:10.2f}")


if __name__ == "__main__":
    main()
