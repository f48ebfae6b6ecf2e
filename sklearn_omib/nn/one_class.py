"""One-class network, task and objective: embeddings near a centre that still show the modalities.

The paper minimises the distance of yhat from its own mean (eq. 104), which a constant satisfies
best. PAPER-DIFF: as in Deep SVDD (Ruff et al., ICML 2018) the warm-up is that of an autoencoder,
since with a constant target it would teach nothing; the centre is set once, after it, and the
last maps to the embedding have no biases. As in DASVDD (Hojjati & Armanfar, 2021) the main phase
goes on reconstructing, from decoders whose weights keep one size: otherwise the embedding could
shrink to a point while they magnify it.
"""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .bottleneck import Code
from .encoders import Input, Inputs, SequenceBatch, SparseBatch
from .layers import constant, is_linear, linear, parameter
from .losses import TaskLoss
from .model import FusionNetwork, NetworkOutput
from .objective import Objective, ObjectiveTerms

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
    mu, sigma, xi, log_variance, attention, joint, penalties, present
        As in :class:`~sklearn_omib.nn.NetworkOutput`.
    errors : Tensor of shape (batch, n_sources, n_modalities)
        Mean squared error of each modality's reconstruction from the fused embedding and, where
        the network has branches, from its own; 0 of a modality that is missing.
    """

    prediction: Tensor
    branches: tuple[Tensor, ...]
    mu: Tensor
    sigma: Tensor | None
    xi: Tensor
    log_variance: Tensor | None
    attention: Tensor | None
    joint: Code | None
    penalties: dict[str, Tensor]
    present: Tensor | None
    errors: Tensor


class OneClassNetwork(nn.Module):
    """A network whose predictions are embeddings, with a decoder for each modality.

    The head embeds xi as yhat, branches (if any) embed what they read as yhat_m, and a linear
    decoder for each modality, shared by both, reconstructs v_m from either (of sequences of
    different length their means). Weights of decoders are scaled to a root mean square of 1, so
    that they cannot magnify an embedding that shrinks.

    Parameters
    ----------
    network : FusionNetwork
        Loses the biases of its last maps.
    sample_shapes : dict of str to tuple of int
    n_outputs : int
        Width of the embeddings.
    stack : int or None, default=None
        Number of networks side by side.
    """

    centre: Tensor

    def __init__(
        self,
        network: FusionNetwork,
        sample_shapes: Mapping[str, tuple[int, ...]],
        n_outputs: int,
        stack: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.names, self.variance_head = network.names, None
        for part in network.last_maps():
            _drop_biases(part)
        self.decoders = nn.ModuleList(
            _Decoder(n_outputs, prod(shape), stack) for shape in sample_shapes.values()
        )
        centre = constant(torch.nan, (network.n_branches + 1, n_outputs), stack)
        self.register_buffer("centre", centre)

    def warm_up(self, inputs: Inputs) -> Tensor:
        """Errors of reconstruction, as in the output: an autoencoder without distance.

        Branches embed [z_m, e_m], e_m ~ N(0, I_k), where they would read xi, as in Alg. 1.
        """
        return self._errors(inputs, self.network.without_xi(inputs))

    def _errors(self, inputs: Inputs, output: NetworkOutput) -> Tensor:
        """Mean squared error of each modality, from the fused embedding and from its own."""
        errors = []
        for m, (name, decoder) in enumerate(zip(self.names, self.decoders, strict=True)):
            reconstructed = decoder(
                torch.stack([output.prediction, *output.branches[m : m + 1]], -2)
            )
            v = _dense(inputs[name], reconstructed)
            errors.append((reconstructed - v).square().mean(-1))
        together = torch.stack(errors, -1)
        return together if output.present is None else together * output.present.unsqueeze(-2)

    def embed(self, inputs: Inputs) -> Tensor:
        """Embeddings yhat_m of the branches and, last, the fused yhat.

        Returns
        -------
        Tensor of shape (batch, n_branches + 1, n_outputs)
        """
        return _side_by_side(self.network(inputs))

    @torch.no_grad()
    def set_centre(self, embeddings: Tensor, weight: Tensor) -> None:
        """Fix the centre: the mean embedding, its coordinates near 0 moved away from it.

        A network that ignores its input and embeds all samples as 0 is thus not at the centre.

        Parameters
        ----------
        embeddings : Tensor of shape (n_samples, n_branches + 1, n_outputs)
        weight : Tensor of shape (n_samples, n_branches + 1)
            0 where the modality of a branch is missing.
        """
        share = (weight / weight.sum(-2, keepdim=True).clamp_min(EPS)).unsqueeze(-1)
        mean = (share * embeddings).sum(-3)
        apart = (embeddings - mean.unsqueeze(-3)).square()
        spread = (share * apart).sum(-3).mean(-1, keepdim=True).sqrt()
        side = torch.where(mean < 0, -1.0, 1.0)
        self.centre.copy_(side * torch.maximum(mean.abs(), MIN_CENTRE * spread))

    def forward(self, inputs: Inputs) -> OneClassOutput:
        output = self.network(inputs)
        *branches, fused = (_side_by_side(output) - self.centre.unsqueeze(-3)).unbind(-2)
        errors = self._errors(inputs, output)
        changed = {"prediction": fused, "branches": tuple(branches), "errors": errors}
        return OneClassOutput(**{**output._asdict(), **changed})

    def predict(self, inputs: Inputs) -> tuple[Tensor, Tensor, None, Tensor, Tensor, Tensor]:
        """Distances and errors of every sample, from branches and fused embedding.

        Returns
        -------
        prediction, xi, log_variance
            As :class:`~sklearn_omib.nn.FusionNetwork` returns.
        distance : Tensor of shape (batch, n_branches + 1)
            Squared, from the centre; the fused one last.
        errors : Tensor of shape (batch, n_sources, n_modalities)
        present : Tensor of shape (batch, n_modalities)
        """
        output = self.forward(inputs)
        distance = _side_by_side(output).square().sum(-1)
        errors, present = output.errors, output.present
        present = torch.ones_like(errors[..., 0, :]) if present is None else present
        return output.prediction, output.xi, None, distance, errors, present


def _side_by_side(output: NetworkOutput | OneClassOutput) -> Tensor:
    """What the branches say and, last, the fused: (batch, n_branches + 1, n_outputs)."""
    return torch.stack([*output.branches, output.prediction], -2)


class _Decoder(nn.Module):
    """A linear map whose weights have a root mean square of 1."""

    def __init__(self, in_features: int, out_features: int, stack: int | None = None) -> None:
        super().__init__()
        self.map = linear(in_features, out_features, stack, bias=False)
        bound = in_features**-0.5
        self.bias = parameter(lambda: torch.empty(out_features).uniform_(-bound, bound), stack)

    def forward(self, x: Tensor) -> Tensor:
        y = self.map(x)
        stacked = self.bias.shape[:-1]
        between = [1] * (y.ndim - len(stacked) - 1)
        size = self.map.weight.square().mean((-2, -1)).sqrt()
        return y / size.view(*stacked, *between, 1) + self.bias.view(*stacked, *between, -1)


def _drop_biases(module: nn.Module) -> None:
    for layer in module.modules():
        if is_linear(layer):
            layer.register_parameter("bias", None)


def _dense(v: Input, like: Tensor) -> Tensor:
    """Samples of any shape as rows, (..., batch, 1, n_features).

    A SparseBatch with its zeros, and of sequences of different length the means of their steps.
    """
    *batch, _, n_features = like.shape
    if torch.is_tensor(v):
        return v.reshape(*batch, 1, n_features)
    if isinstance(v, SequenceBatch):
        return (v.values.sum(-2) / v.mask.sum(-1, keepdim=True)).unsqueeze(1)
    if isinstance(v, list):  # one per network
        return torch.stack([_dense(v[k], part) for k, part in enumerate(like)])
    assert isinstance(v, SparseBatch)
    ends = torch.cat([v.offsets[1:], v.offsets.new_tensor([len(v.columns)])])
    rows = torch.arange(len(ends), device=ends.device).repeat_interleave(ends - v.offsets)
    dense = v.values.new_zeros(len(ends), n_features)
    return dense.index_put((rows, v.columns), v.values, accumulate=True).unsqueeze(1)


class OneClassTask(TaskLoss):
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

    def __init__(self, nu: float | None = None, eta: float = 1.0) -> None:
        super().__init__()
        self.nu = nu
        self.eta = eta

    def forward(self, deviation: Tensor, y: Tensor) -> Tensor:
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
            normal = distance.detach().masked_fill(anomalous, torch.nan)
            radius = normal.nanquantile(1 - self.nu, dim=-1, keepdim=True)
            squared_radius = radius.nan_to_num()
            loss = squared_radius + (distance - squared_radius).clamp_min(0) / self.nu
        return torch.where(anomalous, self.eta / (distance + EPS), loss)

    def divergence(self, branch: Tensor, fused: Tensor) -> Tensor:
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

    def __init__(self, objective: Objective, reconstruction: float) -> None:
        super().__init__()
        self.objective = objective
        self.reconstruction = reconstruction

    @property
    def weights(self) -> Tensor | None:
        return self.objective.weights

    def configure(self, **settings: Any) -> None:
        """Set attributes of the objective, as a warm start does."""
        self.objective.configure(**settings)

    def warm_up(
        self, errors: Tensor, y: Tensor, weight: Tensor, present: Tensor | None = None
    ) -> ObjectiveTerms:
        """Mean error over modalities from the fused embedding, and the sum from the branches.

        Returns
        -------
        ObjectiveTerms
            loss, reconstruction of each modality and, where there are branches, branch_loss: the
            error from each branch.
        """
        fused, *branch = _mean_errors(errors, y, weight, present)
        terms = ObjectiveTerms(loss=_total(fused, branch), reconstruction=fused)
        if branch:
            terms["branch_loss"] = branch[0]
        return terms

    def forward(self, output: OneClassOutput, y: Tensor, weight: Tensor) -> ObjectiveTerms:
        """As the objective; also reconstruction, the error of each modality."""
        terms = self.objective(output, y, weight)
        fused, *branch = _mean_errors(output.errors, y, weight, output.present)
        error = _total(fused, branch, float(self.objective.branch_weight))
        terms["loss"] = terms.loss + self.reconstruction * error
        terms["reconstruction"] = fused
        return terms

    def update(
        self, output: OneClassOutput, y: Tensor, weight: Tensor, terms: Mapping[str, Tensor]
    ) -> None:
        """Move the averages of the objective after a training batch."""
        self.objective.update(output, y, weight, terms)

    def reweight(self) -> None:
        """Set the weights of the objective."""
        self.objective.reweight()


def _mean_errors(
    errors: Tensor, y: Tensor, weight: Tensor, present: Tensor | None
) -> tuple[Tensor, ...]:
    """Weighted mean over the batch, without known anomalies, source by source.

    The modalities that a sample has count as much as all would.
    """
    weight = weight * (y > 0)
    if present is not None:
        weight = weight / present.mean(-1).clamp_min(1 / present.shape[-1])
    return (weight[..., None, None] * errors).mean(-3).unbind(-2)


def _total(fused: Tensor, branch: Iterable[Tensor], branch_weight: float = 1.0) -> Tensor:
    return fused.mean(-1) + branch_weight * sum(own.sum(-1) for own in branch)
