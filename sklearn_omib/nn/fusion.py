"""Fusion: zeta_1, ..., zeta_M -> xi; cross-attention (CAN) is the paper's.

Modalities that are missing, by ``present`` of shape (batch, n_modalities), come with a code of 0,
and have no part in what a fusion makes of the others.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .layers import layer_norm, linear, parameter
from .random import Dropout

UNSEEN = -1e4  # of an attention's logits: no weight, and still a softmax where all are missing


class Fused(NamedTuple):
    """What a fusion returns.

    Attributes
    ----------
    xi : Tensor of shape (batch, latent_dim)
    tokens : Tensor of shape (batch, n_modalities, latent_dim)
        What xi was made of.
    attention : Tensor of shape (batch, n_heads, n_modalities, n_modalities) or None
        Each row sums to 1.
    penalties : dict of str to Tensor
        What the fusion adds to an objective: of each sample, (batch,), or of the batch, ().
    """

    xi: Tensor
    tokens: Tensor
    attention: Tensor | None = None
    penalties: dict[str, Tensor] = {}


def _only(present: Tensor | None, tokens: Tensor) -> Tensor:
    """Tokens of shape (batch, n_modalities, width), those missing as 0."""
    return tokens if present is None else tokens * present.unsqueeze(-1)


class CrossAttentionFusion(nn.Module):
    """t = zeta + embedding; u = LayerNorm(t); t' = t + Attention(u, u, u); xi = W [t'_1 .. t'_M].

    PAPER-DIFF: the paper attends over "[zeta_1 || ... || zeta_M]"; read as one concatenated
    token, softmax over a single key is constant and the block linear. Here each modality is a
    token, which is also what the paper's cost O(N M^2) supposes. The norm stands before the
    attention: behind it, the scale of a code is lost to xi, which cost .09 R2 on diabetes.

    Parameters
    ----------
    n_modalities : int
    latent_dim : int
    n_heads : int
        Must divide latent_dim.
    dropout : float
        On the values attended to.
    stack : int or None, default=None
        Number of networks side by side.
    """

    def __init__(
        self,
        n_modalities: int,
        latent_dim: int,
        n_heads: int,
        dropout: float,
        stack: int | None = None,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.embedding = parameter(lambda: torch.randn(n_modalities, latent_dim) * 0.02, stack)
        self.in_proj = linear(latent_dim, 3 * latent_dim, stack)
        self.out_proj = linear(latent_dim, latent_dim, stack)
        self.dropout = Dropout(dropout)
        self.norm: nn.Module = layer_norm(latent_dim, stack)
        self.project = linear(n_modalities * latent_dim, latent_dim, stack)

    def attend(self, tokens: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Multi-head self-attention over the modalities, of which those missing are not seen.

        Parameters
        ----------
        tokens : Tensor of shape (n_modalities, batch, latent_dim)
        present : Tensor of shape (batch, n_modalities), default=None

        Returns
        -------
        values : Tensor of shape (n_modalities, batch, latent_dim)
        attention : Tensor of shape (batch, n_heads, n_modalities, n_modalities)
        """
        # many products of a few tokens each are elementwise ones, and a map that sums up a head
        width = tokens.shape[-1] // self.n_heads
        head = torch.eye(self.n_heads, device=tokens.device).unsqueeze(1).expand(-1, width, -1)
        head = head.flatten(0, 1)
        query, key, value = (part.contiguous() for part in self.in_proj(tokens).chunk(3, -1))
        products = query.unsqueeze(-3) * key.unsqueeze(-4)  # by, to, batch, latent_dim
        attention = (products.flatten(0, -2) @ (head * width**-0.5)).view(*products.shape[:-1], -1)
        if present is not None:  # from every token, to those present: by, to, batch, n_heads
            seen = present.mT.unsqueeze(-3).unsqueeze(-1)
            attention = attention.masked_fill(seen == 0, UNSEEN)
        attention = attention.softmax(-3)
        spread = (attention.flatten(0, -2) @ head.T).view_as(products)
        values = (spread * value.unsqueeze(-4)).sum(-3)
        return self.out_proj(values), attention.movedim((-2, -1), (-4, -3))

    def forward(self, zeta: Tensor, present: Tensor | None = None) -> Fused:
        # one modality behind the other, as they lie in memory
        tokens = zeta.transpose(-2, -3) + self.embedding.unsqueeze(-2)
        values, attention = self.attend(self.norm(tokens), present)
        tokens = _only(present, (tokens + self.dropout(values)).transpose(-2, -3))
        return Fused(self.project(tokens.flatten(-2)), tokens, attention)


class UnnormedAttentionFusion(CrossAttentionFusion):
    """t = zeta + embedding; t' = t + Attention(t, t, t); xi = W [t'_1 .. t'_M].

    Codes are drawn in training and means in prediction, which are shorter where a code holds
    little. A norm raises them to the same length again: what the network reads then is not what
    it was trained on. Where the size of a code says how much, as in regression, that costs.

    Parameters as :class:`CrossAttentionFusion`.
    """

    def __init__(
        self,
        n_modalities: int,
        latent_dim: int,
        n_heads: int,
        dropout: float,
        stack: int | None = None,
    ) -> None:
        super().__init__(n_modalities, latent_dim, n_heads, dropout, stack)
        self.norm = nn.Identity()


class ConcatFusion(nn.Module):
    """xi = W [zeta_1 .. zeta_M]: the ablation without cross-attention (table 6).

    Parameters as :class:`CrossAttentionFusion`; ``n_heads`` and ``dropout`` have no part in it,
    nor in the fusions below.
    """

    def __init__(
        self,
        n_modalities: int,
        latent_dim: int,
        n_heads: int | None = None,
        dropout: float | None = None,
        stack: int | None = None,
    ) -> None:
        super().__init__()
        self.project = linear(n_modalities * latent_dim, latent_dim, stack)

    def forward(self, zeta: Tensor, present: Tensor | None = None) -> Fused:
        return Fused(self.project(zeta.flatten(-2)), zeta)


class SumFusion(nn.Module):
    """xi = sum_m zeta_m."""

    def __init__(
        self,
        n_modalities: int,
        latent_dim: int,
        n_heads: int | None = None,
        dropout: float | None = None,
        stack: int | None = None,
    ) -> None:
        super().__init__()

    def forward(self, zeta: Tensor, present: Tensor | None = None) -> Fused:
        return Fused(zeta.sum(-2), zeta)


class MeanFusion(SumFusion):
    """xi = 1/M sum_m zeta_m, over the modalities present."""

    def forward(self, zeta: Tensor, present: Tensor | None = None) -> Fused:
        if present is None:
            return Fused(zeta.mean(-2), zeta)
        return Fused(zeta.sum(-2) / present.sum(-1, keepdim=True).clamp_min(1), zeta)


class GatedFusion(nn.Module):
    """xi = W sum_m sigmoid(G_m [zeta_j, j != m]) * V_m zeta_m; with one modality, W V zeta.

    After Kiela et al., "Efficient Large-Scale Multi-Modal Classification", AAAI 2018, where one of
    two modalities gates the other; here each is gated by all others.
    """

    def __init__(
        self,
        n_modalities: int,
        latent_dim: int,
        n_heads: int | None = None,
        dropout: float | None = None,
        stack: int | None = None,
    ) -> None:
        super().__init__()
        others = (n_modalities - 1) * latent_dim
        self.gates = nn.ModuleList(
            linear(others, latent_dim, stack) for _ in range(n_modalities) if others
        )
        self.values = nn.ModuleList(
            linear(latent_dim, latent_dim, stack) for _ in range(n_modalities)
        )
        self.project = linear(latent_dim, latent_dim, stack)

    def forward(self, zeta: Tensor, present: Tensor | None = None) -> Fused:
        parts = zeta.unbind(-2)
        tokens = [value(part) for value, part in zip(self.values, parts, strict=True)]
        for m, gate in enumerate(self.gates):
            others = torch.cat([*parts[:m], *parts[m + 1 :]], -1)
            tokens[m] = gate(others).sigmoid() * tokens[m]
        gated = _only(present, torch.stack(tokens, -2))
        return Fused(self.project(gated.sum(-2)), gated)


class FiLMFusion(nn.Module):
    """xi = W ((1 + gamma) * zeta_1 + delta), (gamma, delta) = G [zeta_2 .. zeta_M].

    Feature-wise linear modulation of the first modality by the others (Perez et al., "FiLM:
    Visual Reasoning with a General Conditioning Layer", AAAI 2018).
    """

    def __init__(
        self,
        n_modalities: int,
        latent_dim: int,
        n_heads: int | None = None,
        dropout: float | None = None,
        stack: int | None = None,
    ) -> None:
        super().__init__()
        others = (n_modalities - 1) * latent_dim
        self.modulate = linear(others, 2 * latent_dim, stack) if others else None
        self.project = linear(latent_dim, latent_dim, stack)

    def forward(self, zeta: Tensor, present: Tensor | None = None) -> Fused:
        modulated = zeta.select(-2, 0)
        if self.modulate is not None:
            gamma, delta = self.modulate(zeta[..., 1:, :].flatten(-2)).chunk(2, -1)
            modulated = (1 + gamma) * modulated + delta
        return Fused(self.project(modulated), zeta)


class LowRankFusion(nn.Module):
    """xi = sum_r W_r prod_m (F_mr [zeta_m, 1]): the outer product of all codes, of low rank.

    Liu et al., "Efficient Low-rank Multimodal Fusion with Modality-Specific Factors", ACL 2018.
    The maps of the appended 1 begin at 1, so that the product begins near 1 + sum_m F_m zeta_m and
    not near 0, where nothing would be learned from many modalities.
    """

    RANK = 4

    def __init__(
        self,
        n_modalities: int,
        latent_dim: int,
        n_heads: int | None = None,
        dropout: float | None = None,
        stack: int | None = None,
    ) -> None:
        super().__init__()
        width = self.RANK * latent_dim
        factors = [linear(latent_dim, width, stack) for _ in range(n_modalities)]
        for factor in factors:
            nn.init.ones_(factor.get_parameter("bias"))
        self.factors = nn.ModuleList(factors)
        self.project = linear(width, latent_dim, stack)

    def forward(self, zeta: Tensor, present: Tensor | None = None) -> Fused:
        product = torch.ones_like(zeta[..., :1, :1]).squeeze(-1)
        for m, (factor, part) in enumerate(zip(self.factors, zeta.unbind(-2), strict=True)):
            own = factor(part)
            if present is not None:
                own = torch.where(present[..., m : m + 1] > 0, own, 1.0)
            product = product * own
        return Fused(self.project(product), zeta)


FUSIONS: dict[str, type[nn.Module]] = {
    "cross_attention": CrossAttentionFusion,
    "unnormed_attention": UnnormedAttentionFusion,
    "concat": ConcatFusion,
    "sum": SumFusion,
    "mean": MeanFusion,
    "gated": GatedFusion,
    "film": FiLMFusion,
    "low_rank": LowRankFusion,
}


def make_fusion(
    fusion: str | type[nn.Module],
    n_modalities: int,
    latent_dim: int,
    n_heads: int,
    dropout: float,
    stack: int | None = None,
) -> nn.Module:
    """A fusion of :data:`FUSIONS` by name, or of a class that takes the same arguments.

    Raises
    ------
    ValueError
        If the heads of an attention do not divide ``latent_dim``.
    """
    kind = FUSIONS[fusion] if isinstance(fusion, str) else fusion
    if issubclass(kind, CrossAttentionFusion) and latent_dim % n_heads:
        raise ValueError(
            f"n_heads must divide latent_dim, got n_heads={n_heads} and latent_dim={latent_dim}."
        )
    return kind(n_modalities, latent_dim, n_heads, dropout, stack)
