"""What the questions share: data, folds, gains of paired runs, and a command that writes a page.

A question is a script beside this one: what is varied, on what data, and which table. It appends
to ``results/NAME.csv``, so that an interrupted run goes on where it was, and writes
``results/NAME.md`` from the rows there are.
"""

import sys
import time
from functools import partial
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script here finds its own folder alone

import numpy as np
from anomaly import normal_scores
from resumable import Rows, arguments
from sklearn.base import is_classifier
from sklearn.datasets import load_diabetes, load_wine, make_friedman1
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold, train_test_split

from sklearn_omib import ModalityDict, OMIBClassifier, OMIBRegressor
from sklearn_omib.datasets import (
    load_breast_cancer_blocks,
    load_digits_views,
    load_her2st,
    load_mosi,
)

# one network of what the defaults were when parameters and levers were measured
BASE = {
    "n_members": 1, "fusion": "cross_attention", "modality_dropout": 0.0, "combine": "fused",
    "encoders": "mlp",
}  # fmt: skip
N_FOLDS = 5


# -- data -----------------------------------------------------------------------------------------
SECTIONS = ("E1", "F1", "G2", "H1")  # of her2st, for validation from the beginning
# of generated data: nonlinear modalities, and an exclusive or of two of them
BENT = {"mixing": "nonlinear", "importance": {"synergy": 2.0}}


def halves(table):
    """A table cut into two modalities."""
    half = table.shape[1] // 2
    return {"first": table[:, :half], "second": table[:, half:]}


def _in_halves(data):
    table, y = data
    return halves(table), y


WHOLE = {
    "digits": lambda: load_digits_views().values(),
    "cancer": lambda: load_breast_cancer_blocks().values(),
    "wine": lambda: _in_halves(load_wine(return_X_y=True)),
    "diabetes": lambda: _in_halves(load_diabetes(return_X_y=True)),
    "friedman": lambda: _in_halves(make_friedman1(1000, noise=1.0, random_state=0)),
}
PARTS = ("mosi", *WHOLE)


def training_part(name):
    """X, y and groups or None: mosi's training part, 70 % of the others; the rest is never read."""
    if name == "mosi":
        mosi = load_mosi()
        return mosi.X_train, mosi.y_train, mosi.groups_train
    X, y = WHOLE[name]()
    labels = None if is_regression(y) else y
    X, _, y, _ = train_test_split(
        ModalityDict(X), y, test_size=0.3, stratify=labels, random_state=0
    )
    return X, y, None


def ranked_tissue():
    """Spots of her2st, with X prepared as in ``anomaly.py``."""
    spots = load_her2st()
    spots.X = ModalityDict({name: normal_scores(block) for name, block in spots.X.items()})
    return spots


# -- runs -----------------------------------------------------------------------------------------
def is_regression(y):
    return y.dtype.kind == "f"


def estimator(y, **parameters):
    """OMIB for a target."""
    return (OMIBRegressor if is_regression(y) else OMIBClassifier)(**parameters)


def rated(model, X, y, fitted, scored, groups=None):
    """Score and loss in nats of a model on other rows than it is fitted to."""
    model.fit(X[fitted], y[fitted], groups=None if groups is None else groups[fitted])
    if is_classifier(model):
        prediction = model.predict_proba(X[scored])
    else:
        prediction = model.predict(X[scored], return_std=True)
    return rate(y[scored], prediction, y)


def rate(truth, prediction, y):
    """Score and loss in nats of class probabilities, or of means and standard deviations of y."""
    if is_regression(y):
        return r2_score(truth, prediction[0]), gaussian_loss(truth, *prediction, y.std())
    classes = np.unique(y)
    score = np.mean(classes[prediction.argmax(1)] == truth)
    return score, log_loss(truth, prediction, labels=classes)


def gaussian_loss(y, mean, std, unit):
    """Mean negative log-likelihood in nats of a target measured in some unit."""
    nats = 0.5 * np.log(2 * np.pi * std**2) + (y - mean) ** 2 / (2 * std**2)
    return np.mean(nats) - np.log(unit)


def cross_validated(model, X, y, groups, seed):
    """Means over folds of the score, the loss and the seconds."""
    if is_regression(y):
        kind = KFold
    else:
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = kind(N_FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(y)), y, groups)
    found = []
    for train, test in folds:
        start = time.perf_counter()
        score, loss = rated(model, X, y, train, test, groups)
        found.append((score, loss, time.perf_counter() - start))
    return dict(zip(("score", "loss", "seconds"), np.mean(found, axis=0), strict=True))


# -- what is made of the runs ---------------------------------------------------------------------
def gains(runs, base, by=("data", "seed")):
    """Runs with their "score gain" and "loss gain" over those of a setting.

    Parameters
    ----------
    runs : DataFrame
    base : dict of column to value
        The setting.
    by : sequence of columns
        What a run has in common with the one it is paired with.
    """
    at_base = np.logical_and.reduce([runs[name] == value for name, value in base.items()])
    theirs = runs.loc[at_base, [*by, "score", "loss"]]
    pairs = runs.merge(theirs, on=list(by), suffixes=("", " of base"))
    pairs["score gain"] = pairs["score"] - pairs["score of base"]
    pairs["loss gain"] = pairs["loss of base"] - pairs["loss"]
    return pairs


def told(pairs):
    """What paired runs gain, in words."""
    return "; ".join(
        f"{name} {gain.mean():+.4f} ± {gain.sem():.4f}, "
        f"better in {(gain > 0).sum()} of {len(gain)} runs"
        for name, gain in (("score", pairs["score gain"]), ("loss", pairs["loss gain"]))
    )


def answer(name, doc, seeds, jobs, evaluate, sections, reference=None):
    """The command of a question.

    Parameters
    ----------
    name : str
        Of its files.
    doc : str
        Its first line is the title of the page.
    seeds : int
        How many, where the command does not tell.
    jobs : iterable of dict
        What ``evaluate`` takes beside a seed. Not begun with ``--report``.
    evaluate : callable (**job, seed=...) -> dict
        What was found.
    sections : callable (rows) -> list of str
        Of the page.
    reference : str, default=None
        The variation that a part of them, chosen by words, is compared with.
    """
    options = {"--report": {"action": "store_true", "help": "only write the page, from its rows"}}
    if reference:
        options["words"] = {"nargs": "*", "help": "only variations with one of these in their name"}
    chosen = arguments(doc, seeds, more=options.items())
    rows = Rows(name, chosen.out)
    if not chosen.report:
        if reference and chosen.words:
            words = [reference, *chosen.words]
            jobs = [job for job in jobs if any(word in job["variation"] for word in words)]
        wanted = [{**job, "seed": seed} for seed, job in product(range(chosen.seeds), jobs)]
        rows.run(partial(_row, evaluate), rows.missing(wanted), chosen.jobs)
    text = "\n\n".join([doc.splitlines()[0], *sections(rows.rows())])
    (rows.results / f"{name}.md").write_text(f"{text}\n")
    print(text)


def _row(evaluate, **job):
    return [job | evaluate(**job)]
