"""DMIB: a deterministic bottleneck that predicts like what it reads (Fang et al., WACV 2024)."""

from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any, ClassVar

from torch import Tensor, nn

from .._compat import Interval
from ..nn import (
    Code,
    Fused,
    FusionNetwork,
    NetworkOutput,
    Objective,
    ObjectiveTerms,
    OneClassOutput,
    mlp,
)
from ..nn.layers import linear
from ..nn.losses import TaskLoss
from ..nn.model import Encodings
from ._method import Method


class GatedProjection(nn.Module):
    """zeta = sigmoid(G z) * W z: each feature of an encoding by how much it seems to matter."""

    def __init__(self, input_dim: int, latent_dim: int, stack: int | None = None) -> None:
        super().__init__()
        self.gate, self.value = (linear(input_dim, latent_dim, stack) for _ in range(2))

    def forward(self, z: Tensor) -> Code:
        zeta = self.gate(z).sigmoid() * self.value(z)
        return Code(zeta, None, zeta)


class ReducingFusion(nn.Module):
    """xi = W_2 relu(W_1 [zeta_1 .. zeta_M])."""

    def __init__(
        self,
        n_modalities: int,
        latent_dim: int,
        n_heads: int | None = None,
        dropout: float | None = None,
        stack: int | None = None,
    ) -> None:
        super().__init__()
        width = n_modalities * latent_dim
        self.widen, self.project = linear(width, width, stack), linear(width, latent_dim, stack)

    def forward(self, zeta: Tensor, present: Tensor | None = None) -> Fused:
        return Fused(self.project(self.widen(zeta.flatten(-2)).relu()), zeta)


class DMIBNetwork(FusionNetwork):
    """Also predicts from the observation f = [zeta_1 .. zeta_M], as a last branch."""

    def __init__(
        self,
        sample_shapes: Mapping[str, tuple[int, ...]],
        encoders: Mapping[str, Any],
        sparse: Collection[str],
        n_outputs: int,
        **options: Any,
    ) -> None:
        parts: dict[str, Any] = {
            "code": GatedProjection,
            "fusion": ReducingFusion,
            "branches": "encoding",
        }
        super().__init__(sample_shapes, encoders, sparse, n_outputs, **options, **parts)
        shape = len(self.names) * self.latent_dim, options["hidden_dim"], n_outputs
        depth = options["head_layers"], options["dropout"], options.get("stack")
        self.observed = mlp(*shape, *depth)

    def branch_out(self, z: Encodings, zeta: Tensor, xi: Tensor) -> tuple[Tensor, ...]:
        return *super().branch_out(z, zeta, xi), self.observed(zeta.flatten(-2))

    @property
    def n_branches(self) -> int:
        return super().n_branches + 1

    def last_maps(self) -> list[nn.Module]:
        return [*super().last_maps(), self.observed]


class DMIBObjective(Objective):
    """task(r) + task(f) + sufficiency KL(p_f || p_r) + branch_weight sum_m task_m.

    p_f carries no gradient in the KL: the bottleneck learns from the observation, not the reverse.
    """

    def _penalties(self, output: NetworkOutput | OneClassOutput) -> dict[str, Tensor]:
        observed = output.branches[-1].detach()
        sufficiency = self.task.divergence(observed, output.prediction)
        return {**super()._penalties(output), "sufficiency": sufficiency}

    def _add_branches(
        self,
        terms: ObjectiveTerms,
        predictions: Tensor,
        branch: Tensor,
        weight: Tensor,
        present: Tensor | None,
    ) -> None:
        super()._add_branches(terms, predictions, branch[..., :-1], weight, present)
        terms["observed_loss"] = branch[..., -1]
        terms["loss"] = terms.loss + terms["observed_loss"]


class DMIB(Method):
    """Dynamic multimodal information bottleneck.

    Minimises task(r) + task(f) + sufficiency KL(p_f || p_r) + unimodal sum_m task_m, with f the
    gated encodings side by side, r = W_2 relu(W_1 f) the bottleneck that predicts, and no noise.
    Interpretations: the KL is taken of logarithms (the authors' code passes probabilities where
    logarithms belong, and balances that with weights of 500 and 1000); for numbers it is the KL of
    the predicted normal distributions, for embeddings half the squared distance; encodings are
    gated feature by feature, without the confidence of whole modalities.

    Parameters
    ----------
    sufficiency : float, default=2.0
        Weight of the KL between what observation and bottleneck predict.
    unimodal : float, default=1.0
        Weight of the task losses of each encoding by itself.

    References
    ----------
    Fang, Wu, Zhang et al., "Dynamic Multimodal Information Bottleneck for Multimodality
    Classification", WACV 2024, 7681-7691, arXiv 2311.01066.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "sufficiency": [Interval(Real, 0, None, closed="left")],
        "unimodal": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, sufficiency: float = 2.0, unimodal: float = 1.0) -> None:
        self.sufficiency = sufficiency
        self.unimodal = unimodal

    def network(self, **shared: Any) -> DMIBNetwork:
        return DMIBNetwork(**shared)

    def objective(
        self, task: TaskLoss, n_modalities: int, stack: int | None = None
    ) -> DMIBObjective:
        return DMIBObjective(task, **self.settings())

    def settings(self) -> dict[str, Any]:
        weights = {"sufficiency": self.sufficiency}
        return {"penalty_weights": weights, "branch_weight": self.unimodal}
