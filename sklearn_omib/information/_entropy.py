"""Entropies, and what several modalities share."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.special import digamma
from scipy.stats import differential_entropy

from .._typing import Array, Modalities, RandomState
from ..data.container import ModalityDict, check_modalities, flatten_block
from ..data.foreign import labelled
from ._capacity import information_capacity
from ._copula import least_gap, log_det_bias
from ._mutual_information import mutual_information
from ._pairs import (
    MIN_SAMPLES,
    clean_scores,
    is_discrete,
    labels,
    numeric,
    principal_components,
)

KINDS = ("auto", "discrete", "differential")
PAIRWISE = ("mean", "tree")


def entropy(v: ArrayLike, *, kind: str = "auto") -> float:
    r"""Entropy of labels, or differential entropy of continuous columns, in nats.

    Labels: the plug-in entropy with the correction of Miller and Madow, (number of labels - 1) /
    2n. Continuous columns:

    .. math:: h(v) = \sum_j h(v_j) + \tfrac12 \ln\det R

    with h(v_j) from spacings of the sorted values (Vasicek and its kin, as SciPy chooses) and R the
    correlations of normal scores, corrected for bias: a Gaussian copula with any marginals.

    A differential entropy has the scale of the data in it, may be negative, and is no amount of
    information; :func:`information_capacity` is the finite, scale-free value the bound on beta
    uses. Promised, for continuous columns: h(a v) = h(v) + ln a for each column scaled by a > 0.

    Parameters
    ----------
    v : array-like of shape (n_samples,) or (n_samples, n_features)
    kind : {"auto", "discrete", "differential"}, default="auto"
        "auto" takes strings, booleans and integers of few values for labels, as
        :class:`GaussianCopulaMI` does.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If ``v`` is continuous and has a column in which more than 5 % of the values repeat, two
        columns of equal or opposite ranks, or no fewer columns than samples.

    References
    ----------
    Miller, "Note on the bias of information estimates", 1955.

    Vasicek, "A test for normality based on sample entropy", JRSS B, 1976.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.information import entropy
    >>> round(entropy(["a", "b"] * 500), 3)  # ln(2) = .693, and 1/2000
    0.694
    >>> h = entropy(np.random.default_rng(0).uniform(0, 2, size=2000))  # truth: ln(2)
    >>> bool(abs(h - np.log(2)) < 0.05)
    True
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}.")
    v = labelled(v).block
    if not np.size(v):
        raise ValueError("v has no values, so that its entropy is not defined.")
    if is_discrete(v, {"discrete": True, "differential": False}.get(kind, "auto"), "v"):
        counts = np.bincount(labels(v, "v"))
        p = counts / counts.sum()
        return float(-(p * np.log(p)).sum() + (len(p) - 1) / (2 * counts.sum()))
    v = numeric(v, "v")
    n_samples, dim = v.shape
    if dim > n_samples - 2:
        raise ValueError(f"v has {dim} columns for {n_samples} samples; it takes fewer.")
    repeats = np.array([len(np.unique(column)) < 0.95 * n_samples for column in v.T])
    if repeats.any():
        raise ValueError(
            f"{repeats.sum()} columns of v have more than 5 % repeated values: their differential "
            "entropy is minus infinity. Use kind='discrete' for labels."
        )
    scores = clean_scores(v, "v", [])
    if scores.shape[1] < dim:
        raise ValueError(
            f"{dim - scores.shape[1]} columns of v have the ranks of another column: the joint "
            "differential entropy is minus infinity. Leave them out."
        )
    return float(differential_entropy(v, axis=0).sum() + _log_det(scores) / 2)


def _log_det(scores: Array) -> float:
    """ln det of the correlations, without the bias it has for Gaussian data."""
    n_samples, dim = scores.shape
    bias = log_det_bias(n_samples, dim) - dim * digamma((n_samples - 1) / 2)
    variances = np.linalg.eigvalsh(np.corrcoef(scores, rowvar=False).reshape(dim, dim))
    return np.log(np.maximum(variances, least_gap(n_samples))).sum() - bias


def total_correlation(
    X: Modalities,
    *,
    method: str = "gaussian",
    pairwise: str = "tree",
    noise: float = 0.1,
    random_state: RandomState = None,
) -> float:
    r"""What any number of modalities share, sum_m H(v_m) - H(v_1, .., v_M), in nats.

    Parameters
    ----------
    X : dict, ModalityDict or any form :func:`~sklearn_omib.check_modalities` accepts
    method : {"gaussian", "copula", "pairwise"}, default="gaussian"
        "gaussian": of the modalities seen through a Gaussian channel, with entropies by
        :func:`information_capacity`. It is what :func:`estimate_beta_bounds` finds shared, never
        negative, and less than the total correlation without noise. "copula": of a Gaussian copula,
        corrected for bias; with principal components where there are more columns than a third of
        the samples. "pairwise": a lower bound from :func:`mutual_information` of all pairs.
    pairwise : {"tree", "mean"}, default="tree"
        "mean" is (2/M) sum_{i<j} I(v_i; v_j), the paper's bound; "tree" the largest sum along a
        spanning tree (Chow and Liu, 1968), which is never less: the mean of random trees is "mean".
    noise : float, default=0.1
        Variance of the Gaussian channel's noise.
    random_state : int, RandomState instance or None, default=None
        Used by "pairwise".

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.information import total_correlation
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.normal(size=(2000, 1))
    >>> X = {name: shared + rng.normal(size=(2000, 1)) for name in ("text", "audio", "video")}
    >>> bool(  # correlations of 1/2 have the determinant 1/2
    ...     abs(total_correlation(X, method="copula") - np.log(2) / 2) < 0.05
    ... )
    True
    """
    X = check_modalities(X)
    check_pairwise(pairwise)
    if method == "gaussian":
        alone = sum(information_capacity(block, noise=noise) for block in X.values())
        return max(alone - information_capacity(*X.values(), noise=noise), 0.0)
    if method == "copula":
        return _copula_total_correlation(X)
    if method != "pairwise":
        raise ValueError(
            f"method must be one of ('gaussian', 'copula', 'pairwise'), got {method!r}."
        )
    blocks = {name: flatten_block(block) for name, block in X.items()}
    pairs = {
        (a, b): mutual_information(blocks[a], blocks[b], random_state=random_state).value
        for a, b in combinations(blocks, 2)
    }
    return from_pairs(pairs, list(blocks), pairwise)


def _copula_total_correlation(X: ModalityDict) -> float:
    n_samples = len(X)
    if n_samples < MIN_SAMPLES:
        raise ValueError(f"X needs at least {MIN_SAMPLES} samples, got {n_samples}.")
    doubts: list[str] = []
    scores = [clean_scores(numeric(flatten_block(v), name), name, doubts) for name, v in X.items()]
    n_columns = sum(v.shape[1] for v in scores)
    n_shared = n_columns - clean_scores(np.hstack(scores), "X", []).shape[1]
    if n_shared:
        doubts.append(
            f"{n_shared} columns have the ranks of a column of another modality: the total "
            "correlation is infinite then, and any number only a floor."
        )
    for doubt in doubts:
        warnings.warn(doubt, UserWarning, stacklevel=3)
    if n_columns > n_samples / 3:
        k = max(2, min(n_samples // 12, 40, n_samples // (3 * len(scores))))
        scores = [principal_components(v, k) for v in scores]
    return float((sum(_log_det(v) for v in scores) - _log_det(np.hstack(scores))) / 2)


def check_pairwise(pairwise: str) -> None:
    if pairwise not in PAIRWISE:
        raise ValueError(f"pairwise must be one of {PAIRWISE}, got {pairwise!r}.")


def from_pairs(pairs: Mapping[tuple[str, str], float], names: list[str], pairwise: str) -> float:
    """Lower bound on the total correlation from I of all pairs, ``{(name, name): nats}``."""
    if pairwise == "mean":
        return 2 / len(names) * sum(max(value, 0.0) for value in pairs.values())
    weights = np.zeros((len(names), len(names)))
    for (a, b), value in pairs.items():
        weights[names.index(a), names.index(b)] = -max(value, 0.0)
    return float(0.0 - minimum_spanning_tree(weights).sum())
