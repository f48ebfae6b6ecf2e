"""Data as tensors, in whole batches, one for each of several networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from .._typing import Array, Block
from ..nn import SparseBatch
from ..nn.encoders import Inputs

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
    blocks : dict of str to (Tensor or CSR matrix), float32
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
        blocks : dict of str to (ndarray or CSR matrix), float32
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
            {
                name: block if sparse.issparse(block) else _tensor(block, device)
                for name, block in blocks.items()
            },
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
        inputs = {
            name: _sparse_batches(block, stored) if sparse.issparse(block) else _at(block, stored)
            for name, block in self.blocks.items()
        }
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
        if generator is not None:
            rows = rows[torch.randperm(len(rows), generator=generator).to(self.device)]
        for start, stop in pairwise(batch_edges(len(rows), batch_size, self.unit)):
            if share is not None:
                start, stop = share(start, stop)
            yield whole_units(rows[start:stop], self.unit)

    def batches(
        self, batch_size: int, generator: torch.Generator | None = None, share: Share | None = None
    ) -> Iterator[Batch]:
        """Yield inputs, target and weights of the batches of :meth:`orders`."""
        return map(self.gather, self.orders(batch_size, generator, share))


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
