"""Data as tensors, in whole batches, one for each of several networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from .._typing import Array, Block
from ..nn import SparseBatch
from ..nn.encoders import Inputs, SequenceBatch
from .ragged import Ragged

if TYPE_CHECKING:
    from .streams import StreamData

Batch: TypeAlias = tuple[Inputs, Tensor | None, Tensor]  # inputs, target, weights
Share: TypeAlias = Callable[[int, int], tuple[int, int]]  # of the rows from start to stop

PREDICT_BATCH = 4096  # rows per batch where no gradient is kept
CACHE_ROWS = 2560  # of all networks together, whose intermediate values a CPU's caches hold
# Sums and functions of a few rows at a batch's end round in another way than those of many. Batches
# of a multiple of so many rows make the prediction of a sample the same, to the last bit, whatever
# it is predicted with.
ROWS_IN_STEP = 16
BUCKET = 64  # batches whose rows are sorted by length together


def batch_edges(n_samples: int, batch_size: int, unit: int = 1) -> list[int]:
    """Where batches begin whose sizes differ by at most one unit of rows, and the end."""
    n_units = -(-n_samples // unit)
    n_batches = -(-n_units // max(batch_size // unit, 1))
    return [min(n_units * i // n_batches * unit, n_samples) for i in range(n_batches + 1)]


def whole_units(rows: Tensor, unit: int) -> Tensor:
    """Rows, the last as often as makes whole units."""
    missing = -len(rows) % unit
    return torch.cat([rows, rows[-1:].expand(missing)]) if missing else rows


class TensorData:
    """Modalities, target and weights of some rows as tensors that give whole batches.

    Parameters
    ----------
    blocks : dict of str to (Tensor, CSR matrix or Sequences)
        Tensors and sequences of any type of numbers, which batches have as float32.
    y : Tensor or None
    weight : Tensor of shape (n_stored,)
    rows : Tensor of shape (n_samples,), int64
        Which of the rows stored are meant, in which order: several networks train on rows of
        their own of the same tensors.
    scale : float, default=1.0
        Of the weights.
    """

    unit = 1  # of the sizes of batches

    def __init__(
        self,
        blocks: Mapping[str, Any],
        y: Tensor | None,
        weight: Tensor,
        rows: Tensor,
        scale: float = 1.0,
    ) -> None:
        self.blocks, self.y, self.weight, self.rows = blocks, y, weight, rows
        self.device, self.scale = weight.device, scale

    @classmethod
    def of(
        cls,
        blocks: Mapping[str, Block],
        y: Array | None,
        weight: Array | None,
        device: torch.device,
        scale: float = 1.0,
    ) -> TensorData:
        """All rows of arrays.

        Parameters
        ----------
        blocks : dict of str to (ndarray, CSR matrix or Ragged)
        y : ndarray or None
        weight : ndarray of shape (n_samples,) or None
            None weighs all samples 1.
        device : torch.device
            Where dense blocks live; sparse ones stay on the CPU and move batch by batch.
        scale : float, default=1.0
            Of the weights.
        """
        n_samples = next(iter(blocks.values())).shape[0]
        weight = np.ones(n_samples) if weight is None else weight
        return cls(
            {name: _stored(block, device) for name, block in blocks.items()},
            None if y is None else _tensor(y, device),
            _tensor(np.asarray(weight, dtype=np.float32), device),
            torch.arange(n_samples, device=device),
            scale,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, rows: Array | Tensor, unit: float | None = None) -> TensorData:
        """Some of the rows of the same tensors.

        Parameters
        ----------
        rows : array of int
        unit : float, default=None
            The weight that counts as 1. None is the mean of these rows: losses of training, of
            validation and of a constant can only be compared when each is a mean.
        """
        stored = self.rows[torch.as_tensor(rows, device=self.device)]
        unit = (float(self.weight[stored].mean()) or 1.0) if unit is None else unit
        return TensorData(self.blocks, self.y, self.weight, stored, 1 / unit)

    def take(self, rows: Tensor | slice) -> Batch:
        """Inputs, target and weights of some rows."""
        return self.gather(self.rows[rows])

    def gather(self, stored: Tensor) -> Batch:
        """Inputs, target and weights of stored rows, an index tensor of one dimension or two.

        With two, (n_networks, batch), tensors are (n_networks, batch, ...), and a sparse block is
        a list of batches.
        """
        inputs = {name: _batch_of(block, stored) for name, block in self.blocks.items()}
        weight = self.scale * _at(self.weight, stored)
        return inputs, None if self.y is None else _at(self.y, stored), weight

    def orders(
        self, batch_size: int, generator: torch.Generator | None = None, share: Share | None = None
    ) -> Iterator[Tensor]:
        """Yield the stored rows of batches whose sizes differ by at most one row, or one unit.

        Parameters
        ----------
        batch_size : int
            The largest size.
        generator : torch.Generator, default=None
            Shuffles the rows; None keeps their order.
        share : callable, default=None
            Turns ``(start, stop)`` of a batch into the part of it that is wanted.
        """
        rows = self.rows
        edges = list(pairwise(batch_edges(len(rows), batch_size, self.unit)))
        if generator is not None:
            rows = rows[torch.randperm(len(rows), generator=generator).to(self.device)]
            if (lengths := self.lengths) is not None:
                rows = in_buckets(rows, lengths[rows], batch_size)
                edges = _shuffled(edges, generator)
        for start, stop in edges:
            if share is not None:
                start, stop = share(start, stop)
            yield whole_units(rows[start:stop], self.unit)

    @property
    def lengths(self) -> Tensor | None:
        """How long the longest sequence of each stored row is; None where there are none."""
        lengths = [block.lengths for block in self.blocks.values() if isinstance(block, Sequences)]
        return torch.stack(lengths).amax(0) if lengths else None

    def batches(
        self, batch_size: int, generator: torch.Generator | None = None, share: Share | None = None
    ) -> Iterator[Batch]:
        """Yield inputs, target and weights of the batches of :meth:`orders`."""
        return map(self.gather, self.orders(batch_size, generator, share))


class Sequences(NamedTuple):
    """A :class:`Ragged` as tensors: values (n_steps, n_channels), start and lengths (n_stored,)."""

    values: Tensor
    start: Tensor
    lengths: Tensor

    def batch(self, rows: Tensor) -> SequenceBatch:
        """Some of the sequences, filled up to the longest of them."""
        lengths = self.lengths[rows]
        time = torch.arange(max(int(lengths.max()), 1), device=lengths.device)
        is_step = time < lengths.unsqueeze(-1)
        place = (self.start[rows].unsqueeze(-1) + time).clamp_max(len(self.values) - 1)
        values = self.values.index_select(0, place.flatten()).float().unflatten(0, place.shape)
        return SequenceBatch(values * is_step.unsqueeze(-1), is_step | (time == 0))


def in_buckets(rows: Tensor, lengths: Tensor, batch_size: int) -> Tensor:
    """Shuffled rows, brought together with others of about their length.

    Of BUCKET batches at a time the rows are sorted, so that little is filled up and batches still
    differ from epoch to epoch.
    """
    size = BUCKET * batch_size
    buckets = zip(rows.split(size), lengths.split(size), strict=True)
    return torch.cat([own[length.argsort(stable=True)] for own, length in buckets])


def _shuffled(edges: list[tuple[int, int]], generator: torch.Generator) -> list[tuple[int, int]]:
    """Batches in random order, sizes where they were: those of other networks come beside them."""
    by_size: dict[int, list[tuple[int, int]]] = {}
    for i in torch.randperm(len(edges), generator=generator).tolist():
        start, stop = edges[i]
        by_size.setdefault(stop - start, []).append(edges[i])
    return [by_size[stop - start].pop() for start, stop in edges]


def _stored(block: Block, device: torch.device) -> Any:
    if sparse.issparse(block):
        return block
    if isinstance(block, Ragged):
        values = block.values if len(block.values) else np.zeros((1, block.shape[2]), np.float32)
        parts = (values, block.start, block.lengths)
        return Sequences(*(_tensor(part, device) for part in parts))
    return _tensor(block, device)


def _batch_of(block: Any, rows: Tensor) -> Any:
    if sparse.issparse(block):
        return _sparse_batches(block, rows)
    if isinstance(block, Sequences):
        return [block.batch(own) for own in rows] if rows.ndim > 1 else block.batch(rows)
    taken = _at(block, rows)
    return taken if taken.dtype == torch.float32 else taken.float()


def _tensor(array: Array, device: torch.device) -> Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)


def _at(tensor: Tensor, rows: Tensor) -> Tensor:
    taken = tensor.index_select(0, rows.flatten())
    return taken.unflatten(0, rows.shape) if rows.ndim > 1 else taken


def _sparse_batches(block: Block, rows: Tensor) -> SparseBatch | list[Any]:
    if rows.ndim > 1:
        return [_sparse_batches(block, own) for own in rows]
    part = block[rows.cpu().numpy()]
    return SparseBatch(
        torch.from_numpy(part.indices.astype(np.int64)).to(rows.device),
        torch.from_numpy(part.indptr[:-1].astype(np.int64)).to(rows.device),
        torch.from_numpy(part.data).to(rows.device),
    )


class Group(Protocol):
    """What is used of the processes that share a fit."""

    size: int

    def share(self, start: int, stop: int) -> tuple[int, int]: ...


class Batches:
    """Batches for networks side by side; each pass over it is one over the data.

    Tensors are (n_networks, batch, ...), sparse blocks lists of n_networks batches. The processes
    of a group pass over the data together: a batch holds ``batch_size`` rows of each.

    Parameters
    ----------
    parts : list of TensorData or StreamData
        Of as many rows each.
    index : list of int
        The part of each network.
    batch_size : int
    generators : list of torch.Generator, default=None
        Shuffle the rows of each part; None keeps their order.
    group : ProcessGroup, default=None
    """

    def __init__(
        self,
        parts: Sequence[TensorData | StreamData],
        index: Sequence[int],
        batch_size: int,
        generators: Sequence[torch.Generator] | None = None,
        group: Group | None = None,
    ) -> None:
        self.parts, self.index, self.generators = parts, index, generators
        self.batch_size = batch_size if group is None else batch_size * group.size
        self.share = None if group is None else group.share

    @property
    def n_rows(self) -> int:
        """Rows of one part."""
        return len(self.parts[0])

    def _each(self, method: str) -> Iterator[tuple[Any, ...]]:
        generators: Sequence[torch.Generator | None] = self.generators or [None] * len(self.parts)
        return zip(
            *(
                getattr(part, method)(self.batch_size, generator, self.share)
                for part, generator in zip(self.parts, generators, strict=True)
            ),
            strict=True,
        )

    def __iter__(self) -> Iterator[Batch]:
        first = self.parts[0]
        if len(self.parts) == 1:
            for (batch,) in self._each("batches"):
                yield tuple(_expand(part, len(self.index)) for part in batch)
        elif isinstance(first, TensorData) and all(
            isinstance(part, TensorData) and part.blocks is first.blocks for part in self.parts
        ):
            scale = torch.tensor([self.parts[i].scale / first.scale for i in self.index])
            scale = scale.unsqueeze(1).to(first.device)
            for orders in self._each("orders"):
                inputs, y, weight = first.gather(torch.stack([orders[i] for i in self.index]))
                yield inputs, y, scale * weight
        else:
            for batches in self._each("batches"):
                yield tuple(self._spread(parts) for parts in zip(*batches, strict=True))

    def _spread(self, parts: Sequence[Any]) -> Any:
        """Of one batch per part, that of each network."""
        if isinstance(parts[0], dict):
            return {name: self._spread([part[name] for part in parts]) for name in parts[0]}
        spread = [parts[i] for i in self.index]
        return torch.stack(spread) if torch.is_tensor(spread[0]) else spread


def _expand(part: Any, n_networks: int) -> Any:
    """One batch for all networks."""
    if isinstance(part, dict):
        return {name: _expand(block, n_networks) for name, block in part.items()}
    if torch.is_tensor(part):
        return part.expand(n_networks, *part.shape)
    return None if part is None else [part] * n_networks
