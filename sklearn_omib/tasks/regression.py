"""Regression: the scale of the target, its loss, the variance around predictions."""

from __future__ import annotations

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
        constant = np.flatnonzero(np.ptp(columns, axis=0) == 0)
        if len(constant):
            where = "" if target.ndim == 1 else f" in outputs {constant.tolist()}"
            raise ValueError(f"y is constant{where}; there is nothing to learn.")
        self.scaler = StandardScaler().set_output(transform="default").fit(columns)
        if not (np.isfinite(self.scaler.var_) & (self.scaler.var_ > 0)).all():
            raise ValueError("y is too small or too large to standardise; change its units.")
        self.one_output = target.ndim == 1

    def encode(self, y: ArrayLike) -> Array:
        target = _checked(y)
        columns = target.reshape(len(target), -1)
        n_outputs = self.scaler.n_features_in_
        if columns.shape[1] != n_outputs or self.one_output != (target.ndim == 1):
            raise ValueError(
                f"y has shape {target.shape}, but {n_outputs} outputs were seen when fit began."
            )
        return self.scaler.transform(columns).astype(np.float32)

    def loss(self, stack: int | None = None) -> tuple[TaskLoss, int]:
        n_outputs = self.scaler.n_features_in_
        return GaussianTask(n_outputs, stack=stack), n_outputs

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
        mean = self.scaler.inverse_transform(predictions.astype(np.float64).mean(0))
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
        std = np.sqrt(within + between) * self.scaler.scale_
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
