"""MISA: what modalities share and what each has to itself (Hazarika et al., ACM MM 2020)."""

from itertools import combinations
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .._compat import Interval
from ..nn import Dropout, Fused, FusionNetwork
from ..nn.encoders import own_dropout
from ..nn.layers import layer_norm, linear
from ..nn.stacking import side_by_side
from ._method import Method

N_HEADS = 2
N_MOMENTS = 5
EPS = 1e-6  # under roots, whose gradient at 0 is infinite
DROPOUT, TOKEN_DROPOUT = 0.5, 0.1  # behind the map to xi, and in the transformer: the authors'


def central_moment_discrepancy(a: Tensor, b: Tensor, here: Tensor | None = None) -> Tensor:
    """||E a - E b|| + sum_{k=2..5} ||E (a - E a)^k - E (b - E b)^k|| over a batch.

    Parameters
    ----------
    a, b : Tensor of shape (..., batch, latent_dim)
        Of values in [0, 1].
    here : Tensor of shape (..., batch), default=None
        1 for samples that count, 0 for others.

    Returns
    -------
    Tensor of shape (...)
    """
    mean_a, mean_b = _mean(a, here), _mean(b, here)
    gaps = [(mean_a - mean_b).squeeze(-2)]
    a, b = a - mean_a, b - mean_b
    gaps += [
        (_mean(a.pow(k), here) - _mean(b.pow(k), here)).squeeze(-2) for k in range(2, N_MOMENTS + 1)
    ]
    return sum(((gap.square().sum(-1) + EPS**2).sqrt() for gap in gaps), a.new_zeros(()))


def soft_orthogonality(a: Tensor, b: Tensor, here: Tensor | None = None) -> Tensor:
    """Mean squared entry of (k / n) A^T B, columns centred over the batch, then rows of norm 1.

    The factor, k columns over n rows, makes it the same for batches and codes of any size.

    Parameters
    ----------
    a, b : Tensor of shape (..., batch, latent_dim)
    here : Tensor of shape (..., batch), default=None
        1 for samples that count, 0 for others.

    Returns
    -------
    Tensor of shape (...)
    """
    a, b = (part - _mean(part, here) for part in (a, b))
    a, b = (part / (part.norm(dim=-1, keepdim=True).detach() + EPS) for part in (a, b))
    here = torch.ones_like(a[..., 0]) if here is None else here
    n_rows = here.sum(-1)[..., None, None].clamp_min(1)
    products = (a * here.unsqueeze(-1)).mT @ b
    return (a.shape[-1] / n_rows * products).square().mean((-2, -1))


def _mean(values: Tensor, here: Tensor | None) -> Tensor:
    """Mean over the batch, of the samples that count, as (..., 1, latent_dim)."""
    if here is None:
        return values.mean(-2, keepdim=True)
    count = here.unsqueeze(-1)
    return (values * count).sum(-2, keepdim=True) / count.sum(-2, keepdim=True).clamp_min(1)


class SharedPrivateFusion(nn.Module):
    """xi of a transformer over a shared and a private token of each modality.

    u_m = LayerNorm(relu(zeta_m)); s_m = sigmoid(S u_m), with one S for all; p_m = sigmoid(P_m u_m);
    xi = relu(dropout(W Transformer(p_1 .. p_M, s_1 .. s_M))). Penalties: similarity of all
    s_m, difference of s_m from p_m and of all p_m, reconstruction of u_m from s_m + p_m.

    Parameters as :class:`~sklearn_omib.nn.CrossAttentionFusion`.
    """

    def __init__(
        self,
        n_modalities: int,
        latent_dim: int,
        n_heads: int | None = None,
        dropout: float = 0.0,
        stack: int | None = None,
    ) -> None:
        super().__init__()
        if latent_dim % N_HEADS:
            raise ValueError(f"latent_dim must be even, got {latent_dim}.")
        maps = [linear(latent_dim, latent_dim, stack) for _ in range(2 * n_modalities + 1)]
        self.shared = maps[0]
        self.private = nn.ModuleList(maps[1 : n_modalities + 1])
        self.decoders = nn.ModuleList(maps[n_modalities + 1 :])
        self.norms = nn.ModuleList(layer_norm(latent_dim, stack) for _ in range(n_modalities))
        self.transformer = side_by_side(lambda: _transformer_layer(latent_dim), stack)
        self.project = linear(2 * n_modalities * latent_dim, latent_dim, stack)
        self.dropout = Dropout(DROPOUT)

    def forward(self, zeta: Tensor, present: Tensor | None = None) -> Fused:
        u = _each(self.norms, zeta.relu())
        shared = self.shared(u).sigmoid()
        private = _each(self.private, u).sigmoid()
        tokens = torch.cat([private, shared], -2)
        decoded = _each(self.decoders, shared + private)
        error = (decoded - u).square().mean(-1)
        if present is None:
            tokens, error = self.transformer(tokens), error.mean(-1)
        else:
            both = torch.cat([present, present], -1)
            seen = both.clone()
            seen[..., 0] += 1 - both.amax(-1)  # a softmax needs one token
            tokens = self.transformer(tokens, seen == 0) * both.unsqueeze(-1)
            error = (error * present).sum(-1) / present.sum(-1).clamp_min(1)
        xi = self.dropout(self.project(tokens.flatten(-2))).relu()
        penalties = {
            "similarity": _similarity(shared, present),
            "difference": _difference(shared, private, present),
            "reconstruction_of_parts": error,
        }
        return Fused(xi, tokens, None, penalties)


class TokenTransformer(nn.TransformerEncoderLayer):
    """A transformer layer that is told which tokens no other may see."""

    def forward(self, tokens: Tensor, unseen: Tensor | None = None) -> Tensor:  # type: ignore[override]
        return super().forward(tokens, src_key_padding_mask=unseen)


def _transformer_layer(latent_dim: int) -> nn.Module:
    layer = TokenTransformer(latent_dim, N_HEADS, 4 * latent_dim, TOKEN_DROPOUT, batch_first=True)
    layer.self_attn.dropout = 0.0  # on attention weights, from the process's generator
    return own_dropout(layer)


def _each(maps: nn.ModuleList, tokens: Tensor) -> Tensor:
    """A map for each token."""
    pairs = zip(maps, tokens.unbind(-2), strict=True)
    return torch.stack([own(token) for own, token in pairs], -2)


def _similarity(shared: Tensor, present: Tensor | None) -> Tensor:
    """Mean discrepancy over pairs of modalities; 0 of a single one."""
    values = [
        central_moment_discrepancy(shared[..., i, :], shared[..., j, :], _both(present, i, j))
        for i, j in combinations(range(shared.shape[-2]), 2)
    ]
    return torch.stack(values).mean(0) if values else shared.new_zeros(shared.shape[:-3])


def _difference(shared: Tensor, private: Tensor, present: Tensor | None) -> Tensor:
    """Sum over each private part with its shared one, and over pairs of private parts."""
    n_modalities = shared.shape[-2]
    values = [
        soft_orthogonality(private[..., m, :], shared[..., m, :], _both(present, m, m))
        for m in range(n_modalities)
    ]
    values += [
        soft_orthogonality(private[..., i, :], private[..., j, :], _both(present, i, j))
        for i, j in combinations(range(n_modalities), 2)
    ]
    return torch.stack(values).sum(0)


def _both(present: Tensor | None, i: int, j: int) -> Tensor | None:
    """Samples that have two modalities; None for all."""
    return None if present is None else present[..., i] * present[..., j]


class MISA(Method):
    """Modality-invariant and -specific representations (MISA).

    Minimises task(xi) + similarity CMD(s_i, s_j) + difference (squared entries of P^T S) +
    reconstruction MSE(s_m + p_m, u_m): each encoding is split into a shared part, alike over
    modalities in its first five moments, and a private part, orthogonal to the shared one and to
    the other private ones; a transformer over all parts makes xi. Interpretations: xi has
    ``latent_dim`` columns, as with the other methods, where the authors' has three times the
    width of a part; the products of parts are divided by what they grow with, rows of a batch
    over columns of a code.

    Parameters
    ----------
    similarity : float, default=1.0
        Weight of the central moment discrepancy of the shared parts.
    difference : float, default=0.075
        Weight of the squared products of parts that are to be orthogonal. The default is the
        authors' .3 at their 64 rows and 128 columns.
    part_reconstruction : float, default=1.0
        Weight of the error of reconstructing each encoding from its two parts.

    References
    ----------
    Hazarika, Zimmermann, Poria, "MISA: Modality-Invariant and -Specific Representations for
    Multimodal Sentiment Analysis", ACM MM 2020.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "similarity": [Interval(Real, 0, None, closed="left")],
        "difference": [Interval(Real, 0, None, closed="left")],
        "part_reconstruction": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        similarity: float = 1.0,
        difference: float = 0.075,
        part_reconstruction: float = 1.0,
    ) -> None:
        self.similarity = similarity
        self.difference = difference
        self.part_reconstruction = part_reconstruction

    def network(self, **shared: Any) -> FusionNetwork:
        return FusionNetwork(**shared, code="plain", fusion=SharedPrivateFusion)

    def settings(self) -> dict[str, Any]:
        weights = {
            "similarity": self.similarity,
            "difference": self.difference,
            "reconstruction_of_parts": self.part_reconstruction,
        }
        return {"penalty_weights": weights}
