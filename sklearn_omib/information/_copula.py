"""Mutual information of a Gaussian copula, in closed form."""

from __future__ import annotations

from math import log, pi

import numpy as np
from scipy.special import digamma, logsumexp

from .._typing import Array
from ._pairs import Pair, fewer_columns
from ._result import Measured, MutualInformationEstimator

MIN_CLASS = 10
RIDGE = 1e-9  # of the unit variances, for classes in which a column does not vary


class GaussianCopulaMI(MutualInformationEstimator):
    r"""I(x; y) under a Gaussian copula, corrected for its bias.

    Columns become normal scores of their ranks; then, with canonical correlations rho_i of p and q
    columns and n samples,

    .. math:: I = -\tfrac12 \sum_i \ln(1 - \rho_i^2) - \tfrac12 [B(p) + B(q) - B(p + q)], \qquad
              B(d) = \sum_{i=1}^{d} \psi\left(\frac{n - i}{2}\right)

    where the second term is the exact bias for Gaussian data. Being unbiased, the value may fall a
    little below zero where x and y are independent. It takes milliseconds. It sees monotone
    dependence only: that of y = x^2 on a symmetric x reads 0.

    For labels y, x given a class is Gaussian in the normal scores, and I = H(y) - H(y | x) is the
    mean of the values with and without each sample's own part in its class, whose biases cancel
    to first order.

    Promised: symmetry; no change under increasing maps of single columns; no change under
    rotations of the normal scores; up to chance, independent blocks add up, and no gain from noise
    or from dropping columns.

    Parameters
    ----------
    pca : "auto", int or None, default="auto"
        Principal components of the normal scores that are kept per side. "auto" keeps all columns
        unless both sides together have more than a third of the number of samples; then
        k = min(d, max(2, n // 12), 40) per side. For labels, n is the size of the smallest class
        and the limit a tenth of it. Components miss what varies little. No covariance is shrunk:
        shrinkage reads tens of nats off independent wide data.
    discrete_target : "auto" or bool, default="auto"
        Whether y holds class labels. "auto": strings, booleans, and integers of at most 20 (and at
        most sqrt(n_samples)) different values, in an array of one dimension.

    Attributes
    ----------
    result_ : MIResult
        The last estimate with its standard error and warnings.

    References
    ----------
    Ince et al., "A statistical framework for neuroimaging data analysis based on mutual
    information estimated via a Gaussian copula", Human Brain Mapping, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.information import GaussianCopulaMI
    >>> x, e = np.random.default_rng(0).normal(size=(2, 1000, 1))
    >>> mi = GaussianCopulaMI().estimate(x, np.exp(x + e))  # truth: ln(2) / 2 = .35
    >>> bool(0.3 < mi < 0.4)
    True
    """

    _name = "copula"

    def __init__(
        self, pca: str | int | None = "auto", *, discrete_target: str | bool = "auto"
    ) -> None:
        self.pca = pca
        self.discrete_target = discrete_target

    def _measure(self, pair: Pair) -> Measured:
        if pair.discrete:
            return self._measure_classes(pair)
        n_samples = len(pair.x)
        x, y = fewer_columns(pair, self.pca, limit=n_samples / 3)
        n_columns = x.shape[1], y.shape[1]
        if sum(n_columns) > n_samples - 2:
            raise ValueError(
                f"pca={self.pca!r} leaves {n_columns[0]} + {n_columns[1]} columns for {n_samples} "
                "samples; it takes fewer columns than samples. Use pca='auto'."
            )
        local = gaussian_local(x, y, pair.warnings)
        return Measured(
            float(local.mean()), local, n_columns,
            "A Gaussian copula: monotone dependence of any strength; dependence that goes up and "
            "down again is not in it.",
        )  # fmt: skip

    def _measure_classes(self, pair: Pair) -> Measured:
        counts = np.bincount(pair.y)
        kept = counts[pair.y] >= MIN_CLASS
        if not kept.all():
            pair.warnings.append(
                f"{(~kept).sum()} samples of classes with fewer than {MIN_CLASS} are left out."
            )
            counts = counts[counts >= MIN_CLASS]
            if not len(counts):
                raise ValueError(f"y has no class of at least {MIN_CLASS} samples.")
        y = np.unique(pair.y[kept], return_inverse=True)[1]
        smallest = counts.min(initial=len(pair.x))
        (x,) = fewer_columns(pair, self.pca, limit=smallest / 10, n_samples=smallest)
        if x.shape[1] > smallest - 2:
            raise ValueError(
                f"pca={self.pca!r} leaves {x.shape[1]} columns for the {smallest} samples of the "
                "smallest class; it takes fewer columns than samples. Use pca='auto'."
            )
        local = class_local(x[kept], y) if len(counts) > 1 else np.zeros(len(y))
        return Measured(
            float(local.mean()), local, (x.shape[1], 1),
            "A Gaussian of the normal scores per class: classes that differ in mean and covariance "
            "only.",
        )  # fmt: skip


def canonical_correlations(x: Array, y: Array) -> tuple[Array, Array, Array, tuple[int, int]]:
    """Maps of the centred x and y to canonical variates of unit variance, and the correlations.

    Returns
    -------
    to_u : ndarray of shape (n_features_x, n_pairs)
    to_v : ndarray of shape (n_features_y, n_pairs)
    rho : ndarray of shape (n_pairs,)
    ranks : tuple of int
        Of x and of y.
    """
    centred = [v - v.mean(0) for v in (x, y)]
    whiten_x, whiten_y = (_whitening(v) for v in centred)
    u, v = centred[0] @ whiten_x, centred[1] @ whiten_y
    left, rho, right = np.linalg.svd(u.T @ v / len(x), full_matrices=False)
    return whiten_x @ left, whiten_y @ right.T, np.minimum(rho, 1), (u.shape[1], v.shape[1])


def _whitening(centred: Array) -> Array:
    """A map to uncorrelated columns of unit variance; directions that do not vary are dropped."""
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = variances > 1e-10 * variances.max(initial=0)
    return directions[:, kept] / np.sqrt(variances[kept])


def gaussian_local(x: Array, y: Array, warnings: list[str]) -> Array:
    """ln p(x, y) / p(x) p(y) of each sample under its Gaussian, with the mean's bias taken off."""
    n_samples = len(x)
    to_u, to_v, rho, ranks = canonical_correlations(x, y)
    gap = 1 - rho
    if (gap < 1 / n_samples).any():
        warnings.append(
            f"{(gap < 1 / n_samples).sum()} canonical correlations are above 1 - 1/n: ranks cannot "
            "tell how strong such dependence is. Take the value for a floor."
        )
    gap = np.clip(gap, least_gap(n_samples), 1)
    rho, spread = 1 - gap, gap * (2 - gap)
    u, v = (x - x.mean(0)) @ to_u, (y - y.mean(0)) @ to_v
    ratios = (rho * u * v - rho**2 * (u**2 + v**2) / 2) / spread - np.log(spread) / 2
    bias = sum(log_det_bias(n_samples, d) for d in ranks) - log_det_bias(n_samples, sum(ranks))
    return ratios.sum(1) - bias / 2


def least_gap(n_samples: int) -> float:
    """1 - rho of two rankings that differ by one swap of neighbours in the middle."""
    return max(2 * pi / n_samples**3, 1e-12)


def log_det_bias(n_samples: int, dim: int) -> float:
    """E[ln det] of a sample covariance less its expectation's, but for terms linear in dim."""
    return digamma((n_samples - np.arange(1, dim + 1)) / 2).sum()


def class_local(x: Array, y: Array) -> Array:
    """ln p(y | x) / p(y) of each sample, for x that is Gaussian in each class of y."""
    n_samples = len(y)
    with_own = np.empty((n_samples, y.max() + 1))
    without_own = np.empty_like(with_own)
    for label in range(with_own.shape[1]):
        own = y == label
        prior = log(own.mean())
        with_own[:, label], left_out = _class_log_density(x, own)
        with_own[:, label] += prior
        without_own[:, label] = with_own[:, label]
        without_own[own, label] = left_out + prior
    rows = np.arange(n_samples)
    posterior = sum(joint[rows, y] - logsumexp(joint, axis=1) for joint in (with_own, without_own))
    return posterior / 2 - np.log(np.bincount(y) / n_samples)[y]


def _class_log_density(x: Array, own: Array) -> tuple[Array, Array]:
    """Log-density of all rows, and of the class's own rows had each not been in it."""
    n_own, dim = own.sum(), x.shape[1]
    centred = x - x[own].mean(0)
    covariance = centred[own].T @ centred[own] / n_own + RIDGE * np.eye(dim)
    distance = np.einsum("ij,ij->i", centred, np.linalg.solve(covariance, centred.T).T)
    log_det = np.linalg.slogdet(covariance)[1]
    # the covariance without a row is that with it, less a matrix of rank one
    leverage = np.minimum(distance[own] / (n_own - 1), 1 - RIDGE)
    grown = dim * log(n_own / (n_own - 1)) + np.log1p(-leverage)
    further = distance[own] * n_own / (n_own - 1) / (1 - leverage)
    return -(log_det + distance) / 2, -(log_det + grown + further) / 2
