"""Rows of a container larger than memory: a shuffle buffer, used as TensorData is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from tqdm.auto import tqdm

from .._typing import Array, Block
from . import lazy as stored
from .batches import ROWS_IN_STEP, Batch, Share, TensorData, batch_edges, whole_units
from .checks import check_block, read_block
from .container import ModalityDict
from .lazy import LazyBlock, LazyRows
from .ragged import Ragged, joined

Run: TypeAlias = tuple[int, int]  # start and stop of neighbouring rows

MAX_SAMPLE_ROWS = 20_000  # of which the bound on beta is estimated


def is_streamed(X: ModalityDict) -> bool:
    """Whether validation has left blocks lazy, because they do not fit into memory."""
    return any(isinstance(block, LazyBlock) for block in X.values())


def in_storage_order(X: ModalityDict, rows: Array) -> Array:
    """The positions given, sorted by where their rows are stored; unchanged without lazy blocks.

    Rows that a split has shuffled would else be read from everywhere for each chunk.
    """
    for block in X.values():
        if isinstance(block, LazyBlock):
            stored = block.rows[rows] if isinstance(block, LazyRows) else rows
            return rows[np.argsort(stored, kind="stable")]
    return rows


def weighted_rows(X: ModalityDict, weight: Array) -> Array:
    """Rows whose weight is not 0, in the order of storage."""
    return in_storage_order(X, np.flatnonzero(weight))


def buffer_rows(X: ModalityDict) -> int:
    """How many rows of the container fit a buffer."""
    return max(1, stored.BUFFER_BYTES // _row_bytes(X))


def _row_bytes(X: ModalityDict) -> int:
    """Memory of one row as float32, with its index where sparse."""
    return max(1, sum(
        8 * block.nnz // len(X) if sparse.issparse(block) else 4 * prod(block.shape[1:])
        for block in X.values()
    ))  # fmt: skip


def sample_rows(X: ModalityDict, random_state: np.random.RandomState) -> ModalityDict:
    """A random part of a streamed container, loaded; any other container as it is."""
    if not is_streamed(X):
        return X
    n_rows = min(len(X), buffer_rows(X), MAX_SAMPLE_ROWS)
    part = X[np.sort(random_state.choice(len(X), n_rows, replace=False))]
    return ModalityDict({
        name: block if isinstance(block, Ragged) else check_block(name, block, missing=True)
        for name, block in part.items()
    })  # fmt: skip


class StreamData:
    """Batches of a container with lazy blocks, with the interface of :class:`TensorData`.

    Rows are read in chunks of neighbours. In training the chunks come in random order, as many as
    fit fill a buffer, and its rows are shuffled: every row comes once per pass, mixed with those
    of some thirty chunks. A thread reads the next buffer while the last is used, so memory holds
    two of them.

    Parameters
    ----------
    X : ModalityDict
        Its rows in the order of storage.
    prepare : callable
        Turns a dict of arrays, some rows of each block, into one of float32 arrays or CSR
        matrices.
    y : ndarray or None
    weight : ndarray of shape (n_samples,) or None
    device : torch.device
    scale : float, default=1.0
        Of the weights.
    progress : bool, default=False
        Whether each pass shows a bar over the rows.
    """

    unit = 1  # of the sizes of batches

    def __init__(
        self,
        X: ModalityDict,
        prepare: Callable[[dict[str, Block]], dict[str, Block]],
        y: Array | None,
        weight: Array | None,
        device: torch.device,
        scale: float = 1.0,
        progress: bool = False,
    ) -> None:
        self.X, self.prepare, self.y, self.weight = X, prepare, y, weight
        self.device, self.scale, self.progress = device, scale, progress
        lazy = [block for block in X.values() if isinstance(block, LazyBlock)]
        n_rows = stored.rows_per_read(_row_bytes(X), max(block.stored_rows for block in lazy))
        self.chunks = list(pairwise(lazy[0].edges(n_rows).tolist()))

    def __len__(self) -> int:
        return len(self.X)

    def part(self, rows: Tensor) -> TensorData:
        """Some of the rows, an index tensor, as :class:`TensorData`; few enough for memory."""
        read = rows.cpu().numpy()
        y, weight = self._of(self.y, read), self._of(self.weight, read)
        return StreamData(self.X[read], self.prepare, y, weight, self.device, self.scale).load()

    def take(self, rows: Tensor) -> Batch:
        """Inputs, target and weights of some rows, an index tensor."""
        return self.part(rows).take(slice(None))

    def load(self) -> TensorData:
        """Return all rows as :class:`TensorData`."""
        return self._load(self.chunks)

    def batches(
        self, batch_size: int, generator: torch.Generator | None = None, share: Share | None = None
    ) -> Iterator[Batch]:
        """Yield the data in batches whose sizes differ by at most one row.

        Parameters
        ----------
        batch_size : int
            The largest size. Batches in order are no larger than a buffer either.
        generator : torch.Generator, default=None
            Shuffles the rows; None keeps their order.
        share : callable, default=None
            Turns ``(start, stop)`` of a batch into the part of it that is wanted; all is read.
        """
        n_rows = buffer_rows(self.X)
        if generator is None:
            batch_size = min(batch_size, max(n_rows, 2 * ROWS_IN_STEP))
        edges = batch_edges(len(self), batch_size, self.unit)
        per_buffer = max(1, n_rows // batch_size)
        groups = [edges[i : i + per_buffer + 1] for i in range(0, len(edges) - 1, per_buffer)]
        order = self._order(len(self.chunks), generator)
        sizes = [group[-1] - group[0] for group in groups]
        fillings = regroup([self.chunks[i] for i in order.tolist()], sizes)
        with tqdm(total=len(self), unit="row", leave=False, disable=not self.progress) as bar:
            for group, buffer in zip(groups, self._read_ahead(fillings), strict=True):
                order = self._order(len(buffer), generator).to(self.device)
                for start, stop in pairwise([edge - group[0] for edge in group]):
                    wanted = slice(*((start, stop) if share is None else share(start, stop)))
                    yield buffer.take(whole_units(order[wanted], self.unit))
                    bar.update(stop - start)

    @staticmethod
    def _order(n: int, generator: torch.Generator | None) -> Tensor:
        return torch.arange(n) if generator is None else torch.randperm(n, generator=generator)

    def _read_ahead(self, fillings: Iterator[list[Run]]) -> Iterator[TensorData]:
        """Yield the buffers, each read by a thread while the one before it is used."""
        with ThreadPoolExecutor(1) as reader:
            pending = reader.submit(self._load, next(fillings))
            for filling in fillings:
                buffer = pending.result()
                pending = reader.submit(self._load, filling)
                yield buffer
                del buffer  # before another is read
            yield pending.result()

    def _load(self, runs: Sequence[Run]) -> TensorData:
        """Rows of some runs ``(start, stop)``, chunk by chunk into one TensorData."""
        n_rows = sum(stop - start for start, stop in runs)
        blocks: dict[str, Block] = {}
        pieces: dict[str, list[Any]] = {}
        filled = 0
        for start, stop in runs:
            rows = slice(start, stop)
            chunk = {name: read_block(name, block, rows) for name, block in self.X.items()}
            for name, block in self.prepare(chunk).items():
                if sparse.issparse(block) or isinstance(block, Ragged):
                    pieces.setdefault(name, []).append(block)
                    continue
                if name not in blocks:
                    blocks[name] = self._empty(n_rows, block.shape[1:])
                blocks[name][filled : filled + stop - start] = block
            filled += stop - start
        blocks |= {
            name: joined(parts) if isinstance(parts[0], Ragged) else sparse.vstack(parts, "csr")
            for name, parts in pieces.items()
        }
        read = np.concatenate([np.arange(*run) for run in runs])
        y, weight = self._of(self.y, read), self._of(self.weight, read)
        return TensorData.of(blocks, y, weight, self.device, self.scale)

    def _empty(self, n_rows: int, shape: tuple[int, ...]) -> Array:
        # pinned memory is copied to a GPU faster
        pinned = self.device.type == "cuda"
        return torch.empty((n_rows, *shape), dtype=torch.float32, pin_memory=pinned).numpy()

    @staticmethod
    def _of(values: Array | None, rows: Array) -> Array | None:
        return None if values is None else values[rows]


def regroup(runs: Sequence[Run], sizes: Iterable[int]) -> Iterator[list[Run]]:
    """Yield lists of runs ``(start, stop)`` of the total sizes given, splitting runs at borders."""
    left = list(reversed(runs))
    for size in sizes:
        group = []
        while size:
            start, stop = left.pop()
            middle = min(stop, start + size)
            group.append((start, middle))
            if middle < stop:
                left.append((middle, stop))
            size -= middle - start
        yield group
