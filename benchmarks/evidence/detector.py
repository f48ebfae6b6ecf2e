"""Evidence for the defaults of the detectors, from anomalies kept for validation.

    python benchmarks/evidence/detector.py --jobs 2    # all variations, some 20 minutes
    python benchmarks/evidence/detector.py warmup      # those with a word, and what they gain on

Each variation changes the defaults as they were (``BASE``). Anomalies are of three kinds:

* another class: one cultivar of wine, one species of iris, one of the digits 5 to 9 (the comparison
  has 0 to 4), benign cells beside malignant ones (the comparison has the reverse); rows of the
  training parts where there is one;
* generated data, linear and nonlinear, in which rows have one modality of another row, are moved
  in one modality, or are stretched in all;
* cancer in sections E1 to H1 of her2st, each left out once: those that were for validation
  from the beginning.

A detector is trained on 70 % of the normal rows and rated on the others and the anomalies; in
tissue on the normal rows of the other sections.
"""

from functools import partial

import numpy as np
from framework import SECTIONS, answer, ranked_tissue, training_part
from resumable import present
from sklearn.datasets import load_iris
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from sklearn_omib import ModalityDict, OMIBAnomalyDetector, baselines
from sklearn_omib.datasets import make_multimodal_classification

REFERENCE, OMIB, OTHERS = "as it was", "OMIB", ("Concat", "DeepIB", "LMIB")
BASE = {"reconstruction": 3.0, "warmup_epochs": 10, "max_epochs": 15}
NORMED, UNNORMED = {"fusion": "cross_attention"}, {"fusion": "unnormed_attention"}
LONGER = {"reconstruction": 10.0, "max_epochs": 60}
VARIATIONS = {  # a method and what is changed
    REFERENCE: (OMIB, NORMED),
    "unnormed": (OMIB, UNNORMED),
    **{
        f"unnormed, reconstruction={weight:g}, max_epochs={epochs}": (
            OMIB,
            {**UNNORMED, "reconstruction": weight, "max_epochs": epochs},
        )
        for weight, epochs in ((10.0, 15), (3.0, 60), (5.0, 60), (10.0, 60), (30.0, 60))
    },
    "max_epochs=60": (OMIB, {**NORMED, "max_epochs": 60}),
    "reconstruction=10, max_epochs=60": (OMIB, {**NORMED, **LONGER}),
    **{
        f"longer, {name}={value}": (OMIB, {**UNNORMED, **LONGER, name: value})
        for name, value in (
            ("warmup_epochs", 30), ("latent_dim", 64), ("dropout", 0.0), ("input_dropout", 0.1),
            ("input_dropout", 0.3), ("modality_dropout", 0.1), ("trb_weight", 0.1), ("beta", 0.0),
        )
    },
    **{
        f"{method}{how}": (method, changed)
        for how, changed in (
            ("", {}),
            (", max_epochs=60", {"max_epochs": 60}),
            (", longer, warmup_epochs=30", {**LONGER, "warmup_epochs": 30}),
        )
        for method in OTHERS
    },
}  # fmt: skip


# -- tasks: kind, X, which are anomalous, rows to train on if normal or None ----------------------
def other_class(source, one):
    if source == "iris":
        table, y = load_iris(return_X_y=True)
        X = ModalityDict({"sepal": table[:, :2], "petal": table[:, 2:]})
    else:
        X, y, _ = training_part(source)
    if source == "digits":
        few = np.random.default_rng(0).permutation(len(y))[:800]
        X, y = X[few], y[few]
    return "classes", X, np.asarray(y) == one, None


def generated(mixing, change, n_samples=700, n_anomalous=150):
    data = make_multimodal_classification(
        n_samples, n_modalities=3, n_pairwise=1, random_state=0, mixing=mixing
    )
    anomalous = np.arange(n_samples) < n_anomalous
    return "generated", ModalityDict(change(dict(data.X), anomalous)), anomalous, None


def mixed_up(blocks, anomalous):
    name = list(blocks)[1]
    block = blocks[name].copy()
    block[anomalous] = np.roll(block[anomalous], 1, axis=0)  # rows are independent
    return {**blocks, name: block}


def moved(blocks, anomalous):
    name = list(blocks)[1]
    block = blocks[name]
    by = 0.6 * block.std(0) * np.random.default_rng(1).choice([-1, 1], size=block.shape[1])
    return {**blocks, name: block + by * anomalous[:, None]}


def stretched(blocks, anomalous):
    return {name: block * np.where(anomalous, 1.3, 1.0)[:, None] for name, block in blocks.items()}


def tissue(section):
    spots = ranked_tissue()
    return "tissue", spots.X, spots.anomalous, spots.section != section


TASKS = {
    **{f"wine {one}": partial(other_class, "wine", one) for one in (0, 1, 2)},
    **{f"iris {one}": partial(other_class, "iris", one) for one in (1, 2)},
    **{f"digits {one}": partial(other_class, "digits", one) for one in (5, 6, 7, 8, 9)},
    "cells benign": partial(other_class, "cancer", "benign"),
    **{
        f"{mixing} {what}": partial(generated, mixing, change)
        for mixing in ("linear", "nonlinear")
        for what, change in (("mixed up", mixed_up), ("moved", moved), ("stretched", stretched))
    },
    **{f"section {one}": partial(tissue, one) for one in SECTIONS},
}


# -- runs and table -------------------------------------------------------------------------------
def made(method, **parameters):
    if method == OMIB:
        return OMIBAnomalyDetector(**parameters)
    return baselines.BaselineAnomalyDetector(method=getattr(baselines, method)(), **parameters)


def evaluate(task, variation, seed):
    kind, X, anomalous, elsewhere = TASKS[task]()
    if elsewhere is None:
        train, rest = train_test_split(np.flatnonzero(~anomalous), test_size=0.3, random_state=seed)
        test = np.concatenate([rest, np.flatnonzero(anomalous)])
    else:
        train, test = np.flatnonzero(elsewhere & ~anomalous), np.flatnonzero(~elsewhere)
    method, changed = VARIATIONS[variation]
    detector = made(method, **{**BASE, **changed}, random_state=seed).fit(X[train])
    return {"kind": kind, "auc": roc_auc_score(anomalous[test], -detector.score_samples(X[test]))}


def sections(runs):
    """Mean area under the curve by kind, and the gain on what was before, with tasks as units."""
    kinds = runs.pivot_table("auc", "variation", "kind")
    tasks = runs.pivot_table("auc", "task", "variation")
    gain = tasks.sub(tasks[REFERENCE], axis=0)
    table = kinds.assign(mean=tasks.mean(), gain=gain.mean(), sem=gain.sem(), tasks=gain.count())
    return [table.loc[[name for name in VARIATIONS if name in table.index]].round(4).to_markdown()]


if __name__ == "__main__":
    there = present(TASKS, lambda name: TASKS[name]())
    jobs = ({"task": task, "variation": v} for task in there for v in VARIATIONS)
    answer("detector", __doc__, 2, jobs, evaluate, sections, reference=REFERENCE)
