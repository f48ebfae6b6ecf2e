"""One-class network, task and objective: embeddings near a centre that still show the modalities.

The paper minimises the distance of yhat from its own mean (eq. 104), which a constant satisfies
best. PAPER-DIFF: as in Deep SVDD (Ruff et al., ICML 2018) the warm-up is that of an autoencoder,
since with a constant target it would teach nothing; the centre is set once, after it, and the
last maps to the embedding have no biases. As in DASVDD (Hojjati & Armanfar, 2021) the main phase
goes on reconstructing, from decoders whose weights keep one size: otherwise the embedding could
shrink to a point while they magnify it.
"""

from math import prod
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .bottleneck import Code
from .encoders import SparseBatch
from .objective import ObjectiveTerms

MIN_CENTRE = 0.1  # of the embedding's spread: a coordinate of the centre nearer to 0 is moved
EPS = 1e-6  # keeps the inverse distance of a known anomaly finite


class OneClassOutput(NamedTuple):
    """What the network computes for one batch.

    Attributes
    ----------
    prediction : Tensor of shape (batch, n_outputs)
        Deviation of the fused embedding from its centre, yhat - c.
    branches : tuple of Tensors of shape (batch, n_outputs)
        Deviation of the branches' embeddings, yhat_m - c_m.
    mu, sigma, xi, log_variance, attention, joint, penalties
        As in :class:`~sklearn_omib.nn.NetworkOutput`.
    errors : Tensor of shape (batch, n_sources, n_modalities)
        Mean squared error of each modality's reconstruction from the fused embedding and, where
        the network has branches, from its own.
    """

    prediction: torch.Tensor
    branches: tuple
    mu: torch.Tensor
    sigma: torch.Tensor | None
    xi: torch.Tensor
    log_variance: torch.Tensor | None
    attention: torch.Tensor | None
    joint: Code | None
    penalties: dict
    errors: torch.Tensor


class OneClassNetwork(nn.Module):
    """A network whose predictions are embeddings, with a decoder for each modality.

    The head embeds xi as yhat, branches (if any) embed what they read as yhat_m, and a linear
    decoder for each modality, shared by both, reconstructs v_m from either. Weights of decoders
    are scaled to a root mean square of 1, so that they cannot magnify an embedding that shrinks.

    Parameters
    ----------
    network : FusionNetwork
        Loses the biases of its last maps.
    sample_shapes : dict of str to tuple of int
    n_outputs : int
        Width of the embeddings.
    """

    centre: torch.Tensor

    def __init__(self, network, sample_shapes, n_outputs):
        super().__init__()
        self.network = network
        self.names, self.variance_head = network.names, None
        for part in network.last_maps():
            _drop_biases(part)
        self.decoders = nn.ModuleList(
            _Decoder(n_outputs, prod(shape)) for shape in sample_shapes.values()
        )
        centre = torch.full((network.n_branches + 1, n_outputs), torch.nan)
        self.register_buffer("centre", centre)

    def warm_up(self, inputs):
        """Errors of reconstruction, as in the output: an autoencoder without distance.

        Branches embed [z_m, e_m], e_m ~ N(0, I_k), where they would read xi, as in Alg. 1.
        """
        return self._errors(inputs, self.network.without_xi(inputs))

    def _errors(self, inputs, output):
        """Mean squared error of each modality, from the fused embedding and from its own."""
        errors = []
        for m, (name, decoder) in enumerate(zip(self.names, self.decoders, strict=True)):
            reconstructed = decoder(
                torch.stack([output.prediction, *output.branches[m : m + 1]], 1)
            )
            v = _dense(inputs[name], decoder.out_features)
            errors.append((reconstructed - v).square().mean(-1))
        return torch.stack(errors, -1)

    def embed(self, inputs):
        """Embeddings yhat_m of the branches and, last, the fused yhat.

        Returns
        -------
        Tensor of shape (batch, n_branches + 1, n_outputs)
        """
        return _side_by_side(self.network(inputs))

    @torch.no_grad()
    def set_centre(self, embeddings, weight):
        """Fix the centre: the mean embedding, its coordinates near 0 moved away from it.

        A network that ignores its input and embeds all samples as 0 is thus not at the centre.

        Parameters
        ----------
        embeddings : Tensor of shape (n_samples, n_branches + 1, n_outputs)
        weight : Tensor of shape (n_samples,)
        """
        share = (weight / weight.sum()).view(-1, 1, 1)
        mean = (share * embeddings).sum(0)
        spread = (share * (embeddings - mean).square()).sum(0).mean(-1, keepdim=True).sqrt()
        side = torch.where(mean < 0, -1.0, 1.0)
        self.centre.copy_(side * torch.maximum(mean.abs(), MIN_CENTRE * spread))

    def forward(self, inputs):
        output = self.network(inputs)
        *branches, fused = (_side_by_side(output) - self.centre).unbind(-2)
        errors = self._errors(inputs, output)
        changed = {"prediction": fused, "branches": tuple(branches), "errors": errors}
        return OneClassOutput(**{**output._asdict(), **changed})

    def predict(self, inputs):
        """Distances and errors of every sample, from branches and fused embedding.

        Returns
        -------
        prediction, xi, log_variance
            As :class:`~sklearn_omib.nn.FusionNetwork` returns.
        distance : Tensor of shape (batch, n_branches + 1)
            Squared, from the centre; the fused one last.
        errors : Tensor of shape (batch, n_sources, n_modalities)
        """
        output = self.forward(inputs)
        distance = _side_by_side(output).square().sum(-1)
        return output.prediction, output.xi, None, distance, output.errors


def _side_by_side(output):
    """What the branches say and, last, the fused: (batch, n_branches + 1, n_outputs)."""
    return torch.stack([*output.branches, output.prediction], -2)


class _Decoder(nn.Linear):
    """A linear map whose weights have a root mean square of 1."""

    def forward(self, x):
        size = self.weight.norm() * self.weight.numel() ** -0.5
        return F.linear(x, self.weight / size, self.bias)


def _drop_biases(module):
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            layer.register_parameter("bias", None)


def _dense(v, n_features):
    """Samples of any shape as rows, (batch, 1, n_features); a SparseBatch with its zeros."""
    if not isinstance(v, SparseBatch):
        return v.flatten(1).unsqueeze(1)
    ends = torch.cat([v.offsets[1:], v.offsets.new_tensor([len(v.columns)])])
    rows = torch.arange(len(ends), device=ends.device).repeat_interleave(ends - v.offsets)
    dense = v.values.new_zeros(len(ends), n_features)
    return dense.index_put((rows, v.columns), v.values, accumulate=True).unsqueeze(1)


class OneClassTask(nn.Module):
    """Squared distance from the centre; K = 1/2 ||(yhat_m - c_m) - (yhat - c)||^2 (eq. 104).

    Known anomalies, y = -1, are pushed away by eta / distance (Deep SAD, Ruff et al., ICLR 2020).
    With nu the boundary is soft: R^2 + max(0, distance - R^2) / nu, R^2 the 1 - nu quantile of
    the batch, so that samples inside the sphere are pulled no further.

    PAPER-DIFF: the paper defines no divergence for this task; the displacement is the Gaussian one.

    Parameters
    ----------
    nu : float in (0, 1] or None
        Share of samples outside the soft boundary; None for none.
    eta : float
        Weight of known anomalies.
    """

    def __init__(self, nu=None, eta=1.0):
        super().__init__()
        self.nu = nu
        self.eta = eta

    def forward(self, deviation, y):
        """Return the loss of each sample.

        Parameters
        ----------
        deviation : Tensor of shape (..., batch, n_outputs)
        y : Tensor of shape (..., batch)
            -1 for known anomalies, 1 for all others.

        Returns
        -------
        Tensor of shape (..., batch)
        """
        distance = deviation.square().sum(-1)
        anomalous = (y < 0).expand_as(distance)
        loss = distance
        if self.nu is not None:
            squared_radius = self._squared_radius(distance.detach(), anomalous)
            loss = squared_radius + (distance - squared_radius).clamp_min(0) / self.nu
        return torch.where(anomalous, self.eta / (distance + EPS), loss)

    def _squared_radius(self, distance, anomalous):
        normal = distance.masked_fill(anomalous, torch.nan)
        return normal.nanquantile(1 - self.nu, dim=-1, keepdim=True).nan_to_num()

    def divergence(self, branch, fused):
        """Half the squared displacement between two deviations, per sample."""
        return 0.5 * (branch - fused).square().sum(-1)


class OneClassObjective(nn.Module):
    """An objective plus the reconstruction errors, of which known anomalies have none.

    Parameters
    ----------
    objective : Objective
        With a :class:`OneClassTask`.
    reconstruction : float
        Weight of the errors in the main phase.
    """

    def __init__(self, objective, reconstruction):
        super().__init__()
        self.objective = objective
        self.reconstruction = reconstruction

    @property
    def weights(self):
        return self.objective.weights

    def configure(self, **settings):
        """Set attributes of the objective, as a warm start does."""
        self.objective.configure(**settings)

    def warm_up(self, errors, y, weight):
        """Mean error over modalities from the fused embedding, and the sum from the branches.

        Returns
        -------
        ObjectiveTerms
            loss, reconstruction of each modality and, where there are branches, branch_loss: the
            error from each branch.
        """
        fused, *branch = _mean_errors(errors, y, weight)
        terms = ObjectiveTerms(loss=_total(fused, branch), reconstruction=fused)
        if branch:
            terms["branch_loss"] = branch[0]
        return terms

    def forward(self, output, y, weight):
        """As the objective; also reconstruction, the error of each modality."""
        terms = self.objective(output, y, weight)
        fused, *branch = _mean_errors(output.errors, y, weight)
        error = _total(fused, branch, self.objective.branch_weight)
        terms["loss"] = terms.loss + self.reconstruction * error
        terms["reconstruction"] = fused
        return terms

    def update(self, output, y, weight, terms):
        """Move the averages of the objective after a training batch."""
        self.objective.update(output, y, weight, terms)

    def reweight(self):
        """Set the weights of the objective."""
        self.objective.reweight()


def _mean_errors(errors, y, weight):
    """Weighted mean over the batch, without known anomalies, source by source."""
    return ((weight * (y > 0)).view(-1, 1, 1) * errors).mean(0).unbind()


def _total(fused, branch, branch_weight=1.0):
    return fused.mean() + branch_weight * sum(own.sum() for own in branch)
