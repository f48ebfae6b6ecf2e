"""Task: what an estimator predicts, whatever the method and however many networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from numpy.typing import ArrayLike

from .._typing import Array
from ..nn import FusionNetwork, Objective, OneClassNetwork, OneClassObjective
from ..nn.losses import TaskLoss
from ..training.plan import USUAL, Recipe

if TYPE_CHECKING:
    from ..training.net import StackedNet


class Task:
    """The coding of a target, its loss, and what is to be learned around the training."""

    narrow_table_encoder: ClassVar[str] = "mlp"
    auto_beta: ClassVar[float] = 1.0  # of M_u: beta="auto" (benchmarks/evidence/defaults.py)
    usual: ClassVar[Recipe] = USUAL  # what "auto" stands for
    structure: ClassVar[tuple[str, ...]] = ()  # attributes that weights depend on
    prior: Any = None  # what is predicted of every sample, where inputs are all alike

    def learn(self, y: ArrayLike) -> None:
        """Learn the coding of a target; raise ValueError where it teaches nothing."""
        raise NotImplementedError

    def encode(self, y: ArrayLike) -> Array:
        """Check a target and return it as networks read it."""
        raise NotImplementedError

    def takes_part(self, y: ArrayLike | None) -> Array | None:
        """Which samples are trained on by their target, or None for all."""
        return None

    def weight(self, y: Array) -> Array | None:
        """Weights of samples by their target, or None."""
        return None

    def labels(self, target: Array) -> Array | None:
        """Labels to stratify the validation split by, or None."""
        return None

    def loss(self, stack: int | None = None) -> tuple[TaskLoss, int]:
        """A task of :mod:`sklearn_omib.nn.losses`, and the number of outputs."""
        raise NotImplementedError

    def network(
        self, network: FusionNetwork, shared: Mapping[str, Any]
    ) -> FusionNetwork | OneClassNetwork:
        """The network of a method with what the task adds to it."""
        return network

    def objective(self, objective: Objective) -> Objective | OneClassObjective:
        """The objective of a method with what the task adds to it."""
        return objective

    def configure(self, objective: Any) -> None:
        """Bring what :meth:`objective` gave up to changed parameters, for a warm start."""

    def prior_loss(self, target: Array, weight: Array) -> float | None:
        """Loss of the best constant prediction, in nats; None where there is none to compare."""
        loss, _ = self.loss()
        return float(loss.prior_loss(torch.tensor(target), torch.tensor(weight)))

    def best_constant(self, target: Array, weight: Array) -> Any:
        """The prediction from no inputs, as :attr:`prior`; None where a task has no such."""
        return None

    def after_warm_up(self, net: StackedNet) -> None:
        """What the main phase needs to know of the warmed-up networks."""

    def after_training(self, net: StackedNet) -> None:
        """What remains to be learned once the networks are trained."""

    def attributes(self) -> Mapping[str, Any]:
        """What an estimator shows of the task."""
        return {}
