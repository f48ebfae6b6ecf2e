"""What test_distributed.py starts in several processes: ``script.py scenario folder``.

Each process leaves what it found in ``<folder>/<rank>.pkl``.
"""

import os
import pickle
import signal
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold

import sklearn_omib.nn.bottleneck
import sklearn_omib.nn.model
from sklearn_omib import (
    ModalityDict,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
    fit_alone,
)
from sklearn_omib.training import processes
from sklearn_omib.training.net import StackedNet

RANK = int(os.environ.get("RANK", 0))
QUIET = {"dropout": 0.0, "input_dropout": 0.0, "modality_dropout": 0.0, "random_state": 0}
TIMEOUT = 30.0  # seconds, of every scenario but one


def data(n=251):
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(n, 4)), "b": rng.normal(size=(n, 3))}
    return ModalityDict(X), X["a"][:, 0] + X["b"][:, 0] + 0.1 * rng.normal(size=n)


def without_noise():
    """Make a fit depend on nothing but its batches."""
    for module in (sklearn_omib.nn.bottleneck, sklearn_omib.nn.model):
        module.standard_normal_like = lambda x, generator: torch.zeros_like(x)


def state(estimator):
    """All that training left: weights, buffers, history."""
    net = estimator.net_
    tensors = {**net.module_.state_dict(), **net.criterion_.state_dict()}
    history = estimator.history_.drop(columns="seconds")
    return {name: value.numpy() for name, value in tensors.items()}, history


def message(fit):
    try:
        fit()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def shared():
    """Fits that both processes share, and one of the first process only."""
    found = {"noisy": noisy()}
    if RANK == 0:
        X, score = data()
        with fit_alone():
            found["alone"] = OMIBClassifier(max_epochs=2).fit(X, score > 0).n_iter_
    return {**found, "exact": exact()}


def exact():
    """Fits without noise: shared, and alone with the doubled batch; and the rows of each epoch."""
    without_noise()
    shared = exact_fits(24)
    with fit_alone():
        return shared, exact_fits(48)


def exact_fits(batch_size):
    X, score = data()
    fit = {**QUIET, "n_members": 1, "batch_size": batch_size, "max_epochs": 8, "warmup_epochs": 3}
    clf = OMIBClassifier(**fit).fit(X, score > 0)
    seen, step = [], StackedNet.train_step

    def recording(net, batch):
        y = batch[1][0]
        n_rows = len(y) if net.group is None else net.group.n_rows
        seen.append((len(net.history), y[:n_rows].ravel().tolist()))
        return step(net, batch)

    StackedNet.train_step = recording
    reg = OMIBRegressor(**fit).fit(X, score)
    StackedNet.train_step = step
    return {"clf": state(clf), "reg": state(reg), "seen": seen, "proba": clf.predict_proba(X)}


class Normalised(torch.nn.Module):
    """An encoder with buffers of its own."""

    def __init__(self, sample_shape):
        super().__init__()
        linear = torch.nn.Linear(*sample_shape, 8)
        self.layers = torch.nn.Sequential(linear, torch.nn.BatchNorm1d(8))

    def forward(self, x):
        return self.layers(x)


def noisy():
    """What makes processes differ, and yet must not."""
    X, score = data()
    weight = np.random.default_rng(1).uniform(0.5, 2, len(score))
    found = {"seeds": [], "errors": []}
    begin = StackedNet.begin

    def recording(net, families, *args):
        begin(net, families, *args)
        found["seeds"].append((families[0].order.initial_seed(), net.noise[0].initial_seed()))
        return net

    StackedNet.begin = recording
    clf = OMIBClassifier(
        encoders={"a": Normalised}, max_epochs=40, n_iter_no_change=3, batch_size=16, verbose=1
    )
    found["clf"] = state(clf.fit(X, score > 0))
    clf.set_params(warm_start=True, verbose=0)
    found["again"] = state(clf.fit(X, score > 0))
    reg = OMIBRegressor(max_epochs=3, random_state=np.random.RandomState(RANK), verbose=0)
    found["reg"] = state(reg.fit(X, score, sample_weight=weight))
    found["partial"] = state(reg.partial_fit(X, score))
    tiny = OMIBClassifier(batch_size=1, max_epochs=2, early_stopping=False, random_state=0)
    found["tiny"] = state(tiny.fit(X[:3], [0, 1, 0]))
    StackedNet.begin = begin
    return found


def search():
    """Searches inside a script that was started twice."""
    X, score = data(120)
    warnings.simplefilter("ignore", ConvergenceWarning)
    clf = OMIBClassifier(max_epochs=4, warmup_epochs=2, random_state=0)
    found = {}
    for n_jobs in (1, 2):
        grid = GridSearchCV(clf, {"beta_scale": [0.1, 10]}, cv=2, n_jobs=n_jobs)
        grid.fit(X, score > 0)
        found[n_jobs] = grid.cv_results_["mean_test_score"], state(grid.best_estimator_)
    search = OMIBClassifierCV(betas=2, cv=2, max_epochs=4, warmup_epochs=2).fit(X, score > 0)
    found["cv"] = search.scores_, state(search.estimators_[0])
    differing = GridSearchCV(
        clf, {"beta_scale": [1]}, cv=KFold(2, shuffle=True), error_score="raise"
    )
    found["differing"] = message(lambda: differing.fit(X, score > 0))
    return found


def failures():
    """One process, or all, fail in ways that leave them running."""
    X, score = data()
    y = score > 0
    clf = OMIBClassifier(max_epochs=3, random_state=0)
    spoilt = {"a": X["a"].copy(), "b": X["b"]}
    spoilt["a"][0, 0] = np.inf if RANK == 1 else 0
    found = {"input": message(lambda: clf.fit(spoilt, y))}
    found["parameters"] = message(lambda: OMIBClassifier(batch_size=32 + RANK).fit(X, y))
    found["order"] = message(lambda: clf.fit(X, y[::-1] if RANK else y))
    found["diverged"] = message(lambda: OMIBClassifier(learning_rate=1e38).fit(X, y))
    step = StackedNet.train_step

    def failing(net, batch):
        if RANK == 1 and net.phase == "main":
            raise MemoryError("no memory left")
        return step(net, batch)

    StackedNet.train_step = failing
    found["training"] = message(lambda: clf.fit(X, y))
    StackedNet.train_step = step
    found["afterwards"] = state(clf.fit(X, y))
    return found


def killed(victim):
    """One process is killed in the third epoch of the main phase."""
    X, score = data()
    epoch = StackedNet.run_single_epoch

    def deadly(net, *args, **kwargs):
        if int(victim) == RANK and len(net.history) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        epoch(net, *args, **kwargs)

    StackedNet.run_single_epoch = deadly
    clf = OMIBClassifier(max_epochs=1000, warmup_epochs=2, early_stopping=False)
    found = {"first": message(lambda: clf.fit(X, score > 0))}
    found["second"] = message(lambda: clf.fit(X, score > 0))
    return found


def awaited():
    """A process waits for one that does not come."""
    processes.TIMEOUT = 2.0
    X, score = data()
    return {"first": message(lambda: OMIBClassifier().fit(X, score > 0))}


if __name__ == "__main__":
    scenario, folder, *arguments = sys.argv[1:]
    processes.TIMEOUT = TIMEOUT
    found = globals()[scenario](*arguments)
    Path(folder, f"{RANK}.pkl").write_bytes(pickle.dumps(found))
    with suppress(ValueError, AssertionError):
        torch.distributed.destroy_process_group()
