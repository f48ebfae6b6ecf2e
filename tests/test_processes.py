"""A fit in a process that was started after any use: forked, by a fork server, or from nothing."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import faulthandler
import multiprocessing
import pickle
import sys
import tempfile
import threading
import warnings

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV

from sklearn_omib import (
    ModalityDict, OMIBAnomalyDetector, OMIBClassifier, OMIBClassifierCV, OMIBRegressor, load
)
from sklearn_omib.baselines import BaselineClassifier
from sklearn_omib.data import lazy
from sklearn_omib.information import MINE, mutual_information
from sklearn_omib.inspection import bottleneck_probe, modality_importance

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = ModalityDict({"a": rng.normal(size=(300, 30)), "b": rng.normal(size=(300, 40))})
many = {name: np.tile(block, (30, 1)) for name, block in X.items()}
y = X["a"][:, 0] > 0
options = {"max_epochs": 1, "warmup_epochs": 1, "random_state": 0}
fitted = OMIBClassifier(**options).fit(X, y)


def fits():
    "A fit and a prediction of every kind, networks of default size."
    found = []
    for model in (
        OMIBClassifier(**options), OMIBRegressor(**options),
        BaselineClassifier(max_epochs=1, random_state=0),
        OMIBClassifierCV(betas=2, cv=2, **options), OMIBAnomalyDetector(**options),
    ):
        found.append(model.fit(X, y.astype(float)).predict(X))
    return found


def stream():
    budget, lazy.MEMORY_BUDGET = lazy.MEMORY_BUDGET, 0
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, X["a"])
        file.flush()
        mapped = {"a": np.load(file.name, mmap_mode="r"), "b": X["b"]}
        OMIBClassifier(**options).fit(mapped, y).predict(mapped)
    lazy.MEMORY_BUDGET = budget


def failed():
    model = OMIBClassifier(max_epochs=3, learning_rate=1e30)
    try:
        model.fit(X, y)
    except ValueError:
        pass


def in_threads():
    threads = [threading.Thread(target=fits) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def written():
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(folder + "/model")
        load(folder + "/model").predict(many)
        OMIBClassifier(checkpoint_dir=folder + "/c", **options).fit(X, y)
    pickle.loads(pickle.dumps(fitted)).partial_fit(X, y)


USES = {
    "fits": fits,
    "a fit on two threads": lambda: OMIBClassifier(
        n_threads=2, n_jobs=1, hidden_dim=512, **options
    ).fit(X, y),
    "torch on two threads": lambda: torch.ones(2000, 2000) @ torch.ones(2000, 2000),
    "fits in processes": lambda: OMIBClassifier(n_members=7, n_jobs=3, **options).fit(X, y),
    "predictions in threads": lambda: fitted.set_params(n_jobs=3).predict_proba(many),
    "fits in threads": in_threads,
    "a stream": stream,
    "a fit that fails": failed,
    "partial_fit, files, pickles": written,
    "joblib": lambda: GridSearchCV(
        OMIBClassifier(**options), {"dropout": [0, 0.1]}, cv=2, n_jobs=2
    ).fit(X, y),
    "information": lambda: (
        MINE(n_steps=20).estimate(X["a"], y), mutual_information(X["a"], X["b"][:, :2])
    ),
    "inspection": lambda: (
        bottleneck_probe(fitted, X, {"y": y}, cv=2), modality_importance(fitted, X, y, n_repeats=1)
    ),
}


def child(pipe):
    faulthandler.dump_traceback_later(250, exit=True)  # says where it hangs
    pipe.send(fits())
    faulthandler.cancel_dump_traceback_later()


def start_child(context, after):
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs,))
    process.start()
    if not ours.poll(300):
        process.kill()
        sys.exit(f"the child hangs after {after}")
    for one, other in zip(expected, ours.recv()):
        np.testing.assert_array_equal(one, other)
    process.join()


if __name__ == "__main__":
    torch.set_num_threads(2)  # a pool of threads that a child forked later misses
    expected = fits()
    start, *uses = sys.argv[1:]
    context = multiprocessing.get_context(start)
    for name in uses or USES:
        USES[name]()
        if start == "fork":
            start_child(context, name)
    if start != "fork":  # of which a child has nothing
        start_child(context, "everything")
    print(len(USES))
"""


def fit_in_children(tmp_path, *arguments):
    """Returns after how many uses of the package children fitted as their parent."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=1000,
        env={**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_child_of_a_process_that_has_fitted_fits_the_same(tmp_path):
    fit_in_children(tmp_path, "fork", "fits")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("start", ["fork", "forkserver", "spawn"])
def test_a_child_fits_the_same_after_any_use(tmp_path, start, figure):
    n_uses = fit_in_children(tmp_path, start)
    figure(
        f"uses (fits, threads, streams, files, searches) after which a child by {start} fits the "
        "same", f"{n_uses} of {n_uses}", "all",
    )  # fmt: skip
