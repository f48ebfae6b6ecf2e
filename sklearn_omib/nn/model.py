"""The OMIB network: encoders, task-relevance branches, bottlenecks, fusion and head."""

from typing import NamedTuple

import torch
from torch import nn

from .bottleneck import VariationalBottleneck
from .encoders import build_encoder
from .fusion import FUSIONS
from .layers import mlp
from .random import standard_normal_like

MAX_LOG_VARIANCE = 3.0  # a sample's standard deviation is within a factor e^1.5 of the average


class OMIBOutput(NamedTuple):
    """What the network computes for one batch.

    Attributes
    ----------
    prediction : Tensor of shape (batch, n_outputs)
        yhat, from xi.
    branches : tuple of n_modalities Tensors of shape (batch, n_outputs)
        yhat_m, from [z_m, xi].
    mu, sigma : Tensor of shape (batch, n_modalities, latent_dim)
        The codes of the modalities.
    xi : Tensor of shape (batch, latent_dim)
    log_variance : Tensor of shape (batch, n_outputs) or None
        Of the prediction, where the network has a variance head.
    attention : Tensor of shape (batch, n_heads, n_modalities, n_modalities) or None
    """

    prediction: torch.Tensor
    branches: tuple
    mu: torch.Tensor
    sigma: torch.Tensor
    xi: torch.Tensor
    log_variance: torch.Tensor | None
    attention: torch.Tensor | None


class OMIBNetwork(nn.Module):
    """v_m -> z_m -> zeta_m -> xi -> yhat, with a branch [z_m, xi] -> yhat_m per modality (fig. 2).

    Parameters
    ----------
    sample_shapes : dict of str to tuple of int
        Shape of one sample of each modality; the order is the order of tokens and branches.
    encoders : dict of str to (str, torch.nn.Module or callable)
        See :func:`~sklearn_omib.nn.encoders.build_encoder`.
    sparse : frozenset of str
        Names of the modalities that come as :class:`~sklearn_omib.nn.SparseBatch`.
    n_outputs : int
    hidden_dim, latent_dim, n_layers, n_heads : int
    dropout : float
    fusion : {"cross_attention", "concat"}
    input_dropout : float, default=0.0
    head_layers : int, default=2
        Linear maps in each branch and in the head.
    variance_head : bool, default=False
        Whether to predict the variance of the target too. How certain the target is, is
        information about it: xi is trained to keep that as well. PAPER-DIFF: the paper predicts
        no variance.
    """

    def __init__(
        self,
        sample_shapes,
        encoders,
        sparse,
        n_outputs,
        *,
        hidden_dim,
        latent_dim,
        n_layers,
        n_heads,
        dropout,
        fusion,
        input_dropout=0.0,
        head_layers=2,
        variance_head=False,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.names = tuple(sample_shapes)
        # lists, not ModuleDicts: a modality may bear a name no module may ("a.b", "type")
        self.encoders, self.branches, self.bottlenecks = (nn.ModuleList() for _ in range(3))
        for name, shape in sample_shapes.items():
            encoder, width = build_encoder(
                name,
                encoders[name],
                shape,
                name in sparse,
                hidden_dim=hidden_dim,
                n_layers=n_layers,
                dropout=dropout,
                input_dropout=input_dropout,
            )
            self.encoders.append(encoder)
            self.branches.append(
                mlp(width + latent_dim, hidden_dim, n_outputs, head_layers, dropout)
            )
            self.bottlenecks.append(VariationalBottleneck(width, latent_dim))
        self.fusion = FUSIONS[fusion](len(self.names), latent_dim, n_heads, dropout)
        self.head = mlp(latent_dim, hidden_dim, n_outputs, head_layers, dropout)
        self.variance_head = nn.Linear(latent_dim, n_outputs) if variance_head else None
        self.generator = None

    def encode(self, inputs):
        """z_m = Enc_m(v_m) of every modality.

        Parameters
        ----------
        inputs : dict of str to Tensor or SparseBatch

        Returns
        -------
        list of n_modalities Tensors of shape (batch, width_m)
        """
        return [
            encoder(inputs[name]) for name, encoder in zip(self.names, self.encoders, strict=True)
        ]

    def warm_up(self, inputs):
        """Branch predictions from [z_m, e_m], e_m ~ N(0, I_k) in place of xi (Alg. 1).

        Returns
        -------
        tuple of n_modalities Tensors of shape (batch, n_outputs)
        """
        return self.branch_alone(self.encode(inputs))

    def branch_alone(self, z):
        """Branches of [z_m, e_m], e_m ~ N(0, I_k): what z_m tells before there is a xi.

        Returns
        -------
        tuple of n_modalities Tensors of shape (batch, n_outputs)
        """
        outputs = []
        for z_m, branch in zip(z, self.branches, strict=True):
            like = z_m.new_empty(*z_m.shape[:-1], self.latent_dim)
            noise = standard_normal_like(like, self.generator)
            outputs.append(branch(torch.cat([z_m, noise], -1)))
        return tuple(outputs)

    def fuse(self, z):
        """Codes of all modalities and their fusion (eq. 6 and 7)."""
        codes = [bottleneck(z_m) for z_m, bottleneck in zip(z, self.bottlenecks, strict=True)]
        mu, sigma, zeta = (torch.stack(parts, -2) for parts in zip(*codes, strict=True))
        return mu, sigma, self.fusion(zeta)

    def predict(self, inputs):
        """xi and yhat alone, without the branches, as the paper predicts.

        Returns
        -------
        prediction : Tensor of shape (batch, n_outputs)
        xi : Tensor of shape (batch, latent_dim)
        log_variance : Tensor of shape (batch, n_outputs) or None
        """
        _, _, fused = self.fuse(self.encode(inputs))
        return self.head(fused.xi), fused.xi, self._log_variance(fused.xi)

    def _log_variance(self, xi):
        if self.variance_head is None:
            return None
        # bounded, or the variance would run to 0 or infinity away from the training data
        return MAX_LOG_VARIANCE * torch.tanh(self.variance_head(xi) / MAX_LOG_VARIANCE)

    def forward(self, inputs):
        z = self.encode(inputs)
        mu, sigma, fused = self.fuse(z)
        branches = tuple(
            branch(torch.cat([z_m, fused.xi], -1))
            for z_m, branch in zip(z, self.branches, strict=True)
        )
        return OMIBOutput(
            self.head(fused.xi),
            branches,
            mu,
            sigma,
            fused.xi,
            self._log_variance(fused.xi),
            fused.attention,
        )
