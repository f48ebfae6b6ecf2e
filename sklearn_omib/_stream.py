"""Rows of a container larger than memory: a shuffle buffer, used as TensorData is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import prod

import numpy as np
import torch
from scipy import sparse
from tqdm.auto import tqdm

from . import _lazy
from ._lazy import LazyBlock, LazyRows
from ._modalities import ModalityDict
from ._tensors import MIN_PREDICT_ROWS, TensorData, batch_edges
from ._validation import check_block, read_block

MAX_SAMPLE_ROWS = 20_000  # of which the bound on beta is estimated


def is_streamed(X):
    """Whether validation has left blocks lazy, because they do not fit into memory."""
    return any(isinstance(block, LazyBlock) for block in X.values())


def in_storage_order(X, rows):
    """The positions given, sorted by where their rows are stored; unchanged without lazy blocks.

    Rows that a split has shuffled would else be read from everywhere for each chunk.
    """
    for block in X.values():
        if isinstance(block, LazyBlock):
            stored = block.rows[rows] if isinstance(block, LazyRows) else rows
            return rows[np.argsort(stored, kind="stable")]
    return rows


def buffer_rows(X):
    """How many rows of the container fit a buffer."""
    return max(1, _lazy.BUFFER_BYTES // _row_bytes(X))


def _row_bytes(X):
    """Memory of one row as float32, with its index where sparse."""
    return max(1, sum(
        8 * block.nnz // len(X) if sparse.issparse(block) else 4 * prod(block.shape[1:])
        for block in X.values()
    ))  # fmt: skip


def sample_rows(X, random_state):
    """A random part of a streamed container, loaded; any other container as it is."""
    if not is_streamed(X):
        return X
    n_rows = min(len(X), buffer_rows(X), MAX_SAMPLE_ROWS)
    part = X[np.sort(random_state.choice(len(X), n_rows, replace=False))]
    return ModalityDict({name: check_block(name, block) for name, block in part.items()})


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
    progress : bool, default=False
        Whether each pass shows a bar over the rows.
    """

    def __init__(self, X, prepare, y, weight, device, progress=False):
        self.X, self.prepare, self.y, self.weight = X, prepare, y, weight
        self.device, self.progress = device, progress
        lazy = [block for block in X.values() if isinstance(block, LazyBlock)]
        n_rows = _lazy.rows_per_read(_row_bytes(X), max(block.stored_rows for block in lazy))
        self.chunks = list(pairwise(lazy[0].edges(n_rows).tolist()))

    def __len__(self):
        return len(self.X)

    def take(self, rows):
        """Inputs, target and weights of some rows, an index tensor; few enough for memory."""
        rows = rows.cpu().numpy()
        y, weight = self._of(self.y, rows), self._of(self.weight, rows)
        part = StreamData(self.X[rows], self.prepare, y, weight, self.device)
        return part.load().take(slice(None))

    def load(self):
        """Return all rows as :class:`TensorData`."""
        return self._load(self.chunks)

    def batches(self, batch_size, generator=None, share=None):
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
            batch_size = min(batch_size, max(n_rows, 2 * MIN_PREDICT_ROWS))
        edges = batch_edges(len(self), batch_size)
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
                    yield buffer.take(order[wanted])
                    bar.update(stop - start)

    @staticmethod
    def _order(n, generator):
        return torch.arange(n) if generator is None else torch.randperm(n, generator=generator)

    def _read_ahead(self, fillings):
        """Yield the buffers, each read by a thread while the one before it is used."""
        with ThreadPoolExecutor(1) as reader:
            pending = reader.submit(self._load, next(fillings))
            for filling in fillings:
                buffer = pending.result()
                pending = reader.submit(self._load, filling)
                yield buffer
                del buffer  # before another is read
            yield pending.result()

    def _load(self, runs):
        """Rows of some runs ``(start, stop)``, chunk by chunk into one TensorData."""
        n_rows = sum(stop - start for start, stop in runs)
        blocks: dict = {}
        pieces: dict = {}
        filled = 0
        for start, stop in runs:
            rows = slice(start, stop)
            chunk = {name: read_block(name, block, rows) for name, block in self.X.items()}
            for name, block in self.prepare(chunk).items():
                if sparse.issparse(block):
                    pieces.setdefault(name, []).append(block)
                    continue
                if name not in blocks:
                    blocks[name] = self._empty(n_rows, block.shape[1:])
                blocks[name][filled : filled + stop - start] = block
            filled += stop - start
        blocks |= {name: sparse.vstack(parts, format="csr") for name, parts in pieces.items()}
        read = np.concatenate([np.arange(*run) for run in runs])
        return TensorData(blocks, self._of(self.y, read), self._of(self.weight, read), self.device)

    def _empty(self, n_rows, shape):
        # pinned memory is copied to a GPU faster
        pinned = self.device.type == "cuda"
        return torch.empty((n_rows, *shape), dtype=torch.float32, pin_memory=pinned).numpy()

    @staticmethod
    def _of(values, rows):
        return None if values is None else values[rows]


def regroup(runs, sizes):
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
