"""Regression: the scale of the target, its loss, predictions with a standard deviation."""

from typing import ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, column_or_1d

from ._base import LOG_VARIANCE, PREDICTION, BaseMultimodal
from ._compat import _fit_context
from .nn import GaussianTask


class MultimodalRegressor(RegressorMixin, BaseMultimodal):
    """The task of regressors, whatever the method."""

    weight_decay: float = 0.3

    _narrow_table_encoder: ClassVar[str] = "linear_mlp"  # benchmarks/levers.py

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train one more epoch on a chunk of data.

        The first call sets the scale of X and y, the bound on beta and the network from its chunk
        and warms the branches up on it for ``warmup_epochs``. No rows are held out.

        Parameters
        ----------
        X : as in fit
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object
        """
        return self._partial_fit(X, y, sample_weight)

    def _encode_target(self, y, reset):
        y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y").astype(np.float64)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        columns = y.reshape(len(y), -1)
        if reset:
            constant = np.flatnonzero(np.ptp(columns, axis=0) == 0)
            if len(constant):
                where = "" if y.ndim == 1 else f" in outputs {constant.tolist()}"
                raise ValueError(f"y is constant{where}; there is nothing to learn.")
            self._target_scaler = StandardScaler().set_output(transform="default").fit(columns)
            if not (np.isfinite(self._target_scaler.var_) & (self._target_scaler.var_ > 0)).all():
                raise ValueError("y is too small or too large to standardise; change its units.")
            self._one_output = y.ndim == 1
        elif columns.shape[1] != self._target_scaler.n_features_in_ or (
            self._one_output != (y.ndim == 1)
        ):
            raise ValueError(
                f"y has shape {y.shape}, but {self._target_scaler.n_features_in_} outputs were "
                "seen when fit began."
            )
        return self._target_scaler.transform(columns).astype(np.float32)

    def _make_task(self):
        n_outputs = self._target_scaler.n_features_in_
        return GaussianTask(n_outputs), n_outputs

    def _after_training(self, data):
        """Scale the predicted variance to the errors on held-out rows."""
        held_out = data[1]
        if held_out is None:
            return
        weight = held_out.weight[:, None]
        batches = list(self.net_.predict_batches(held_out))
        start, total = 0, 0.0
        variance = self.net_.criterion_.task.variance
        for prediction, _, log_variance in batches:
            rows = slice(start, start + len(prediction))
            squared = (held_out.y[rows] - prediction).square() / (variance * log_variance.exp())
            total = total + (weight[rows] * squared).sum(0)
            start = rows.stop
        variance.mul_((total / weight.sum()).clamp_min(1e-8))

    def predict(self, X, return_std=False):
        """Predict the target.

        Parameters
        ----------
        X : as in fit
        return_std : bool, default=False
            Whether to return the standard deviation of the target around the prediction too. Its
            level is set by the errors on the validation part, or on the training part where none
            is held out; its variation over samples is learned. Of several networks it is that of
            the mixture of their normal distributions.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        std : ndarray of the same shape
            Only if ``return_std``.
        """
        wanted = (PREDICTION, LOG_VARIANCE) if return_std else (PREDICTION,)
        predictions, *others = zip(*self._forward_each(X, *wanted), strict=True)
        means = np.stack(predictions).astype(np.float64)
        mean = self._target_scaler.inverse_transform(means.mean(0))
        mean = mean[:, 0] if self._one_output else mean
        if not return_std:
            return mean
        variances = [
            member.net_.criterion_.task.variance.cpu().numpy() * np.exp(log_variance)
            for member, log_variance in zip(self._members(), *others, strict=True)
        ]
        within = np.mean(variances, axis=0, dtype=np.float64)
        std = np.sqrt(within + means.var(0)) * self._target_scaler.scale_
        return mean, std[:, 0] if self._one_output else std

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
