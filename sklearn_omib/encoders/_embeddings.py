"""Embeddings of pretrained networks at unit scale, reduced where rows are few."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import PCA

from .._typing import Array

ENOUGH = 2  # rows for each column, of which no components are needed
ROWS_PER_COMPONENT = 4
LEAST_SCALE = 0.1  # of a column, as a share of the typical one's


class Embeddings(NamedTuple):
    """What is learned of embeddings of training rows.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_columns,)
        The scale is the standard deviation, but at least a tenth of that of all columns: one that
        is nearly constant in training may be far from it in other rows.
    components : ndarray of shape (n_components, n_columns) or None
    """

    mean: Array
    scale: Array
    components: Array | None

    @classmethod
    def learned(cls, values: Array, n_components: int | str | None = None) -> Embeddings:
        """Learn from training rows.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_columns)
        n_components : int, "auto" or None, default=None
            "auto" is one for every four rows, where there are fewer than twice as many rows as
            columns.
        """
        values = np.asarray(values, dtype=np.float32)
        mean = values.mean(0, dtype=np.float64).astype(np.float32)
        deviation = values.std(0, dtype=np.float64).astype(np.float32)
        least = LEAST_SCALE * np.sqrt(np.mean(deviation**2))
        scale = np.where(deviation > least, deviation, least or 1).astype(np.float32)
        n_kept = _count(n_components, *values.shape)
        if n_kept is None:
            return cls(mean, scale, None)
        pca = PCA(n_kept, random_state=0).fit((values - mean) / scale)
        # components keep their proportions: to scale the least up would be to add noise
        unit = np.sqrt(pca.explained_variance_.mean()) or 1
        return cls(mean, scale, (pca.components_ / unit).astype(np.float32))

    def __call__(self, values: Array) -> Array:
        """Columns at unit scale, or their components: (n_rows, n_kept), float32."""
        scaled = ((values - self.mean) / self.scale).astype(np.float32)
        return scaled if self.components is None else scaled @ self.components.T


def _count(n_components: Any, n_rows: int, n_columns: int) -> int | None:
    if n_components is None:
        return None
    if n_components != "auto":
        is_whole = isinstance(n_components, (int, np.integer)) and n_components is not True
        if not (is_whole and n_components > 0):
            raise ValueError(
                f"n_components must be a positive int, 'auto' or None, got {n_components!r}."
            )
        return min(int(n_components), n_rows, n_columns)
    if n_rows >= ENOUGH * n_columns:
        return None
    return min(max(n_rows // ROWS_PER_COMPONENT, 1), n_columns)
