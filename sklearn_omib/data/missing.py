"""Samples that lack a modality, and modalities that lack single values: NaN stands for both.

A row of NaN is a modality that a sample does not have. A sparse row, which stores few values, is
missing where all that it stores is NaN, and a sequence where it has no step.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy import sparse

from .._typing import Array, Block
from .container import ModalityDict, flatten_block
from .lazy import LazyBlock
from .ragged import Ragged

FEWEST_COMPLETE = 20  # samples from which entropies are estimated rather than from filled ones


def has_nan(block: Block) -> bool:
    """Whether a validated block lacks values."""
    if isinstance(block, Ragged):
        return not block.lengths.all() or has_nan(block.values)
    values = block.data if sparse.issparse(block) else block
    if values.dtype.kind != "f":
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isnan(values.sum()) and np.isnan(values).any())


def missing_rows(block: Block) -> Array:
    """Which samples lack the modality, of a validated block in memory: (n_samples,), bool."""
    if isinstance(block, Ragged):
        return block.lengths == 0
    if not has_nan(block):
        return np.zeros(block.shape[0], dtype=bool)
    if sparse.issparse(block):
        block = block.tocsr()
        stored = np.diff(block.indptr)
        lost = np.zeros(block.shape[0], dtype=int)
        np.add.at(lost, np.repeat(np.arange(len(stored)), stored), np.isnan(block.data))
        return (stored > 0) & (lost == stored)
    return np.isnan(block.reshape(len(block), -1)).all(1)


def incomplete_columns(X: ModalityDict) -> dict[str, Array]:
    """Columns of each table in memory that lack values in rows that are present."""
    found = {}
    for name, block in X.items():
        if block.ndim == 2 and not sparse.issparse(block) and has_nan(block):
            found[name] = np.flatnonzero(np.isnan(block[~missing_rows(block)]).any(0))
    return found


def without_nan(block: Block) -> Block:
    """A sparse block whose stored NaN are 0."""
    if not has_nan(block):
        return block
    block = block.copy()
    block.data = np.nan_to_num(block.data, nan=0.0, posinf=np.inf, neginf=-np.inf)
    return block


def complete_rows(X: ModalityDict) -> ModalityDict:
    """Samples that have all modalities, their missing values filled by the mean of the column.

    What is learned of several modalities together, such as the bound on beta, is learned from
    these. Of fewer than 20 such samples nothing is learned: all samples are then taken, and
    modalities filled likewise.
    """
    if any(isinstance(block, LazyBlock) for block in X.values()):
        return X
    lacking = {name: has_nan(block) for name, block in X.items()}
    if not any(lacking.values()):
        return X
    complete = ~np.any([missing_rows(block) for block in X.values()], axis=0)
    if complete.sum() >= min(FEWEST_COMPLETE, len(X)):
        X = X[complete]
    else:
        warnings.warn(
            f"Only {complete.sum()} of {len(X)} samples have all modalities {list(X)}: the bound "
            "on beta is estimated with missing ones filled by means. Set `beta` to a number to do "
            "without a bound.",
            stacklevel=2,
        )
    return ModalityDict({
        name: _filled(block) if lacking[name] else block for name, block in X.items()
    })  # fmt: skip


def summarised(X: ModalityDict) -> ModalityDict:
    """Sequences of different length as their means, for what is learned of tables."""
    if not any(isinstance(block, Ragged) for block in X.values()):
        return X
    means = {
        name: block.means() if isinstance(block, Ragged) else block for name, block in X.items()
    }
    return ModalityDict({name: _filled(block) if has_nan(block) else block
                         for name, block in means.items()})  # fmt: skip


def _filled(block: Block) -> Block:
    if isinstance(block, Ragged):
        return block
    if sparse.issparse(block):
        return without_nan(block)
    table = flatten_block(block)
    known = ~np.isnan(table)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, table, 0).sum(0) / count
    return np.where(known, table, mean).reshape(block.shape)
