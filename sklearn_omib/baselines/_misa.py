"""MISA: what modalities share and what each has to itself (Hazarika et al., ACM MM 2020)."""

from itertools import combinations
from numbers import Real
from typing import ClassVar

import torch
from torch import nn

from .._classification import MultimodalClassifier
from .._compat import Interval
from .._detection import MultimodalAnomalyDetector
from .._regression import MultimodalRegressor
from ..nn import Dropout, Fused, FusionNetwork
from ..nn.encoders import own_dropout
from ._base import BaseBaseline

N_HEADS = 2
N_MOMENTS = 5
EPS = 1e-6  # under roots, whose gradient at 0 is infinite
DROPOUT, TOKEN_DROPOUT = 0.5, 0.1  # behind the map to xi, and in the transformer: the authors'


def central_moment_discrepancy(a, b):
    """||E a - E b|| + sum_{k=2..5} ||E (a - E a)^k - E (b - E b)^k|| over a batch.

    Parameters
    ----------
    a, b : Tensor of shape (batch, latent_dim)
        Of values in [0, 1].

    Returns
    -------
    Tensor of shape ()
    """
    mean_a, mean_b = a.mean(0), b.mean(0)
    gaps = [mean_a - mean_b]
    a, b = a - mean_a, b - mean_b
    gaps += [a.pow(k).mean(0) - b.pow(k).mean(0) for k in range(2, N_MOMENTS + 1)]
    return sum((gap.square().sum() + EPS**2).sqrt() for gap in gaps)


def soft_orthogonality(a, b):
    """Mean squared entry of (k / n) A^T B, columns centred over the batch, then rows of norm 1.

    The factor, k columns over n rows, makes it the same for batches and codes of any size.

    Parameters
    ----------
    a, b : Tensor of shape (batch, latent_dim)

    Returns
    -------
    Tensor of shape ()
    """
    a, b = (part - part.mean(0) for part in (a, b))
    a, b = (part / (part.norm(dim=1, keepdim=True).detach() + EPS) for part in (a, b))
    n_rows, width = a.shape
    return (width / n_rows * (a.T @ b)).square().mean()


class SharedPrivateFusion(nn.Module):
    """xi of a transformer over a shared and a private token of each modality.

    u_m = LayerNorm(relu(zeta_m)); s_m = sigmoid(S u_m), with one S for all; p_m = sigmoid(P_m u_m);
    xi = relu(dropout(W Transformer(p_1 .. p_M, s_1 .. s_M))). Penalties: similarity of all
    s_m, difference of s_m from p_m and of all p_m, reconstruction of u_m from s_m + p_m.

    Parameters as :class:`~sklearn_omib.nn.CrossAttentionFusion`.
    """

    def __init__(self, n_modalities, latent_dim, n_heads=None, dropout=0.0):
        super().__init__()
        if latent_dim % N_HEADS:
            raise ValueError(f"latent_dim must be even, got {latent_dim}.")
        linear = [nn.Linear(latent_dim, latent_dim) for _ in range(2 * n_modalities + 1)]
        self.shared = linear[0]
        self.private = nn.ModuleList(linear[1 : n_modalities + 1])
        self.decoders = nn.ModuleList(linear[n_modalities + 1 :])
        self.norms = nn.ModuleList(nn.LayerNorm(latent_dim) for _ in range(n_modalities))
        layer = nn.TransformerEncoderLayer(
            latent_dim, N_HEADS, 4 * latent_dim, TOKEN_DROPOUT, batch_first=True
        )
        layer.self_attn.dropout = 0.0  # on attention weights, from the process's generator
        self.transformer = own_dropout(layer)
        self.project = nn.Linear(2 * n_modalities * latent_dim, latent_dim)
        self.dropout = Dropout(DROPOUT)

    def forward(self, zeta):
        parts = zip(self.norms, zeta.relu().unbind(1), strict=True)
        u = torch.stack([norm(part) for norm, part in parts], 1)
        shared = self.shared(u).sigmoid()
        private = _each(self.private, u).sigmoid()
        tokens = self.transformer(torch.cat([private, shared], 1))
        xi = self.dropout(self.project(tokens.flatten(1))).relu()
        decoded = _each(self.decoders, shared + private)
        penalties = {
            "similarity": _similarity(shared),
            "difference": _difference(shared, private),
            "reconstruction_of_parts": (decoded - u).square().mean((1, 2)),
        }
        return Fused(xi, tokens, None, penalties)


def _each(maps, tokens):
    """A map for each token."""
    pairs = zip(maps, tokens.unbind(1), strict=True)
    return torch.stack([own(token) for own, token in pairs], 1)


def _similarity(shared):
    """Mean discrepancy over pairs of modalities; 0 of a single one."""
    pairs = combinations(shared.unbind(1), 2)
    values = [central_moment_discrepancy(first, second) for first, second in pairs]
    return torch.stack(values).mean() if values else shared.new_zeros(())


def _difference(shared, private):
    """Sum over each private part with its shared one, and over pairs of private parts."""
    pairs = [*zip(private.unbind(1), shared.unbind(1), strict=True)]
    pairs += combinations(private.unbind(1), 2)
    return torch.stack([soft_orthogonality(first, second) for first, second in pairs]).sum()


class MISA(BaseBaseline):
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

    similarity: float = 1.0
    difference: float = 0.075
    part_reconstruction: float = 1.0

    _parameter_constraints: ClassVar[dict] = {
        "similarity": [Interval(Real, 0, None, closed="left")],
        "difference": [Interval(Real, 0, None, closed="left")],
        "part_reconstruction": [Interval(Real, 0, None, closed="left")],
    }

    def _make_network(self, **shared):
        return FusionNetwork(**shared, code="plain", fusion=SharedPrivateFusion)

    def _objective_settings(self):
        weights = {
            "similarity": self.similarity,
            "difference": self.difference,
            "reconstruction_of_parts": self.part_reconstruction,
        }
        return {"penalty_weights": weights}


class MISAClassifier(MultimodalClassifier, MISA):
    """Classifier on several modalities by their shared and private parts."""


class MISARegressor(MultimodalRegressor, MISA):
    """Regressor on several modalities by their shared and private parts."""


class MISAAnomalyDetector(MultimodalAnomalyDetector, MISA):
    """Anomaly detector on several modalities by their shared and private parts."""
