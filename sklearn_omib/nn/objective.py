"""The objective of each phase and the dynamic weights (eq. 4, 10, 11 and 67; Alg. 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .bottleneck import gaussian_kl
from .layers import constant
from .losses import TaskLoss

if TYPE_CHECKING:
    from .model import NetworkOutput
    from .one_class import OneClassOutput

DIVERGENCE_EPS = 1e-6  # nats: two modalities below it are equal
WEIGHT_RANGE = (0.01, 1.99)
LARGEST = torch.finfo(torch.float32).max


class ObjectiveTerms(dict[str, Tensor]):
    """Batch means of the parts of an objective by name, "loss" first: what is minimised.

    In nats, each of shape () or, for parts of every modality, (n_modalities,). Stacked networks
    put their own dimension before.
    """

    @property
    def loss(self) -> Tensor:
        return self["loss"]

    def flat(self) -> Tensor:
        """All terms end to end without gradient."""
        parts = [part.unsqueeze(-1) if self._is_single(part) else part for part in self.values()]
        return torch.cat(parts, -1).detach()

    def columns(self, names: Iterable[str]) -> list[str]:
        """What the places of :meth:`flat` stand for, given the names of the modalities."""
        return [
            column
            for term, part in self.items()
            for column in ([term] if self._is_single(part) else [f"{term}_{m}" for m in names])
        ]

    def _is_single(self, part: Tensor) -> bool:
        return part.ndim == self.loss.ndim


def dynamic_weights(divergence: Tensor, weighting: str) -> Tensor:
    """Weights w_m of the KL terms from the divergences K_m.

    "reference": w_1 = 1 and, for m >= 2, w_m = r_{m-1} = 1 - tanh(ln(K_m / K_1)) (eq. 11, 67),
    computed in closed form as 2 K_1^2 / (K_1^2 + K_m^2).

    "symmetric": w_m = M K_m^-2 / sum_j K_j^-2, which names no reference, sums to M and for M = 2
    has the paper's r as w_2. PAPER-DIFF: the paper's form depends on which modality is first.

    "fixed": w_m = 1 (the ablation without r, table 6).

    PAPER-DIFF: K is a ratio of means, as eq. 49 derives, not a mean of ratios as eq. 11 prints.

    Parameters
    ----------
    divergence : Tensor of shape (..., n_modalities)
        K_m >= 0.
    weighting : {"reference", "symmetric", "fixed"}

    Returns
    -------
    Tensor of shape (..., n_modalities)

    Examples
    --------
    >>> import torch
    >>> dynamic_weights(torch.tensor([1.0, 1.0, 3.0]), "reference")
    tensor([1.0000, 1.0000, 0.2000])
    """
    n_modalities = divergence.shape[-1]
    if weighting == "fixed" or n_modalities == 1:
        return torch.ones_like(divergence)
    squared = divergence.square() + DIVERGENCE_EPS**2
    if weighting == "symmetric":
        return n_modalities * (-squared.log()).softmax(-1)
    reference = squared[..., :1]  # whose own weight comes out as 1
    return (2 * reference / (reference + squared)).clamp(*WEIGHT_RANGE)


class Objective(nn.Module):
    """task + variance + branch_weight * sum_m branch_m + sum_j weight_j penalty_j.

    Penalties are "kl", sum_m KL(N(mu_m, sigma_m^2) || N(0, I)) of the modalities' codes,
    "joint_kl", that of the joint code, where the network has such codes, and what the network's
    output gives as ``penalties``.

    Parameters
    ----------
    task : torch.nn.Module
        A task of :mod:`sklearn_omib.nn.losses`.
    penalty_weights : dict of str to float, default=None
        Penalties it leaves out have weight 0.
    branch_weight : float, default=1.0
        Of the task losses of the branches.
    """

    weights: Tensor | None

    def __init__(
        self,
        task: TaskLoss,
        penalty_weights: Mapping[str, float] | None = None,
        branch_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weights", None)  # of the modalities, where an objective has such
        self.task = task
        self.penalty_weights = penalty_weights or {}
        self.branch_weight = branch_weight

    def configure(self, **settings: Any) -> None:
        """Set attributes, as a warm start does."""
        for name, value in settings.items():
            if name in self._buffers:
                getattr(self, name).fill_(value)
            else:
                setattr(self, name, value)

    def warm_up(
        self,
        branches: tuple[Tensor, ...],
        y: Tensor,
        weight: Tensor,
        present: Tensor | None = None,
    ) -> ObjectiveTerms:
        """sum_m L_TRBm of the branches' predictions (Alg. 1).

        Parameters
        ----------
        branches : tuple of n_modalities Tensors of shape (batch, n_outputs)
        y : Tensor of shape (batch,) or (batch, n_outputs)
        weight : Tensor of shape (batch,)
            Sample weights of mean 1.
        present : Tensor of shape (batch, n_modalities), default=None
            Branches of missing modalities have no part in it.

        Returns
        -------
        ObjectiveTerms
            loss, branch_loss.
        """
        branch = self._task_losses(torch.stack(branches, -3), y, weight, present)
        of_present = _among_present(branch, present)
        return ObjectiveTerms(loss=branch.sum(-1), branch_loss=of_present)

    def forward(
        self, output: NetworkOutput | OneClassOutput, y: Tensor, weight: Tensor
    ) -> ObjectiveTerms:
        """Objective of the main phase.

        Parameters
        ----------
        output : NetworkOutput
        y : Tensor of shape (batch,) or (batch, n_outputs)
        weight : Tensor of shape (batch,)

        Returns
        -------
        ObjectiveTerms
            loss, task_loss and, where the network has them, variance_loss (what a predicted
            variance adds), branch_loss of each branch, and the penalties before their weights.
        """
        predictions = torch.stack([*output.branches, output.prediction], -3)
        present = output.present if output.branches else None
        losses = self._task_losses(predictions, y, weight, present)
        terms = ObjectiveTerms(loss=losses[..., -1], task_loss=losses[..., -1])
        if output.log_variance is not None:
            added = self.task.variance_loss(output.prediction, output.log_variance, y)
            terms["variance_loss"] = (weight * added).mean(-1)
            terms["loss"] = terms.loss + terms["variance_loss"]
        self._add_penalties(terms, output, weight)
        if output.branches:
            self._add_branches(terms, predictions, losses[..., :-1], weight, present)
        return terms

    def _add_penalties(
        self, terms: ObjectiveTerms, output: NetworkOutput | OneClassOutput, weight: Tensor
    ) -> None:
        for name, penalty in self._penalties(output).items():
            terms[name] = _mean(penalty, weight)
            total = terms[name] if terms[name].ndim == terms.loss.ndim else terms[name].sum(-1)
            terms["loss"] = terms.loss + float(self.penalty_weights.get(name, 0.0)) * total

    def _penalties(self, output: NetworkOutput | OneClassOutput) -> dict[str, Tensor]:
        """Penalties of each sample, (batch,) or (batch, n_modalities), or of a batch, ()."""
        penalties = {}
        if output.sigma is not None:
            penalties["kl"] = gaussian_kl(output.mu, output.sigma)
        if output.joint is not None and output.joint.sigma is not None:
            penalties["joint_kl"] = gaussian_kl(output.joint.mu, output.joint.sigma)
        return penalties | output.penalties

    def _add_branches(
        self,
        terms: ObjectiveTerms,
        predictions: Tensor,
        branch: Tensor,
        weight: Tensor,
        present: Tensor | None,
    ) -> None:
        """Add the branches' losses; ``predictions`` are theirs and, last, the fused."""
        terms["branch_loss"] = _among_present(branch, present)
        terms["loss"] = terms.loss + float(self.branch_weight) * branch.sum(-1)

    def _task_losses(
        self, predictions: Tensor, y: Tensor, weight: Tensor, present: Tensor | None
    ) -> Tensor:
        """Mean loss of each of several predictions, (..., n_predictions, batch, n_outputs)."""
        y = y.unsqueeze(weight.ndim - 1)
        losses = self.task(predictions, y)
        return (weight_of_each(weight, present, losses.shape[-2]) * losses).mean(-1)

    @torch.no_grad()
    def update(
        self,
        output: NetworkOutput | OneClassOutput,
        y: Tensor,
        weight: Tensor,
        terms: Mapping[str, Tensor],
    ) -> None:
        """Move the averages (residual variance) after a training batch."""
        if hasattr(self.task, "update"):
            self.task.update(output.prediction, y, weight)

    def reweight(self) -> None:
        """Set what changes from one epoch to the next: nothing."""


def weight_of_each(weight: Tensor, present: Tensor | None, n_predictions: int) -> Tensor:
    """Weights (n_predictions, batch): 0 for branches, which come first, of missing modalities."""
    weight = weight.unsqueeze(-2)
    if present is None:
        return weight
    others = weight.new_ones(*weight.shape[:-2], n_predictions - present.shape[-1], 1)
    return weight * torch.cat([present.mT, others.expand(*others.shape[:-1], weight.shape[-1])], -2)


def _among_present(mean: Tensor, present: Tensor | None) -> Tensor:
    """A mean for each modality, 0 where it is missing, as that of the samples that have it."""
    if present is None:
        return mean
    return mean / present.mean(-2).clamp_min(1 / present.shape[-2])


def _mean(penalty: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the batch; a penalty of the batch as a whole stays as it is."""
    if penalty.ndim < weight.ndim:
        return penalty
    if penalty.ndim == weight.ndim:
        return (weight * penalty).mean(-1)
    return (weight.unsqueeze(-1) * penalty).mean(-2)


class OMIBObjective(Objective):
    """L_OMF + branch_weight * sum_m L_TRBm, L_OMF = task + beta * sum_m w_m KL_m (eq. 10, Alg. 2).

    PAPER-DIFF: the K_m behind the weights are a moving average over batches; a single batch's
    ratio is mostly noise. The weights never carry gradient, or the loss could fall by changing
    the ratio of the K_m instead of the KL. They are set once per epoch, and kept within
    [.01, 1.99], so that a head that fits its training labels (K to 0) does not throw them about.
    K_m of a batch, the KL between branch and fused prediction, is the term "divergence".

    Where modalities of a sample are missing, K_m is that of the samples that have modality m, and
    the weights of those present are scaled to the mean of all.

    Parameters
    ----------
    task : torch.nn.Module
        A task of :mod:`sklearn_omib.nn.losses`.
    n_modalities : int
    beta : float
        Per nat of KL, summed over dimensions. A buffer, so that networks side by side may differ.
    weighting : {"reference", "symmetric", "fixed"}
    branch_weight : float, default=1.0
    decay : float, default=0.99
        Of the moving average of K_m.
    stack : int or None, default=None
        Number of networks side by side.
    """

    beta: Tensor
    weights: Tensor
    divergence: Tensor

    def __init__(
        self,
        task: TaskLoss,
        n_modalities: int,
        beta: float,
        weighting: str,
        branch_weight: float = 1.0,
        decay: float = 0.99,
        stack: int | None = None,
    ) -> None:
        super().__init__(task, branch_weight=branch_weight)
        self.register_buffer("beta", constant(min(beta, LARGEST), (), stack))
        self.weighting = weighting
        self.decay = decay
        self.register_buffer("weights", constant(1.0, (n_modalities,), stack))
        self.register_buffer("divergence", constant(torch.nan, (n_modalities,), stack))

    def _add_penalties(
        self, terms: ObjectiveTerms, output: NetworkOutput | OneClassOutput, weight: Tensor
    ) -> None:
        kl = self._penalties(output)["kl"]
        weighted = _mean(kl, weight)
        terms["kl"] = _among_present(weighted, output.present)
        if output.present is not None:
            weighted = _mean(kl * _evened(self.weights.unsqueeze(-2), output.present), weight)
        terms["loss"] = terms.loss + self.beta * (self.weights * weighted).sum(-1)

    def _add_branches(
        self,
        terms: ObjectiveTerms,
        predictions: Tensor,
        branch: Tensor,
        weight: Tensor,
        present: Tensor | None,
    ) -> None:
        super()._add_branches(terms, predictions, branch, weight, present)
        with torch.no_grad():
            apart = self.task.divergence(predictions[..., :-1, :, :], predictions[..., -1:, :, :])
            share = weight_of_each(weight, present, apart.shape[-2])
            terms["divergence"] = _among_present((share * apart).mean(-1), present)

    @torch.no_grad()
    def update(
        self,
        output: NetworkOutput | OneClassOutput,
        y: Tensor,
        weight: Tensor,
        terms: Mapping[str, Tensor],
    ) -> None:
        """Move the averages (K_m, residual variance) after a training batch.

        A K_m that is not finite, or of a modality that is missing, leaves its average as it was.
        """
        super().update(output, y, weight, terms)
        divergence = terms["divergence"]
        if output.present is not None:
            divergence = divergence.where(output.present.any(-2), torch.nan)
        started = self.divergence.isfinite()
        moved = torch.where(started, self.divergence.lerp(divergence, 1 - self.decay), divergence)
        self.divergence = torch.where(divergence.isfinite(), moved, self.divergence)

    @torch.no_grad()
    def reweight(self) -> None:
        """Set the weights from the averaged divergences; before the first batch they stay 1."""
        weights = dynamic_weights(self.divergence, self.weighting)
        self.weights = torch.where(weights.isfinite(), weights, self.weights)


def _evened(weights: Tensor, present: Tensor) -> Tensor:
    """What brings the mean weight of the modalities present to that of all: (batch, 1)."""
    of_all = weights.mean(-1, keepdim=True) * present.sum(-1, keepdim=True)
    of_present = (weights * present).sum(-1, keepdim=True)
    return torch.where(of_present > 0, of_all / of_present.clamp_min(WEIGHT_RANGE[0]), 1.0)
