"""A quick look for dependence that a Gaussian copula does not have."""

from __future__ import annotations

import numpy as np

from .._typing import Array
from ._copula import gaussian_local
from ._pairs import Pair, fewer_columns

SAMPLES_PER_FEATURE = 20


def quadratic_gain(pair: Pair) -> float:
    """Nats that squares and products of columns tell beyond a Gaussian copula, 0 if by chance.

    The Gaussian formula is applied to columns together with their products. Had the columns a
    Gaussian copula with the correlations of the samples, its value would be known, because
    Cov(a b, c d) = R_ac R_bd + R_ad R_bc (Isserlis); what is found above that is the gain. It
    sees y = x^2 and the sign of a product, which correlations do not.
    """
    sides = [v / v.std(0) for v in fewer_columns(pair, "auto", limit=len(pair.x) / 20, most=20)]
    n_samples, most = len(sides[0]), len(sides[0]) // SAMPLES_PER_FEATURE
    pairs = [_index_pairs(v.shape[1], most) for v in sides]
    x, y = (np.c_[v, v[:, i] * v[:, j]] for v, (i, j) in zip(sides, pairs, strict=True))
    found = gaussian_local(x, y, []).mean()
    by_chance = np.sqrt(x.shape[1] * y.shape[1] / 2) / n_samples
    gain = found - _expected(sides, pairs)
    return float(gain) if gain > 4 * by_chance else 0.0


def _index_pairs(n_columns: int, most: int) -> tuple[Array, Array]:
    """All products of two columns, or only squares where these are too many."""
    if n_columns * (n_columns + 1) // 2 <= most:
        return np.triu_indices(n_columns)
    return np.arange(n_columns), np.arange(n_columns)


def _expected(sides: list[Array], pairs: list[tuple[Array, Array]]) -> float:
    """Value of the Gaussian formula for columns and products of a Gaussian with these columns."""
    n_x = sides[0].shape[1]
    R = np.corrcoef(np.hstack(sides), rowvar=False)
    i, j = (np.concatenate([a, b + n_x]) for a, b in zip(*pairs, strict=True))
    products = R[np.ix_(i, i)] * R[np.ix_(j, j)] + R[np.ix_(i, j)] * R[np.ix_(j, i)]
    split = len(pairs[0][0])
    return _information(R, n_x) + _information(products, split)


def _information(covariance: Array, n_x: int) -> float:
    blocks = covariance[:n_x, :n_x], covariance[n_x:, n_x:], covariance
    log_dets = [np.linalg.slogdet(block)[1] for block in blocks]
    return (log_dets[0] + log_dets[1] - log_dets[2]) / 2
