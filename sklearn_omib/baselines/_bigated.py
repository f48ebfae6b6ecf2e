"""BiGated: encodings that gate each other (Kiela et al., AAAI 2018)."""

from .._classification import MultimodalClassifier
from .._detection import MultimodalAnomalyDetector
from .._regression import MultimodalRegressor
from ..nn import FusionNetwork
from ._base import BaseBaseline


class BiGated(BaseBaseline):
    """BiGated.

    xi = W sum_m sigmoid(G_m [zeta_j, j != m]) * V_m zeta_m, with zeta_m a linear map of the
    encoding; the task loss is all there is to minimise. Interpretation: the gated form for two
    modalities has one of them gate the other, and the paper of OMIB does not say which; here each
    modality is gated by all others, which serves any number.

    References
    ----------
    Kiela, Grave, Joulin, Mikolov, "Efficient Large-Scale Multi-Modal Classification", AAAI 2018.
    """

    def _make_network(self, **shared):
        return FusionNetwork(**shared, code="plain", fusion="gated")


class BiGatedClassifier(MultimodalClassifier, BiGated):
    """Classifier on several modalities that gate each other."""


class BiGatedRegressor(MultimodalRegressor, BiGated):
    """Regressor on several modalities that gate each other."""


class BiGatedAnomalyDetector(MultimodalAnomalyDetector, BiGated):
    """Anomaly detector on several modalities that gate each other."""
