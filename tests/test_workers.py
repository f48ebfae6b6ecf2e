"""Networks trained in several processes: the same results, whatever happens to the processes."""

import os
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sklearn_omib import OMIBAnomalyDetector, OMIBClassifier, OMIBClassifierCV, OMIBRegressor
from sklearn_omib.training import workers

FAST = {"max_epochs": 6, "warmup_epochs": 2, "hidden_dim": 16, "latent_dim": 8, "random_state": 0}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")


def seen(model, X):
    """What a fit has learned."""
    history = model.history_.drop(columns="seconds")
    return [p.detach().clone() for p in model.net_.module_.parameters()], history


def assert_same(one, other):
    for a, b in zip(one[0], other[0], strict=True):
        assert torch.equal(a, b)
    assert one[1].equals(other[1])


@pytest.fixture
def in_this_process(tables):
    X, y, _ = tables
    return seen(OMIBClassifier(n_jobs=1, **FAST).fit(X, y), X)


class In(Callback):
    """Does something in the process that fits, or in those it has forked."""

    def __init__(self, act, forked):
        self.act, self.forked, self.pid = act, forked, os.getpid()

    def on_epoch_end(self, net, **kwargs):
        if (os.getpid() != self.pid) == self.forked and net.phase == "main":
            self.act()


def watched(act, forked, **options):
    model = OMIBClassifier(n_jobs=2, **FAST, **options)
    model._watchers = (("act", In(act, forked)),)
    return model


@pytest.mark.parametrize("kind", [OMIBClassifier, OMIBRegressor, OMIBAnomalyDetector])
@pytest.mark.parametrize("n_members", [4, 7])
def test_results_do_not_depend_on_the_number_of_processes(tables, kind, n_members):
    X, y, score = tables
    y = score if kind is OMIBRegressor else y
    fits = [kind(n_members=n_members, n_jobs=n, **FAST).fit(X, y) for n in (1, 2, 5)]
    for fit in fits[1:]:
        assert_same(seen(fits[0], X), seen(fit, X))
        np.testing.assert_array_equal(fits[0].predict(X), fit.predict(X))
        epochs = [[one.net_.n_epochs(k) for k in range(n_members)] for one in (fits[0], fit)]
        assert epochs[0] == epochs[1]


def test_others_take_part(tables):
    X, y, _ = tables
    model = watched(lambda: os.kill(os.getppid(), signal.SIGUSR1), forked=True)
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
    try:
        model.fit(X, y)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard


@pytest.mark.parametrize("method", ["independent", "path"])
def test_searches_do_not_depend_on_it_either(tables, method):
    X, y, _ = tables
    options = {"betas": [1e-3, 0.1], "cv": 4, "refit": False, "method": method, **FAST}
    scores = [OMIBClassifierCV(n_jobs=n, **options).fit(X, y).predict_proba(X) for n in (1, 2)]
    np.testing.assert_array_equal(*scores)


def test_a_process_that_dies_costs_time_alone(tables, in_this_process):
    X, y, _ = tables
    model = watched(lambda: os.kill(os.getpid(), signal.SIGKILL), forked=True).fit(X, y)
    assert_same(seen(model, X), in_this_process)


def test_a_process_that_hangs_costs_time_alone(tables, in_this_process, monkeypatch):
    X, y, _ = tables
    monkeypatch.setattr(workers, "PATIENCE", 1.0)
    begun = time.monotonic()
    model = watched(lambda: time.sleep(60), forked=True).fit(X, y)
    assert_same(seen(model, X), in_this_process)
    assert time.monotonic() - begun < 30


def test_a_process_that_takes_long_is_waited_for(tables, monkeypatch):
    X, y, _ = tables
    monkeypatch.setattr(workers, "PATIENCE", 1.0)
    options, epochs = FAST | {"max_epochs": 10, "batch_size": 8}, []
    model = OMIBClassifier(n_jobs=2, **options)
    slow, count = (
        In(lambda: time.sleep(0.3), forked=True),
        In(lambda: epochs.append(1), forked=False),
    )
    model._watchers = (("slow", slow), ("count", count))
    assert_same(seen(model.fit(X, y), X), seen(OMIBClassifier(n_jobs=1, **options).fit(X, y), X))
    assert len(epochs) == 10  # of its own networks alone


def children():
    """Processes that this one has started, the dead ones that nobody waited for included."""
    return {pid for task in Path("/proc/self/task").iterdir()
            for pid in (task / "children").read_text().split()}  # fmt: skip


def fail():
    raise RuntimeError("out of luck")


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("forked", [True, False])
def test_an_error_is_raised_and_no_process_is_left(tables, forked):
    (X, y, _), before = tables, children()
    with pytest.raises(RuntimeError, match="out of luck"):
        watched(fail, forked).fit(X, y)
    with suppress(KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what others had learned until then
        watched(interrupt, forked).fit(X, y)
    assert children() <= before
    with pytest.raises(ValueError, match="Training diverged"):
        OMIBClassifier(n_jobs=2, learning_rate=1e30, **FAST).fit(X, y)


def counted(n_jobs, n_samples=2000, **options):
    """How many processes would train a fit."""
    seen = []

    def count(net, n_jobs, n_epochs, count_jobs=workers.count_jobs):
        seen.append(count_jobs(net, n_jobs, n_epochs))
        return 1

    rng = np.random.default_rng(0)
    X, y = {"a": rng.normal(size=(n_samples, 4))}, np.arange(n_samples) % 2
    model = OMIBClassifier(n_jobs=n_jobs, **FAST, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sklearn_omib._estimator.count_jobs", count)
        model.fit(X, y)
    return seen[0]


def test_other_processes_are_asked_where_they_are_safe_and_pay():
    assert counted(3) == 3 and counted(-1) == counted(None) == joblib.cpu_count()
    assert counted(None, n_samples=200) == 1 and counted(3, n_samples=200) == 3
    assert counted(3, encoders={"a": torch.nn.Linear(4, 5)}) == 1
    found = []
    thread = threading.Thread(target=lambda: found.append(counted(3)))
    thread.start(), thread.join()
    assert found == [1]
    parallel = joblib.Parallel(n_jobs=2, backend="loky")
    assert parallel(joblib.delayed(counted)(3) for _ in range(2)) == [1, 1]
