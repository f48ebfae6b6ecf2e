"""Standardisation of blocks inside the estimators."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from .._typing import Array, Block
from .checks import iterate_block
from .container import ModalityDict

MOST_ROUNDED = 0.01  # in standard deviations of a column
CHUNK_VALUES = 2**16  # standardised at a time: what a processor's cache holds


class BlockScaler:
    """Bring every block to unit scale in float32, fitted on training rows.

    Dense blocks: zero mean and unit variance per column, or per channel, which is the last axis
    of sequences (n_samples, time, channels) and the second of images (n_samples, channels,
    height, width). Sparse blocks: division by one number, the root mean square of a column, so
    that zeros stay zeros and the relative weight of columns, as of tf-idf, is kept.

    Parameters
    ----------
    standardize : bool
        False only converts to float32.
    sparse_names : frozenset of str, default=frozenset()
        Modalities that stay sparse, as CSR; sparse blocks of others are made dense.
    """

    def __init__(self, standardize: bool, sparse_names: Collection[str] = frozenset()) -> None:
        self.standardize = standardize
        self.sparse_names = sparse_names

    def fit(self, X: ModalityDict | Mapping[str, Block]) -> BlockScaler:
        """Learn the scale of each block, a dict of arrays and lazy blocks.

        Raises
        ------
        ValueError
            If the variance of a column is not finite; or if, without standardising, float32 would
            round off what tells the values of a column apart.
        """
        self.scalers_: dict[str, Any] = {}
        for name, block in X.items():
            if self.standardize:
                self.scalers_[name] = self._fit_block(name, self._formed(name, block))
            else:
                _check_precision(name, block)
        return self

    def _formed(self, name: str, block: Block) -> Block:
        """A block as its encoder reads it: CSR, or dense."""
        if name in self.sparse_names:
            return sparse.csr_matrix(block)
        return block.toarray() if sparse.issparse(block) else block

    def _fit_block(self, name: str, block: Block) -> float | StandardScaler:
        if sparse.issparse(block):
            mean_square = block.astype(np.float64).multiply(block).mean()
            return float(np.sqrt(mean_square)) or 1.0
        # "default": a global transform_output would make frames of it
        scaler = StandardScaler().set_output(transform="default")
        with np.errstate(over="ignore", invalid="ignore"):
            for part in iterate_block(name, block):
                scaler.partial_fit(_channels_last(np.asarray(part, dtype=np.float64)))
        if not np.isfinite(scaler.var_).all():
            raise ValueError(f"Modality {name!r} holds values too large to standardise.")
        return scaler

    def transform(self, X: ModalityDict | Mapping[str, Block]) -> dict[str, Block]:
        """Return ``{name: float32 array or CSR matrix}``.

        Raises
        ------
        ValueError
            If a value does not fit into float32.
        """
        return {
            name: self._transform_block(name, self._formed(name, block))
            for name, block in X.items()
        }

    def _transform_block(self, name: str, block: Block) -> Block:
        scaler = self.scalers_.get(name)
        if sparse.issparse(block):
            scaled = sparse.csr_matrix(block, dtype=np.float64) / (scaler or 1.0)
            return self._to_float32(name, scaled.tocsr())
        block = np.asarray(block)
        if scaler is None:
            return self._to_float32(name, block)
        scaled = self._standardised(_channels_last(block), scaler)
        self._check_finite(name, scaled)
        return _channels_first(scaled, block.shape)

    @staticmethod
    def _standardised(table: Array, scaler: StandardScaler) -> Array:
        """What the scaler's transform gives, in float32, without a float64 copy of the table.

        float32 tables stay so: their values minus the float32 nearest the mean round no worse
        than the result does, and what that misses of the mean is taken off next.
        """
        single = table.dtype == np.float32
        mean = scaler.mean_.astype(table.dtype) if single else scaler.mean_
        remainder = (scaler.mean_ - mean).astype(mean.dtype)
        scale = scaler.scale_.astype(mean.dtype)
        scaled = np.empty(table.shape, np.float32)
        n_rows = max(CHUNK_VALUES // max(table.shape[1], 1), 1)
        buffer = None if single else np.empty((min(n_rows, len(table)), table.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(table), n_rows):
                part = table[start : start + n_rows]
                rows = scaled[start : start + n_rows]
                centred = rows if buffer is None else buffer[: len(part)]
                np.subtract(part, mean, out=centred)
                if single:
                    centred -= remainder
                np.divide(centred, scale, out=rows, casting="same_kind")
        return scaled

    @staticmethod
    def _to_float32(name: str, block: Block) -> Block:
        with np.errstate(over="ignore"):
            block = block.astype(np.float32)  # a copy: encoders may work in place
        BlockScaler._check_finite(name, block.data if sparse.issparse(block) else block)
        return block

    @staticmethod
    def _check_finite(name: str, values: Array) -> None:
        if not np.isfinite(values).all():
            raise ValueError(f"Modality {name!r} holds values too large for float32.")


def _check_precision(name: str, block: Block) -> None:
    """Raise where float32 is too coarse for a column far from 0, such as integers above 2**24."""
    for part in iterate_block(name, block):
        if sparse.issparse(part) or part.dtype.itemsize < 4 or part.dtype == np.float32:
            continue
        table = _channels_last(part)
        with np.errstate(over="ignore", invalid="ignore"):
            lost = np.abs(table - table.astype(np.float32).astype(np.float64)).max(0)
            coarse = np.flatnonzero(lost > MOST_ROUNDED * table.std(0, dtype=np.float64))
        if len(coarse):
            raise ValueError(
                f"Modality {name!r}: values of column {coarse[0]}, as {table[0, coarse[0]]:.12g}, "
                "differ by less than float32, exact to seven digits, can tell. standardize=True "
                "centres columns before they are converted; or subtract their mean yourself."
            )


def _channels_last(block: Array) -> Array:
    """A block as a table with one row per sample and position, one column per channel."""
    if block.ndim > 3:
        block = np.moveaxis(block, 1, -1)
    return block.reshape(-1, block.shape[-1])


def _channels_first(table: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of :func:`_channels_last` for a block of the given shape."""
    if len(shape) > 3:
        return np.moveaxis(table.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
    return table.reshape(shape)
