"""What every estimator of I(x; y) does first: checks, normal scores, fewer columns, warnings."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.special import ndtri
from scipy.stats import rankdata

from .._typing import Array, Block
from ..data.container import flatten_block
from ..data.foreign import labelled
from ..data.raw import ENCODE_FIRST

MIN_SAMPLES = 10
MANY_TIES = 0.05  # share of a column's values that repeat another
FEW_LABELS = 20  # integers of at most so many values, and of sqrt(n), are taken for labels


@dataclass
class Pair:
    """x and y, ready to be measured.

    Attributes
    ----------
    x : ndarray of shape (n_samples, n_features_x)
        Normal scores of the columns.
    y : ndarray of shape (n_samples, n_features_y) or (n_samples,)
        Normal scores, or class numbers 0, 1, .. where discrete.
    discrete : bool
    warnings : list of str
        Grows as the estimate is made.
    """

    x: Array
    y: Array
    discrete: bool
    warnings: list[str]

    @property
    def n_columns(self) -> tuple[int, int]:
        return self.x.shape[1], 1 if self.discrete else self.y.shape[1]


def make_pair(x: ArrayLike, y: ArrayLike, discrete_target: str | bool = "auto") -> Pair:
    """Check x and y and bring their columns to normal scores.

    Columns that are constant, or whose ranks are those of another column of the same side, are
    left out, which is said in a warning.

    Returns
    -------
    Pair
    """
    discrete = is_discrete(y, discrete_target)
    x, y = numeric(x, "x"), labels(y, "y") if discrete else numeric(y, "y")
    check_lengths(x, y)
    warnings: list[str] = []
    x_scores = clean_scores(x, "x", warnings)
    if discrete:
        return Pair(x_scores, y, True, warnings)
    y_scores = clean_scores(y, "y", warnings)
    n_leaked = len(_keys(x_scores).keys() & _keys(y_scores).keys())
    if n_leaked:
        warnings.append(
            f"{n_leaked} columns of x have the ranks of a column of y: the mutual information of "
            "continuous data is infinite then, and any number only a floor. Is it a leak?"
        )
    return Pair(x_scores, y_scores, False, warnings)


def check_lengths(x: Array, y: Array) -> None:
    if len(x) != len(y) or len(x) < MIN_SAMPLES:
        raise ValueError(
            f"x and y need the same number of samples, at least {MIN_SAMPLES}; got {len(x)}, "
            f"{len(y)}."
        )


def is_discrete(y: Block, discrete_target: str | bool, name: str = "y") -> bool:
    """Whether y is a vector of class labels."""
    if discrete_target not in ("auto", True, False):
        raise ValueError(f"discrete_target must be 'auto', True or False, got {discrete_target!r}.")
    y = labelled(y).block
    if sparse.issparse(y):
        return False
    try:
        y = np.asarray(y)
    except ValueError as error:
        raise ValueError(f"{name} is ragged: its samples differ in their lengths.") from error
    if discrete_target != "auto":
        if discrete_target and y.size != len(y):
            raise ValueError(f"{name} is to hold labels of shape (n_samples,), got {y.shape}.")
        return bool(discrete_target)
    if y.ndim != 1:
        return False
    if y.dtype.kind == "O":  # a column of a mixed frame: numbers in it are numbers
        y = pd.Series(y).infer_objects().to_numpy()
    if y.dtype.kind in "iu":
        return len(np.unique(y)) <= min(FEW_LABELS, sqrt(len(y)))
    return y.dtype.kind not in "fc"


def numeric(v: Block, name: str) -> Array:
    """v as finite float64 of shape (n_samples, n_features)."""
    try:
        v = flatten_block(labelled(v).block).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be numeric. Labels can only be y, and of shape (n_samples,). "
            f"{ENCODE_FIRST}"
        ) from error
    if not np.isfinite(v).all():
        raise ValueError(f"{name} contains NaN or infinity; impute or drop these samples first.")
    return v


def labels(v: ArrayLike, name: str) -> Array:
    """Class numbers 0, 1, .. of labels."""
    v = np.asarray(v).ravel()
    missing = pd.isna(v)
    if missing.any():
        raise ValueError(f"{name} contains {missing.sum()} missing labels; drop these samples.")
    return np.unique(v.astype(str) if v.dtype.kind == "O" else v, return_inverse=True)[1]


def is_count(value: object, most: float = np.inf) -> bool:
    """Whether a parameter is an integer from 1 to ``most``."""
    return isinstance(value, int | np.integer) and bool(1 <= value <= most)


def normal_scores(v: Array) -> Array:
    """Each column's ranks as quantiles of the standard normal distribution."""
    return ndtri(rankdata(v, axis=0) / (len(v) + 1))


def clean_scores(v: Array, name: str, warnings: list[str]) -> Array:
    scores = normal_scores(v)
    varying = scores.std(0) > 0
    if not varying.all():
        warnings.append(f"{(~varying).sum()} constant columns of {name} are left out.")
    scores = scores[:, varying]
    first = sorted(_keys(scores).values())
    if len(first) < scores.shape[1]:
        warnings.append(
            f"{scores.shape[1] - len(first)} columns of {name} have the ranks of another column of "
            f"{name} and are left out."
        )
    scores = scores[:, first]
    n_tied = sum(_tied_share(column) > MANY_TIES for column in scores.T)
    if n_tied:
        warnings.append(
            f"{n_tied} columns of {name} have more than {MANY_TIES:.0%} tied values; ranks tell "
            "less of them than of continuous data."
        )
    return scores


def _keys(scores: Array) -> dict[bytes, int]:
    """{what decides whether two columns have equal or opposite ranks: first such column}."""
    keys: dict[bytes, int] = {}
    for i, column in enumerate(np.round(scores, 9).T):
        column = column + 0.0  # no negative zeros
        column = column * np.sign(column[np.flatnonzero(column)[0]]) + 0.0
        keys.setdefault(column.tobytes(), i)
    return keys


def _tied_share(column: Array) -> float:
    return 1 - len(np.unique(column)) / len(column)


def fewer_columns(
    pair: Pair, pca: str | int | None, *, limit: float, n_samples: int | None = None, most: int = 40
) -> list[Array]:
    """The continuous sides of a pair, wide ones reduced to principal components.

    Parameters
    ----------
    pca : "auto", int or None
        "auto" reduces where there are more than ``limit`` columns, an int always, None never.
    n_samples : int, optional
        Of the pair, or what counts in their place.
    most : int, default=40
        The most components per side of "auto".
    """
    if pca not in ("auto", None) and not is_count(pca):
        raise ValueError(f"pca must be 'auto', a positive int or None, got {pca!r}.")
    n_samples = len(pair.x) if n_samples is None else n_samples
    sides = {"x": pair.x} if pair.discrete else {"x": pair.x, "y": pair.y}
    n_columns = sum(v.shape[1] for v in sides.values())
    if pca is None or (pca == "auto" and n_columns <= limit):
        return list(sides.values())
    k = min(max(2, n_samples // 12), most) if pca == "auto" else int(pca)
    if pca == "auto" and n_columns > n_samples:
        pair.warnings.append(
            f"{n_columns} columns and {n_samples} samples: only what {k} principal components per "
            "side hold is seen, and what is in directions of little variance missed."
        )
    return [principal_components(v, k) for v in sides.values()]


def principal_components(scores: Array, n_components: int) -> Array:
    """The directions in which the scores vary most, or the scores where there are no more."""
    if n_components >= scores.shape[1]:
        return scores
    left, singular, _ = np.linalg.svd(scores - scores.mean(0), full_matrices=False)
    return left[:, :n_components] * singular[:n_components]
