"""Standardisation of blocks inside the estimators."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from .._typing import Array, Block
from ..nn.encoders import PRESENT
from .checks import iterate_block
from .container import ModalityDict
from .lazy import LazyBlock
from .missing import has_nan, missing_rows, without_nan
from .ragged import Ragged

MOST_ROUNDED = 0.01  # in standard deviations of a column
CHUNK_VALUES = 2**16  # standardised at a time: what a processor's cache holds


class BlockScaler:
    """Bring every block to unit scale in float32, fitted on training rows; fill what is missing.

    Dense blocks: zero mean and unit variance per column, or per channel, which is the last axis
    of sequences (n_samples, time, channels) and the second of images (n_samples, channels,
    height, width). Sparse blocks: division by one number, the root mean square of a column, so
    that zeros stay zeros and the relative weight of columns, as of tf-idf, is kept.

    A value that is missing becomes the mean of its column, and a table whose column lacked values
    in fit has one more column, behind all others, which says where.

    Parameters
    ----------
    standardize : bool
        False only converts to float32.
    sparse_names : frozenset of str, default=frozenset()
        Modalities that stay sparse, as CSR; sparse blocks of others are made dense.
    told_names : frozenset of str, default=frozenset()
        Modalities whose encoder is told which values are missing.
    ready_names : frozenset of str, default=frozenset()
        Modalities that stay as they are, in their type of numbers: encoders have prepared them.
    missing_values : {"mask", "error"}, default="mask"
    incomplete : dict of str to ndarray of int, default=None
        Columns that count as lacking values in fit; None are those that do.
    """

    def __init__(
        self,
        standardize: bool,
        sparse_names: Collection[str] = frozenset(),
        told_names: Collection[str] = frozenset(),
        ready_names: Collection[str] = frozenset(),
        missing_values: str = "mask",
        incomplete: Mapping[str, Array] | None = None,
    ) -> None:
        self.standardize = standardize
        self.sparse_names = sparse_names
        self.told_names = told_names
        self.ready_names = ready_names
        self.missing_values = missing_values
        self.incomplete = incomplete

    def fit(self, X: ModalityDict | Mapping[str, Block]) -> BlockScaler:
        """Learn the scale of each block, a dict of arrays and lazy blocks.

        Raises
        ------
        ValueError
            If the variance of a column is not finite, or a modality missing in all rows; or if,
            without standardising, float32 would round off what tells the values of a column apart.
        """
        self.scalers_: dict[str, Any] = {}
        self.incomplete_: dict[str, Array] = {}  # columns whose encoder is told what is missing
        for name, block in X.items():
            if name in self.ready_names:
                self._check_some(name, int((~missing_rows(self._allowed(name, block))).sum()))
                continue
            if not self.standardize:
                _check_precision(name, block)
            block = self._formed(name, block)
            reads = isinstance(block, LazyBlock)
            if self.standardize or reads or has_nan(block):
                self.scalers_[name] = self._fit_block(name, block)
        if self.incomplete is not None:
            known = self.incomplete.items()
            self.incomplete_ = {name: at for name, at in known if name in self.told_names}
        return self

    def sample_shapes(self, of_input: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Shape of one sample of each modality behind :meth:`transform`."""
        more = {name: len(columns) for name, columns in self.incomplete_.items()}
        return {
            name: (shape[0] + more[name],) if more.get(name) else shape
            for name, shape in of_input.items()
        }

    def _formed(self, name: str, block: Block) -> Block:
        """A block as its encoder reads it: CSR, or dense; stored NaN are 0."""
        if name in self.sparse_names:
            if not sparse.issparse(block):
                block = np.nan_to_num(block, nan=0.0, posinf=np.inf, neginf=-np.inf)
            return without_nan(sparse.csr_matrix(block))
        return without_nan(block).toarray() if sparse.issparse(block) else block

    def _fit_block(self, name: str, block: Block) -> float | StandardScaler:
        if sparse.issparse(block):
            mean_square = block.astype(np.float64).multiply(block).mean()
            return float(np.sqrt(mean_square)) or 1.0
        # "default": a global transform_output would make frames of it
        scaler = StandardScaler().set_output(transform="default")
        n_lost, n_present = np.zeros(block.shape[-1], dtype=int), 0
        with np.errstate(over="ignore", invalid="ignore"):
            for part in iterate_block(name, block):
                part = self._allowed(name, part)
                if isinstance(part, Ragged):
                    part = part.compact().values
                part = np.asarray(part, dtype=np.float64)
                part = part[~missing_rows(part)]
                n_present += len(part)
                if len(part):
                    scaler.partial_fit(_channels_last(part))
                if name in self.told_names and block.ndim == 2 and has_nan(part):
                    n_lost += np.isnan(part).sum(0)
        self._check_some(name, n_present)
        self._know_nothing_of(scaler, np.asarray(scaler.n_samples_seen_) == 0)
        if self.standardize and not np.isfinite(scaler.var_).all():
            raise ValueError(f"Modality {name!r} holds values too large to standardise.")
        self.incomplete_[name] = np.flatnonzero(n_lost)
        return scaler

    @staticmethod
    def _check_some(name: str, n_present: int) -> None:
        if not n_present:
            raise ValueError(
                f"Modality {name!r} is missing in every row to train on; leave it out."
            )

    @staticmethod
    def _know_nothing_of(scaler: StandardScaler, columns: Array) -> None:
        """Let columns without any value be 0."""
        for values, value in ((scaler.mean_, 0), (scaler.var_, 1), (scaler.scale_, 1)):
            values[np.broadcast_to(columns, values.shape)] = value

    def _allowed(self, name: str, block: Block) -> Block:
        """The block, unless it lacks values and may not."""
        if self.missing_values == "error" and has_nan(block):
            raise ValueError(
                f"Modality {name!r} contains NaN, and missing_values is 'error'; 'mask' takes rows "
                "of NaN as samples without the modality."
            )
        return block

    def transform(
        self, X: ModalityDict | Mapping[str, Block], always: bool = False
    ) -> dict[str, Block]:
        """Return ``{name: float32 array, CSR matrix or Ragged}``.

        Where a sample lacks a modality, also ``{PRESENT: (n_samples, n_modalities)}``, 1 or 0;
        its rows of the modality are 0.

        Parameters
        ----------
        X : dict of arrays
        always : bool, default=False
            Whether to return PRESENT in any case: with all parts of a stream, or with none.

        Raises
        ------
        ValueError
            If a value does not fit into float32.
        """
        blocks = {}
        lost = [missing_rows(self._allowed(name, block)) for name, block in X.items()]
        for (name, block), rows in zip(X.items(), lost, strict=True):
            blocks[name] = self._transform_block(name, self._formed(name, block), rows)
        if always or np.any(lost):
            blocks[PRESENT] = 1 - np.stack(lost, -1).astype(np.float32)
        return blocks

    def _transform_block(self, name: str, block: Block, lost: Array) -> Block:
        scaler = self.scalers_.get(name)
        if name in self.ready_names:
            return _without(block, lost)
        if isinstance(block, Ragged):
            return block.mapped(
                lambda values: self._transform_block(name, values, np.zeros(len(values), bool))
            )
        if sparse.issparse(block):
            scale = scaler if self.standardize and scaler else 1.0
            scaled = sparse.csr_matrix(block, dtype=np.float64) / scale
            return self._to_float32(name, scaled.tocsr())
        block = np.asarray(block)
        shape, table = block.shape, _channels_last(block)
        if self.standardize:
            scaled = self._standardised(table, scaler)
        else:
            with np.errstate(over="ignore"):
                scaled = table.astype(np.float32)  # a copy: encoders may work in place
        where = None
        if not np.isfinite(scaled).all():
            where = np.isnan(scaled)
            mean = 0.0 if self.standardize or scaler is None else scaler.mean_
            np.copyto(scaled, np.float32(mean), where=where)
            self._check_finite(name, scaled)
        scaled = _channels_first(scaled, shape)
        scaled[lost] = 0
        columns = self.incomplete_.get(name, ())
        if not len(columns):
            return scaled
        told = np.zeros((len(block), len(columns)), np.float32)
        if where is not None:
            told[~lost] = where[~lost][:, columns]
        return np.hstack([scaled, told])

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


def _without(block: Block, lost: Array) -> Block:
    """A block in which rows that are missing are 0."""
    if isinstance(block, Ragged) or not lost.any():
        return block
    if sparse.issparse(block):
        return without_nan(block)
    return np.where(lost.reshape(-1, *[1] * (block.ndim - 1)), block.dtype.type(0), block)


def _check_precision(name: str, block: Block) -> None:
    """Raise where float32 is too coarse for a column far from 0, such as integers above 2**24."""
    for part in iterate_block(name, block):
        part = part.values if isinstance(part, Ragged) else part
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
