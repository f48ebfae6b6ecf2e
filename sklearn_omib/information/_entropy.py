"""Entropies, and what several modalities share."""

from itertools import combinations

import numpy as np
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.special import digamma
from scipy.stats import differential_entropy

from .._modalities import check_modalities, flatten_block
from ._capacity import information_capacity
from ._copula import log_det_bias
from ._mutual_information import mutual_information
from ._pairs import clean_scores, is_discrete, labels, normal_scores, numeric, principal_components

KINDS = ("auto", "discrete", "differential")
PAIRWISE = ("mean", "tree")


def entropy(v, *, kind="auto"):
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
        If ``v`` is continuous and has a column in which more than 5 % of the values repeat, or no
        fewer columns than samples.

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
    if is_discrete(v, {"discrete": True, "differential": False}.get(kind, "auto")):
        counts = np.bincount(labels(v, "v"))
        p = counts / counts.sum()
        return float(-(p * np.log(p)).sum() + (len(p) - 1) / (2 * len(v)))
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
    return float(differential_entropy(v, axis=0).sum() + _log_det(normal_scores(v)) / 2)


def _log_det(scores):
    """ln det of the correlations, without the bias it has for Gaussian data."""
    dim = scores.shape[1]
    bias = log_det_bias(len(scores), dim) - dim * digamma((len(scores) - 1) / 2)
    return np.linalg.slogdet(np.corrcoef(scores, rowvar=False).reshape(dim, dim))[1] - bias


def total_correlation(X, *, method="gaussian", pairwise="tree", noise=0.1, random_state=None):
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


def _copula_total_correlation(X):
    n_samples = len(X)
    scores = [clean_scores(numeric(flatten_block(v), name), name, []) for name, v in X.items()]
    if sum(v.shape[1] for v in scores) > n_samples / 3:
        k = max(2, min(n_samples // 12, 40, n_samples // (3 * len(scores))))
        scores = [principal_components(v, k) for v in scores]
    return float((sum(_log_det(v) for v in scores) - _log_det(np.hstack(scores))) / 2)


def from_pairs(pairs, names, pairwise):
    """Lower bound on the total correlation from I of all pairs, ``{(name, name): nats}``."""
    if pairwise not in PAIRWISE:
        raise ValueError(f"pairwise must be one of {PAIRWISE}, got {pairwise!r}.")
    if pairwise == "mean":
        return 2 / len(names) * sum(max(value, 0.0) for value in pairs.values())
    weights = np.zeros((len(names), len(names)))
    for (a, b), value in pairs.items():
        weights[names.index(a), names.index(b)] = -max(value, 0.0)
    return float(-minimum_spanning_tree(weights).sum())
