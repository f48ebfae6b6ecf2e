"""MMIB of Cui et al.: bottlenecks whose codes tell which belong together (TASLP 2024)."""

from itertools import combinations
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._compat import Interval
from ..nn import FusionNetwork
from ..nn.layers import bilinear
from ._method import Method


class Alignment(nn.Module):
    """Cross-entropy of telling codes of one sample from codes of two, averaged over pairs.

    For every pair of modalities a bilinear discriminator sees (zeta_i, zeta_j) of the same
    sample, label 1, and with zeta_j of the next sample of the batch, label 0. Pairs of which a
    code is missing are left out.

    Parameters
    ----------
    n_modalities, latent_dim : int
    stack : int or None, default=None
        Number of networks side by side.
    """

    def __init__(self, n_modalities: int, latent_dim: int, stack: int | None = None) -> None:
        super().__init__()
        self.pairs = list(combinations(range(n_modalities), 2))
        self.discriminators = nn.ModuleList(bilinear(latent_dim, 1, stack) for _ in self.pairs)

    def forward(self, zeta: Tensor, present: Tensor | None = None) -> dict[str, Tensor]:
        if not self.pairs or zeta.shape[-3] < 2:
            return {"alignment": zeta.new_zeros(zeta.shape[:-2])}
        losses = []
        for (i, j), discriminator in zip(self.pairs, self.discriminators, strict=True):
            first, second = (zeta.select(-2, m).contiguous() for m in (i, j))
            same = discriminator(first, second)
            other = discriminator(first, second.roll(1, -2))
            loss = F.softplus(-same) + F.softplus(other)
            if present is not None:  # of this sample and the next
                here = present[..., i] * present[..., j] * present[..., j].roll(1, -1)
                loss = loss * here.unsqueeze(-1)
            losses.append(loss)
        return {"alignment": torch.cat(losses, -1).mean(-1)}


class MMIBCui(Method):
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

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "beta": [Interval(Real, 0, None, closed="left")],
        "alignment": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, beta: float = 1e-3, alignment: float = 1.0) -> None:
        self.beta = beta
        self.alignment = alignment

    def network(self, **shared: Any) -> FusionNetwork:
        return FusionNetwork(**shared, fusion="cross_attention", pairing=Alignment)

    def settings(self) -> dict[str, Any]:
        return {"penalty_weights": {"kl": self.beta, "alignment": self.alignment}}
