"""Deep IB: a bottleneck for each view (Wang et al., SDM 2019)."""

from numbers import Real
from typing import Any, ClassVar

from .._compat import Interval
from ..nn import FusionNetwork
from ._method import Method


class DeepIB(Method):
    """Deep multi-view information bottleneck.

    Minimises task(xi) + beta sum_m KL_m: max I(Z; y) - beta sum_m I(v_m; Z_m) with a variational
    bottleneck for each modality, and xi from all codes side by side. Interpretation: one beta
    serves all modalities.

    Parameters
    ----------
    beta : float, default=1e-3
        Weight of the codes' KL, per nat, summed over latent dimensions.

    References
    ----------
    Wang, Boudreau, Luo, Tan, Zhou, "Deep Multi-view Information Bottleneck", SIAM SDM 2019.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "beta": [Interval(Real, 0, None, closed="left")]
    }

    def __init__(self, beta: float = 1e-3) -> None:
        self.beta = beta

    def network(self, **shared: Any) -> FusionNetwork:
        return FusionNetwork(**shared)

    def settings(self) -> dict[str, Any]:
        return {"penalty_weights": {"kl": self.beta}}
