"""Evidence for the default parameters: cross-validation on training parts only.

    python benchmarks/defaults.py            # all variations, about an hour on two cores
    python benchmarks/defaults.py dropout    # those whose name contains a word

Each variation changes one thing of the defaults, with one network each. Data: the training part of
CMU-MOSI (folds keep the utterances of a video together) and 70 % of digits (two views), breast
cancer (three blocks), wine (two blocks), and for regression diabetes and Friedman's function (two
blocks each); the remaining 30 % and MOSI's test part are never read. Results are appended to
``results/defaults.csv``, so that an interrupted run goes on where it was; ``results/defaults.md``
is the table made of it.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import is_classifier
from sklearn.datasets import load_diabetes, load_wine, make_friedman1
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold, train_test_split

from sklearn_omib import ModalityDict, OMIBClassifier, OMIBRegressor
from sklearn_omib.datasets import load_breast_cancer_blocks, load_digits_views, load_mosi

RESULTS = Path(__file__).parent / "results"
SEEDS = (0, 1, 2)
N_FOLDS = 5

# what the parameters below were measured with; benchmarks/levers.py has the evidence for what the
# defaults of these are now
BASE = {
    "n_members": 1, "fusion": "cross_attention", "modality_dropout": 0.0, "encoders": "mlp",
}  # fmt: skip

VARIATIONS = {
    "default": {},
    **{
        f"beta={v:.2g} M_u": {"beta": "upper", "beta_scale": v}
        for v in (0, 0.03, 0.1, 1 / 3, 1, 3, 10)
    },
    **{f"dropout={v}": {"dropout": v} for v in (0.0, 0.1, 0.3, 0.5)},
    **{f"input_dropout={v}": {"input_dropout": v} for v in (0.0, 0.1, 0.2, 0.3)},
    **{f"weight_decay={v}": {"weight_decay": v} for v in (0.01, 0.3, 1.0, 3.0)},
    **{f"learning_rate={v}": {"learning_rate": v} for v in (2e-4, 1e-3, 2e-3)},
    **{f"hidden_dim={v}": {"hidden_dim": v} for v in (64, 256)},
    **{f"latent_dim={v}": {"latent_dim": v} for v in (16, 64)},
    **{f"n_layers={v}": {"n_layers": v} for v in (1, 3)},
    "head_layers=1": {"head_layers": 1},
    **{f"batch_size={v}": {"batch_size": v} for v in (64, 256)},
    **{f"warmup_epochs={v}": {"warmup_epochs": v} for v in (0, 5, 20)},
    "max_epochs=200": {"max_epochs": 200},
    "n_iter_no_change=30": {"n_iter_no_change": 30},
    **{f"validation_fraction={v}": {"validation_fraction": v} for v in (0.1, 0.2)},
    **{f"trb_weight={v}": {"trb_weight": v} for v in (0.0, 0.3)},
    **{f"weighting={v}": {"weighting": v} for v in ("symmetric", "fixed")},
    "fusion=concat": {"fusion": "concat"},
}


def training_parts():
    """name -> (X, y, groups or None), training parts only."""
    parts = {}
    try:
        mosi = load_mosi()
        parts["mosi"] = mosi.X_train, mosi.y_train, mosi.groups_train
    except FileNotFoundError as error:
        print(error)
    wine, diabetes = load_wine(), load_diabetes()
    friedman = make_friedman1(1000, noise=1.0, random_state=0)
    whole = {
        "digits": load_digits_views(),
        "cancer": load_breast_cancer_blocks(),
        "wine": {"X": halves(wine.data), "y": wine.target},
        "diabetes": {"X": halves(diabetes.data), "y": diabetes.target},
        "friedman": {"X": halves(friedman[0]), "y": friedman[1]},
    }
    for name, data in whole.items():
        labels = None if is_regression(data["y"]) else data["y"]
        X, _, y, _ = train_test_split(
            ModalityDict(data["X"]), data["y"], test_size=0.3, stratify=labels, random_state=0
        )
        parts[name] = X, y, None
    return parts


# of generated data: nonlinear modalities, and an exclusive or of two of them
BENT = {"mixing": "nonlinear", "importance": {"synergy": 2.0}}


def halves(table):
    """A table cut into two modalities."""
    half = table.shape[1] // 2
    return {"first": table[:, :half], "second": table[:, half:]}


def gaussian_loss(y, mean, std, unit):
    """Mean negative log-likelihood in nats of a target measured in some unit."""
    nats = 0.5 * np.log(2 * np.pi * std**2) + (y - mean) ** 2 / (2 * std**2)
    return np.mean(nats) - np.log(unit)


def is_regression(y):
    return y.dtype.kind == "f"


def folds(y, groups, seed):
    """Training and test rows of each fold."""
    if is_regression(y):
        splitter = KFold(N_FOLDS, shuffle=True, random_state=seed)
    elif groups is not None:
        splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    else:
        splitter = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    return splitter.split(np.zeros(len(y)), y, groups)


def predicted(model, X):
    """Class probabilities; of numbers, mean and standard deviation."""
    return model.predict_proba(X) if is_classifier(model) else model.predict(X, return_std=True)


def rate(test, prediction, y):
    """Score and loss of a prediction of y[test]."""
    if is_regression(y):
        mean, std = prediction
        return r2_score(y[test], mean), gaussian_loss(y[test], mean, std, y.std())
    classes = np.unique(y)
    score = np.mean(classes[prediction.argmax(1)] == y[test])
    return score, log_loss(y[test], prediction, labels=classes)


def evaluate(data_name, variation, seed, data):
    """Scores of one variation on one data set, averaged over the folds."""
    X, y, groups = data
    rows = []
    for train, test in folds(y, groups, seed):
        kind = OMIBRegressor if is_regression(y) else OMIBClassifier
        model = kind(random_state=seed, **BASE)
        model.set_params(**VARIATIONS[variation])
        in_fold = None if groups is None else groups[train]
        model.fit(X[train], y[train], groups=in_fold)
        score, loss = rate(test, predicted(model, X[test]), y)
        rows.append((score, loss, model.history_.seconds.sum()))
    score, loss, seconds = np.mean(rows, axis=0)
    return {"data": data_name, "variation": variation, "seed": seed, "score": score,
            "loss": loss, "seconds": seconds}  # fmt: skip


def gains(results):
    """Runs beside those of the defaults on the same data and seed."""
    pairs = results.merge(
        results[results.variation == "default"], on=["data", "seed"], suffixes=("", "_default")
    )
    pairs["score gain"] = pairs.score - pairs.score_default
    pairs["loss gain"] = pairs.loss_default - pairs.loss
    return pairs


def write_table(results):
    """Mean over seeds per data set, and the mean difference to the defaults over data sets."""
    table = results.pivot_table(index="variation", columns="data", values=["score", "loss"])
    difference = gains(results).groupby("variation")[["score gain", "loss gain"]]
    difference = difference.agg(["mean", "sem"])
    table.columns = [f"{data} {metric}" for metric, data in table.columns]
    difference.columns = [f"{gain} ({kind})" for gain, kind in difference.columns]
    seeds = results.groupby("variation").seed.nunique().rename("seeds")
    table = (
        table.join(difference).join(seeds).loc[[name for name in VARIATIONS if name in table.index]]
    )
    text = table.round(4).to_markdown()
    (RESULTS / "defaults.md").write_text(f"{__doc__.splitlines()[0]}\n\n{text}\n")
    print(text)


def told(name, gain):
    """A gain over paired runs in words."""
    wins = f"better in {(gain > 0).sum()} of {len(gain)} runs"
    return f"{name} {gain.mean():+.4f} ± {gain.sem():.4f}, {wins}"


def named(variations, words):
    """The variations whose name contains one of some words; all without words."""
    return [v for v in variations if not words or any(word in v for word in words)]


def completed(path, unit, data, variations, seeds, evaluate):
    """Rows of a file, after those that it lacks were run and appended.

    Parameters
    ----------
    path : Path
        Has columns ``unit`` ("data", say), "variation" and "seed".
    unit : str
    data : dict of str to what ``evaluate(name, variation, seed, data)`` takes last
    variations, seeds : iterables
    evaluate : callable
        Returns a row.
    """
    path.parent.mkdir(exist_ok=True)
    key = [unit, "variation", "seed"]
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=key)
    keys = set(done[key].itertuples(index=False, name=None))
    jobs = [
        (name, variation, seed, part)
        for seed in seeds for variation in variations for name, part in data.items()
        if (name, variation, seed) not in keys
    ]  # fmt: skip
    runs = Parallel(n_jobs=-1, return_as="generator_unordered")(
        delayed(evaluate)(*job) for job in jobs
    )
    for run in runs:
        pd.DataFrame([run]).to_csv(path, mode="a", header=not path.exists(), index=False)
    return pd.read_csv(path)


def main(words):
    wanted = named(VARIATIONS, words)
    path = RESULTS / "defaults.csv"
    write_table(completed(path, "data", training_parts(), wanted, SEEDS, evaluate))


if __name__ == "__main__":
    main(sys.argv[1:])
