"""The interval of beta that keeps all task information and nothing else (section 5.3, App. C)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_memory

from .._typing import Modalities, RandomState
from ..data.container import ModalityDict, check_modalities, flatten_block, naming_modality
from ._capacity import _log_det, check_noise, scatter_matrix
from ._entropy import check_pairwise, from_pairs
from ._mine import MINE

SENSITIVITY = (0.01, 0.1, 1.0)  # noise variances at which the bound is reported
WEIGHTINGS = ("reference", "symmetric", "fixed")
SEEN = (
    "The entropy of continuous data is infinite; these are of standardised features seen through "
    "Gaussian noise,\nunder a Gaussian model: a reproducible scale for beta that depends on the "
    "noise variance, not a guarantee.\nDependence other than correlation is not in them."
)
UNSEEN = (
    "The entropy of continuous data is infinite, and so is I(v; v): these numbers are a property "
    "of the estimator.\nWhat modalities share is a lower bound from pairs of them."
)


@dataclass(frozen=True)
class BetaBounds:
    """Bounds on beta, and what they were computed from. Entropies in nats, bounds in 1/nat.

    Attributes
    ----------
    lower, upper : float
        M_l = 1 / (W sum_m H(v_m)) and M_u = 1 / (W H(v_1, .., v_M)). The theorem holds on
        (0, M_u]; the paper's M_l only speeds training up. Where all modalities are constant there
        is nothing to keep, and both are 1/W, above which a nat costs more than it can gain.
    entropies : dict of str to float
        H(v_m) of each modality.
    joint_entropy : float
        H(v_1, .., v_M).
    total_weight : int
        W, the largest sum of the weights w_m: 2M - 1 for "reference" weights, else M.
    method : str
        The convention behind the entropies.
    noise : float or None
        Variance of the Gaussian channel's noise.
    n_samples : int
    sensitivity : dict of float to float
        ``upper`` at other variances of the noise.
    """

    lower: float
    upper: float
    entropies: dict[str, float]
    joint_entropy: float
    total_weight: int
    method: str
    noise: float | None
    n_samples: int
    sensitivity: dict[float, float] = field(default_factory=dict)

    @property
    def total_correlation(self) -> float:
        """sum_m H(v_m) - H(v_1, .., v_M): what the modalities share, in nats."""
        return sum(self.entropies.values()) - self.joint_entropy

    def __str__(self) -> str:
        entropies = ", ".join(f"{name} {value:.1f}" for name, value in self.entropies.items())
        lines = [
            f"beta in [{self.lower:.3g}, {self.upper:.3g}] per nat, from {self.n_samples} samples",
            f"entropies ({self.method}): {entropies}; joint {self.joint_entropy:.1f} nats",
        ]
        if self.sensitivity:
            others = ", ".join(f"{value:.3g} at {s2:g}" for s2, value in self.sensitivity.items())
            lines.append(f"upper bound by noise variance: {others}")
        lines.append(SEEN if self.noise else UNSEEN)
        return "\n".join(lines)


def estimate_beta_bounds(
    X: Modalities,
    *,
    weighting: str = "reference",
    estimator: Any = "gaussian",
    noise: float = 0.1,
    pairwise: str = "mean",
    memory: Any = None,
    random_state: RandomState = None,
) -> BetaBounds:
    r"""Estimate the bounds M_l and M_u on beta for any number of modalities.

    .. math:: M_u = \frac{1}{W\,H(v_1, \dots, v_M)}, \qquad M_l = \frac{1}{W \sum_m H(v_m)}

    with W = 2M - 1 for reference weights (3 for two modalities and 5 for three, as in the
    paper's eq. 17) and W = M for symmetric or fixed ones. For M = 1 there is no weight, W = 1, and
    both bounds are 1 / H(v): that of the variational information bottleneck.

    Parameters
    ----------
    X : dict, ModalityDict or any form :func:`~sklearn_omib.check_modalities` accepts
    weighting : {"reference", "symmetric", "fixed"}, default="reference"
    estimator : {"gaussian", "mine"} or object with ``estimate(x, y)``, default="gaussian"
        "gaussian" takes entropies as capacities of a Gaussian channel
        (:func:`information_capacity`), closed-form for the joint too. "mine" follows the paper:
        H(v) := I(v; v) as its MINE reads it, which for continuous v measures the training loop
        more than the data. An object must estimate mutual information in nats. Except for
        "gaussian", the joint entropy is sum_m H(v_m) less what pairs of modalities are found to
        share, and no less than any H(v_m).
    noise : float, default=0.1
        Variance of the Gaussian channel's noise.
    pairwise : {"mean", "tree"}, default="mean"
        How mutual information of pairs bounds what all share, except for "gaussian", which needs
        no pairs: (2/M) sum_{i<j} I(v_i; v_j) as in the paper, or the largest sum along a tree of
        pairs, which is never less and gives the larger M_u (:func:`total_correlation`).
    memory : str or object with the joblib.Memory interface, default=None
        Where to keep what was estimated, so that a search over beta estimates once. It pays for
        slow estimators: reading a cache takes as long as "gaussian", which is milliseconds for a
        few hundred columns. OMIB estimators therefore have no such parameter.
    random_state : int, RandomState instance or None, default=None
        Used by estimators that have such a parameter.

    Returns
    -------
    BetaBounds

    Raises
    ------
    ValueError
        If an option is not one of those listed, or the estimated joint entropy negative or NaN.

    Warns
    -----
    UserWarning
        If the entropy of a modality, or of all of them, is not positive.

    Notes
    -----
    The argument of the paper's App. C and D holds for any M and weights w. Let task information be
    shared by exactly the modalities in S. A piece delta of it that the code xi lacks raises the
    relative mutual information, I(xi; y) over the joint entropy F of xi and y, by H(delta) / F, and
    costs beta H(delta) sum_{m in S} w_m. It is included if and only if beta < 1 / (F sum_{m in S}
    w_m). The worst case is S of all modalities and F at its largest, H(v_1, .., v_M); with W the
    largest sum of the weights that is M_u. Weights of the reference kind are 1 for the first
    modality and below 2 for each other, which gives W = 2M - 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.information import estimate_beta_bounds
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(500, 8)), "video": rng.normal(size=(500, 4))}
    >>> print(estimate_beta_bounds(X))
    beta in [0.0232, 0.0233] per nat, from 500 samples
    entropies (gaussian channel): audio 9.6, video 4.8; joint 14.3 nats
    upper bound by noise variance: 0.0121 at 0.01, 0.0233 at 0.1, 0.0805 at 1
    The entropy of continuous data is infinite; these are of standardised features ...
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting must be one of {WEIGHTINGS}, got {weighting!r}.")
    check_pairwise(pairwise)
    X = check_modalities(X)
    n_modalities = len(X.sample_shapes)
    total_weight = 2 * n_modalities - 1 if weighting == "reference" else n_modalities
    cache = check_memory(memory).cache
    if estimator == "gaussian":
        entropies, joint_by_noise = cache(_from_capacity)(X, noise)
        joint_entropy, method = joint_by_noise[noise], "gaussian channel"
    else:
        estimator = _seeded(estimator, random_state)
        entropies, joint_entropy = cache(_from_mutual_information)(X, estimator, pairwise)
        joint_by_noise = {}
        method = f"I(v; v) by {type(estimator).__name__}"
    _check_entropies(entropies, joint_entropy, method)
    return BetaBounds(
        lower=1 / (total_weight * (sum(entropies.values()) if joint_entropy else 1)),
        upper=1 / (total_weight * (joint_entropy or 1)),
        entropies=entropies,
        joint_entropy=joint_entropy,
        total_weight=total_weight,
        method=method,
        noise=noise if joint_by_noise else None,
        n_samples=len(X),
        sensitivity={
            s2: 1 / (total_weight * (joint_by_noise[s2] or 1))
            for s2 in SENSITIVITY
            if joint_by_noise
        },
    )


def _seeded(estimator: Any, random_state: RandomState) -> Any:
    """A copy of the estimator, so that the object given stays as it is, with our seed."""
    if isinstance(estimator, str) and estimator == "mine":
        estimator = MINE(paper=True)
    if isinstance(estimator, type) or not hasattr(estimator, "estimate"):
        raise ValueError(
            "estimator must be 'gaussian', 'mine' or an object with estimate(x, y), got "
            f"{estimator!r}."
        )
    if hasattr(estimator, "get_params"):
        estimator = clone(estimator)
        if "random_state" in estimator.get_params() and estimator.random_state is None:
            estimator.set_params(random_state=random_state)
    return estimator


def _check_entropies(entropies: Mapping[str, float], joint_entropy: float, method: str) -> None:
    if not joint_entropy >= 0:
        raise ValueError(
            f"The joint entropy is estimated as {joint_entropy:.3g} nats ({method}); it cannot be "
            f"negative. The modalities are {list(entropies)}; entropies of each are "
            f"{list(entropies.values())}."
        )
    for name, value in entropies.items():
        if not value > 0:
            warnings.warn(
                f"The entropy of modality {name!r} is estimated as {value:.3g} nats ({method}). Is "
                "the modality constant?",
                UserWarning,
                stacklevel=3,
            )


def _from_capacity(X: ModalityDict, noise: float) -> tuple[dict[str, float], dict[float, float]]:
    """Entropies of the modalities, and the joint one by variance of the noise."""
    check_noise(noise)
    scatters = {}
    for name, block in X.items():
        with naming_modality(name):
            scatters[name] = scatter_matrix([block])
    entropies = {name: _log_det(scatter, noise) for name, scatter in scatters.items()}
    joint = scatter_matrix(X.values()) if len(scatters) > 1 else next(iter(scatters.values()))
    return entropies, {s2: _log_det(joint, s2) for s2 in {noise, *SENSITIVITY}}


def _from_mutual_information(
    X: ModalityDict, estimator: Any, pairwise: str
) -> tuple[dict[str, float], float]:
    """Entropies as I(v; v), the joint one from pairwise mutual information."""
    blocks = {name: flatten_block(block) for name, block in X.items()}
    entropies = {name: float(estimator.estimate(block, block)) for name, block in blocks.items()}
    pairs = {
        (a, b): float(estimator.estimate(blocks[a], blocks[b])) for a, b in combinations(blocks, 2)
    }
    joint = sum(entropies.values()) - from_pairs(pairs, list(blocks), pairwise)
    return entropies, float(np.clip(joint, max(entropies.values()), None))
