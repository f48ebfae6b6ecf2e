"""Method: what an estimator learns, whatever the task and however many networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from .._compat import refuse_booleans, validate_parameter_constraints
from .._typing import Array
from ..data.container import ModalityDict
from ..nn import FusionNetwork, Objective
from ..nn.losses import TaskLoss


class Method(BaseEstimator):
    """Network and objective of one way to learn from several modalities.

    A method has parameters like an estimator, which a search reaches as ``method__name``, but
    fits nothing by itself: an estimator makes networks of it, and a task says what they predict.
    Children override what they differ in.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}
    structure: ClassVar[tuple[str, ...]] = ()  # parameters of the network
    warmup_epochs: int | str = 0

    def check(self) -> None:
        """Raise ValueError where a parameter is not allowed."""
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(deep=False), type(self).__name__
        )
        refuse_booleans(self)

    def suit(self, auto_beta: float) -> None:
        """Take what a task says of its targets: which part of M_u ``beta="auto"`` is."""

    def learn(self, sample: ModalityDict, n_samples: int, rng: np.random.RandomState) -> None:
        """Learn before training, from (a sample of) ``n_samples`` rows of training data."""

    def resettle(self, X: ModalityDict, rows: Array, rng: np.random.RandomState) -> None:
        """Take in parameters that changed since :meth:`learn`, to train on some rows of X."""

    def network(self, **shared: Any) -> FusionNetwork:
        """Return the network; ``shared`` are the arguments that all networks take."""
        return FusionNetwork(**shared)

    def objective(self, task: TaskLoss, n_modalities: int, stack: int | None = None) -> Objective:
        """Return the objective around a task's loss."""
        return Objective(task, **self.settings())

    def settings(self) -> dict[str, Any]:
        """Attributes of the objective, which may change from one warm start to the next."""
        return {}

    def attributes(self, objective: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
        """What an estimator shows of the method, once its first network is trained."""
        return {}
