"""Evidence for ``combine="held_out"``: what the branches add to the fused prediction.

    python benchmarks/evidence/heads.py --jobs 2       # seed 0, some ten minutes

One fit of the defaults predicts both ways, so that pairs differ in the weights of the heads alone.
Data and folds are those of ``levers.py``, parts of training rows only. "priors" has other strengths
of what keeps weights near the fused prediction and their sum near 1: ten times less and more.
"""

import warnings

import numpy as np
import pandas as pd
import torch
from framework import N_FOLDS, answer, estimator, is_regression, rate
from levers import DATA, with_error
from sklearn.model_selection import KFold, StratifiedKFold

from sklearn_omib.training import heads

SCALES = {"held out": 1.0, "held out, loose": 0.1, "held out, tight": 10.0}


def evaluate(data, seed):
    X, y, _ = DATA[data]()
    kind = KFold if is_regression(y) else StratifiedKFold
    folds = kind(N_FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(y)), y)
    found = [measured(X, y, fitted, scored, seed) for fitted, scored in folds]
    return {name: np.mean([one[name] for one in found]) for name in found[0]}


def measured(X, y, fitted, scored, seed):
    """Score and loss in nats of the fused prediction, and what the heads gain, of one fold."""
    model = estimator(y, n_jobs=1, random_state=seed)
    known, found = [], {}
    held_out = heads._held_out
    heads._held_out = lambda net: known.append(held_out(net)) or known[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X[fitted], y[fitted])
    finally:
        heads._held_out = held_out
    network, task = model.net_.module_, model.net_.criterion_.task
    rows = list(known[0].values())
    priors = heads.NEAR_FUSED, heads.NEAR_ONE
    for name, scale in (("fused", None), *SCALES.items()):
        if scale is None:
            network.head_weights = None
        else:
            heads.NEAR_FUSED, heads.NEAR_ONE = (scale * prior for prior in priors)
            weights = torch.tensor(heads._fitted(task, rows))
            network.head_weights = weights.float().expand(len(rows), -1).clone()
            heads.NEAR_FUSED, heads.NEAR_ONE = priors
        said = (model.predict(X[scored], return_std=True) if is_regression(y)
                else model.predict_proba(X[scored]))  # fmt: skip
        found[f"score {name}"], found[f"loss {name}"] = rate(y[scored], said, y)
    return found


def sections(runs):
    """Gains over the fused prediction by data set, and their mean over data sets."""
    gains = pd.DataFrame({"data": runs.data})
    for name in SCALES:
        gains[f"score, {name}"] = runs[f"score {name}"] - runs["score fused"]
        gains[f"loss, {name}"] = runs["loss fused"] - runs[f"loss {name}"]
    by = gains.groupby("data", sort=False).mean()
    over = by.agg(with_error).rename("mean over data sets").to_frame().T
    return [by.map(lambda gain: f"{gain:+.4f}").to_markdown(), over.to_markdown()]


if __name__ == "__main__":
    answer("heads", __doc__, 1, [{"data": data} for data in DATA], evaluate, sections)
