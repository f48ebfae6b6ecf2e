"""A fit in a process that was started after a fit: forked, by a fork server, or from nothing."""

import os
import subprocess
import sys

import pytest

SCRIPT = '''
import multiprocessing
import sys

import numpy as np
import torch

from sklearn_omib import OMIBAnomalyDetector, OMIBClassifier, OMIBClassifierCV, OMIBRegressor
from sklearn_omib.baselines import BaselineClassifier


def fits():
    """A fit and a prediction of every kind, networks of default size."""
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(300, 30)), "b": rng.normal(size=(300, 40))}
    y = X["a"][:, 0] > 0
    options = {"max_epochs": 1, "warmup_epochs": 1, "random_state": 0}
    found = []
    for model in (
        OMIBClassifier(**options), OMIBRegressor(**options),
        BaselineClassifier(max_epochs=1, random_state=0),
        OMIBClassifierCV(betas=2, cv=2, **options), OMIBAnomalyDetector(**options),
    ):
        found.append(model.fit(X, y.astype(float)).predict(X))
    return found


def child(pipe):
    pipe.send(fits())


if __name__ == "__main__":
    torch.set_num_threads(2)  # a pool of threads that a child forked later misses
    expected = fits()
    context = multiprocessing.get_context(sys.argv[1])
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs,))
    process.start()
    if not ours.poll(100):
        process.kill()
        sys.exit("the child hangs")
    for one, other in zip(expected, ours.recv()):
        np.testing.assert_array_equal(one, other)
    process.join()
'''


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("start", [
    "fork",
    pytest.param("forkserver", marks=pytest.mark.slow),
    pytest.param("spawn", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_child_of_a_process_that_has_fitted_fits_the_same(tmp_path, start):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), start],
        capture_output=True, text=True, timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
