"""One method on one split: fitted with its defaults, and tuned on its training part."""

import json
import sys
import traceback
from functools import cache
from inspect import signature

import numpy as np
from comparison.cost import measured
from comparison.data import ANOMALY, CLASSIFICATION, DATA, REGRESSION
from comparison.methods import METHODS
from evidence.framework import gaussian_loss
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    ParameterSampler,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.utils.validation import has_fit_parameter

from sklearn_omib import OMIBClassifier

N_FOLDS = 3  # of the training part, of which a data set may use fewer
DEFAULTS, TUNED = "defaults", "tuned"


def jobs(names, methods, seeds, budget, sets=DATA):
    """What is to be run, seed by seed, so that an interrupted run has whole tables."""
    return [
        {"data": name, "method": method, "seed": seed,
         "budget": budget if _is_tuned(method, sets[name].task) else 1}
        for seed in seeds for name in names for method in methods
        if sets[name].task in METHODS[method].make
    ]  # fmt: skip


def _is_tuned(method, task):
    return task in METHODS[method].spaces or METHODS[method].searches


def evaluate(data, method, seed, budget, *, sets=DATA, small=False):
    """The rows of a job; none, and the error printed, where it fails."""
    _load()
    try:
        return list(_rows(data, method, seed, budget, sets[data], small))
    except Exception:
        print(f"Failed: {method} on {data}, seed {seed}", file=sys.stderr)
        traceback.print_exc()
        return []


@cache
def _load():
    """Have the process load what a first fit loads, so that no method pays for it."""
    X = np.random.default_rng(0).normal(size=(40, 2))
    OMIBClassifier({"a": [0], "b": [1]}, warmup_epochs=1, max_epochs=1).fit(X, X[:, 0] > 0)


def _rows(data, name, seed, budget, data_set, small):
    method, split = METHODS[name], data_set.split(seed, small)
    n_train, n_test = len(split.train.y), len(split.test.y)
    described = {
        "data": data, "method": name, "seed": seed, "budget": budget, "task": data_set.task,
        "family": method.family, "n_train": n_train, "n_test": n_test,
        "n_modalities": len(split.train.X.sample_shapes), "n_columns": split.train.X.shape[1],
        "overlap": data_set.resampled * n_test / n_train, "limit": split.limit,
    }  # fmt: skip
    n_inner = 1 if small else data_set.n_inner
    folds = inner_splits(split.train, data_set.task, seed)[:n_inner]
    model = method.make[data_set.task](seed, split.train.X)
    if method.searches:
        fits = _by_itself(model, split.train, data_set.task, budget, folds)
    else:
        space = method.spaces.get(data_set.task)
        fits = _fits(model, split.train, data_set.task, budget, folds, space, seed)
    for fitted, found in fits:
        yield described | found | measures(fitted, split, data_set.task)


def _fits(model, part, task, budget, folds, space, seed):
    """Fitted models and how they came to be: with the defaults, then with the best found."""
    with measured() as cost:
        fitted = fit(clone(model), part, task)
    if budget == 1:
        yield fitted, _found(DEFAULTS, {}, np.nan, cost)
        return
    with measured() as whole:
        configurations, ratings = search(model, space, budget, part, task, folds, seed)
        best = int(np.argmax(ratings))
        tuned = fit(clone(model).set_params(**configurations[best]), part, task)
    yield fitted, _found(DEFAULTS, configurations[0], ratings[0], cost)
    yield tuned, _found(TUNED, configurations[best], ratings[best], whole)


def _by_itself(model, part, task, budget, folds):
    """The same of an estimator that searches over beta, given the same folds and budget."""
    with measured() as cost:
        fit(model.set_params(betas=budget, cv=folds), part, task)
    yield model, _found(TUNED, {"beta": model.beta_}, model.best_score_, cost)


def _found(setting, configuration, inner_score, cost):
    configuration = json.dumps(configuration, default=str)
    return {"setting": setting, "configuration": configuration, "inner_score": inner_score, **cost}


def fit(model, part, task):
    """Fit a model, which is told the groups if it asks for them; a detector sees no labels."""
    groups = {"groups": part.groups} if has_fit_parameter(model, "groups") else {}
    return model.fit(part.X, None if task == ANOMALY else part.y, **groups)


def inner_splits(part, task, seed):
    """Folds of the training part, the same for every method."""
    if task == CLASSIFICATION:
        kind = StratifiedKFold if part.groups is None else StratifiedGroupKFold
    else:
        kind = KFold if part.groups is None else GroupKFold
    folds = kind(N_FOLDS, shuffle=True, random_state=seed)
    return list(folds.split(np.zeros(len(part.y)), part.y, part.groups))


def search(model, space, budget, part, task, folds, seed):
    """Configurations, of which the first is the defaults, and the inner score of each."""
    configurations = [{}, *ParameterSampler(space, budget - 1, random_state=seed)]
    scores = [
        _rate(clone(model).set_params(**configuration), part, task, folds)
        for configuration in configurations
    ]
    return configurations, scores


def _rate(model, part, task, folds):
    """Mean score over the folds; a configuration that diverges is the worst."""
    try:
        return np.mean([
            fit(clone(model), part[train], task).score(part.X[test], part.y[test])
            for train, test in folds
        ])  # fmt: skip
    except ValueError:
        return -np.inf


# -- measures -------------------------------------------------------------------------------------
def measures(model, split, task):
    """Score and, where there are probabilities, loss in nats on the test part."""
    X, y, _ = split.test
    if task == ANOMALY:
        return {"score": roc_auc_score(y, -model.score_samples(X)), "loss": np.nan}
    score, loss = model.score(X, y), np.nan
    if task == REGRESSION and "return_std" in signature(model.predict).parameters:
        loss = gaussian_loss(y, *model.predict(X, return_std=True), split.train.y.std())
    elif task == CLASSIFICATION and hasattr(model, "predict_proba"):
        known = np.isin(y, model.classes_)  # a class may be in groups left out only
        loss = log_loss(y[known], model.predict_proba(X)[known], labels=model.classes_)
    return {"score": score, "loss": loss}
