"""Many fits: at once, one after another, and with more processes than there are cores."""

import gc
import os
import pickle
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_omib import (
    ModalityDict,
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
)
from sklearn_omib.baselines import CMIB, BaselineRegressor

SMALL = {"max_epochs": 2, "hidden_dim": 16, "latent_dim": 8, "n_members": 2}
KINDS = [
    OMIBClassifier(**SMALL),
    OMIBRegressor(n_jobs=2, **SMALL),
    OMIBAnomalyDetector(**SMALL),
    OMIBClassifierCV(betas=2, cv=2, **SMALL),
    BaselineRegressor(CMIB(), **SMALL),
]


def outcome(model, X, y):
    """What a model says of X: fitted, fitted on, and read again."""
    found = [model.fit(X, y).predict(X), model.transform(X)]
    if hasattr(model, "partial_fit"):
        model.partial_fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    say = again.predict_proba if hasattr(again, "predict_proba") else again.predict
    return [*found, say(X)]


# -- threads --------------------------------------------------------------------------------------
N_THREADS = 16


@pytest.mark.slow
def test_threads_that_fit_and_predict_find_what_one_does(tables, figure):
    X, y, _ = tables
    models = [clone(one).set_params(random_state=i % 5) for i, one in enumerate(KINDS * 8)]
    many = {name: np.tile(block, (20, 1)) for name, block in X.items()}  # for several batches
    shared = OMIBClassifier(random_state=0, n_jobs=2, **SMALL).fit(X, y)

    def work(i):
        return outcome(clone(models[i]), X, y), shared.predict_proba(many), shared.transform(X)

    expected = [work(i) for i in range(len(models))]
    with ThreadPoolExecutor(N_THREADS) as threads:
        found = list(threads.map(work, range(len(models))))
    for (one, *own), (other, *known) in zip(found, expected, strict=True):
        for a, b in zip([*one, *own], [*other, *known], strict=True):
            np.testing.assert_array_equal(a, b)
    figure(
        f"fits in {N_THREADS} threads, each with its predictions, that equal serial ones bit by "
        "bit", f"{len(found)} of {len(models)}", "all",
    )  # fmt: skip


# -- memory ---------------------------------------------------------------------------------------
N_FITS, MOST_MIB = 200, 50


def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def grown_mib():
    """By how much this process grows in many fits, after one of each kind."""
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(500, 20)), "b": rng.normal(size=(500, 30))}
    y = (X["a"][:, 0] > 0).astype(int)
    for i in range(-len(KINDS), N_FITS):
        if i == 0:
            gc.collect()
            before = resident_mib()
        outcome(clone(KINDS[i % len(KINDS)]).set_params(random_state=i + 9), X, y)
    gc.collect()
    return resident_mib() - before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_fits(figure):
    # in a process of its own, whose memory no other test has had
    script = "import test_load; print(test_load.grown_mib())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
    )  # fmt: skip
    grown = float(done.stdout)
    figure(
        f"MiB that a process grows by in {N_FITS} fits, predictions and pickles of all kinds",
        f"{grown:.1f}", f"less than {MOST_MIB}",
    )  # fmt: skip
    assert grown < MOST_MIB


# -- more processes than cores --------------------------------------------------------------------
MOST_RATIO, N_RUNS = 1.3, 5
BIG = {"max_epochs": 4, "warmup_epochs": 1, "early_stopping": False, "random_state": 0}
FITS = {
    "a fit of 12 networks": lambda n_jobs: OMIBClassifier(n_members=12, n_jobs=n_jobs, **BIG),
    "a search over beta": lambda n_jobs: OMIBClassifierCV(betas=3, cv=4, n_jobs=n_jobs, **BIG),
    "GridSearchCV": lambda n_jobs: GridSearchCV(
        OMIBClassifier(n_members=2, **BIG), {"dropout": [0.1, 0.2, 0.3, 0.4]}, cv=2, n_jobs=n_jobs
    ),
}


@pytest.fixture
def two_cores():
    """Two of the cores there are, for this process and what it starts."""
    if sys.platform != "linux" or len(cores := os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores that a process can be bound to")
    os.sched_setaffinity(0, sorted(cores)[:2])
    yield
    os.sched_setaffinity(0, cores)


def start_workers(n_jobs):
    """Let joblib have so many processes that have imported all that a fit needs.

    That takes seconds of each; joblib ends some and starts others where a number is not the last.
    """

    def work():
        OMIBClassifier(**SMALL).fit([[0.0], [1.0], [2.0]], [0, 1, 0])
        time.sleep(1)  # in which the others have theirs to do

    joblib.Parallel(n_jobs, batch_size=1)(joblib.delayed(work)() for _ in range(3 * n_jobs))


# A measured time depends on what else runs: hence the median of ratios of fits that take turns
@pytest.mark.slow
@pytest.mark.parametrize("what", FITS)
def test_more_processes_than_cores_cost_little(what, two_cores, figure):
    rng = np.random.default_rng(0)
    X = ModalityDict({"a": rng.normal(size=(800, 20)), "b": rng.normal(size=(800, 30))})
    y = X["a"][:, 0] + X["b"][:, 0] > 0
    ratios = []
    for _ in range(N_RUNS):
        seconds = []
        for n_jobs in (2, 4):
            if what == "GridSearchCV":
                start_workers(n_jobs)
            begun = time.perf_counter()
            FITS[what](n_jobs).fit(X, y)
            seconds.append(time.perf_counter() - begun)
        ratios.append(seconds[1] / seconds[0])
    ratio = statistics.median(ratios)
    figure(
        f"time of {what} with n_jobs=4 over that with n_jobs=2, on 2 cores",
        f"{ratio:.2f}", f"at most {MOST_RATIO}",
    )  # fmt: skip
    assert ratio <= MOST_RATIO, ratios
