"""DMIB: a deterministic bottleneck that predicts like what it reads (Fang et al., WACV 2024)."""

from numbers import Real
from typing import ClassVar

from torch import nn

from .._classification import MultimodalClassifier
from .._compat import Interval
from .._detection import MultimodalAnomalyDetector
from .._regression import MultimodalRegressor
from ..nn import Code, Fused, FusionNetwork, Objective, mlp
from ._base import BaseBaseline


class GatedProjection(nn.Module):
    """zeta = sigmoid(G z) * W z: each feature of an encoding by how much it seems to matter."""

    def __init__(self, input_dim, latent_dim):
        super().__init__()
        self.gate, self.value = (nn.Linear(input_dim, latent_dim) for _ in range(2))

    def forward(self, z):
        zeta = self.gate(z).sigmoid() * self.value(z)
        return Code(zeta, None, zeta)


class ReducingFusion(nn.Module):
    """xi = W_2 relu(W_1 [zeta_1 .. zeta_M])."""

    def __init__(self, n_modalities, latent_dim, n_heads=None, dropout=None):
        super().__init__()
        width = n_modalities * latent_dim
        self.widen, self.project = nn.Linear(width, width), nn.Linear(width, latent_dim)

    def forward(self, zeta):
        return Fused(self.project(self.widen(zeta.flatten(-2)).relu()), zeta)


class DMIBNetwork(FusionNetwork):
    """Also predicts from the observation f = [zeta_1 .. zeta_M], as a last branch."""

    def __init__(self, sample_shapes, encoders, sparse, n_outputs, **options):
        parts = {"code": GatedProjection, "fusion": ReducingFusion, "branches": "encoding"}
        super().__init__(sample_shapes, encoders, sparse, n_outputs, **options, **parts)
        width = len(self.names) * self.latent_dim
        self.observed = mlp(
            width, options["hidden_dim"], n_outputs, options["head_layers"], options["dropout"]
        )

    def branch_out(self, z, zeta, xi):
        return *super().branch_out(z, zeta, xi), self.observed(zeta.flatten(-2))

    @property
    def n_branches(self):
        return super().n_branches + 1

    def last_maps(self):
        return [*super().last_maps(), self.observed]


class DMIBObjective(Objective):
    """task(r) + task(f) + sufficiency KL(p_f || p_r) + branch_weight sum_m task_m.

    p_f carries no gradient in the KL: the bottleneck learns from the observation, not the reverse.
    """

    def _penalties(self, output):
        observed = output.branches[-1].detach()
        sufficiency = self.task.divergence(observed, output.prediction)
        return {**super()._penalties(output), "sufficiency": sufficiency}

    def _add_branches(self, terms, predictions, branch, weight):
        super()._add_branches(terms, predictions, branch[..., :-1], weight)
        terms["observed_loss"] = branch[..., -1]
        terms["loss"] = terms.loss + terms["observed_loss"]


class DMIB(BaseBaseline):
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

    sufficiency: float = 2.0
    unimodal: float = 1.0

    _parameter_constraints: ClassVar[dict] = {
        "sufficiency": [Interval(Real, 0, None, closed="left")],
        "unimodal": [Interval(Real, 0, None, closed="left")],
    }

    def _make_network(self, **shared):
        return DMIBNetwork(**shared)

    def _make_objective(self, task):
        return DMIBObjective(task, **self._objective_settings())

    def _objective_settings(self):
        weights = {"sufficiency": self.sufficiency}
        return {"penalty_weights": weights, "branch_weight": self.unimodal}


class DMIBClassifier(MultimodalClassifier, DMIB):
    """Classifier on several modalities by the dynamic multimodal information bottleneck."""


class DMIBRegressor(MultimodalRegressor, DMIB):
    """Regressor on several modalities by the dynamic multimodal information bottleneck."""


class DMIBAnomalyDetector(MultimodalAnomalyDetector, DMIB):
    """Anomaly detector on several modalities by the dynamic multimodal information bottleneck."""
