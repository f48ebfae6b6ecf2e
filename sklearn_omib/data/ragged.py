"""Sequences of different length in one block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from .._typing import Array
from .spill import stacked

STEPS_AT_ONCE = 2**18


class Ragged:
    """Sequences of different length, one after the other in one array.

    Sequence i is ``values[start[i] : start[i] + lengths[i]]``; one of length 0 is missing. Rows
    are taken without copying values.

    Parameters
    ----------
    values : ndarray of shape (n_steps, n_channels)
        Of any type of numbers, float16 for what is large; memory maps stay where they are.
    start, lengths : ndarray of int of shape (n_samples,)
    longest : int, default=None
        Of the sequences this block was cut from, which stays the shape of a sample.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.data.ragged import Ragged
    >>> block = Ragged.of([np.zeros((3, 2)), np.ones((1, 2))])
    >>> block.shape
    (2, 3, 2)
    >>> block[1:].lengths
    array([1])
    """

    ndim = 3

    def __init__(
        self, values: Array, start: Array, lengths: Array, longest: int | None = None
    ) -> None:
        self.values, self.start, self.lengths = values, start, lengths
        self.longest = int(lengths.max(initial=1)) if longest is None else longest

    @classmethod
    def of(cls, sequences: Iterable[Array]) -> Ragged:
        """Sequences of shape (time, channels), or (0, channels) where they are missing."""
        found: list[int] = []

        def counted() -> Iterator[Array]:
            for part in sequences:
                found.append(len(part))
                yield part

        values = stacked(counted())
        lengths = np.array(found, dtype=np.int64)
        return cls(values, np.cumsum(lengths) - lengths, lengths)

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.start), self.longest, self.values.shape[1]

    @property
    def dtype(self) -> Any:
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.start.nbytes + self.lengths.nbytes

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: Any) -> Ragged:
        return Ragged(self.values, self.start[rows], self.lengths[rows], self.longest)

    def sequence(self, i: int) -> Array:
        """One sequence, (time, channels)."""
        return self.values[self.start[i] : self.start[i] + self.lengths[i]]

    def means(self) -> Array:
        """Mean over the steps of each sequence, NaN of one that is missing: float32."""
        means = np.full((len(self), self.values.shape[1]), np.nan, np.float32)
        for i in np.flatnonzero(self.lengths).tolist():
            means[i] = self.sequence(i).mean(0, dtype=np.float32)
        return means

    def mapped(self, function: Callable[[Array], Array]) -> Ragged:
        """The same sequences of other values, one row for each step."""
        own = self.compact()
        some = range(0, max(len(own.values), 1), STEPS_AT_ONCE)
        values = stacked(function(own.values[i : i + STEPS_AT_ONCE]) for i in some)
        return Ragged(values, own.start, own.lengths, self.longest)

    def compact(self) -> Ragged:
        """The same sequences without values that belong to none of them."""
        if self.lengths.sum() >= len(self.values):
            return self
        start = np.cumsum(self.lengths) - self.lengths
        values = stacked(chain([self.values[:0]], map(self.sequence, range(len(self)))))
        return Ragged(values, start, self.lengths, self.longest)


def joined(blocks: Sequence[Ragged]) -> Ragged:
    """Blocks below each other."""
    parts = [block.compact() for block in blocks]
    lengths = np.concatenate([part.lengths for part in parts])
    before = np.cumsum([0, *(len(part.values) for part in parts[:-1])])
    start = np.concatenate([part.start + n for part, n in zip(parts, before, strict=True)])
    values = stacked(part.values for part in parts)
    return Ragged(values, start, lengths, max(part.longest for part in parts))
