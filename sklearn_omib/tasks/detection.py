"""Anomaly detection: one-class training, the centre, units of the scores and a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import column_or_1d

from .._typing import Array
from ..data.batches import TensorData
from ..data.streams import StreamData
from ..nn import FusionNetwork, Objective, OneClassNetwork, OneClassObjective, OneClassTask
from ..nn.encoders import presence
from ..nn.losses import TaskLoss
from ..nn.objective import weight_of_each
from ..training.net import DISTANCE, StackedNet
from ..training.plan import USUAL
from ._task import Task

NORMAL, ANOMALOUS = 1, -1
TINY = np.finfo(np.float32).tiny
FENCE = 1.5  # interquartile ranges below the first quartile (Tukey)


class AnomalyDetection(Task):
    """Whether samples are normal, from networks that embed them near a centre.

    Parameters
    ----------
    contamination, reconstruction, nu, eta, embedding_dim
        As in :class:`~sklearn_omib.OMIBAnomalyDetector`.
    """

    usual = USUAL._replace(max_epochs=60, learning_rate=2e-3)
    structure = ("embedding_dim",)

    def __init__(
        self,
        contamination: float | str,
        reconstruction: float,
        nu: float | None,
        eta: float,
        embedding_dim: int,
    ) -> None:
        self.contamination = contamination
        self.reconstruction = float(reconstruction)
        self.nu = nu
        self.eta = float(eta)
        self.embedding_dim = embedding_dim

    def learn(self, y: ArrayLike) -> None:
        """Nothing: the coding of targets is fixed."""

    def encode(self, y: ArrayLike) -> Array:
        anomalous = is_anomalous(y)
        if anomalous.all():
            raise ValueError("y marks every sample as an anomaly (-1); there is nothing normal.")
        return np.where(anomalous, ANOMALOUS, NORMAL).astype(np.float32)

    def takes_part(self, y: ArrayLike | None) -> Array | None:
        return None if y is None or self.eta else self.encode(y) > 0

    def loss(self, stack: int | None = None) -> tuple[TaskLoss, int]:
        return OneClassTask(self.nu, self.eta), self.embedding_dim

    def network(self, network: FusionNetwork, shared: Mapping[str, Any]) -> OneClassNetwork:
        shapes = {
            name: shape[1:] if name in shared.get("ragged", ()) else shape
            for name, shape in shared["sample_shapes"].items()
        }
        return OneClassNetwork(network, shapes, shared["n_outputs"], shared["stack"])

    def objective(self, objective: Objective) -> OneClassObjective:
        return OneClassObjective(objective, self.reconstruction)

    def configure(self, objective: OneClassObjective) -> None:
        objective.reconstruction = self.reconstruction
        objective.objective.task, _ = self.loss()

    def prior_loss(self, target: Array, weight: Array) -> float | None:
        """None: the best constant is the centre itself."""
        return None

    def after_warm_up(self, net: StackedNet) -> None:
        """Set the centres, unless an earlier fit has set them."""
        if net.module_.centre.isfinite().all():
            return
        for networks, module, batches in net.own_batches("train"):
            parts = [
                (embedded := module.embed(inputs),
                 weight_of_each(weight * (y > 0), presence(inputs), embedded.shape[-2]).mT)
                for inputs, y, weight in batches
            ]  # fmt: skip
            module.set_centre(*(torch.cat(pieces, 1) for pieces in zip(*parts, strict=True)))
            net.module_.centre[networks] = module.centre

    def after_training(self, net: StackedNet) -> None:
        """Units of the scores, and the threshold: from all rows of fit but known anomalies.

        By weight: a row of weight 2 counts as two rows do.
        """
        families = net.families[0]
        parts = [part for part in (families.train, families.valid) if part is not None]
        normal, weights, outputs = [], [], []
        for part in parts:
            normal.append(_of(part, part.y) > 0)
            weights.append(_of(part, part.weight).astype(np.float64))
            outputs += [output[DISTANCE:] for output in net.predict_batches(part)]
        keep = np.concatenate(normal)
        distance, errors, present = (
            torch.cat(pieces, 1).cpu().numpy()[:, keep] for pieces in zip(*outputs, strict=True)
        )
        weight = np.concatenate(weights)[keep]
        n_others = distance.shape[-1] - (distance.shape[-1] > 1) * present.shape[-1]
        others = np.ones((*present.shape[:-1], n_others), present.dtype)
        of_branches = present if distance.shape[-1] > 1 else present[..., :0]
        seen = np.concatenate([of_branches, others], -1)
        self.distance_unit = _means(distance, seen, weight)
        self.error_unit = _means(errors, present[:, :, None], weight)
        by_modality = self.by_modality(distance, errors, present)[None]
        known, by_modality = np.isfinite(by_modality), np.nan_to_num(by_modality)
        self.location = _average(by_modality, known, weight)[0, 0]
        variance = _average((by_modality - self.location) ** 2, known, weight)[0, 0]
        self.spread = np.maximum(np.sqrt(variance), TINY)
        self.offset = self._threshold(self.scores(distance, errors, present), weight)

    def _threshold(self, scores: Array, weight: Array) -> float:
        share = self.nu if isinstance(self.contamination, str) else self.contamination
        if share is not None:
            return float(weighted_quantile(scores, share, weight))
        first, third = weighted_quantile(scores, [0.25, 0.75], weight)
        return float(first - FENCE * (third - first))

    def scores(self, distance: Array, errors: Array, present: Array) -> Array:
        """How normal samples are, by the mean over networks.

        Parameters
        ----------
        distance : ndarray of shape (n_networks, n_samples, n_branches + 1)
        errors : ndarray of shape (n_networks, n_samples, n_sources, n_modalities)
        present : ndarray of shape (n_networks, n_samples, n_modalities)
            Errors are compared with what the modalities present have on average.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        usual = (present * self.error_unit[:, :, 0]).sum(-1)
        error = np.where(usual > 0, errors[:, :, 0].sum(-1) / np.maximum(usual, TINY), 1)
        distance = distance[..., -1] / self.distance_unit[..., -1]
        return self._combine(distance, error).mean(0)

    def by_modality(self, distance: Array, errors: Array, present: Array) -> Array:
        """As :meth:`scores`, by the branch of each modality: (n_samples, n_modalities).

        NaN where it is missing.
        """
        own = np.where(present > 0, errors[:, :, -1] / self.error_unit[:, :, -1], np.nan)
        if distance.shape[-1] == 1:  # no branches
            return -own.mean(0)
        distance = (distance / self.distance_unit)[..., : own.shape[-1]]
        return self._combine(distance, own).mean(0)

    def _combine(self, distance: Array, error: Array) -> Array:
        return -(distance + self.reconstruction * error) / (1 + self.reconstruction)

    def attributes(self) -> Mapping[str, Any]:
        return {"offset_": self.offset}


def is_anomalous(y: ArrayLike) -> Array:
    """Which samples are marked -1."""
    marks = column_or_1d(y)
    if marks.dtype.kind not in "fiu":
        raise ValueError(
            f"Unknown label type: y has dtype {marks.dtype}, but must hold numbers, -1 for "
            "anomalies and 1 for other samples."
        )
    return marks == ANOMALOUS


def _of(part: TensorData | StreamData, stored: Any) -> Array:
    """What is stored of the rows of a part."""
    rows = part.rows.cpu().numpy() if hasattr(part, "rows") else slice(None)
    return torch.as_tensor(stored).cpu().numpy()[rows]


def _average(values: Array, present: Array, weight: Array) -> Array:
    """Weighted means over the samples, the second axis, that have a value."""
    share = present * weight.reshape(-1, *[1] * (values.ndim - 2))
    total = np.sum(values * share, axis=1, keepdims=True)
    return total / np.maximum(np.sum(share, axis=1, keepdims=True), TINY)


def _means(values: Array, present: Array, weight: Array) -> Array:
    """As :func:`_average`, at least tiny: a modality may be constant."""
    return np.maximum(_average(values, present, weight), TINY).astype(values.dtype)


def weighted_quantile(values: Array, shares: float | Sequence[float], weight: Array) -> Array:
    """Quantiles of a sample whose values weigh differently.

    With equal weights those of ``numpy.quantile``. Values lie at the middle of their weight, and
    quantiles between values on straight lines.
    """
    if np.ptp(weight) == 0:
        return np.quantile(values, shares)
    order = np.argsort(values)
    values, weight = values[order], weight[order]
    middle = np.cumsum(weight) - weight / 2
    return np.interp(np.asarray(shares), (middle - middle[0]) / (middle[-1] - middle[0]), values)
