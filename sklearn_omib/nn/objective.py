"""The objective of each phase and the dynamic weights (eq. 4, 10, 11 and 67; Alg. 1 and 2)."""

from typing import NamedTuple

import torch
from torch import nn

from .bottleneck import gaussian_kl

DIVERGENCE_EPS = 1e-6  # nats: two modalities below it are equal
WEIGHT_RANGE = (0.01, 1.99)


class ObjectiveTerms(NamedTuple):
    """Batch means of the parts of the objective, in nats.

    Stacked networks put their own dimension before the shapes given here.

    Attributes
    ----------
    loss : Tensor of shape ()
        What is minimised: task + variance + beta * sum_m w_m kl_m + trb_weight * sum_m branch_m.
    task : Tensor of shape ()
        Task loss of the fused prediction; NaN in the warm-up, which has none.
    variance : Tensor of shape ()
        What a predicted variance adds to the task loss; 0 without a variance head.
    branch : Tensor of shape (n_modalities,)
        Task loss of each branch, L_TRBm.
    kl : Tensor of shape (n_modalities,)
        KL of each code from N(0, I); NaN in the warm-up.
    divergence : Tensor of shape (n_modalities,)
        K_m: KL between branch and fused prediction; NaN in the warm-up.
    """

    loss: torch.Tensor
    task: torch.Tensor
    variance: torch.Tensor
    branch: torch.Tensor
    kl: torch.Tensor
    divergence: torch.Tensor

    def flat(self):
        """All terms end to end without gradient, of shape (3 + 3 n_modalities,)."""
        loss, task, variance, *by_modality = self
        return torch.cat([torch.stack([loss, task, variance], -1), *by_modality], -1).detach()


def dynamic_weights(divergence, weighting):
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


class OMIBObjective(nn.Module):
    """L = L_OMF + trb_weight * sum_m L_TRBm, L_OMF = task + beta * sum_m w_m KL_m (eq. 10, Alg. 2).

    PAPER-DIFF: the K_m behind the weights are a moving average over batches; a single batch's
    ratio is mostly noise. The weights never carry gradient, or the loss could fall by changing
    the ratio of the K_m instead of the KL. They are set once per epoch, and kept within
    [.01, 1.99], so that a head that fits its training labels (K to 0) does not throw them about.

    Parameters
    ----------
    task : torch.nn.Module
        A task of :mod:`sklearn_omib.nn.tasks`.
    n_modalities : int
    beta : float or Tensor of shape (n_networks,)
        Per nat of KL, summed over dimensions.
    weighting : {"reference", "symmetric", "fixed"}
    trb_weight : float, default=1.0
    decay : float, default=0.99
        Of the moving average of K_m.
    """

    # names of the last terms in a history
    by_modality: tuple[str, ...] = ("branch_loss", "kl", "divergence")
    weights: torch.Tensor
    divergence: torch.Tensor

    def __init__(self, task, n_modalities, beta, weighting, trb_weight=1.0, decay=0.99):
        super().__init__()
        self.task = task
        self.beta = beta
        self.weighting = weighting
        self.trb_weight = trb_weight
        self.decay = decay
        self.register_buffer("weights", torch.ones(n_modalities))
        self.register_buffer("divergence", torch.full((n_modalities,), torch.nan))

    def warm_up(self, branches, y, weight):
        """sum_m L_TRBm of the branches' predictions (Alg. 1).

        Parameters
        ----------
        branches : tuple of n_modalities Tensors of shape (batch, n_outputs)
        y : Tensor of shape (batch,) or (batch, n_outputs)
        weight : Tensor of shape (batch,)
            Sample weights of mean 1.

        Returns
        -------
        ObjectiveTerms
        """
        branch = self._task_losses(torch.stack(branches, -3), y, weight)
        undefined = torch.full_like(branch, torch.nan)
        nothing = undefined[..., 0]
        return ObjectiveTerms(branch.sum(-1), nothing, nothing, branch, undefined, undefined)

    def forward(self, output, y, weight):
        """Objective of the main phase.

        Parameters
        ----------
        output : OMIBOutput
        y : Tensor of shape (batch,) or (batch, n_outputs)
        weight : Tensor of shape (batch,)

        Returns
        -------
        ObjectiveTerms
        """
        predictions = torch.stack([*output.branches, output.prediction], -3)
        losses = self._task_losses(predictions, y, weight)
        branch, task = losses[..., :-1], losses[..., -1]
        kl = (weight.unsqueeze(-1) * gaussian_kl(output.mu, output.sigma)).mean(-2)
        variance = torch.zeros_like(task)
        if output.log_variance is not None:
            added = self.task.variance_loss(output.prediction, output.log_variance, y)
            variance = (weight * added).mean(-1)
        penalty = self.beta * (self.weights * kl).sum(-1)
        loss = task + variance + penalty + self.trb_weight * branch.sum(-1)
        with torch.no_grad():
            apart = self.task.divergence(predictions[..., :-1, :, :], predictions[..., -1:, :, :])
            divergence = (weight.unsqueeze(-2) * apart).mean(-1)
        return ObjectiveTerms(loss, task, variance, branch, kl, divergence)

    def _task_losses(self, predictions, y, weight):
        """Mean loss of each of several predictions, (..., n_predictions, batch, n_outputs)."""
        y = y.unsqueeze(weight.ndim - 1)
        return (weight.unsqueeze(-2) * self.task(predictions, y)).mean(-1)

    @torch.no_grad()
    def update(self, output, y, weight, divergence):
        """Move the averages (K_m, residual variance) after a training batch.

        A K_m that is not finite leaves its average as it was.
        """
        started = self.divergence.isfinite()
        moved = torch.where(started, self.divergence.lerp(divergence, 1 - self.decay), divergence)
        self.divergence = torch.where(divergence.isfinite(), moved, self.divergence)
        if hasattr(self.task, "update"):
            self.task.update(output.prediction, y, weight)

    @torch.no_grad()
    def reweight(self):
        """Set the weights from the averaged divergences; before the first batch they stay 1."""
        weights = dynamic_weights(self.divergence, self.weighting)
        self.weights = torch.where(weights.isfinite(), weights, self.weights)
