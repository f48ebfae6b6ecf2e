"""Deep IB: a bottleneck for each view (Wang et al., SDM 2019)."""

from numbers import Real
from typing import ClassVar

from .._classification import MultimodalClassifier
from .._compat import Interval
from .._detection import MultimodalAnomalyDetector
from .._regression import MultimodalRegressor
from ..nn import FusionNetwork
from ._base import BaseBaseline


class DeepIB(BaseBaseline):
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

    beta: float = 1e-3

    _parameter_constraints: ClassVar[dict] = {"beta": [Interval(Real, 0, None, closed="left")]}

    def _make_network(self, **shared):
        return FusionNetwork(**shared)

    def _objective_settings(self):
        return {"penalty_weights": {"kl": self.beta}}


class DeepIBClassifier(MultimodalClassifier, DeepIB):
    """Classifier on several modalities by the deep multi-view information bottleneck."""


class DeepIBRegressor(MultimodalRegressor, DeepIB):
    """Regressor on several modalities by the deep multi-view information bottleneck."""


class DeepIBAnomalyDetector(MultimodalAnomalyDetector, DeepIB):
    """Anomaly detector on several modalities by the deep multi-view information bottleneck."""
