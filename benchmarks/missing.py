"""Predictions where modalities are missing, against what else could be done about it.

    python benchmarks/missing.py --jobs 2          # the page: half an hour on two cores
    python benchmarks/missing.py --development     # on parts of the training rows, into a folder

A share of each modality's rows is taken away by chance, of test rows alone or of all rows; every
sample keeps one modality. OMIB leaves out what is missing. Beside it: the same OMIB where missing
rows are filled by zeros or by means of the columns, scikit-learn's gradient boosting on all columns
side by side, which takes NaN, and for every set of modalities that is left an OMIB of its own,
trained on these alone. All OMIBs are of one network. Rows go to results/missing.csv, and
docs/missing.rst is written from them.
"""

import warnings
from itertools import product
from pathlib import Path

import numpy as np
from resumable import Rows, arguments
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from sklearn_omib import ModalityDict, OMIBClassifier
from sklearn_omib.datasets import (
    load_digits_views,
    load_her2st,
    load_mosi,
    make_multimodal_classification,
)

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)
WHERE = ("test", "all")  # rows that modalities are taken from
TEST_SHARE = 0.3
OURS, ALONE = "left out", "a model for each set"
CONTESTANTS = (OURS, "zeros", "means", "gradient boosting", ALONE)
MARGIN = 0.02  # of accuracy, below models of the remaining modalities
DEVELOPMENT = Path("benchmark_output") / "missing"


# -- data -----------------------------------------------------------------------------------------
def mosi():
    data = load_mosi()
    X = {m: np.r_[data.X_train[m], data.X_test[m]] for m in data.X_train}
    groups = np.r_[data.groups_train, data.groups_test]
    is_test = np.arange(len(groups)) >= len(data.y_train)
    return X, np.r_[data.y_train, data.y_test], groups, is_test


def digits():
    X, y = load_digits_views().values()
    return X, y, None, None


def tissue():
    spots = load_her2st(standardize=True)
    is_test = np.isin(spots.section, ("C1", "D1", "H1"))
    return spots.X, spots.label, spots.section, is_test


def generated():
    data = make_multimodal_classification(
        3000, n_modalities=3, n_classes=3, importance={"synergy": 0.0}, random_state=0
    )
    return data.X, data.y, None, None


DATA = {"mosi": mosi, "digits": digits, "tissue": tissue, "generated": generated}


def split(name, seed, development):
    """X, y, and rows to train and to test on: of the training part alone in development."""
    X, y, groups, is_test = DATA[name]()
    if is_test is None:
        parts = StratifiedShuffleSplit(1, test_size=TEST_SHARE, random_state=0).split(y, y)
        is_test = np.isin(np.arange(len(y)), next(parts)[1])
    rows, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    if development:
        kind = StratifiedShuffleSplit if groups is None else GroupShuffleSplit
        of_rows = kind(1, test_size=TEST_SHARE, random_state=seed)
        own = None if groups is None else groups[rows]
        train, test = (rows[part] for part in next(of_rows.split(rows, y[rows], own)))
        rows = train
    return ModalityDict(X), np.unique(y, return_inverse=True)[1], rows, test


def lose(X, share, seed):
    """X without so many rows of each modality; which are left, (n_samples, n_modalities)."""
    rng = np.random.default_rng(seed)
    left = rng.uniform(size=(len(X), len(list(X)))) >= share
    bare = np.flatnonzero(~left.any(1))
    left[bare, rng.integers(left.shape[1], size=len(bare))] = True
    blocks = {
        name: np.where(there[:, None], np.asarray(block, np.float32), np.nan)
        for (name, block), there in zip(X.items(), left.T, strict=True)
    }
    return ModalityDict(blocks), left


# -- contestants ----------------------------------------------------------------------------------
def omib(seed):
    return OMIBClassifier(n_members=1, n_jobs=1, random_state=seed)


def filled(X, imputers):
    return ModalityDict({name: imputers[name].transform(block) for name, block in X.items()})


def fit(kind, X, y, seed):
    """A function from test samples and what they have to predictions."""
    if kind == OURS:
        clf = omib(seed).fit(X, y)
        return lambda X, left: clf.predict(X)
    if kind == "gradient boosting":
        boosting = HistGradientBoostingClassifier(random_state=seed).fit(np.asarray(X), y)
        return lambda X, left: boosting.predict(np.asarray(X))
    if kind == ALONE:
        return Alone(X, y, seed).predict
    how = {"zeros": ("constant", 0.0), "means": ("mean", None)}[kind]
    imputers = {
        name: SimpleImputer(strategy=how[0], fill_value=how[1], keep_empty_features=True).fit(block)
        for name, block in X.items()
    }
    clf = omib(seed).fit(filled(X, imputers), y)
    return lambda X, left: clf.predict(filled(X, imputers))


class Alone:
    """A model for every set of modalities, trained on the samples that have any of them."""

    def __init__(self, X, y, seed):
        self.X, self.y, self.seed, self.models = X, y, seed, {}

    def predict(self, X, left):
        predicted = np.empty(len(X), dtype=self.y.dtype)
        for pattern in np.unique(left, axis=0):
            names = tuple(name for name, there in zip(X, pattern, strict=True) if there)
            rows = np.flatnonzero((left == pattern).all(1))
            predicted[rows] = self._of(names).predict(X[rows].select(names))
        return predicted

    def _of(self, names):
        if names not in self.models:
            X = self.X.select(names)
            rows = np.flatnonzero(~np.all([np.isnan(b).all(1) for b in X.values()], axis=0))
            self.models[names] = omib(self.seed).fit(X[rows], self.y[rows])
        return self.models[names]


def evaluate(data, where, contestant, seed, development=False):
    """Accuracy at every share; with whole training rows one fit serves all."""
    warnings.simplefilter("ignore", UserWarning)
    X, y, train, test = split(data, seed, development)
    rows, predict = [], None
    for i, share in enumerate(SHARES):
        lost, left = lose(X, share, [seed, i])
        if where == "all" or predict is None:
            predict = fit(contestant, (lost if where == "all" else X)[train], y[train], seed)
        accuracy = np.mean(predict(lost[test], left[test]) == y[test])
        rows.append({"data": data, "where": where, "contestant": contestant, "seed": seed,
                     "share": share, "accuracy": accuracy})  # fmt: skip
    return rows


# -- page -----------------------------------------------------------------------------------------
def verdict(rows):
    """How far OMIB is below models of the remaining modalities, and the mean ranks of all."""
    means = rows.groupby(["data", "where", "share", "contestant"]).accuracy.mean().unstack()
    below = means[ALONE] - means[OURS]
    ranks = means.rank(axis=1, ascending=False).mean().sort_values()
    where = ", ".join(map(str, below.idxmax()))
    missed = int((below > MARGIN).sum())
    return [
        f"At most {below.max():.3f} below a model of the remaining modalities ({where}), where "
        f"{MARGIN} was allowed; {missed} of {len(below)} cells are beyond it. On average "
        f"{-below.mean():+.4f}.",
        "Mean rank of accuracy over all cells: "
        + ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.items())
        + ".",
    ]


def table(rows):
    means = rows.groupby(["data", "where", "share", "contestant"]).accuracy.mean().unstack()
    lines = [".. list-table::", "   :header-rows: 1", ""]
    header = ["data", "taken from", "share", *CONTESTANTS]
    body = [
        [data, {"test": "test rows", "all": "all rows"}[where], f"{share:g}"]
        + [f"{value:.3f}" for value in cell[list(CONTESTANTS)]]
        for (data, where, share), cell in means.iterrows()
    ]
    for line in (header, *body):
        lines += [f"   {'*' if i == 0 else ' '} - {text}" for i, text in enumerate(line)]
    return lines


def draw(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = [name for name in DATA if (rows.data == name).any()]
    figure, axes = plt.subplots(
        2, len(names), figsize=(3 * len(names), 5.5), sharex=True, squeeze=False
    )
    for (i, where), (j, name) in product(enumerate(WHERE), enumerate(names)):
        part = rows[(rows["where"] == where) & (rows.data == name)]
        axes[i, j].set_visible(len(part) > 0)  # what was not measured
        for contestant in CONTESTANTS:
            own = part[part.contestant == contestant].groupby("share").accuracy.mean()
            style = {OURS: {"lw": 2.5}, ALONE: {"ls": "--", "c": "black"}}.get(contestant, {})
            axes[i, j].plot(own.index, own, marker="o", ms=3, label=contestant, **style)
        axes[i, j].set_title(f"{name}, of {'test rows' if where == 'test' else 'all rows'}")
    for ax in axes[1]:
        ax.set_xlabel("share of rows missing")
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("accuracy")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="lower center", ncols=len(CONTESTANTS), fontsize="small")
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=110)


INTRODUCTION = """\
Missing modalities
==================

Written by ``python benchmarks/missing.py`` from its rows, ``benchmarks/results/missing.csv``.
A share of each modality's rows is taken away by chance; every sample keeps one modality. *Left
out* is OMIB as it is: what is missing tells nothing. *Zeros* and *means* are the same OMIB with
missing rows filled, *gradient boosting* is scikit-learn's on all columns side by side with NaN, and
*a model for each set* has an OMIB of its own for every set of modalities that is left, trained on
these alone: what one would do with unlimited time. All OMIBs are of one network with default
parameters. Mean accuracy over seeds of training and of what is missing ({seeds}); test rows are the
same.
"""


def write(rows, folder):
    lines = INTRODUCTION.format(seeds=rows.seed.nunique()).splitlines()
    lines += ["", *(f"* {line}" for line in verdict(rows)), ""]
    lines += [".. image:: missing.png", "   :alt: accuracy over the share of rows missing", ""]
    (folder / "missing.rst").write_text("\n".join([*lines, *table(rows), ""]))
    draw(rows, folder / "missing.png")


def main():
    flag = {"action": "store_true", "help": "on parts of the training rows, in a folder"}
    chosen = arguments(__doc__, 1, more=[("--development", flag), ("--data", {"nargs": "*"})])
    out = chosen.out or (DEVELOPMENT if chosen.development else None)
    file = Rows("missing", out)
    jobs = [
        {"data": data, "where": where, "contestant": contestant, "seed": seed}
        for seed in range(chosen.seeds)
        for data in chosen.data or DATA
        for where in WHERE
        for contestant in CONTESTANTS
    ]
    tasks = [job | {"development": chosen.development} for job in file.missing(jobs)]
    file.run(evaluate, tasks, chosen.jobs)
    write(file.rows(), file.docs)
    print("\n".join(verdict(file.rows())))


if __name__ == "__main__":
    main()
