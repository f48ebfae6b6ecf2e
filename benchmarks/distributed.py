"""Seconds per epoch of one process and of two with half its batch each.

Run by hand: ``OMP_NUM_THREADS=1 python benchmarks/distributed.py``. It starts itself again under
torchrun; the table tells what is left of a gain of two after the sums over processes.
"""

import argparse
import os
import subprocess
import sys

import numpy as np

from sklearn_omib import ModalityDict, OMIBClassifier

N_SAMPLES = 20_000
COLUMNS = {"a": 100, "b": 50}
BATCH_SIZE = 128  # per process


def data():
    rng = np.random.default_rng(0)
    X = ModalityDict({name: rng.normal(size=(N_SAMPLES, n)) for name, n in COLUMNS.items()})
    score = X["a"][:, :5].sum(1) + X["b"][:, :5].sum(1)
    return X, score + rng.normal(size=N_SAMPLES) > 0


def measure(batch_size, hidden_dim):
    """Fit, and print the seconds of the quickest epoch and the loss they reach."""
    X, y = data()
    clf = OMIBClassifier(
        n_members=1,
        batch_size=batch_size,
        hidden_dim=hidden_dim,
        warmup_epochs=2,
        max_epochs=12,
        random_state=0,
    ).fit(X, y)
    main = clf.history_[clf.history_.phase == "main"]
    if os.environ.get("RANK", "0") == "0":
        n_weights = sum(p.numel() for p in clf.net_.module_.parameters())
        print(
            f"{os.environ.get('WORLD_SIZE', 1):>9} {batch_size:>10} {n_weights:>8} "
            f"{main.seconds.min():>13.2f} {main.valid_task_loss.iloc[-1]:>15.3f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=2, type=int, metavar=("BATCH_SIZE", "HIDDEN_DIM"))
    arguments = parser.parse_args()
    if arguments.measure:
        return measure(*arguments.measure)
    print("processes batch_size  weights seconds/epoch validation loss", flush=True)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for hidden_dim in (128, 512):
        for launcher, size in (([], 1), ([], 2), (torchrun, 1)):
            settings = [__file__, "--measure", str(size * BATCH_SIZE), str(hidden_dim)]
            subprocess.run([sys.executable, *launcher, *settings], check=True)


if __name__ == "__main__":
    main()
