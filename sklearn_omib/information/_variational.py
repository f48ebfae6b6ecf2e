"""Lower bounds on mutual information as functions of a critic's scores, in nats.

Each takes ``joint`` of shape (n,), the scores T(x_i, y_i) of pairs, and ``product`` of shape
(n_shuffles, n), the scores T(x_i, y_j) of the same x_i with others' y, and returns shape (n,):
local values, whose mean is the bound and whose spread gives its standard error.
"""

from __future__ import annotations

from collections.abc import Callable
from math import e, log
from typing import TypeAlias

from torch import Tensor

Bound: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def donsker_varadhan(joint: Tensor, product: Tensor) -> Tensor:
    """E[T] - ln E'[e^T], unbiased where the critic is fixed and pairs are many.

    Belghazi et al., "Mutual Information Neural Estimation", ICML 2018.
    """
    log_mean = product.flatten().logsumexp(0) - log(product.numel())
    return joint - log_mean - ((product - log_mean).exp().mean(0) - 1)


def nwj(joint: Tensor, product: Tensor) -> Tensor:
    """E[T] - E'[e^(T - 1)], of less bias and more variance.

    Nguyen, Wainwright and Jordan; eq. 4 of Poole et al., "On Variational Bounds of Mutual
    Information", ICML 2019.
    """
    return joint - product.exp().mean(0) / e


def smile(joint: Tensor, product: Tensor, limit: float = 5.0) -> Tensor:
    """Donsker-Varadhan with e^T clipped to e^-limit .. e^limit: less variance, but no bound.

    Song and Ermon, "Understanding the Limitations of Variational Mutual Information Estimators",
    ICLR 2020.
    """
    return donsker_varadhan(joint, product.clamp(-limit, limit))


def infonce(joint: Tensor, product: Tensor) -> Tensor:
    """E[ln e^T / mean of e^T over the pair and its shuffles], at most ln(1 + n_shuffles).

    van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018.
    """
    log_mean = product.logsumexp(0).logaddexp(joint) - log(1 + len(product))
    return joint - log_mean


BOUNDS: dict[str, Bound] = {"dv": donsker_varadhan, "nwj": nwj, "smile": smile, "infonce": infonce}
