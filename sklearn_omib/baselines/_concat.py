"""Concat: one linear map of all encodings side by side, the common default."""

from collections.abc import Iterable
from typing import ClassVar

from .._classification import MultimodalClassifier
from .._compat import StrOptions
from .._detection import MultimodalAnomalyDetector
from .._regression import MultimodalRegressor
from ..nn import FusionNetwork
from ..nn.fusion import FUSIONS
from ._base import BaseBaseline


class Concat(BaseBaseline):
    """Concat.

    xi is a linear map of all encodings side by side, and the task loss is all there is to
    minimise: what multimodal networks do by default. Other fusions without a bottleneck are a
    parameter away.

    Parameters
    ----------
    fusion : {"concat", "cross_attention", "unnormed_attention", "sum", "mean", "gated", "film", \
"low_rank"}, default="concat"
        How the codes, linear maps of the encodings, become xi.

    References
    ----------
    Baltrusaitis, Ahuja, Morency, "Multimodal Machine Learning: A Survey and Taxonomy", IEEE TPAMI
    41:423-443, 2019.
    """

    fusion: str = "concat"

    _parameter_constraints: ClassVar[dict] = {"fusion": [StrOptions(set(FUSIONS))]}
    _structure_names: ClassVar[Iterable[str]] = ("fusion",)

    def _make_network(self, **shared):
        return FusionNetwork(**shared, code="plain", fusion=self.fusion)


class ConcatClassifier(MultimodalClassifier, Concat):
    """Classifier on several modalities by concatenation of their encodings."""


class ConcatRegressor(MultimodalRegressor, Concat):
    """Regressor on several modalities by concatenation of their encodings."""


class ConcatAnomalyDetector(MultimodalAnomalyDetector, Concat):
    """Anomaly detector on several modalities by concatenation of their encodings."""
