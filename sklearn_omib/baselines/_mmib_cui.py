"""MMIB of Cui et al.: bottlenecks whose codes tell which belong together (TASLP 2024)."""

from itertools import combinations
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


class Alignment(nn.Module):
    """Cross-entropy of telling codes of one sample from codes of two, averaged over pairs.

    For every pair of modalities a bilinear discriminator sees (zeta_i, zeta_j) of the same
    sample, label 1, and with zeta_j of the next sample of the batch, label 0.

    Parameters
    ----------
    n_modalities, latent_dim : int
    """

    def __init__(self, n_modalities, latent_dim):
        super().__init__()
        self.pairs = list(combinations(range(n_modalities), 2))
        self.discriminators = nn.ModuleList(
            nn.Bilinear(latent_dim, latent_dim, 1) for _ in self.pairs
        )

    def forward(self, zeta):
        if not self.pairs or len(zeta) < 2:
            return {"alignment": zeta.new_zeros(len(zeta))}
        losses = []
        for (i, j), discriminator in zip(self.pairs, self.discriminators, strict=True):
            first, second = zeta[:, i].contiguous(), zeta[:, j].contiguous()
            same = discriminator(first, second)
            other = discriminator(first, second.roll(1, 0))
            losses.append(F.softplus(-same) + F.softplus(other))
        return {"alignment": torch.cat(losses, -1).mean(-1)}


class MMIBCui(BaseBaseline):
    """Multimodal information bottleneck of Cui et al.

    Minimises task(xi) + alignment + beta sum_m KL_m: a variational bottleneck for each modality,
    fused by attention, and a discriminator that tells codes of one sample from codes of
    two. Interpretations: the KL is a sum over latent dimensions, where the authors' code takes
    the mean; encoders of vectors are MLPs, and the fusion attends over modalities as tokens, since
    attention from one vector to one vector is linear; the discriminator is the bilinear of the
    two in the code, because a linear one cannot see what belongs together; with more than two
    modalities the alignment is averaged over pairs.

    Parameters
    ----------
    beta : float, default=1e-3
        Weight of the codes' KL, per nat, summed over latent dimensions. The authors' 1, a mean
        over 768 dimensions, is 1.3e-3.
    alignment : float, default=1.0
        Weight of the discriminator's cross-entropy.

    References
    ----------
    Cui, Cao, Cong, Sheng, Li, Liu, Shi, "Enhancing Multimodal Entity and Relation Extraction with
    Variational Information Bottleneck", IEEE/ACM TASLP 32:1274-1285, 2024, arXiv 2304.02328.
    """

    beta: float = 1e-3
    alignment: float = 1.0

    _parameter_constraints: ClassVar[dict] = {
        "beta": [Interval(Real, 0, None, closed="left")],
        "alignment": [Interval(Real, 0, None, closed="left")],
    }

    def _make_network(self, **shared):
        return FusionNetwork(**shared, fusion="cross_attention", pairing=Alignment)

    def _objective_settings(self):
        return {"penalty_weights": {"kl": self.beta, "alignment": self.alignment}}


class MMIBCuiClassifier(MultimodalClassifier, MMIBCui):
    """Classifier on several modalities by bottlenecks with aligned codes."""


class MMIBCuiRegressor(MultimodalRegressor, MMIBCui):
    """Regressor on several modalities by bottlenecks with aligned codes."""


class MMIBCuiAnomalyDetector(MultimodalAnomalyDetector, MMIBCui):
    """Anomaly detector on several modalities by bottlenecks with aligned codes."""
