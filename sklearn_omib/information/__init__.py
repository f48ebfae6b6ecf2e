"""Entropies, mutual information and the bound on beta. All values are in nats."""

from ._bounds import BetaBounds, estimate_beta_bounds
from ._capacity import information_capacity
from ._mine import MINE

__all__ = ["MINE", "BetaBounds", "estimate_beta_bounds", "information_capacity"]
