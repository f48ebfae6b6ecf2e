"""Evidence for the defaults of the detectors, from anomalies kept for validation.

    python benchmarks/detector.py          # all variations, some 20 minutes on two cores
    python benchmarks/detector.py warmup   # those whose name contains a word, and what they gain on

Each variation changes the defaults as they were (``BASE``). Anomalies are of three kinds:

* another class: one cultivar of wine, one species of iris, one of the digits 5 to 9 (the comparison
  has 0 to 4), benign cells beside malignant ones (the comparison has the reverse); rows of the
  training parts of ``defaults.py`` where that has them;
* generated data, linear and nonlinear, in which rows have one modality of another row, are moved
  in one modality, or are stretched in all;
* cancer in sections E1 to H1 of her2st, each left out once: those that were for validation
  from the beginning.

A detector is trained on 70 % of the normal rows and rated on the others and the anomalies; in
tissue on the normal rows of the other sections. Runs are appended to ``results/detector.csv``, so
that an interrupted run goes on where it was; ``results/detector.md`` is the table made of it.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from anomaly import normal_scores
from defaults import completed, named, training_parts
from sklearn.datasets import load_iris
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

import sklearn_omib.baselines as baselines
from sklearn_omib import ModalityDict, OMIBAnomalyDetector
from sklearn_omib.datasets import load_her2st, make_multimodal_classification

RESULTS = Path(__file__).parent / "results"
SEEDS = (0, 1)
SECTIONS = ("E1", "F1", "G2", "H1")
REFERENCE = "as it was"
BASE = {"reconstruction": 3.0, "warmup_epochs": 10, "max_epochs": 15}
NORMED, UNNORMED = {"fusion": "cross_attention"}, {"fusion": "unnormed_attention"}
LONGER = {**UNNORMED, "reconstruction": 10.0, "max_epochs": 60}
WARMED = {**LONGER, "warmup_epochs": 30}


def of(name, **parameters):
    return getattr(baselines, f"{name}AnomalyDetector"), parameters


VARIATIONS = {
    REFERENCE: (OMIBAnomalyDetector, NORMED),
    "unnormed": (OMIBAnomalyDetector, UNNORMED),
    **{
        f"unnormed, reconstruction={weight:g}, max_epochs={epochs}": (
            OMIBAnomalyDetector,
            {**UNNORMED, "reconstruction": weight, "max_epochs": epochs},
        )
        for weight, epochs in ((10.0, 15), (3.0, 60), (5.0, 60), (10.0, 60), (30.0, 60))
    },
    "max_epochs=60": (OMIBAnomalyDetector, {**NORMED, "max_epochs": 60}),
    "reconstruction=10, max_epochs=60": (OMIBAnomalyDetector, {**LONGER, **NORMED}),
    **{
        f"longer, {name}={value}": (OMIBAnomalyDetector, {**LONGER, name: value})
        for name, value in (
            ("warmup_epochs", 30), ("latent_dim", 64), ("dropout", 0.0), ("input_dropout", 0.1),
            ("input_dropout", 0.3), ("modality_dropout", 0.1), ("trb_weight", 0.1), ("beta", 0.0),
        )
    },
    **{name: of(name) for name in ("Concat", "DeepIB", "LMIB")},
    **{f"{name}, max_epochs=60": of(name, max_epochs=60) for name in ("Concat", "DeepIB", "LMIB")},
    **{
        f"{name}, longer, warmup_epochs=30": of(
            name, **{key: value for key, value in WARMED.items() if key != "fusion"}
        )
        for name in ("Concat", "DeepIB", "LMIB")
    },
}  # fmt: skip


# -- tasks: name -> (kind, X, which are anomalous, rows to train on if normal or None) ------------
def tasks():
    return {**other_classes(), **generated(), **tissue()}


def other_classes():
    parts = training_parts()
    digits, labels, _ = parts["digits"]
    few = np.random.default_rng(0).permutation(len(labels))[:800]
    iris = load_iris()
    species = ModalityDict({"sepal": iris.data[:, :2], "petal": iris.data[:, 2:]})
    sources = (
        ("wine", *parts["wine"][:2], (0, 1, 2)),
        ("iris", species, iris.target, (1, 2)),
        ("digits", digits[few], labels[few], (5, 6, 7, 8, 9)),
        ("cells", *parts["cancer"][:2], ("benign",)),
    )
    return {
        f"{name} {one}": ("classes", X, np.asarray(y) == one, None)
        for name, X, y, anomalous in sources
        for one in anomalous
    }


def generated(n_samples=700, n_anomalous=150):
    found = {}
    for mixing in ("linear", "nonlinear"):
        data = make_multimodal_classification(
            n_samples, n_modalities=3, n_pairwise=1, random_state=0, mixing=mixing
        )
        rng, anomalous = np.random.default_rng(1), np.arange(n_samples) < n_anomalous
        name = list(data.X)[1]
        block = data.X[name]
        mixed, moved = block.copy(), block.copy()
        mixed[anomalous] = np.roll(block[anomalous], 1, axis=0)  # rows are independent
        moved[anomalous] += 0.6 * block.std(0) * rng.choice([-1, 1], size=block.shape[1])
        stretch = np.where(anomalous, 1.3, 1.0)[:, None]
        for what, blocks in {
            "mixed up": {**data.X, name: mixed},
            "moved": {**data.X, name: moved},
            "stretched": {key: stretch * values for key, values in data.X.items()},
        }.items():
            found[f"{mixing} {what}"] = ("generated", ModalityDict(blocks), anomalous, None)
    return found


def tissue():
    try:
        spots = load_her2st()
    except FileNotFoundError as error:
        print(error)
        return {}
    X = ModalityDict({name: normal_scores(block) for name, block in spots.X.items()})
    return {
        f"section {one}": ("tissue", X, spots.anomalous, spots.section != one) for one in SECTIONS
    }


# -- runs -----------------------------------------------------------------------------------------
def evaluate(name, variation, seed, task):
    kind, X, anomalous, elsewhere = task
    if elsewhere is None:
        train, rest = train_test_split(np.flatnonzero(~anomalous), test_size=0.3, random_state=seed)
        test = np.concatenate([rest, np.flatnonzero(anomalous)])
    else:
        train, test = np.flatnonzero(elsewhere & ~anomalous), np.flatnonzero(~elsewhere)
    make, parameters = VARIATIONS[variation]
    detector = make(random_state=seed, **{**BASE, **parameters}).fit(X[train])
    auc = roc_auc_score(anomalous[test], -detector.score_samples(X[test]))
    return {"task": name, "kind": kind, "variation": variation, "seed": seed, "auc": auc}


def write_table(results):
    """Mean area under the curve by kind, and the gain on what was before, with tasks as units."""
    kinds = results.pivot_table(index="variation", columns="kind", values="auc")
    tasks = results.pivot_table(index="task", columns="variation", values="auc")
    gain = tasks.sub(tasks[REFERENCE], axis=0)
    table = kinds.assign(mean=tasks.mean(), gain=gain.mean(), sem=gain.sem(), tasks=gain.count())
    text = table.loc[[name for name in VARIATIONS if name in table.index]].round(4).to_markdown()
    (RESULTS / "detector.md").write_text(f"{__doc__.splitlines()[0]}\n\n{text}\n")
    print(text)


def main(words):
    wanted = named(VARIATIONS, [*words, REFERENCE] if words else [])
    path = RESULTS / "detector.csv"
    write_table(completed(path, "task", tasks(), wanted, SEEDS, evaluate))


if __name__ == "__main__":
    main(sys.argv[1:])
