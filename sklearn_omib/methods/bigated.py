"""BiGated: encodings that gate each other (Kiela et al., AAAI 2018)."""

from typing import Any

from ..nn import FusionNetwork
from ._method import Method


class BiGated(Method):
    """BiGated.

    xi = W sum_m sigmoid(G_m [zeta_j, j != m]) * V_m zeta_m, with zeta_m a linear map of the
    encoding; the task loss is all there is to minimise. Interpretation: the gated form for two
    modalities has one of them gate the other, and the paper of OMIB does not say which; here each
    modality is gated by all others, which serves any number.

    References
    ----------
    Kiela, Grave, Joulin, Mikolov, "Efficient Large-Scale Multi-Modal Classification", AAAI 2018.
    """

    def network(self, **shared: Any) -> FusionNetwork:
        return FusionNetwork(**shared, code="plain", fusion="gated")
