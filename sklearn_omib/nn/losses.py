"""Task losses in nats, and the divergence between a branch's prediction and the fused one.

A task is what the objective needs to know of the target: how far a prediction is from it, and how
far two predictions are apart. Both return one value per sample, so that weights can be applied.
``prior_loss`` is the mean loss of the best constant prediction: what there is to be learned.
Predictions may have leading dimensions: several predictions of one target, or stacked networks.
"""

from collections.abc import Callable
from math import log, pi

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import constant

MIN_VARIANCE = 1e-4  # of a standardised target: R2 above .9999 is treated as this


class TaskLoss(nn.Module):
    """What objectives ask of a task, beside the loss of each sample that calling it returns."""

    # of tasks alone that predict a variance, and that keep averages
    variance_loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    update: Callable[[Tensor, Tensor, Tensor], None]

    def divergence(self, branch: Tensor, fused: Tensor) -> Tensor:
        """How far the fused prediction is from the branch's, per sample."""
        raise NotImplementedError

    def total_loss(self, output: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Sum of the losses of samples, (...,), where a variance is the one that fits them."""
        return (weight * self(output, y)).sum(-1)

    def prior_loss(self, y: Tensor, weight: Tensor) -> Tensor:
        """Mean loss of the best constant prediction, by weights of any scale."""
        raise NotImplementedError


class CategoricalTask(TaskLoss):
    """Cross-entropy of class scores; K = KL(p_m || p) = sum_c p_mc (ln p_mc - ln p_c)."""

    def forward(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each sample.

        Parameters
        ----------
        output : Tensor of shape (..., batch, n_classes)
            Scores before the softmax.
        y : Tensor of shape (..., batch), int64

        Returns
        -------
        Tensor of shape (..., batch)
        """
        y = y.expand(output.shape[:-1]).unsqueeze(-1)
        return -output.log_softmax(-1).gather(-1, y).squeeze(-1)

    def divergence(self, branch: Tensor, fused: Tensor) -> Tensor:
        """KL of the fused prediction from the branch's, per sample."""
        log_p, log_q = branch.log_softmax(-1), fused.log_softmax(-1)
        return (log_p.exp() * (log_p - log_q)).sum(-1)

    def prior_loss(self, y: Tensor, weight: Tensor) -> Tensor:
        """H(y): y and weight of shape (n_samples,)."""
        return torch.special.entr(torch.bincount(y, weight) / weight.sum()).sum()


class BernoulliTask(TaskLoss):
    """Sum over labels of the binary cross-entropy; K sums the Bernoulli KL over labels."""

    def forward(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each sample; output and y have shape (..., batch, n_labels)."""
        y = y.expand_as(output)
        return F.binary_cross_entropy_with_logits(output, y, reduction="none").sum(-1)

    def divergence(self, branch: Tensor, fused: Tensor) -> Tensor:
        """KL of the fused prediction from the branch's, per sample."""
        p = branch.sigmoid()
        on = F.logsigmoid(branch) - F.logsigmoid(fused)
        off = F.logsigmoid(-branch) - F.logsigmoid(-fused)
        return (p * on + (1 - p) * off).sum(-1)

    def prior_loss(self, y: Tensor, weight: Tensor) -> Tensor:
        """Sum of the entropies of the labels; y of shape (n_samples, n_labels)."""
        p = (weight.unsqueeze(-1) * y).sum(0) / weight.sum()
        p = p.clamp(max=1)  # a sum may round to more
        return (torch.special.entr(p) + torch.special.entr(1 - p)).sum()


class GaussianTask(TaskLoss):
    """-ln N(y; yhat, s^2) summed over outputs; K = sum_o (yhat_mo - yhat_o)^2 / (2 s_o^2).

    PAPER-DIFF: the paper minimises the squared error. With s^2 the residual variance (a moving
    average without gradient) the loss is in nats and beta keeps its meaning whatever the units of
    y: minimising MSE + b KL is minimising NLL + beta KL with b = 2 s^2 beta.

    Parameters
    ----------
    n_outputs : int
    decay : float
        Of the moving average of s^2.
    stack : int or None, default=None
        Number of networks side by side.
    """

    variance: Tensor

    def __init__(self, n_outputs: int, decay: float = 0.95, stack: int | None = None) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("variance", constant(1.0, (n_outputs,), stack))

    def forward(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each sample; output and y have shape (..., batch, n_outputs)."""
        s2 = self._variance_for(output)
        return 0.5 * ((y - output).square() / s2 + s2.log() + log(2 * pi)).sum(-1)

    def divergence(self, branch: Tensor, fused: Tensor) -> Tensor:
        """KL between Gaussians of equal variance around the two predictions, per sample."""
        return ((branch - fused).square() / (2 * self._variance_for(branch))).sum(-1)

    def total_loss(self, output: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        n_samples = weight.sum(-1, keepdim=True)
        squared = (weight.unsqueeze(-1) * (y - output).square()).sum(-2)
        tiny = torch.finfo(weight.dtype).tiny
        s2 = (squared / n_samples.clamp_min(tiny)).clamp_min(MIN_VARIANCE)
        return (n_samples / 2 * (s2.log() + 1 + log(2 * pi))).sum(-1)

    def prior_loss(self, y: Tensor, weight: Tensor) -> Tensor:
        """Sum over outputs of 1/2 (ln var + 1 + ln 2 pi); y of shape (n_samples, n_outputs).

        Of a constant output, 1/2 ln 2 pi: its residual variance stays 1.
        """
        weight = weight.unsqueeze(-1) / weight.mean()
        variance = (weight * (y - (weight * y).mean(0)).square()).mean(0)
        varies = variance > 0
        variance = torch.where(varies, variance.clamp_min(MIN_VARIANCE), 1.0)
        return 0.5 * (variance.log() + varies + log(2 * pi)).sum()

    def _variance_for(self, output: Tensor) -> Tensor:
        """The variances of stacked networks, of shape (n_networks, n_outputs), lined up."""
        *stacked, n_outputs = self.variance.shape
        between = output.ndim - self.variance.ndim
        return self.variance.view(*stacked, *[1] * between, n_outputs)

    @torch.no_grad()
    def update(self, output: Tensor, y: Tensor, weight: Tensor) -> None:
        """Move s^2 towards the weighted mean squared residual of a batch.

        That of an output whose target is 0 throughout stays as it is: it would fall until what is
        left of the noise in a constant outweighed all other outputs.
        """
        residual = (weight.unsqueeze(-1) * (y - output).square()).sum(-2)
        tiny = torch.finfo(weight.dtype).tiny
        residual = residual / weight.sum(-1, keepdim=True).clamp_min(tiny)
        # a new tensor: the loss of this batch still needs the old one for its gradient
        moved = self.variance.lerp(residual, 1 - self.decay).clamp_min(MIN_VARIANCE)
        self.variance = torch.where((y != 0).any(-2), moved, self.variance)

    def variance_loss(self, output: Tensor, log_variance: Tensor, y: Tensor) -> Tensor:
        """-ln N(y; yhat, s^2 exp(log_variance)) per sample, up to terms without log_variance.

        yhat carries no gradient here, or samples that are hard to predict would be given up.
        """
        squared = (y - output.detach()).square() / self._variance_for(output)
        return 0.5 * (squared * (-log_variance).exp() + log_variance).sum(-1)
