"""Anomaly detection: one-class training, scores, threshold."""

import warnings
from collections.abc import Iterable
from itertools import chain
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from sklearn.base import OutlierMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_auc_score
from sklearn.utils import column_or_1d

from ._base import BaseMultimodal
from ._compat import Interval, StrOptions, _check_sample_weight
from ._tensors import PREDICT_BATCH
from .nn import OneClassNetwork, OneClassObjective, OneClassTask

DISTANCE, ERRORS = 3, 4  # what OneClassNetwork.predict returns, after the others
NORMAL, ANOMALOUS = 1, -1
TINY = np.finfo(np.float32).tiny
FENCE = 1.5  # interquartile ranges below the first quartile (Tukey)


class MultimodalAnomalyDetector(OutlierMixin, BaseMultimodal):
    """The task of anomaly detectors, whatever the method."""

    contamination: float | str = "auto"
    reconstruction: float = 3.0
    nu: float | None = None
    eta: float = 1.0
    embedding_dim: int = 128
    encoders: Any = "mlp"
    input_dropout: float = 0.2
    warmup_epochs: int = 10
    max_epochs: int = 60
    learning_rate: float = 2e-3
    early_stopping: bool = False

    _structure_names: ClassVar[Iterable[str]] = ("embedding_dim",)
    _parameter_constraints: ClassVar[dict] = {
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "reconstruction": [Interval(Real, 0, None, closed="left")],
        "nu": [Interval(Real, 0, 1, closed="neither"), None],
        "eta": [Interval(Real, 0, None, closed="left")],
        "warmup_epochs": [Interval(Integral, 0, None, closed="left")],
    }

    def fit(self, X, y=None, sample_weight=None, groups=None):
        """Fit the detector on normal samples, or on samples that are mostly normal.

        Parameters
        ----------
        X : dict of str to array, ModalityDict, list of arrays, array-like or DataFrame
            The modalities, each of shape (n_samples, ...); or one table, cut by ``modalities``.
        y : array-like of shape (n_samples,), default=None
            -1 marks known anomalies, which are pushed away with weight ``eta`` or, with
            ``eta=0``, left out. Any other number counts as normal or unknown.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in every loss; samples of weight 0 are left out.
        groups : array-like of shape (n_samples,), default=None
            Samples of one group are never split between training and validation.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If a modality is empty, not numeric, not finite or of another length than the others,
            if y is not numeric or marks all samples as anomalies, or if training diverges.
        """
        return super().fit(X, y, sample_weight, groups)

    def _check_input(self, X, y, sample_weight, groups, reset):
        if y is not None and self.eta == 0:
            normal = self._encode_target(y, reset) > 0
            sample_weight = _check_sample_weight(sample_weight, normal) * normal
        return super()._check_input(X, y, sample_weight, groups, reset)

    def _encode_target(self, y, reset):
        anomalous = _anomalous(y)
        if anomalous.all():
            raise ValueError("y marks every sample as an anomaly (-1); there is nothing normal.")
        return np.where(anomalous, ANOMALOUS, NORMAL).astype(np.float32)

    def _make_task(self):
        return OneClassTask(self.nu, self.eta), self.embedding_dim

    def _make_network(self, **shared):
        network = super()._make_network(**shared)
        return OneClassNetwork(network, shared["sample_shapes"], shared["n_outputs"])

    def _make_objective(self, task):
        return OneClassObjective(super()._make_objective(task), self.reconstruction)

    def _rate_constant(self, target, weight):
        """No constant to compare with: the best one is the centre itself."""

    def _update_settings(self):
        super()._update_settings()
        objective = self.net_.criterion_
        objective.reconstruction = self.reconstruction
        objective.objective.task, _ = self._make_task()

    def _after_warm_up(self, data):
        """Set the centre, unless an earlier fit has set it."""
        module = self.net_.module_
        if module.centre.isfinite().all():
            return
        module.eval()
        with torch.inference_mode():
            parts = [
                (module.embed(inputs), weight * (y > 0))
                for inputs, y, weight in data[0].batches(PREDICT_BATCH)
            ]
            module.set_centre(*(torch.cat(pieces) for pieces in zip(*parts, strict=True)))

    def _after_training(self, data):
        """Units of the scores, and the threshold: from all rows of fit but known anomalies."""
        parts = [part for part in data if part is not None]
        normal = np.concatenate([torch.as_tensor(part.y).cpu().numpy() > 0 for part in parts])
        outputs = chain.from_iterable(map(self.net_.predict_batches, parts))
        distance, errors = (
            torch.cat(pieces).cpu().numpy()[normal]
            for pieces in zip(*(output[DISTANCE:] for output in outputs), strict=True)
        )
        self._distance_unit, self._error_unit = _means(distance), _means(errors)
        by_modality = self._by_modality(distance, errors)
        self._location, self._spread = by_modality.mean(0), np.maximum(by_modality.std(0), TINY)
        self.offset_ = self._threshold(self._fused(distance, errors))

    def _threshold(self, scores):
        if not isinstance(self.contamination, str):
            return float(np.percentile(scores, 100 * self.contamination))
        if self.nu is not None:
            return float(np.percentile(scores, 100 * self.nu))
        first, third = np.percentile(scores, [25, 75])
        return float(first - FENCE * (third - first))

    # -- scores ---------------------------------------------------------------------------
    def _fused(self, distance, errors):
        error = errors[:, 0].sum(1) / self._error_unit[0].sum()
        return self._combine(distance[:, -1] / self._distance_unit[-1], error)

    def _by_modality(self, distance, errors):
        own = errors[:, -1] / self._error_unit[-1]
        if distance.shape[1] == 1:  # no branches
            return -own
        distance = (distance / self._distance_unit)[:, : own.shape[1]]
        return self._combine(distance, own)

    def _combine(self, distance, error):
        return -(distance + self.reconstruction * error) / (1 + self.reconstruction)

    def score_samples(self, X):
        """How normal each sample is: the higher, the more so.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,)
            Minus the mean of two parts, each 1 on average over the training samples: squared
            distance of the fused embedding from the centre and, weighted by ``reconstruction``,
            error of the modalities' reconstruction from it.
        """
        return self._fused(*self._forward(X, DISTANCE, ERRORS)).astype(np.float64)

    def score_samples_by_modality(self, X):
        """How normal each sample is by each modality's branch.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        DataFrame of shape (n_samples, n_modalities)
            As :meth:`score_samples`, from the branch of each modality, in standard deviations
            from the mean over the training samples. The lowest of a row is the modality that
            makes the sample most unusual. Methods without branches score a modality by the error
            of its reconstruction from the fused embedding. OMIB's branches see the fused
            representation too, so an anomaly of one modality shows, less, in the others.
        """
        scores = self._by_modality(*self._forward(X, DISTANCE, ERRORS))
        return pd.DataFrame((scores - self._location) / self._spread, columns=[*self.modalities_])

    def decision_function(self, X):
        """Score minus ``offset_``: negative for anomalies.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Tell anomalies (-1) from normal samples (+1).

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return np.where(self.decision_function(X) < 0, ANOMALOUS, NORMAL)

    def score(self, X, y):
        """Area under the ROC curve of :meth:`score_samples`.

        Parameters
        ----------
        X : as in fit
        y : array-like of shape (n_samples,)
            -1 for anomalies, another number for normal samples, as in ``fit``.

        Returns
        -------
        float
            NaN, with a warning, where y marks no sample as an anomaly, or all.

        Raises
        ------
        ValueError
            If y is not numeric.
        """
        anomalous, scores = _anomalous(y), self.score_samples(X)
        if anomalous.all() or not anomalous.any():
            warnings.warn(
                f"The score is not defined: y marks {anomalous.sum()} of {len(y)} samples as "
                "anomalies, by -1.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
            return np.nan
        return float(roc_auc_score(~anomalous, scores))


def _anomalous(y):
    """Which samples are marked -1."""
    y = column_or_1d(y)
    if y.dtype.kind not in "fiu":
        raise ValueError(
            f"Unknown label type: y has dtype {y.dtype}, but must hold numbers, -1 for anomalies "
            "and 1 for other samples."
        )
    return y == ANOMALOUS


def _means(values):
    """Means over samples, at least tiny: a modality may be constant."""
    return np.maximum(values.mean(0), TINY)
