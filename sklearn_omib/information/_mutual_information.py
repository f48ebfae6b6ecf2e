"""I(x; y) by the method that suits the data."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_memory

from .._typing import RandomState
from ._copula import GaussianCopulaMI
from ._ksg import KSG, MANY_COLUMNS
from ._mine import MINE
from ._nonlinear import quadratic_gain
from ._pairs import Pair, make_pair
from ._result import Measured, MIResult, MutualInformationEstimator, make_result, tell

METHODS = {"copula": GaussianCopulaMI, "ksg": KSG, "mine": MINE}
# one method finds clearly more than another if by so many standard errors of the difference, so
# many nats, and so great a share: ranks of 1 + 1 columns that share much fall a few per cent short
CLEAR_ERRORS, CLEAR_NATS, CLEAR_SHARE = 2, 0.02, 0.05
FEW_NATS, FEW_PER_CENT = 0.05, 0.1  # gains from squares and products that are let pass


def mutual_information(
    x: ArrayLike,
    y: ArrayLike,
    *,
    method: str = "auto",
    discrete_target: str | bool = "auto",
    random_state: RandomState = None,
    memory: Any = None,
) -> MIResult:
    """Estimate the mutual information of x and y, in nats, with its standard error.

    A value below zero, which unbiased estimates of independent data often have, is set to zero; the
    estimators themselves return it.

    Parameters
    ----------
    x : array-like of shape (n_samples, n_features_x) or (n_samples,)
    y : array-like of shape (n_samples, n_features_y) or (n_samples,)
        Numbers, or labels where ``discrete_target`` says so.
    method : {"auto", "copula", "ksg", "mine"}, default="auto"
        :class:`GaussianCopulaMI`, :class:`KSG` or :class:`MINE` with their defaults. "auto" takes
        the copula unless another finds clearly more: nearest neighbours for up to four columns in
        all, and MINE for more columns whose squares and products go together otherwise than in a
        Gaussian copula. Other dependence in many columns goes unnoticed, as do classes of y that
        differ in more than mean and covariance.
    discrete_target : "auto" or bool, default="auto"
        Whether y holds class labels, as in :class:`GaussianCopulaMI`.
    random_state : int, RandomState instance or None, default=None
        Used by MINE.
    memory : str or object with the joblib.Memory interface, default=None
        Where to keep results, as in scikit-learn's ``Pipeline``.

    Returns
    -------
    MIResult

    Raises
    ------
    ValueError
        If x and y differ in length, have fewer than 10 samples, or hold NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.information import mutual_information
    >>> x, e = np.random.default_rng(0).uniform(-1, 1, size=(2, 1000))
    >>> result = mutual_information(x, x**2 + e / 10)
    >>> result.method  # the copula sees nothing here
    'ksg'
    """
    if method not in ("auto", *METHODS):
        raise ValueError(f"method must be one of {('auto', *METHODS)}, got {method!r}.")
    result = check_memory(memory).cache(_measure)(x, y, method, discrete_target, random_state)
    if result.value < 0:
        words = f"The estimate is {result.value:.3f}, less than nothing by chance, and set to 0. "
        result = replace(result, value=0.0, description=words + result.description)
    tell(result)
    return result


def _measure(
    x: ArrayLike, y: ArrayLike, method: str, discrete_target: str | bool, random_state: RandomState
) -> MIResult:
    start = time.perf_counter()
    pair = make_pair(x, y, discrete_target)
    if method == "auto":
        return _choose(pair, random_state, start)
    return make_result(method, pair, _estimator(method, random_state).measure_pair(pair), start)


def _estimator(method: str, random_state: RandomState) -> MutualInformationEstimator:
    return MINE(random_state=random_state) if method == "mine" else METHODS[method]()


def _choose(pair: Pair, random_state: RandomState, start: float) -> MIResult:
    """The copula, or what finds more than it."""
    ours = replace(pair, warnings=list(pair.warnings))
    copula = GaussianCopulaMI().measure_pair(ours)
    second, why = _second_opinion(pair, copula.value)
    if second is None:
        return make_result("copula", ours, copula, start, description=f"{why} {copula.description}")
    theirs = replace(pair, warnings=list(pair.warnings))
    other = _estimator(second, random_state).measure_pair(theirs)
    if _clearly_more(other, copula):
        return make_result(
            second, theirs, other, start, alternatives={"copula": copula.value},
            description=f"{why} {second} found clearly more than the copula, so the dependence is "
            f"not only monotone. {other.description}",
        )  # fmt: skip
    return make_result(
        "copula", ours, copula, start, alternatives={second: other.value},
        description=f"{why} {second} found no clearly larger value. {copula.description}",
    )  # fmt: skip


def _second_opinion(pair: Pair, found: float) -> tuple[str | None, str]:
    """Which other method to ask, if any, and why."""
    if not all(pair.n_columns):
        return None, "No column varies on one side."
    if sum(pair.n_columns) <= MANY_COLUMNS:
        return "ksg", "Few columns."
    if pair.discrete:
        return None, "Many columns and labels."
    gain = quadratic_gain(pair)
    if gain > max(FEW_NATS, FEW_PER_CENT * found):
        return "mine", f"Squares and products of columns tell of {gain:.2f} nats more."
    return None, "Squares and products of columns go together as in a Gaussian copula."


def _clearly_more(one: Measured, other: Measured) -> bool:
    if len(one.local) == len(other.local):  # of the same samples: chance is much the same in both
        error = replace(one, local=one.local - other.local).std_error
    else:
        error = (one.std_error**2 + other.std_error**2) ** 0.5
    return one.value - other.value > max(
        CLEAR_ERRORS * error, CLEAR_NATS, CLEAR_SHARE * other.value
    )
