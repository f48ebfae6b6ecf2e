"""Sequences of different length."""

from __future__ import annotations

import numpy as np

from .._typing import Block
from ..data.ragged import Ragged
from ._base import Encoder, NotReadError


class SequenceEncoder(Encoder):
    """Sequences of numbers, each of its own length, for a convolution or a recurrent network.

    They are filled up batch by batch, and what fills them up is left out of every step.

    Parameters
    ----------
    network : {"conv1d", "gru"}, default="conv1d"
        That is trained on them.

    Attributes
    ----------
    n_channels_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.encoders import SequenceEncoder
    >>> encoder = SequenceEncoder()
    >>> encoder.fit_transform([np.zeros((5, 2)), np.ones((3, 2)), None]).lengths
    array([5, 3, 0])
    """

    reads = ("sequence",)

    def __init__(self, network: str = "conv1d") -> None:
        self.network = network

    def _read(self, items: Block) -> Ragged:
        sequences = []
        for place, item in enumerate(items):
            try:
                sequences.append(_as_steps(item))
            except ValueError as error:
                raise NotReadError(place, error) from error
        widths = sorted({part.shape[1] for part in sequences})
        if len(widths) > 1:
            raise ValueError(f"has sequences of {widths} channels; they must have as many each.")
        return Ragged.of(sequences)

    def _learn(self, features: Block, y: object = None) -> None:
        self.n_channels_ = features.shape[2]

    def _convert(self, features: Block) -> Block:
        if features.shape[2] != self.n_channels_:
            raise ValueError(
                f"has sequences of {features.shape[2]} channels, and was fitted on "
                f"{self.n_channels_}."
            )
        return features

    def module(self, shape: tuple[int, ...], hidden_dim: int) -> str:
        return self.network


def _as_steps(item: object) -> np.ndarray:
    """A sequence as (time, channels), float32."""
    try:
        with np.errstate(over="ignore"):
            steps = np.asarray(item, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"is a sequence that is no numbers: {error}") from None
    if np.isinf(steps).any():
        raise ValueError("is a sequence with a value that is infinite, or too large for float32.")
    if steps.ndim == 1:
        steps = steps[:, None]
    if steps.ndim != 2:
        raise ValueError(
            f"is a sequence of shape {steps.shape}; steps come first, (time, channels). Pictures "
            "are read by an ImageEncoder, encoders={name: ImageEncoder()}."
        )
    return steps
