"""Ctrl-C: what a fit that is interrupted leaves, and what it does not touch."""

import os
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from sklearn_omib import (
    ModalityDict,
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
)
from sklearn_omib.baselines import BaselineClassifier, BaselineRegressor
from sklearn_omib.preprocessing import ModalityTransformer
from sklearn_omib.training.net import StackedNet

FAST = {"max_epochs": 9, "warmup_epochs": 2, "hidden_dim": 16, "latent_dim": 8, "random_state": 0,
        "batch_size": 32}  # fmt: skip
MAIN = 5  # the epoch of the main phase in which it is interrupted


@pytest.fixture(autouse=True)
def pythons_handler():
    """Ctrl-C as Python begins with it, whatever tests of other libraries have left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupt(monkeypatch):
    """Interrupts a step of an epoch of a phase, by Ctrl-C or by an exception."""

    def arrange(phase="main", epoch=MAIN, by="signal", step=1, pid=None):
        train_step, seen = StackedNet.train_step, []

        def stepping(net, batch):
            here = net.phase == phase and net.n_epochs(0, phase) == epoch
            if here and len(seen) <= step and pid in (None, os.getpid()):
                seen.append(1)
                if len(seen) > step:
                    if by == "exception":
                        raise KeyboardInterrupt
                    for _ in range(2 if by == "twice" else 1):
                        os.kill(os.getpid(), signal.SIGINT)
            return train_step(net, batch)

        monkeypatch.setattr(StackedNet, "train_step", stepping)
        return lambda: monkeypatch.setattr(StackedNet, "train_step", train_step)

    return arrange


def weights(model):
    net = model.net_
    return [t.detach() for part in (net.module_, net.criterion_)
            for t in (*part.parameters(), *part.buffers())]  # fmt: skip


def assert_same(one, other):
    for a, b in zip(weights(one), weights(other), strict=True):
        assert torch.equal(a, b)
    assert one.history_.drop(columns="seconds").equals(other.history_.drop(columns="seconds"))


# -- what is kept ---------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [
    OMIBClassifier, OMIBRegressor, OMIBAnomalyDetector, BaselineClassifier, BaselineRegressor,
])  # fmt: skip
@pytest.mark.parametrize("by", ["signal", "exception"])
def test_an_interrupted_fit_is_the_fit_of_the_epochs_it_had(tables, interrupt, kind, by):
    X, y, score = tables
    y = score if "Regressor" in kind.__name__ else y
    options = {k: v for k, v in FAST.items() if hasattr(kind(), k)} | {"n_members": 3}
    shorter = kind(**options | {"max_epochs": MAIN - 1}).fit(X, y)
    restore = interrupt(by=by, epoch=MAIN)  # the epoch that begins counts
    with pytest.warns(UserWarning, match=r"after epoch 4 of 9 \(main phase\)\. .* is usable"):
        model = kind(**options).fit(X, y)
    assert_same(model, shorter)
    assert model.n_iter_ == 4 and model.max_epochs == 9 and model.n_members_ == 3
    np.testing.assert_array_equal(model.predict(X), shorter.predict(X))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    restore()
    assert_same(model.fit(X, y), kind(**options).fit(X, y))  # nothing of it lingers


def test_without_rows_to_stop_by_the_last_weights_are_kept(tables, interrupt):
    X, y, _ = tables
    options = FAST | {"early_stopping": False, "n_members": 2}
    interrupt()
    with pytest.warns(UserWarning, match="after epoch 4 of 9"):
        model = OMIBClassifier(**options).fit(X, y)
    assert_same(model, OMIBClassifier(**options | {"max_epochs": 4}).fit(X, y))


def test_in_a_pipeline_the_model_is_kept_too(tables, interrupt):
    X, y, _ = tables
    interrupt()
    with pytest.warns(UserWarning, match="after epoch 4 of 9"):
        pipe = make_pipeline(ModalityTransformer({"a": "passthrough"}), OMIBClassifier(**FAST))
        assert pipe.fit(ModalityDict(X), y).predict(ModalityDict(X)).shape == y.shape


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_members_of_several_parts(tables, interrupt, n_jobs):
    X, y, _ = tables
    options = FAST | {"n_members": 5, "early_stopping": False, "max_epochs": 300}
    interrupt(epoch=40, pid=os.getpid())
    with pytest.warns(UserWarning, match=r"Training was interrupted after epoch") as given:
        model = OMIBClassifier(n_jobs=n_jobs, **options).fit(X, y)
    epochs = [model.net_.n_epochs(k) for k in range(model.n_members_)]
    assert (39 in epochs) and model.predict(X).shape == y.shape
    if n_jobs == 1:  # the others had not begun
        assert epochs == [39, 39] and "2 of 5 networks had begun it" in str(given[-1].message)
    else:  # each as far as its process was, all of them whole
        assert len(epochs) == 5 and len(set(epochs)) <= 2 and min(epochs) > 0
    assert all(w.isfinite().all() for w in weights(model))


def pressed(after, model, X, y):
    """A fit during which Ctrl-C is pressed."""
    timer = threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.fit(X, y)
    except KeyboardInterrupt:
        return None
    finally:
        timer.cancel()
        timer.join()


@pytest.mark.parametrize("moment", [0.2, 0.5, 0.8])
def test_at_any_moment_a_fit_is_kept_whole_or_not_at_all(tables, moment):
    X, y, _ = tables
    model = OMIBClassifier(n_members=2, **FAST | {"max_epochs": 30, "n_iter_no_change": 30})
    begun = time.monotonic()
    model.fit(X, y)
    moment = moment * (time.monotonic() - begun)
    model = clone(model)
    if pressed(moment, model, X, y) is None:
        with pytest.raises(NotFittedError):
            model.predict(X)
    elif model.n_iter_ < 30:
        assert_same(model, clone(model).set_params(max_epochs=model.n_iter_).fit(X, y))


# -- what is not touched --------------------------------------------------------------------------
def state(model):
    return {name: value for name, value in vars(model).items()}


@pytest.mark.parametrize("by", ["signal", "exception"])
def test_before_the_main_phase_nothing_is_kept(tables, interrupt, by):
    X, y, _ = tables
    for arrange in ({"phase": "warm-up", "epoch": 1}, {"phase": "main", "epoch": 1}):
        restore = interrupt(by=by, **arrange)
        with pytest.raises(KeyboardInterrupt):
            (clf := OMIBClassifier(**FAST)).fit(X, y)
        with pytest.raises(NotFittedError):
            clf.predict(X)
        restore()
    before = state(clf.fit(X, y))
    interrupt(by=by, phase="warm-up", epoch=1)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, y)
    assert vars(clf) == before


def test_pressed_twice_nothing_is_kept(tables, interrupt):
    X, y, _ = tables
    interrupt(by="twice")
    with pytest.raises(KeyboardInterrupt):
        (clf := OMIBClassifier(**FAST)).fit(X, y)
    assert not hasattr(clf, "net_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("by", ["signal", "exception"])
def test_what_goes_on_is_left_as_it_was(tables, interrupt, by):
    X, y, _ = tables
    clf = OMIBClassifier(warm_start=True, **FAST).fit(X, y)
    before, proba = state(clf), clf.predict_proba(X)
    n_before = clf.net_.n_epochs(0)
    restore = interrupt(by=by, epoch=n_before + 3)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, y)
    restore()
    interrupt(by=by, epoch=n_before + 1)
    with pytest.raises(KeyboardInterrupt):
        clf.partial_fit(X, y)
    assert vars(clf) == before
    np.testing.assert_array_equal(clf.predict_proba(X), proba)


@pytest.mark.parametrize("by", ["signal", "exception"])
@pytest.mark.parametrize("make", [
    lambda: OMIBClassifierCV(betas=2, cv=2, **FAST),
    lambda: OMIBClassifierCV(betas=2, cv=2, method="path", **FAST),
    lambda: GridSearchCV(OMIBClassifier(**FAST), {"beta": [0.1, 1.0]}, cv=2),
])  # fmt: skip
def test_a_search_ends_and_leaves_what_was(tables, interrupt, make, by):
    X, y, _ = tables
    search = make()
    restore = interrupt(by=by)
    with pytest.raises(KeyboardInterrupt):
        search.fit(ModalityDict(X), y)
    restore()
    assert not hasattr(search, "best_estimator_") and not hasattr(search, "estimators_")


def test_the_last_fit_of_a_search_is_part_of_it(tables, monkeypatch):
    X, y, _ = tables
    search = OMIBClassifierCV(betas=2, cv=2, **FAST).fit(X, y)
    before, fit = state(search), OMIBClassifier.fit

    class At(Callback):
        def on_epoch_end(self, net, **kwargs):
            if net.n_epochs(0) == MAIN:
                raise KeyboardInterrupt

    def watched(self, *args):
        self._watchers = (("at", At()),)
        return fit(self, *args)

    monkeypatch.setattr(OMIBClassifier, "fit", watched)
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, y)
    assert vars(search) == before


def test_a_handler_of_the_users_own_is_left_alone(tables, interrupt):
    X, y, _ = tables
    heard, own = [], lambda *_: heard.append(1)
    before = signal.signal(signal.SIGINT, own)
    try:
        interrupt()
        assert OMIBClassifier(**FAST).fit(X, y).n_iter_ == 9
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard
