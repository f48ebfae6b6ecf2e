"""MMIB of Zhang et al.: bottlenecks whose codes share information (CEAI 2022)."""

from itertools import combinations
from math import log
from numbers import Real
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from .._classification import MultimodalClassifier
from .._compat import Interval
from .._detection import MultimodalAnomalyDetector
from .._regression import MultimodalRegressor
from ..nn import FusionNetwork
from ._base import BaseBaseline

TEMPERATURE = 0.1


class PairInformation(nn.Module):
    """Minus the sum over pairs of the InfoNCE bound on I(zeta_i; zeta_j), in nats.

    The critic is the cosine of two codes over a temperature of .1; the other samples of the batch
    are the negatives, both ways.

    Parameters
    ----------
    n_modalities, latent_dim : int
    """

    def __init__(self, n_modalities, latent_dim):
        super().__init__()
        self.pairs = list(combinations(range(n_modalities), 2))

    def forward(self, zeta):
        missing = zeta.new_zeros(len(zeta))
        directions = F.normalize(zeta, dim=-1)
        own = torch.arange(len(zeta), device=zeta.device)
        for i, j in self.pairs:
            scores = directions[:, i] @ directions[:, j].T / TEMPERATURE
            both = [F.cross_entropy(s, own, reduction="none") for s in (scores, scores.T)]
            missing = missing + sum(both) / 2 - log(len(zeta))
        return {"missing_pair_information": missing}


class MMIBZhang(BaseBaseline):
    """Multimodal information bottleneck of Zhang et al.

    Minimises task(xi) + beta sum_m KL_m - shared sum_{i<j} I(zeta_i; zeta_j): codes that keep
    little of their modality and much of each other. A re-interpretation: only the abstract was at
    hand, which names these aims but neither estimators nor weights. Here the information of pairs
    is InfoNCE with the other samples of a batch as negatives and a cosine critic.

    Parameters
    ----------
    beta : float, default=1e-3
        Weight of the codes' KL, per nat, summed over latent dimensions.
    shared : float, default=0.1
        Weight of the information that pairs of codes share, per nat.

    References
    ----------
    Zhang, Zhang, Xiang, Wu, "Information Bottleneck based Representation Learning for Multimodal
    Sentiment Analysis", CEAI 2022, doi 10.1145/3522749.3523069.
    """

    beta: float = 1e-3
    shared: float = 0.1

    _parameter_constraints: ClassVar[dict] = {
        "beta": [Interval(Real, 0, None, closed="left")],
        "shared": [Interval(Real, 0, None, closed="left")],
    }

    def _make_network(self, **shared):
        return FusionNetwork(**shared, pairing=PairInformation)

    def _objective_settings(self):
        weights = {"kl": self.beta, "missing_pair_information": self.shared}
        return {"penalty_weights": weights}


class MMIBZhangClassifier(MultimodalClassifier, MMIBZhang):
    """Classifier on several modalities by bottlenecks that share information."""


class MMIBZhangRegressor(MultimodalRegressor, MMIBZhang):
    """Regressor on several modalities by bottlenecks that share information."""


class MMIBZhangAnomalyDetector(MultimodalAnomalyDetector, MMIBZhang):
    """Anomaly detector on several modalities by bottlenecks that share information."""
