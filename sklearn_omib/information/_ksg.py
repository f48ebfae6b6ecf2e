"""Mutual information from distances to nearest neighbours."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma

from .._typing import Array
from ._pairs import Pair, is_count
from ._result import Measured, MutualInformationEstimator

MANY_COLUMNS = 4  # of both sides together
JITTER = 1e-10  # as Kraskov et al. advise, where values repeat
ROUNDING = 1e-14  # taken off a radius, so that the sample at that distance is not inside


class KSG(MutualInformationEstimator):
    r"""I(x; y) from nearest neighbours, for few columns and any dependence.

    Algorithm 1 of Kraskov et al. (eq. 8): with eps_i the distance, in the maximum norm, from
    sample i to its k-th neighbour in (x, y), and n_x, n_y the numbers of samples nearer than that
    in x and in y alone,

    .. math:: I = \psi(k) + \psi(n) - \langle \psi(n_x + 1) + \psi(n_y + 1) \rangle

    and for labels y the form of Ross, in which the neighbours of a sample are sought in its class.
    Columns become normal scores of their ranks first. With many columns, or more than a few nats,
    the value falls far short of the truth: .5 of 2 nats in 16 + 16 columns.

    Promised: symmetry (up to chance where values repeat); no change under increasing maps of single
    columns; up to chance, no gain from noise.

    Parameters
    ----------
    n_neighbors : int, default=4
    discrete_target : "auto" or bool, default="auto"
        Whether y holds class labels, as in :class:`GaussianCopulaMI`.

    Attributes
    ----------
    result_ : MIResult
        The last estimate with its standard error and warnings.

    References
    ----------
    Kraskov, Stögbauer and Grassberger, "Estimating mutual information", Physical Review E, 2004.

    Ross, "Mutual information between discrete and continuous data sets", PLoS ONE, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.information import KSG
    >>> x, e = np.random.default_rng(0).uniform(-1, 1, size=(2, 2000))
    >>> mi = KSG().estimate(x, x**2 + e / 10)  # truth: 1.63; no correlation
    >>> bool(1.5 < mi < 1.7)
    True
    """

    _name = "ksg"

    def __init__(self, n_neighbors: int = 4, *, discrete_target: str | bool = "auto") -> None:
        self.n_neighbors = n_neighbors
        self.discrete_target = discrete_target

    def _measure(self, pair: Pair) -> Measured:
        n_samples = len(pair.x)
        if not is_count(self.n_neighbors, n_samples - 1):
            raise ValueError(
                f"n_neighbors must be an int from 1 to n_samples - 1 = {n_samples - 1}, got "
                f"{self.n_neighbors!r}."
            )
        if sum(pair.n_columns) > MANY_COLUMNS:
            pair.warnings.append(
                f"KSG finds only a part of what {pair.n_columns[0]} + {pair.n_columns[1]} columns "
                "share."
            )
        rng = np.random.RandomState(0)
        x = untied(pair.x, rng)
        local = self._ross(x, pair) if pair.discrete else self._kraskov(x, untied(pair.y, rng))
        return Measured(
            float(local.mean()), local, pair.n_columns,
            "Nearest neighbours: dependence of any kind, as far as the samples resolve it; the "
            "value falls short where it is strong.",
        )  # fmt: skip

    def _kraskov(self, x: Array, y: Array) -> Array:
        k = self.n_neighbors
        radius = cKDTree(np.c_[x, y]).query(np.c_[x, y], [k + 1], p=np.inf)[0][:, 0]
        return digamma(k) + digamma(len(x)) - sum(digamma(_n_nearer(v, radius)) for v in (x, y))

    def _ross(self, x: Array, pair: Pair) -> Array:
        y = pair.y
        n_own = np.bincount(y)[y]
        k = np.minimum(self.n_neighbors, n_own - 1)
        alone = k == 0  # a label that occurs once has no neighbour to tell from
        if alone.all():
            raise ValueError("y has no label of at least 2 samples.")
        if alone.any():
            pair.warnings.append(f"{alone.sum()} samples, alone with their label, are left out.")
        radius = np.empty(len(x))
        for label in np.unique(y[~alone]):
            own = x[y == label]
            k_own = min(self.n_neighbors, len(own) - 1)
            radius[y == label] = cKDTree(own).query(own, [k_own + 1], p=np.inf)[0][:, 0]
        x, k, n_own, radius = (v[~alone] for v in (x, k, n_own, radius))
        return digamma(len(x)) + digamma(k) - digamma(n_own) - digamma(_n_nearer(x, radius))


def _n_nearer(v: Array, radius: Array) -> Array:
    """Number of rows nearer to each row than its radius, itself included."""
    radius = radius - ROUNDING
    if v.shape[1] == 1:
        ordered = np.sort(v[:, 0])
        first = np.searchsorted(ordered, v[:, 0] - radius, "left")
        return np.searchsorted(ordered, v[:, 0] + radius, "right") - first
    return cKDTree(v).query_ball_point(v, radius, p=np.inf, return_length=True)


def untied(scores: Array, rng: np.random.RandomState) -> Array:
    """The scores, moved by next to nothing in columns where values repeat.

    x and y take their noise from one generator: the same noise in both would be shared.
    """
    tied = [len(np.unique(column)) < len(column) for column in scores.T]
    noise = rng.standard_normal(scores.shape)
    return scores + JITTER * noise * tied
