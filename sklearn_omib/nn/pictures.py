"""Networks on pictures and spectrograms, trained from nothing.

A spectrogram is a :class:`SequenceBatch` of (batch, time, bands), which is read as a picture of one
channel, (batch, 1, time, bands): whatever its length, it is the same as by itself.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import masking
from .encoders import SequenceBatch, opened
from .masking import BatchNorm
from .random import AnyGenerator, Dropout, uniform_like


class SpectrogramCNN(nn.Module):
    """Convolutions over time and frequency that keep the frequency until the end.

    Each of them halves both by its stride: nearly all of the time would go into the first ones
    otherwise. What is left of the frequencies is not averaged but laid side by side, as a band
    means something else than the one above it. Then follow the mean and the maximum over time, and
    a linear map.

    Parameters
    ----------
    input_shape : (time, bands)
    hidden_dim : int
        Width of the output.
    widths : tuple of int, default=(16, 32, 64)
        Channels of each convolution.
    dropout : float, default=0.5
        On the summary, ahead of the linear map.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        hidden_dim: int,
        widths: tuple[int, ...] = (16, 32, 64),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        sizes = [5, *[3] * (len(widths) - 1)]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, size, 2, size // 2, bias=False)
            for (a, b), size in zip(pairwise((1, *widths)), sizes, strict=True)
        )
        self.norms = nn.ModuleList(BatchNorm(width) for width in widths)
        bands = input_shape[1]
        for _ in widths:
            bands = (bands + 1) // 2
        self.over_time = nn.Conv1d(widths[-1] * bands, hidden_dim, 3, padding=1)
        self.out = nn.Sequential(Dropout(dropout), nn.Linear(2 * hidden_dim, hidden_dim))

    def forward(self, v: Tensor | SequenceBatch) -> Tensor:
        values, mask = opened(v)
        h = values[:, None]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            mask = masking.halved(mask)
            h = masking.kept(F.relu(norm(conv(h), mask)), mask)
        h = F.gelu(self.over_time(h.transpose(2, 3).flatten(1, 2)))
        return self.out(masking.mean_and_maximum(h, mask))


class Disturbed(nn.Module):
    """Spectrograms as they come; in training as others might have spoken or recorded them.

    Each by chance: bands are shifted up or down, as voices are higher or lower; what is quiet is
    raised to a floor, as of noise; and some neighbouring bands, and some neighbouring steps, are
    set to 0, as in SpecAugment (Park et al., Interspeech 2019). Bands have unit scale.
    """

    SHIFT, BANDS, STEPS = 0.05, 0.15, 0.2  # at most, as shares of the bands or steps
    FLOORS = -2.0, -0.3  # between which a floor is

    def __init__(self) -> None:
        super().__init__()
        self.generator: AnyGenerator = None

    def forward(self, v: Tensor | SequenceBatch) -> Tensor | SequenceBatch:
        if not self.training:
            return v
        values, mask = opened(v)
        values = self._disturbed(values, mask)
        return values if mask is None else SequenceBatch(values * mask[..., None], mask)

    def _disturbed(self, v: Tensor, mask: Tensor | None) -> Tensor:
        time, bands = (torch.arange(n, device=v.device, dtype=v.dtype) for n in v.shape[1:])
        draws = uniform_like(v.new_empty(6, len(v)), self.generator)[..., None]
        shift, floor, n_bands, first_band, n_steps, first_step = draws
        # a shifted band lies between two others
        source = (bands + self.SHIFT * len(bands) * (2 * shift - 1)).clamp(0, len(bands) - 1)
        share = (1 - (bands[:, None] - source[:, None]).abs()).clamp(min=0)
        share = share * ~_stretch(bands, len(bands), self.BANDS * n_bands, first_band)[:, None]
        lowest, highest = self.FLOORS
        v = torch.maximum(v, (lowest + (highest - lowest) * floor)[..., None])
        length = len(time) if mask is None else mask.sum(1, keepdim=True)
        return (v @ share) * ~_stretch(time, length, self.STEPS * n_steps, first_step)[..., None]


def _stretch(places: Tensor, length: Tensor | int, share: Tensor, first: Tensor) -> Tensor:
    """Which of the places lie in a stretch of so much of the length: (batch, places), bool."""
    start = first * (1 - share) * length
    return (places >= start) & (places < start + share * length)


class _Residual(nn.Module):
    """Two convolutions, and what they are added to."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.norm1 = BatchNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = BatchNorm(width)
        self.changes = stride > 1 or before != width
        if self.changes:
            self.shortcut = nn.Conv2d(before, width, 1, stride, bias=False)
            self.norm = BatchNorm(width)

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        step = masking.kept(F.relu(self.norm1(self.conv1(h), mask)), mask)
        step = self.norm2(self.conv2(step), mask)
        before = self.norm(self.shortcut(h), mask) if self.changes else h
        return masking.kept(F.relu(before + step), mask)


class ResNet18(nn.Module):
    """The residual network of 18 layers (He et al., CVPR 2016), for pictures or spectrograms.

    Parameters
    ----------
    input_shape : (channels, height, width) or (time, bands)
        Of three dimensions it reads pictures, of two spectrograms.
    hidden_dim : int
        Width of the output, a linear map of the mean over what is left of the picture.
    width : int, default=64
        Channels of the first stage; each further one doubles them.

    References
    ----------
    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
    """

    def __init__(self, input_shape: tuple[int, ...], hidden_dim: int, width: int = 64) -> None:
        super().__init__()
        self.is_sequence = len(input_shape) == 2
        self.stem = nn.Conv2d(1 if self.is_sequence else input_shape[0], width, 7, 2, 3, bias=False)
        self.norm = BatchNorm(width)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.blocks = nn.ModuleList()
        for stage, (before, after) in enumerate(pairwise(widths)):
            self.blocks.append(_Residual(before, after, 2 if stage else 1))
            self.blocks.append(_Residual(after, after, 1))
        self.out = nn.Linear(8 * width, hidden_dim)

    def forward(self, v: Tensor | SequenceBatch) -> Tensor:
        values, mask = opened(v)
        h = values[:, None] if self.is_sequence else values
        mask = masking.halved(mask)
        h = masking.kept(F.relu(self.norm(self.stem(h), mask)), mask)
        mask = masking.halved(mask)
        # of values that are not negative, so that zeros behind the end count as nothing does
        h = masking.kept(F.max_pool2d(h, 3, 2, 1), mask)
        for i, block in enumerate(self.blocks):
            mask = masking.halved(mask) if i in (2, 4, 6) else mask
            h = block(h, mask)
        return self.out(masking.mean(h.mean(3), mask))


class Pixels(nn.Module):
    """Pixels of 0 to 255 to numbers of about unit scale; in training turned over and shifted.

    Parameters
    ----------
    augment : bool, default=False
        Whether pictures of a batch are, each by chance, mirrored, and shifted by up to an eighth of
        their side.
    """

    def __init__(self, augment: bool = False) -> None:
        super().__init__()
        self.augment = augment
        self.generator: AnyGenerator = None

    def forward(self, v: Tensor) -> Tensor:
        v = (v.float() - 127.5) / 64
        return shifted(v, self.generator) if self.augment and self.training else v

    def extra_repr(self) -> str:
        return f"augment={self.augment}"


def shifted(v: Tensor, generator: AnyGenerator) -> Tensor:
    """Pictures (batch, channels, height, width), each mirrored or not, and shifted."""
    flip, down, right = uniform_like(v[:3, :, 0, 0].new_empty(3, len(v)), generator)
    turn = torch.zeros(len(v), 2, 3, dtype=v.dtype, device=v.device)
    turn[:, 0, 0] = torch.where(flip < 0.5, -1.0, 1.0)
    turn[:, 1, 1] = 1
    turn[:, 0, 2], turn[:, 1, 2] = (right - 0.5) / 2, (down - 0.5) / 2
    grid = F.affine_grid(turn, list(v.shape), align_corners=False)
    return F.grid_sample(v, grid, padding_mode="border", align_corners=False)
