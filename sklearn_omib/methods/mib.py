"""E-MIB, L-MIB and C-MIB: a bottleneck behind the fusion, before it, or both (Mai et al., 2023)."""

from numbers import Real
from typing import Any, ClassVar

from .._compat import Interval, StrOptions
from ..nn import FusionNetwork
from ..nn.fusion import FUSIONS
from ._method import Method


class CMIB(Method):
    """Complete multimodal information bottleneck (C-MIB).

    Minimises task(xi) + sum_m task_m + beta (sum_m KL_m + KL_joint): the modalities' codes and,
    behind their fusion, xi itself are variational bottlenecks, and each code predicts the target
    by itself. Interpretations: the KL is a sum over latent dimensions (the authors' code takes
    the mean, so that their beta is latent_dim times ours); the task loss counts once, not twice;
    predictions use the means of the codes, not draws.

    Parameters
    ----------
    beta : float, default=2e-5
        Weight of each KL, per nat, summed over latent dimensions. The default is the authors'
        1e-3, a mean over 50 dimensions.
    fusion : {"concat", "cross_attention", "unnormed_attention", "sum", "mean", "gated", "film", \
"low_rank"}, default="concat"
        How the codes become one.

    References
    ----------
    Mai, Zeng, Hu, "Multimodal Information Bottleneck: Learning Minimal Sufficient Unimodal and
    Multimodal Representations", IEEE TMM 25:4121-4134, 2023, arXiv 2210.17444.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "beta": [Interval(Real, 0, None, closed="left")],
        "fusion": [StrOptions(set(FUSIONS))],
    }
    structure = ("fusion",)
    _parts: ClassVar[dict[str, Any]] = {"code": "gaussian", "joint": "gaussian", "branches": "code"}

    def __init__(self, beta: float = 2e-5, fusion: str = "concat") -> None:
        self.beta = beta
        self.fusion = fusion

    def network(self, **shared: Any) -> FusionNetwork:
        return FusionNetwork(**shared, fusion=self.fusion, **self._parts)

    def settings(self) -> dict[str, Any]:
        bottlenecks = {"kl": self._parts["code"], "joint_kl": self._parts["joint"]}
        drawn = [name for name, kind in bottlenecks.items() if kind == "gaussian"]
        return {"penalty_weights": dict.fromkeys(drawn, self.beta)}


class EMIB(CMIB):
    """Early-fusion multimodal information bottleneck (E-MIB).

    Minimises task(xi) + beta KL_joint: the encodings are fused first, and the fusion passes a
    variational bottleneck. Interpretations: the KL is a sum over latent dimensions (the authors'
    code takes the mean, so that their beta is latent_dim times ours), and predictions use the
    mean of the code, not draws.

    Parameters
    ----------
    beta : float, default=2e-5
        Weight of the KL, per nat, summed over latent dimensions. The default is the authors' 1e-3,
        a mean over 50 dimensions.
    fusion : {"concat", "cross_attention", "unnormed_attention", "sum", "mean", "gated", "film", \
"low_rank"}, default="concat"
        How the encodings, mapped linearly to ``latent_dim``, become one.

    References
    ----------
    Mai, Zeng, Hu, "Multimodal Information Bottleneck: Learning Minimal Sufficient Unimodal and
    Multimodal Representations", IEEE TMM 25:4121-4134, 2023, arXiv 2210.17444.
    """

    _parts: ClassVar[dict[str, Any]] = {"code": "plain", "joint": "gaussian", "branches": None}


class LMIB(CMIB):
    """Late-fusion multimodal information bottleneck (L-MIB).

    Minimises task(xi) + sum_m (task_m + beta KL_m): each modality passes a variational bottleneck
    and predicts the target by itself before the codes are fused. Interpretations as for
    :class:`CMIB`: the KL summed over latent dimensions, the task loss counted once,
    predictions from the means of the codes.

    Parameters
    ----------
    beta : float, default=2e-5
        Weight of each KL, per nat, summed over latent dimensions. The default is the authors'
        1e-3, a mean over 50 dimensions.
    fusion : {"concat", "cross_attention", "unnormed_attention", "sum", "mean", "gated", "film", \
"low_rank"}, default="concat"
        How the codes become xi.

    References
    ----------
    Mai, Zeng, Hu, "Multimodal Information Bottleneck: Learning Minimal Sufficient Unimodal and
    Multimodal Representations", IEEE TMM 25:4121-4134, 2023, arXiv 2210.17444.
    """

    _parts: ClassVar[dict[str, Any]] = {"code": "gaussian", "joint": None, "branches": "code"}
