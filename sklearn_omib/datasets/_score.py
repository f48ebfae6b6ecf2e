"""What is best known of a target made from a Gaussian score, by quadrature. All values in nats.

The score is g + w q: g is Gaussian with mean 0, q = +1 or -1 is the product of the signs of two
independent standard normal factors, w = ``jump``. Evidence tells g up to a Gaussian of variance
``unexplained``, and q up to the probability (1 + eta) / 2 of q = 1. Best accuracy and entropy are
averages over what evidence may say, one-dimensional without q.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import entr, ndtr, ndtri

from .._typing import Array

Rule: TypeAlias = tuple[Array, Array]  # nodes and weights

TINY = 1e-300  # a spread of nothing, so that what is known for certain needs no formula of its own
SINGULAR = 1e-12  # variance below which targets tell each other
KNOWS_NOTHING: Rule = np.zeros(1), np.ones(1)  # rule of eta where q is unknown


def normal_rule(centres: ArrayLike = (), width: float = 1.0, *, coarse: bool = False) -> Rule:
    """Nodes and weights of E f(t) for t standard normal, where f bends within width of centres.

    The coarse rule is for products of rules, in which the kinks of f average out.
    """
    far = np.linspace(-9, 9, 181 if coarse else 901)
    near = np.add.outer(centres, width * np.linspace(-8, 8, 65 if coarse else 257)).ravel()
    edges = np.unique(np.clip(np.r_[far, near], -9, 9))
    node, weight = np.polynomial.legendre.leggauss(4)
    half = np.diff(edges)[:, None] / 2
    t = (edges[:-1, None] + half + half * node).ravel()
    weight = (half * weight).ravel() * np.exp(-(t**2) / 2)
    return t, weight / weight.sum()


def sign_rule(*known: float, n_bins: int = 400) -> Rule:
    """Nodes and weights of eta = E[q | evidence], from the shares known of the two factors.

    Evidence on a factor of variance 1 that explains r of it leaves E[sign] = 2 Phi(t) - 1 with t
    normal of variance r / (1 - r). Products are gathered in bins of arcsin(eta), with their means.
    """
    if min(known) == 0:
        return KNOWS_NOTHING
    eta, weight = np.ones(1), np.ones(1)
    for share in known:
        scale = np.sqrt(share / max(1 - share, TINY))
        t, of_t = normal_rule([0], 1 / scale, coarse=True)
        eta = np.outer(eta, 2 * ndtr(scale * t) - 1).ravel()
        weight = np.outer(weight, of_t).ravel()
    place = np.minimum((np.arcsin(eta) / np.pi + 0.5) * n_bins, n_bins - 1).astype(int)
    total = np.bincount(place, weight)
    filled = total > 0
    mean = np.bincount(place, weight * eta)[filled] / total[filled]
    return np.clip(mean, -1, 1), total[filled]


def score_cuts(priors: ArrayLike, variance: float = 1.0, jump: float = 0.0) -> Array:
    """Cut points between which the score falls with the given probabilities.

    Where the score is q alone, it is cut at zero, whatever the priors.
    """
    spread, levels = np.sqrt(variance), np.cumsum(priors)[:-1]
    if jump == 0:
        return spread * ndtri(levels)
    if spread == 0:
        return np.zeros(1)

    def excess(x: float, level: float) -> float:
        return (ndtr((x - jump) / spread) + ndtr((x + jump) / spread)) / 2 - level

    return np.array([brentq(excess, -50, 50, args=(level,), xtol=1e-14) for level in levels])


def best_classification(
    explained: float,
    unexplained: float,
    cuts: Array,
    flip_y: float = 0.0,
    jump: float = 0.0,
    signs: Rule = KNOWS_NOTHING,
) -> tuple[float, float]:
    """Best accuracy, and H(y | evidence), where y is the interval of the score.

    Parameters
    ----------
    explained, unexplained : float
        Variance of E[g | evidence], and what it leaves of that of g.
    cuts : array of shape (n_classes - 1,)
    flip_y : float
        Share of labels drawn anew from all classes alike.
    signs : pair of arrays
        Nodes and weights of eta.
    """
    scale, spread = np.sqrt(explained), max(np.sqrt(unexplained), TINY)
    t, weight = KNOWS_NOTHING
    if scale > TINY:
        centres = np.unique(np.r_[cuts - jump, cuts + jump]) / scale
        t, weight = normal_rule(centres, spread / scale, coarse=jump > 0)
    edges = np.r_[-np.inf, cuts, np.inf]
    up, down = (
        np.diff(ndtr((edges - sign * jump - scale * t[:, None]) / spread)) for sign in (1, -1)
    )
    eta, eta_weight = signs
    p = (up + down) / 2 + eta[:, None, None] * (up - down) / 2
    p = (1 - flip_y) * p + flip_y / p.shape[-1]
    weight = np.outer(eta_weight, weight)
    return float(np.sum(weight * p.max(-1))), float(np.sum(weight * entr(p).sum(-1)))


def regression_entropy(covariance: Array, jump: float = 0.0, signs: Rule = KNOWS_NOTHING) -> float:
    """h(y | evidence), where y is jump q in every target plus a Gaussian of this covariance."""
    if np.linalg.eigvalsh(covariance)[0] < SINGULAR:
        return -np.inf  # y is known for certain, or has targets that tell each other
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    distance = jump * np.sqrt(np.linalg.inv(covariance).sum())
    return float(entropy + np.sum(signs[1] * _mixing_entropy(signs[0], distance)))


def _mixing_entropy(eta: Array, distance: float) -> Array:
    """What q adds to the entropy: of a mixture of N(d, 1) and N(-d, 1), less that of N(0, 1).

    At distance t from the mean of its own part, of probability p, the density is
    phi(t) (p + (1 - p) exp(-2 d (t + d))).
    """
    if distance == 0:
        return np.zeros(len(eta))
    t, weight = normal_rule([-distance], 1 / (2 * distance), coarse=True)
    added = np.zeros(len(eta))
    for p in ((1 + eta) / 2, (1 - eta) / 2):
        with np.errstate(divide="ignore"):
            own, other = np.log(p)[:, None], np.log1p(-p)[:, None]
        added -= p * (np.logaddexp(own, other - 2 * distance * (t + distance)) @ weight)
    return added
