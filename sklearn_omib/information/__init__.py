"""Entropies, mutual information and the bound on beta. All values are in nats."""

from ._bounds import BetaBounds, estimate_beta_bounds
from ._capacity import information_capacity
from ._copula import GaussianCopulaMI
from ._entropy import entropy, total_correlation
from ._ksg import KSG
from ._mine import MINE
from ._mutual_information import mutual_information
from ._result import MIResult

__all__ = [
    "KSG",
    "MINE",
    "BetaBounds",
    "GaussianCopulaMI",
    "MIResult",
    "entropy",
    "estimate_beta_bounds",
    "information_capacity",
    "mutual_information",
    "total_correlation",
]
