"""The data sets of the comparison, by name, and their splits into a training and a test part."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from anomaly import normal_scores
from evidence.framework import BENT, halves
from sklearn.datasets import load_diabetes, load_wine, make_friedman1
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from sklearn_omib import ModalityDict
from sklearn_omib.datasets import (
    load_breast_cancer_blocks,
    load_digits_views,
    load_her2st,
    load_mosi,
    make_multimodal_classification,
    make_multimodal_regression,
    make_sim,
)

CLASSIFICATION, REGRESSION, ANOMALY = TASKS = ("classification", "regression", "anomaly detection")
TEST_SHARE = 0.3
DATA = {}


class Sample(NamedTuple):
    """Rows of a data set.

    ``rows`` are those of the training and of the test part where the data set fixes them, and
    ``limit`` is the best score any method could reach, where that is known. For anomaly detection
    y tells which rows are anomalous, and the training part has none of these.
    """

    X: ModalityDict
    y: np.ndarray
    groups: np.ndarray | None = None
    rows: tuple | None = None
    limit: float = np.nan


class Part(NamedTuple):
    X: ModalityDict
    y: np.ndarray
    groups: np.ndarray | None

    def __getitem__(self, rows):
        return Part(self.X[rows], self.y[rows], None if self.groups is None else self.groups[rows])


class Split(NamedTuple):
    train: Part
    test: Part
    limit: float


class DataSet(NamedTuple):
    """How rows are drawn, and what a seed stands for.

    Parameters
    ----------
    task : one of TASKS
    draw : callable (seed, small) -> Sample
    reduced : bool
        Whether it belongs to the reduced run, which draws ``small`` ones.
    resampled : bool
        Whether seeds share rows, so that their training parts overlap. Otherwise each draws rows
        of its own, or all have one fixed split.
    fixed_test : bool
        Whether all seeds have the same test part.
    n_inner : int
        Inner splits that rate a configuration; fewer where a fit is long.
    """

    task: str
    draw: Callable
    reduced: bool = True
    resampled: bool = True
    fixed_test: bool = False
    n_inner: int = 3

    def split(self, seed, small=False):
        sample = self.draw(seed, small)
        train, test = sample.rows or _split_rows(sample, self.task, seed)
        part = Part(sample.X, np.asarray(sample.y), sample.groups)
        return Split(part[train], part[test], sample.limit)

    @property
    def description(self):
        return (getattr(self.draw, "__doc__", None) or "").split("\n")[0].rstrip(".")


def _split_rows(sample, task, seed):
    """Training and test rows; groups are kept together."""
    rows = np.arange(len(sample.y))
    if sample.groups is not None:
        shuffled = GroupShuffleSplit(1, test_size=TEST_SHARE, random_state=seed)
        return next(shuffled.split(rows, sample.y, sample.groups))
    labels = sample.y if task == CLASSIFICATION else None
    return train_test_split(rows, test_size=TEST_SHARE, stratify=labels, random_state=seed)


def dataset(name, task, **options):
    """Register the function below as a data set."""

    def register(draw):
        DATA[name] = DataSet(task, draw, **options)
        return draw

    return register


# -- classification -------------------------------------------------------------------------------
@dataset("wine", CLASSIFICATION)
def wine(seed, small):
    """Three cultivars from two halves of a chemical analysis."""
    data = load_wine()
    return Sample(ModalityDict(halves(data.data)), data.target)


@dataset("cancer", CLASSIFICATION)
def cancer(seed, small):
    """Malignant or benign from mean, error and worst value of ten measures of cells."""
    return Sample(*load_breast_cancer_blocks().values())


@dataset("linear", CLASSIFICATION, reduced=False, resampled=False)
def linear(seed, small):
    """Generated: two classes from factors that three modalities share linearly."""
    return _factors(make_multimodal_classification, seed, small)


@dataset("nonlinear", CLASSIFICATION, resampled=False)
def nonlinear(seed, small):
    """Generated: two classes, nonlinear modalities and an exclusive or of two of them."""
    return _factors(make_multimodal_classification, seed, small, **BENT)


@dataset("mosi", CLASSIFICATION, reduced=False, resampled=False, fixed_test=True)
def mosi(seed, small):
    """CMU-MOSI: sentiment of utterances from text, audio and video; the published test part."""
    data = load_mosi()
    X = {name: np.vstack([data.X_train[name], data.X_test[name]]) for name in data.X_train}
    y, groups = (np.concatenate([data[f"{what}_{part}"] for part in ("train", "test")])
                 for what in ("y", "groups"))  # fmt: skip
    rows = tuple(np.split(np.arange(len(y)), [len(data.y_train)]))
    return Sample(ModalityDict(X), y, groups, rows)


@dataset("digits", CLASSIFICATION, reduced=False)
def digits(seed, small):
    """Handwritten digits from pixels and a profile of sums and frequencies."""
    return Sample(*load_digits_views().values())


@dataset("her2st", CLASSIFICATION, reduced=False, n_inner=1)
def her2st(seed, small):
    """Cancer or not of tissue spots, from expression there and around; whole sections left out."""
    spots = load_her2st(standardize=True)
    labels = np.where(spots.anomalous, "cancer", "normal")
    return Sample(spots.X, labels, spots.section)


@dataset("SIM-I", CLASSIFICATION, reduced=False, resampled=False, n_inner=1)
def sim_1(seed, small):
    """The paper's generator, specific columns 500 and 100."""
    return _sim("I", seed, small)


@dataset("SIM-III", CLASSIFICATION, resampled=False, n_inner=1)
def sim_3(seed, small):
    """The paper's generator, specific columns 300 and 300."""
    return _sim("III", seed, small)


# -- regression -----------------------------------------------------------------------------------
@dataset("diabetes", REGRESSION)
def diabetes(seed, small):
    """Progression of diabetes after a year from two halves of ten measures."""
    data = load_diabetes()
    return Sample(ModalityDict(halves(data.data)), data.target)


@dataset("friedman", REGRESSION, reduced=False, resampled=False)
def friedman(seed, small):
    """Generated: Friedman's first function of ten columns, in two halves."""
    X, y = make_friedman1(1000, noise=1.0, random_state=seed)
    return Sample(ModalityDict(halves(X)), y)


@dataset("linear target", REGRESSION, reduced=False, resampled=False)
def linear_target(seed, small):
    """Generated: a number from factors that three modalities share linearly."""
    return _factors(make_multimodal_regression, seed, small)


@dataset("nonlinear target", REGRESSION, resampled=False)
def nonlinear_target(seed, small):
    """Generated: a number, nonlinear modalities and an exclusive or of two of them."""
    return _factors(make_multimodal_regression, seed, small, **BENT)


# -- anomaly detection ----------------------------------------------------------------------------
@dataset("cancer cells", ANOMALY)
def cancer_cells(seed, small):
    """Malignant cells, trained on benign ones."""
    X, y = load_breast_cancer_blocks().values()
    return _novelty(X, y == "malignant", seed)


@dataset("unseen digit", ANOMALY, reduced=False)
def unseen_digit(seed, small):
    """One handwritten digit, the seed's, trained on the nine others."""
    X, y = load_digits_views().values()
    return _novelty(X, y == seed % 10, seed)


@dataset("cancer tissue", ANOMALY, reduced=False)
def cancer_tissue(seed, small):
    """Cancer spots of the seed's section, trained on normal spots of the seven others."""
    spots = load_her2st()
    ranked = ModalityDict({name: normal_scores(block) for name, block in spots.X.items()})
    sections = np.unique(spots.section)
    here = spots.section == sections[seed % len(sections)]
    rows = np.flatnonzero(~here & ~spots.anomalous), np.flatnonzero(here)
    return Sample(ranked, spots.anomalous, spots.section, rows)


# -- what several of them share -------------------------------------------------------------------
def _factors(make, seed, small, **options):
    data = make(600 if small else 2000, n_modalities=3, n_pairwise=1, random_state=seed, **options)
    best = data.truth.get("bayes_accuracy") or data.truth.best_r2
    return Sample(data.X, data.y, limit=best["all"])


def _sim(case, seed, small):
    n_samples = 1000 if small else 10_000
    data = make_sim(case, n_samples, random_state=seed)
    rows = tuple(np.split(np.arange(n_samples), [n_samples * 9 // 10]))  # rows are exchangeable
    return Sample(data.X, data.y, rows=rows, limit=data.truth.bayes_accuracy["all"])


def _novelty(X, anomalous, seed):
    """Train on a part of the normal rows; test on their rest and all anomalies."""
    normal = np.flatnonzero(~anomalous)
    train, rest = train_test_split(normal, test_size=TEST_SHARE, random_state=seed)
    return Sample(X, anomalous, rows=(train, np.concatenate([rest, np.flatnonzero(anomalous)])))


# -- the user's own -------------------------------------------------------------------------------
def from_folder(folder):
    """Data sets by file name, of a folder of ``*.npz``.

    Each file has arrays ``X_<modality>`` and ``y``, with samples on the first axis, and may have
    ``groups``, whose samples are kept on one side of each split. Numbers with a decimal point in
    y are a target of regression, all else (integers, booleans, strings) are classes.
    """
    files = sorted(Path(folder).glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"There is no *.npz in {folder}.")
    return {file.stem: DataSet(_task(file), partial(_read, file)) for file in files}


def _read(file, seed=0, small=False):
    with np.load(file) as arrays:
        blocks = {name[2:]: arrays[name] for name in arrays if name.startswith("X_")}
        if not blocks or "y" not in arrays:
            raise ValueError(f"{file} needs arrays X_<modality> and y, it has {list(arrays)}.")
        groups = arrays.get("groups")
        return Sample(ModalityDict(blocks), arrays["y"], groups)


def _task(file):
    y = _read(file).y
    if y.ndim != 1:
        raise ValueError(f"y of {file} must have one dimension, got shape {y.shape}.")
    return REGRESSION if y.dtype.kind == "f" else CLASSIFICATION
