"""OMIBRegressor."""

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, column_or_1d

from ._base import BaseOMIB
from ._compat import _fit_context
from .nn import GaussianTask


class OMIBRegressor(RegressorMixin, BaseOMIB):
    def __init__(
        self,
        modalities=None,
        *,
        encoders="mlp",
        hidden_dim=128,
        latent_dim=32,
        n_layers=2,
        dropout=0.5,
        input_dropout=0.2,
        head_layers=1,
        fusion="cross_attention",
        n_heads=4,
        beta="auto",
        beta_scale=1.0,
        entropy_estimator="gaussian",
        weighting="reference",
        trb_weight=1.0,
        warmup_epochs=10,
        max_epochs=100,
        batch_size=128,
        learning_rate=5e-4,
        weight_decay=0.3,
        early_stopping=True,
        validation_fraction=0.15,
        n_iter_no_change=15,
        tol=1e-4,
        standardize=True,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            modalities,
            encoders=encoders,
            hidden_dim=hidden_dim,
            latent_dim=latent_dim,
            n_layers=n_layers,
            dropout=dropout,
            input_dropout=input_dropout,
            head_layers=head_layers,
            fusion=fusion,
            n_heads=n_heads,
            beta=beta,
            beta_scale=beta_scale,
            entropy_estimator=entropy_estimator,
            weighting=weighting,
            trb_weight=trb_weight,
            warmup_epochs=warmup_epochs,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            standardize=standardize,
            device=device,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )

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
            self._target_scaler = StandardScaler().fit(columns)
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
            is held out; its variation over samples is learned.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        std : ndarray of the same shape
            Only if ``return_std``.
        """
        prediction, _, log_variance = self._forward(X)
        mean = self._target_scaler.inverse_transform(prediction.astype(np.float64))
        mean = mean[:, 0] if self._one_output else mean
        if not return_std:
            return mean
        variance = self.net_.criterion_.task.variance.cpu().numpy() * np.exp(log_variance)
        std = np.sqrt(variance.astype(np.float64)) * self._target_scaler.scale_
        return mean, std[:, 0] if self._one_output else std

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
