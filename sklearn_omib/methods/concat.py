"""Concat: one linear map of all encodings side by side, the common default."""

from typing import Any, ClassVar

from .._compat import StrOptions
from ..nn import FusionNetwork
from ..nn.fusion import FUSIONS
from ._method import Method


class Concat(Method):
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

    _parameter_constraints: ClassVar[dict[str, Any]] = {"fusion": [StrOptions(set(FUSIONS))]}
    structure = ("fusion",)

    def __init__(self, fusion: str = "concat") -> None:
        self.fusion = fusion

    def network(self, **shared: Any) -> FusionNetwork:
        return FusionNetwork(**shared, code="plain", fusion=self.fusion)
