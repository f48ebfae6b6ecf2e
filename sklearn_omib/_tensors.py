"""Data as tensors, in whole batches."""

from itertools import pairwise

import numpy as np
import torch
from scipy import sparse

from .nn import SparseBatch

PREDICT_BATCH = 4096  # rows per batch where no gradient is kept
# Matrix products of a few rows sum in another order than those of many. Padding to this many rows
# makes the prediction of a sample the same, to the last bit, whatever it is predicted with.
MIN_PREDICT_ROWS = 16


def batch_edges(n_samples, batch_size):
    """Where batches begin whose sizes differ by at most one row, and the end."""
    n_batches = -(-n_samples // batch_size)
    return [n_samples * i // n_batches for i in range(n_batches + 1)]


class TensorData:
    """Modalities, target and weights as tensors that give whole batches.

    Parameters
    ----------
    blocks : dict of str to (ndarray or CSR matrix), float32
    y : ndarray or None
    weight : ndarray of shape (n_samples,) or None
        None weighs all samples 1.
    device : torch.device
        Where dense blocks live; sparse ones stay on the CPU and move batch by batch.
    """

    def __init__(self, blocks, y, weight, device):
        self.device = device
        self.n_samples = next(iter(blocks.values())).shape[0]
        self.blocks = {
            name: block if sparse.issparse(block) else self._tensor(block)
            for name, block in blocks.items()
        }
        self.y = None if y is None else self._tensor(y)
        weight = np.ones(self.n_samples) if weight is None else weight
        self.weight = self._tensor(np.asarray(weight, dtype=np.float32))

    def _tensor(self, array):
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)

    def __len__(self):
        return self.n_samples

    def take(self, rows):
        """Inputs, target and weights of some rows, a slice or an index tensor."""
        inputs = {
            name: self._sparse_batch(block, rows) if sparse.issparse(block) else _rows(block, rows)
            for name, block in self.blocks.items()
        }
        return inputs, None if self.y is None else _rows(self.y, rows), _rows(self.weight, rows)

    def _sparse_batch(self, block, rows):
        block = block[rows if isinstance(rows, slice) else rows.cpu().numpy()]
        return SparseBatch(
            torch.from_numpy(block.indices.astype(np.int64)).to(self.device),
            torch.from_numpy(block.indptr[:-1].astype(np.int64)).to(self.device),
            torch.from_numpy(block.data).to(self.device),
        )

    def batches(self, batch_size, generator=None, share=None):
        """Yield the data in batches whose sizes differ by at most one row.

        Parameters
        ----------
        batch_size : int
            The largest size.
        generator : torch.Generator, default=None
            Shuffles the rows; None keeps their order.
        share : callable, default=None
            Turns ``(start, stop)`` of a batch into the part of it that is wanted.
        """
        order = None
        if generator is not None:
            order = torch.randperm(self.n_samples, generator=generator).to(self.device)
        for start, stop in pairwise(batch_edges(self.n_samples, batch_size)):
            if share is not None:
                start, stop = share(start, stop)
            yield self.take(slice(start, stop) if order is None else order[start:stop])


def _rows(tensor, rows):
    return tensor[rows] if isinstance(rows, slice) else tensor.index_select(0, rows)


class Batches:
    """An iterable that starts a new pass over the data each time, as skorch's loop expects.

    The processes of a group pass over the data together: a batch holds ``batch_size`` rows of each.
    """

    def __init__(self, data, batch_size, generator, group):
        self.data, self.batch_size, self.generator = data, batch_size, generator
        self.group = group

    def __iter__(self):
        if self.group is None:
            return self.data.batches(self.batch_size, self.generator)
        n_rows = self.batch_size * self.group.size
        return self.data.batches(n_rows, self.generator, self.group.share)
