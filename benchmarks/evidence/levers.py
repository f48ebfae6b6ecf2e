"""Evidence for changes beyond a parameter: do they make the defaults predict better?

    python benchmarks/evidence/levers.py                  # all levers, seed 0
    python benchmarks/evidence/levers.py --seeds 3 film   # seeds 0 to 2 of those with a word

Each lever is compared with one network of the defaults as they were before any of them was taken
("default" in the table), on the same folds and seeds, on training parts only: those of
``defaults.py`` but for CMU-MOSI, which cannot rank settings; digits with 400 rows, since with all
of them nothing is left to gain; and four generated sets of 1000 rows. Rows of other levers than
these are of code that is no longer here (see ``benchmarks/README.rst``).
"""

from functools import partial

import numpy as np
import pandas as pd
from framework import (
    BASE,
    BENT,
    N_FOLDS,
    answer,
    cross_validated,
    estimator,
    gains,
    training_part,
)

from sklearn_omib import OMIBClassifierCV, OMIBRegressorCV
from sklearn_omib.datasets import make_multimodal_classification, make_multimodal_regression

SEARCH, OF_NUMBERS = "search over beta", "unnormed_attention, linear_mlp"
FUSIONS = ("unnormed_attention", "concat", "sum", "gated", "film", "low_rank")
LEVERS = {
    "default": {},
    **{f"ensemble of {n}": {"n_members": n} for n in (3, 5, 8)},
    "combine=held_out": {"combine": "held_out"},
    "combine=held_out, ensemble of 5": {"combine": "held_out", "n_members": 5},
    "encoders=linear_mlp": {"encoders": "linear_mlp"},
    OF_NUMBERS: {"fusion": "unnormed_attention", "encoders": "linear_mlp"},
    "modality dropout .1": {"modality_dropout": 0.1},
    "modality dropout .2": {"modality_dropout": 0.2},
    "head_layers=1": {"head_layers": 1},
    "max_epochs=300, n_iter_no_change=30": {"max_epochs": 300, "n_iter_no_change": 30},
    "hidden_dim=256": {"hidden_dim": 256},
    "warmup_epochs=20": {"warmup_epochs": 20},
    **{f"fusion={fusion}": {"fusion": fusion} for fusion in FUSIONS},
    SEARCH: {"betas": 5, "cv": 3},
}


# -- data: X, y and groups, of which there are none -----------------------------------------------
def few_digits():
    X, y, groups = training_part("digits")
    few = np.random.default_rng(0).permutation(len(y))[:400]
    return X[few], y[few], groups


def generated(make, random_state=0, **options):
    data = make(1000, n_modalities=3, n_pairwise=1, random_state=random_state, **options)
    return data.X, np.asarray(data.y), None


DATA = {
    "cancer": partial(training_part, "cancer"),
    "wine": partial(training_part, "wine"),
    "digits": few_digits,
    "linear": partial(generated, make_multimodal_classification),
    "nonlinear": partial(generated, make_multimodal_classification, **BENT),
    "diabetes": partial(training_part, "diabetes"),
    "friedman": partial(training_part, "friedman"),
    "linear target": partial(generated, make_multimodal_regression, random_state=100),
    "nonlinear target": partial(generated, make_multimodal_regression, **BENT),
}
NUMBERS = tuple(DATA)[5:]


# -- runs and table -------------------------------------------------------------------------------
def evaluate(data, variation, seed):
    X, y, groups = DATA[data]()
    model = estimator(y)
    if variation == SEARCH:
        model = OMIBRegressorCV() if data in NUMBERS else OMIBClassifierCV()
    model.set_params(**{**BASE, **LEVERS[variation]}, random_state=seed)
    found = cross_validated(model, X, y, groups, seed)
    task = "regression" if data in NUMBERS else "classification"
    # the rows there are come from levers that had several variations, and have seconds of all folds
    seconds = N_FOLDS * found["seconds"]
    return {"task": task, "lever": variation, **found, "seconds": seconds}


def sections(runs):
    """Mean gains with their standard errors, over pairs of a data set and a seed."""
    pairs = gains(runs, {"variation": "default"})
    pairs = pairs[pairs.variation != "default"]
    columns = {
        f"{task}: {gain}": some.groupby("variation")[gain].agg(with_error)
        for task, some in [("all", pairs), *pairs.groupby("task")]
        for gain in ("score gain", "loss gain")
    }
    table = pd.DataFrame(columns, index=pairs.variation.drop_duplicates()).fillna("")
    by = pairs.groupby("variation")
    table["runs"] = by.size()
    for what in ("score", "loss"):
        table[f"better {what}"] = by[f"{what} gain"].agg(lambda gain: (gain > 1e-6).sum())
    return [table.to_markdown()]


def with_error(gain):
    return f"{gain.mean():+.4f} ± {gain.sem():.4f}"


if __name__ == "__main__":
    jobs = (
        {"data": data, "variation": lever}
        for lever in LEVERS for data in DATA if lever != OF_NUMBERS or data in NUMBERS
    )  # fmt: skip
    answer("levers", __doc__, 1, jobs, evaluate, sections, reference="default")
