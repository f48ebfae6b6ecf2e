"""Regression: the scale of the target, its loss, the variance around predictions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, column_or_1d

from .._typing import Array
from ..nn import GaussianTask
from ..nn.losses import TaskLoss
from ..training.net import LOG_VARIANCE, PREDICTION, StackedNet
from ._task import Task


class Regression(Task):
    """One or many numbers."""

    narrow_table_encoder = "linear_mlp"  # benchmarks/evidence/levers.py
    auto_beta = 1 / 3  # a number takes more nats than a class, and pays more for losing them

    def learn(self, y: ArrayLike) -> None:
        target = _checked(y)
        columns = target.reshape(len(target), -1)
        self.one_output = target.ndim == 1
        self.location, self.scale = columns[0], np.ones(columns.shape[1])
        self.varies = np.zeros(columns.shape[1], dtype=bool)
        self._settle(columns)
        if not self.varies.all():
            constant = np.flatnonzero(~self.varies)
            where = "" if self.one_output else f" in outputs {constant.tolist()}"
            warnings.warn(
                f"y is constant{where}. Predictions are that constant, "
                f"{self.location[constant].tolist()}, and certain of it.",
                UserWarning,
                stacklevel=2,
            )

    def _settle(self, columns: Array) -> None:
        """Learn the scale of the outputs that vary for the first time."""
        scaler = StandardScaler().fit(columns)
        with np.errstate(over="ignore"):
            too_small = (scaler.var_ == 0) & (np.ptp(columns, axis=0) > 0)
        if too_small.any() or not np.isfinite(scaler.var_).all():
            raise ValueError("y is too small or too large to standardise; change its units.")
        # scikit-learn leaves what varies by no more than rounding at the scale 1
        fresh = (scaler.scale_ == np.sqrt(scaler.var_)) & ~self.varies
        self.location = np.where(fresh, scaler.mean_, self.location)
        self.scale = np.where(fresh, scaler.scale_, self.scale)
        self.varies = self.varies | fresh

    def encode(self, y: ArrayLike) -> Array:
        target = _checked(y)
        columns = target.reshape(len(target), -1)
        n_outputs = len(self.scale)
        if columns.shape[1] != n_outputs or self.one_output != (target.ndim == 1):
            raise ValueError(
                f"y has shape {target.shape}, but {n_outputs} outputs were seen when fit began."
            )
        if not self.varies.all():  # constant until now; a later chunk may tell otherwise
            self._settle(np.vstack([self.location, columns]))
        coded = (columns - self.location) / self.scale
        coded[:, ~self.varies] = 0
        return coded.astype(np.float32)

    def best_constant(self, target: Array, weight: Array) -> tuple[Array, Array]:
        mean = np.average(target, axis=0, weights=weight)
        variance = np.average((target - mean) ** 2, axis=0, weights=weight)
        return mean, np.sqrt(variance)

    def loss(self, stack: int | None = None) -> tuple[TaskLoss, int]:
        return GaussianTask(len(self.scale), stack=stack), len(self.scale)

    def after_training(self, net: StackedNet) -> None:
        """Scale the predicted variance to the errors on rows held out."""
        variance = net.criterion_.task.variance
        if net.families[0].valid is None:
            return
        squared, total = torch.zeros_like(variance), torch.zeros_like(variance[:, :1])
        for networks, outputs, y, weight in net.own_outputs("valid"):
            own = variance[networks].unsqueeze(1) * outputs[LOG_VARIANCE].exp()
            errors = (y - outputs[PREDICTION]).square() / own
            squared[networks] += (weight.unsqueeze(-1) * errors).sum(1)
            total[networks] += weight.sum(1, keepdim=True)
        variance.mul_((squared / total).clamp_min(1e-8))

    def mean(self, predictions: Array) -> Array:
        """Predictions in units of the target, from (n_networks, n_samples, n_outputs)."""
        mean = predictions.astype(np.float64).mean(0)
        if self.prior is not None:
            mean[:] = self.prior[0]
        mean = np.where(self.varies, mean * self.scale + self.location, self.location)
        return mean[:, 0] if self.one_output else mean

    def std(self, predictions: Array, log_variance: Array, variance: Array) -> Array:
        """Standard deviation of the mixture of the networks' normal distributions.

        Parameters
        ----------
        predictions, log_variance : ndarray of shape (n_networks, n_samples, n_outputs)
        variance : ndarray of shape (n_networks, n_outputs)
        """
        within = np.mean(variance[:, None] * np.exp(log_variance), axis=0, dtype=np.float64)
        between = predictions.astype(np.float64).var(0)
        std = np.sqrt(within + between)
        if self.prior is not None:
            std[:] = self.prior[1]
        std = np.where(self.varies, std * self.scale, 0.0)
        return std[:, 0] if self.one_output else std


def _check_numeric(y: Array) -> None:
    """Raise where a target holds no numbers, and say what it holds."""
    if y.dtype.kind in "fiub":
        return
    numbers = (int, float, np.number, type(pd.NA), type(None))
    for place, value in np.ndenumerate(y):
        if y.dtype.kind in "cmMUS" or not isinstance(value, numbers):
            raise ValueError(
                f"y of a regressor must hold real numbers, got {value!s} (dtype {y.dtype}) for "
                f"sample {place[0]}. Classes are for a classifier; dates become numbers by "
                "subtracting one of them."
            )


def _checked(y: Any) -> Array:
    _check_numeric(np.asarray(y))
    y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y").astype(np.float64)
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
