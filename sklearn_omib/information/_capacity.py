"""The entropy of a continuous modality, made finite: the capacity of a Gaussian channel."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from numbers import Real

import numpy as np
from scipy import linalg, sparse
from sklearn.utils import check_consistent_length

from .._typing import Array, Block
from ..data.container import as_array
from ..data.foreign import labelled
from ..data.lazy import LazyBlock
from ..data.raw import ENCODE_FIRST

MAX_ROWS = 4096  # rows read; the value drifts by under 1 % between 500 and 4000 rows
EFFECTIVE_ROWS = 1024  # read for the effective dimension, which only has to be told from small
CHUNK = 2048  # columns made dense at a time when the matrix of rows is formed


def information_capacity(*blocks: Block, noise: float = 0.1) -> float:
    r"""Information that standardised features carry through Gaussian noise.

    .. math:: H_s(v) = \tfrac12 \ln\det(I + R / s^2)

    with R the correlation matrix of the columns of all blocks and s^2 the variance of the noise.
    The differential entropy of a continuous v has no scale and I(v; v) is infinite; H_s is
    finite, does not change when columns are rescaled, grows with every column added, and gives
    the joint value of several blocks as that of their concatenation.

    Parameters
    ----------
    *blocks : array-like or sparse matrix of shape (n_samples, ...)
        One or more blocks; more dimensions are flattened. Constant columns count nothing.
    noise : float, default=0.1
        Variance s^2 of the noise on standardised columns: a convention, not an estimate.

    Returns
    -------
    float
        In nats.

    Raises
    ------
    ValueError
        If a row that is read holds NaN or infinity, blocks differ in length, or ``noise`` is not
        positive.

    Notes
    -----
    At most 4096 evenly spaced rows are read.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.information import information_capacity
    >>> v = np.random.default_rng(0).normal(size=(1000, 2))
    >>> round(information_capacity(v), 2)  # close to ln(1 + 1 / .1) = 2.40
    2.4
    """
    if not blocks:
        raise ValueError("information_capacity needs a block, got none.")
    blocks = tuple(labelled(block).block for block in blocks)
    blocks = tuple(
        block if hasattr(block, "shape") else as_array(str(i), block)
        for i, block in enumerate(blocks)
    )
    for i, block in enumerate(blocks):
        if not block.shape:
            raise ValueError(
                f"information_capacity takes arrays with samples on their first axis, got "
                f"{type(block).__name__} in place {i}."
            )
    check_consistent_length(*blocks)
    check_noise(noise)
    return _log_det(scatter_matrix(blocks), noise)


def check_noise(noise: object) -> None:
    """Raise unless the variance of a channel's noise is a positive number."""
    if isinstance(noise, bool) or not isinstance(noise, Real) or not 0 < float(noise) < np.inf:
        raise ValueError(f"noise must be a positive variance, got {noise!r}.")


def effective_dimension(block: Block) -> float:
    """(sum_j lambda_j)^2 / sum_j lambda_j^2 over the eigenvalues of the correlation matrix R.

    Between 1, where all columns say the same, and their number, where they share nothing; also at
    most the number of rows read.

    Parameters
    ----------
    block : array, sparse matrix or lazy block of shape (n_samples, ...)

    Returns
    -------
    float
        0 where every column is constant.
    """
    scatter = scatter_matrix([block], EFFECTIVE_ROWS)
    return float(np.trace(scatter) ** 2 / max(np.sum(scatter**2), np.finfo(float).tiny))


def scatter_matrix(blocks: Iterable[Block], max_rows: int = MAX_ROWS) -> Array:
    """Correlation matrix R of the columns, or the matrix of rows Z Z' / n where that is smaller.

    Both have the same non-zero eigenvalues, hence the same capacity.
    """
    matrices = [_two_dimensional(block, max_rows) for block in blocks]
    n_samples = matrices[0].shape[0]
    n_features = sum(matrix.shape[1] for matrix in matrices)
    if n_features <= n_samples:
        Z = np.hstack([_standardised(matrix) for matrix in matrices])
        return _finite(Z.T @ Z / n_samples)
    gram = np.zeros((n_samples, n_samples))
    for matrix in matrices:
        for start in range(0, matrix.shape[1], CHUNK):
            Z = _standardised(matrix[:, start : start + CHUNK])
            gram += Z @ Z.T / n_samples
    return _finite(gram)


def _finite(scatter: Array) -> Array:
    if not np.isfinite(np.trace(scatter)):
        raise ValueError("NaN or infinity in the data; impute or drop these samples first.")
    return scatter


def _two_dimensional(block: Block, max_rows: int) -> Block:
    if not (sparse.issparse(block) or isinstance(block, LazyBlock)):
        block = np.asarray(block)
    n_samples = block.shape[0]
    if n_samples > max_rows:
        block = block[np.linspace(0, n_samples - 1, max_rows).astype(int)]
    if sparse.issparse(block):
        return block.tocsc()
    block = np.asarray(block)
    try:
        block = block if block.dtype.kind in "fiub" else block.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the block must be numeric, got dtype {block.dtype}. {ENCODE_FIRST}"
        ) from error
    return block.reshape(len(block), prod(block.shape[1:]))


def _standardised(matrix: Block) -> Array:
    dense = matrix.toarray() if sparse.issparse(matrix) else matrix
    Z = np.array(dense, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # the estimators' scaling says it in words
        Z -= Z.mean(0)
        scale = np.sqrt(np.mean(Z**2, 0))
    constant = scale <= 10 * np.finfo(np.float64).eps * np.abs(dense).max(0, initial=0)
    Z[:, constant] = 0
    return Z / np.where(constant, 1, scale)


def _log_det(scatter: Array, noise: float) -> float:
    """1/2 ln det(I + scatter / noise) by Cholesky."""
    matrix = scatter / noise
    matrix[np.diag_indices_from(matrix)] += 1
    return float(np.log(np.diag(linalg.cholesky(matrix, lower=True, check_finite=False))).sum())
