"""A mutual information together with what it took and what it leaves open."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from .._typing import Array
from ._pairs import Pair, make_pair


@dataclass(frozen=True)
class MIResult:
    """A mutual information, and how it was come by. ``float(result)`` is the value.

    Attributes
    ----------
    value : float
        I(x; y) in nats.
    std_error : float
        Of the value, from the spread of its local values over samples, in nats. It covers the
        draw of the samples, not the bias of a method.
    method : str
        "copula", "ksg" or "mine".
    n_samples : int
    n_columns : tuple of int
        Columns used of x and of y, after constant and repeated ones were left out and principal
        components taken.
    description : str
        What was estimated, what was not, and why this method was taken.
    warnings : tuple of str
    alternatives : dict of str to float
        Values of other methods that were tried.
    history : tuple of float
        Held-out bound at each evaluation ("mine"), else empty.
    seconds : float
    """

    value: float
    std_error: float
    method: str
    n_samples: int
    n_columns: tuple[int, int]
    description: str
    warnings: tuple[str, ...] = ()
    alternatives: dict[str, float] = field(default_factory=dict)
    history: tuple[float, ...] = ()
    seconds: float = 0.0

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        columns = " + ".join(str(n) for n in self.n_columns)
        lines = [
            f"I(x; y) = {self.value:.3f} +- {self.std_error:.3f} nats",
            f"by {self.method} from {self.n_samples} samples of {columns} columns "
            f"in {self.seconds:.2g} s",
            self.description,
        ]
        others = ", ".join(f"{name} {value:.3f}" for name, value in self.alternatives.items())
        lines += [f"also tried: {others}"] * bool(others)
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    __repr__ = __str__


@dataclass
class Measured:
    """What an estimator hands back: the value, and its local values, whose mean it is."""

    value: float
    local: Array
    n_columns: tuple[int, int]
    description: str
    history: tuple[float, ...] = ()

    @property
    def std_error(self) -> float:
        return float(self.local.std(ddof=1) / len(self.local) ** 0.5)


class MutualInformationEstimator(BaseEstimator):
    """What estimators of I(x; y) share; a child supplies ``_measure(pair)``."""

    def estimate(self, x: ArrayLike, y: ArrayLike) -> float:
        """Estimate I(x; y).

        Parameters
        ----------
        x : array-like of shape (n_samples, n_features_x) or (n_samples,)
        y : array-like of shape (n_samples, n_features_y) or (n_samples,)
            Numbers, or labels where ``discrete_target`` says so.

        Returns
        -------
        float
            In nats.

        Raises
        ------
        ValueError
            If x and y differ in length, have fewer than 10 samples, or hold NaN or infinity.

        Warns
        -----
        UserWarning
            Of all that makes the value less than it seems; ``result_.warnings`` holds the same.
        """
        self.result_ = self._result(x, y)
        tell(self.result_)
        return self.result_.value

    def _result(self, x: ArrayLike, y: ArrayLike) -> MIResult:
        start = time.perf_counter()
        pair = make_pair(x, y, self.discrete_target)
        return make_result(self._name, pair, self.measure_pair(pair), start)

    def measure_pair(self, pair: Pair) -> Measured:
        """What ``_measure`` finds, or nothing where a side is constant."""
        if all(pair.n_columns):
            return self._measure(pair)
        nothing = np.zeros(len(pair.x))
        return Measured(0.0, nothing, pair.n_columns, "A constant side shares nothing.")


def make_result(method: str, pair: Pair, measured: Measured, start: float, **more: Any) -> MIResult:
    return MIResult(
        value=measured.value,
        std_error=measured.std_error,
        method=method,
        n_samples=len(pair.x),
        n_columns=measured.n_columns,
        description=more.pop("description", measured.description),
        warnings=tuple(pair.warnings),
        history=measured.history,
        seconds=time.perf_counter() - start,
        **more,
    )


def tell(result: MIResult) -> None:
    for message in result.warnings:
        warnings.warn(message, UserWarning, stacklevel=3)
