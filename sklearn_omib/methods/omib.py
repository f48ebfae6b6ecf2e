"""OMIB: a bound on beta, dynamic weights, cross-attention (Wu et al., ICML 2025)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from .._compat import HasMethods, Interval, StrOptions
from .._typing import Array
from ..data.container import ModalityDict
from ..data.missing import complete_rows
from ..data.streams import sample_rows
from ..information import BetaBounds, estimate_beta_bounds
from ..nn import OMIBNetwork, OMIBObjective
from ..nn.fusion import FUSIONS
from ..nn.losses import TaskLoss
from ._method import Method

# Codes that modality_dropout="auto" hides (benchmarks/evidence/rows.py)
MOST_HIDDEN = 0.1  # as a share
ROWS_HIDDEN = 150  # of each modality and epoch: as prior knowledge, it weighs less among more rows


class OMIB(Method):
    """Optimal multimodal information bottleneck.

    Minimises task(xi) + beta sum_m w_m KL_m + trb_weight sum_m task_m (eq. 10, Alg. 2), with beta
    inside a bound computed from entropies of the data.

    Parameters
    ----------
    fusion, n_heads, modality_dropout, beta, beta_scale, entropy_estimator, weighting, \
trb_weight, warmup_epochs
        As in :class:`~sklearn_omib.OMIBClassifier`.

    Attributes
    ----------
    beta_bounds_ : BetaBounds
    beta_ : float
        The beta used, in 1/nat.
    modality_dropout_ : float
        The share of codes hidden.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "fusion": [StrOptions(set(FUSIONS))],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "modality_dropout": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "beta": [StrOptions({"auto", "upper", "lower"}), Interval(Real, 0, None, closed="left")],
        "beta_scale": [Interval(Real, 0, None, closed="left")],
        "entropy_estimator": [StrOptions({"gaussian", "mine"}), HasMethods("estimate")],
        "weighting": [StrOptions({"reference", "symmetric", "fixed"})],
        "trb_weight": [Interval(Real, 0, None, closed="left")],
        "warmup_epochs": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
    }
    structure = ("fusion", "n_heads", "modality_dropout")

    beta_bounds_: BetaBounds

    def __init__(
        self,
        fusion: str = "cross_attention",
        n_heads: int = 4,
        modality_dropout: float | str = "auto",
        beta: float | str = "auto",
        beta_scale: float = 1.0,
        entropy_estimator: Any = "gaussian",
        weighting: str = "reference",
        trb_weight: float = 1.0,
        warmup_epochs: int | str = "auto",
    ) -> None:
        self.fusion = fusion
        self.n_heads = n_heads
        self.modality_dropout = modality_dropout
        self.beta = beta
        self.beta_scale = beta_scale
        self.entropy_estimator = entropy_estimator
        self.weighting = weighting
        self.trb_weight = trb_weight
        self.warmup_epochs = warmup_epochs

    @classmethod
    def of(cls, estimator: Any) -> OMIB:
        """The method of an estimator whose parameters have the same names."""
        return cls(**{name: getattr(estimator, name) for name in cls._parameter_constraints})

    def suit(self, auto_beta: float) -> None:
        self._auto_beta = auto_beta

    def learn(self, sample: ModalityDict, n_samples: int, rng: np.random.RandomState) -> None:
        hidden = self.modality_dropout
        if isinstance(hidden, str):
            hidden = min(MOST_HIDDEN, ROWS_HIDDEN / n_samples)
        self.modality_dropout_ = float(hidden)
        seed = rng.randint(2**31 - 1)
        if not hasattr(self, "beta_bounds_"):  # else a search has estimated them
            self._bound(sample, seed)
        self._bounds_made_by = self._bounded_by()
        self._settle()

    def resettle(self, X: ModalityDict, rows: Array, rng: np.random.RandomState) -> None:
        if self._bounded_by() != self._bounds_made_by:
            self._bound(complete_rows(sample_rows(X[rows], rng)), rng.randint(2**31 - 1))
            self._bounds_made_by = self._bounded_by()
        self._settle()

    def _bounded_by(self) -> tuple[Any, ...]:
        """Parameters that decide the bounds."""
        return self.weighting, self.entropy_estimator

    def _bound(self, sample: ModalityDict, seed: int) -> None:
        self.beta_bounds_ = estimate_beta_bounds(
            sample,
            weighting=self.weighting,
            estimator=self.entropy_estimator,
            random_state=seed,
        )

    def _settle(self) -> None:
        bounds = self.beta_bounds_
        named = {
            "auto": self._auto_beta * bounds.upper,
            "upper": bounds.upper,
            "lower": bounds.lower,
        }
        beta = named[self.beta] if isinstance(self.beta, str) else self.beta
        self.beta_ = float(beta * self.beta_scale)
        if self.beta_ > 1 / bounds.total_weight:
            warnings.warn(
                f"beta={self.beta_:.3g} per nat is above 1/{bounds.total_weight}, where keeping a "
                "nat costs more than it can gain: the representation may lose the target. Bounds "
                "are in beta_bounds_.",
                UserWarning,
                stacklevel=2,
            )

    def network(self, **shared: Any) -> OMIBNetwork:
        return OMIBNetwork(
            **shared,
            fusion=self.fusion,
            n_heads=self.n_heads,
            modality_dropout=self.modality_dropout_,
        )

    def objective(
        self, task: TaskLoss, n_modalities: int, stack: int | None = None
    ) -> OMIBObjective:
        return OMIBObjective(task, n_modalities, **self.settings(), stack=stack)

    def settings(self) -> dict[str, Any]:
        return {
            "beta": self.beta_,
            "weighting": self.weighting,
            "branch_weight": self.trb_weight,
        }

    def attributes(self, objective: OMIBObjective, names: tuple[str, ...]) -> Mapping[str, Any]:
        return {
            "beta_": self.beta_,
            "beta_bounds_": self.beta_bounds_,
            "modality_dropout_": self.modality_dropout_,
            "modality_weights_": dict(zip(names, objective.weights[0].tolist(), strict=True)),
        }
