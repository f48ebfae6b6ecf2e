"""Layers on sequences filled up with zeros: what is behind the end of one changes nothing.

A mask is (batch, time), bool: True where there is a step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def over(mask: Tensor, like: Tensor) -> Tensor:
    """A mask of the dimensions of a tensor (batch, channels, time, ...)."""
    return mask.view(len(mask), 1, -1, *[1] * (like.ndim - 3))


def kept(h: Tensor, mask: Tensor | None) -> Tensor:
    """(batch, channels, time, ...) with zeros where there is no step."""
    return h if mask is None else h.masked_fill(~over(mask, h), 0)


def group_norm(norm: nn.GroupNorm, h: Tensor, mask: Tensor | None) -> Tensor:
    """A GroupNorm of one group, by the mean and variance of the steps that are there."""
    if mask is None:
        return norm(h)
    dims = tuple(range(1, h.ndim))
    there = over(mask, h)
    count = mask.sum(1).clamp(min=1) * (h[0, :, 0].numel())
    count = count.view(-1, *[1] * (h.ndim - 1))
    mean = kept(h, mask).sum(dims, keepdim=True) / count
    deviations = (h - mean) * there
    variance = deviations.square().sum(dims, keepdim=True) / count
    scaled = deviations * (variance + norm.eps).rsqrt()
    weight, bias = (p.view(-1, *[1] * (h.ndim - 2)) for p in (norm.weight, norm.bias))
    return (scaled * weight + bias) * there


def mean(h: Tensor, mask: Tensor | None) -> Tensor:
    """Over time, of (batch, channels, time): (batch, channels)."""
    if mask is None:
        return h.flatten(2).mean(2)
    return kept(h, mask).sum(2) / mask.sum(1, keepdim=True).clamp(min=1)


def mean_and_maximum(h: Tensor, mask: Tensor | None) -> Tensor:
    """Over time, of (batch, channels, time): (batch, 2 * channels)."""
    if mask is None:
        return torch.cat([h.mean(2), h.amax(2)], 1)
    lowest = torch.finfo(h.dtype).min
    return torch.cat([mean(h, mask), h.masked_fill(~over(mask, h), lowest).amax(2)], 1)


def halved(mask: Tensor | None) -> Tensor | None:
    """The mask behind what makes one step of two, or of those around every other one."""
    return None if mask is None else mask[:, ::2]


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of (batch, channels, time, ...) by the steps that are there.

    What comes out behind the end of a sequence is of no use.
    """

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        count = h[0, 0, 0].numel() * int(len(h) * h.shape[2] if mask is None else mask.sum())
        # one value alone has no variance; what is known of those before is used, as afterwards
        learns = self.training and count > 1
        if learns and mask is not None:
            return self._by_steps(h, mask, count)
        return F.batch_norm(
            h, self.running_mean, self.running_var, self.weight, self.bias, learns,
            self.momentum or 0.0, self.eps,
        )  # fmt: skip

    def _by_steps(self, h: Tensor, mask: Tensor, count: int) -> Tensor:
        """By sums, to which zeros add nothing: to pick the steps would copy all of them twice."""
        dims, shape = (0, *range(2, h.ndim)), (-1, *[1] * (h.ndim - 2))
        exact = torch.promote_types(h.dtype, torch.float32)
        mean = kept(h, mask).sum(dims, dtype=exact) / count
        centred = kept(h - mean.view(shape).to(h.dtype), mask)
        variance = torch.linalg.vector_norm(centred, dim=dims, dtype=exact).square() / count
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum or 0.0)
        scale = (self.weight * (variance + self.eps).rsqrt()).view(shape).to(h.dtype)
        return torch.addcmul(self.bias.view(shape).to(h.dtype), centred, scale)


def each_length(mask: Tensor) -> Tensor:
    """Steps of each sequence, at least 1: (batch,), on the CPU."""
    return mask.sum(1).clamp(min=1).cpu()
