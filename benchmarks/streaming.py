"""Peak memory and time of one epoch over data larger than memory should hold.

    python benchmarks/streaming.py --rows 1000000 --columns 2000      # 8 GB on disk

Writes a float32 table into a temporary folder (``TMPDIR`` tells where), fits a classifier on two
parts of its columns for one epoch in a process of its own, and prints the peak resident memory of
that process, imports included, the seconds of the epoch and how many of them reading took: what
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
from contextlib import contextmanager
from pathlib import Path

import numpy as np


def pieces(n_rows, n_columns, n_at_once=2000):
    """Yield normal numbers and two classes, which shift every 20th column."""
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, n_at_once):
        labels = rng.integers(0, 2, min(n_at_once, n_rows - start))
        rows = rng.standard_normal((len(labels), n_columns), dtype=np.float32)
        rows[:, ::20] += 0.3 * labels[:, None]
        yield start, rows, labels


def generate(path, storage, shape):
    """Write the table in the format named, piece by piece, and the classes."""
    target = np.empty(shape[0], dtype=int)
    with WRITERS[storage](path, shape) as write:
        for start, rows, labels in pieces(*shape):
            target[start : start + len(labels)] = labels
            write(start, rows)
    np.save(path / "y.npy", target)


@contextmanager
def memory_map(path, shape):
    with open(path / "x", "wb") as file:
        yield lambda start, rows: rows.tofile(file)


@contextmanager
def zarr_array(path, shape):
    import zarr

    chunks = (1000, shape[1])
    array = zarr.open_array(str(path / "x"), mode="w", shape=shape, chunks=chunks, dtype="f4")
    yield lambda start, rows: array.__setitem__(slice(start, start + len(rows)), rows)


@contextmanager
def h5py_dataset(path, shape):
    import h5py

    with h5py.File(path / "x", "w") as file:
        array = file.create_dataset("x", shape, "f4", chunks=(1000, shape[1]))
        yield lambda start, rows: array.__setitem__(slice(start, start + len(rows)), rows)


@contextmanager
def parquet_file(path, shape):
    import pyarrow
    import pyarrow.parquet

    names = [f"c{i}" for i in range(shape[1])]
    schema = pyarrow.schema([(name, pyarrow.float32()) for name in names])
    with pyarrow.parquet.ParquetWriter(path / "x", schema, compression=None) as writer:
        yield lambda start, rows: writer.write_table(
            pyarrow.table(list(np.ascontiguousarray(rows.T)), schema=schema)
        )


def open_table(path, storage, shape):
    if storage == "memmap":
        return np.memmap(path / "x", np.float32, "r", shape=shape)
    if storage == "zarr":
        import zarr

        return zarr.open_array(str(path / "x"), mode="r")
    if storage == "h5py":
        import h5py

        return h5py.File(path / "x", "r")["x"]
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path / "x")


WRITERS = {
    "memmap": memory_map,
    "zarr": zarr_array,
    "h5py": h5py_dataset,
    "parquet": parquet_file,
}


def timed(function, seconds):
    def wrapper(*args, **kwargs):
        start = time.perf_counter()
        result = function(*args, **kwargs)
        seconds.append(time.perf_counter() - start)
        return result

    return wrapper


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path, storage, shape):
    """Fit for one epoch and predict; print what was measured as JSON."""
    from sklearn_omib import OMIBClassifier, _stream

    result = {"imports, MiB": peak_mib()}
    busy, waited = [], []
    _stream.StreamData._load = timed(_stream.StreamData._load, busy)
    Future.result = timed(Future.result, waited)
    cut = shape[1] * 3 // 5
    columns = {"a": slice(0, cut), "b": slice(cut, shape[1])}
    X = open_table(path, storage, shape)
    y = np.load(path / "y.npy")
    fit = {"n_members": 1, "warmup_epochs": 0, "max_epochs": 1, "random_state": 0}
    if storage == "memmap":  # views of the map
        X = {name: X[:, part] for name, part in columns.items()}
        clf = OMIBClassifier(**fit)
    else:
        clf = OMIBClassifier(columns, **fit)
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
    parser.add_argument("--storage", choices=WRITERS, default="memmap")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    shape = args.rows, args.columns
    if args.measure is not None:
        measure(args.measure, args.storage, shape)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), args.storage, shape)
        command = [sys.executable, *sys.argv, "--measure", folder]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    size = 4 * args.rows * args.columns / 2**30
    print(f"{args.storage}: {args.rows} rows x {args.columns} columns, {size:.2f} GiB")
    for name, value in json.loads(output.splitlines()[-1]).items():
        print(f"{name:40} {value:10.2f}")


if __name__ == "__main__":
    main()
