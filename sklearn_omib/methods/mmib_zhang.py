"""MMIB of Zhang et al.: bottlenecks whose codes share information (CEAI 2022)."""

from itertools import combinations
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._compat import Interval
from ..nn import FusionNetwork
from ..nn.fusion import UNSEEN
from ._method import Method

TEMPERATURE = 0.1


class PairInformation(nn.Module):
    """Minus the sum over pairs of the InfoNCE bound on I(zeta_i; zeta_j), in nats.

    The critic is the cosine of two codes over a temperature of .1; the other samples of the batch
    are the negatives, both ways.

    Parameters
    ----------
    n_modalities, latent_dim : int
    stack : None
        It has nothing that networks side by side could differ in.
    """

    def __init__(self, n_modalities: int, latent_dim: int, stack: int | None = None) -> None:
        super().__init__()
        self.pairs = list(combinations(range(n_modalities), 2))

    def forward(self, zeta: Tensor, present: Tensor | None = None) -> dict[str, Tensor]:
        missing = zeta.new_zeros(zeta.shape[:-2])
        directions = F.normalize(zeta, dim=-1)
        for i, j in self.pairs:
            scores = directions.select(-2, i) @ directions.select(-2, j).mT / TEMPERATURE
            own = scores.diagonal(dim1=-2, dim2=-1)
            here = torch.ones_like(own)  # samples that have both
            if present is not None:
                here = present[..., i] * present[..., j]
                scores = scores.masked_fill(here.unsqueeze(-2) * here.unsqueeze(-1) == 0, UNSEEN)
            both = [s.logsumexp(-1) - own for s in (scores, scores.mT)]
            log_n = here.sum(-1, keepdim=True).clamp_min(1).log()
            missing = missing + here * (sum(both) / 2 - log_n)
        return {"missing_pair_information": missing}


class MMIBZhang(Method):
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

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "beta": [Interval(Real, 0, None, closed="left")],
        "shared": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, beta: float = 1e-3, shared: float = 0.1) -> None:
        self.beta = beta
        self.shared = shared

    def network(self, **shared: Any) -> FusionNetwork:
        return FusionNetwork(**shared, pairing=PairInformation)

    def settings(self) -> dict[str, Any]:
        weights = {"kl": self.beta, "missing_pair_information": self.shared}
        return {"penalty_weights": weights}
