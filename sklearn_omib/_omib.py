"""BaseOMIB: the method, whatever the task."""

import warnings
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, ClassVar

from ._base import BaseMultimodal
from ._compat import HasMethods, Interval, StrOptions
from .information import estimate_beta_bounds
from .nn import OMIBNetwork, OMIBObjective
from .nn.fusion import FUSIONS

# Codes that modality_dropout="auto" hides (benchmarks/rows.py)
MOST_HIDDEN = 0.1  # as a share
ROWS_HIDDEN = 150  # of each modality and epoch: as prior knowledge, it weighs less among more rows


class BaseOMIB(BaseMultimodal):
    """Bound on beta, network and objective of OMIB; a task makes it an estimator."""

    fusion: str = "cross_attention"
    n_heads: int = 4
    modality_dropout: float | str = 0.0
    beta: float | str = "auto"
    beta_scale: float = 1.0
    entropy_estimator: Any = "gaussian"
    weighting: str = "reference"
    trb_weight: float = 1.0
    warmup_epochs: int = 10

    _parameter_constraints: ClassVar[dict] = {
        "fusion": [StrOptions(set(FUSIONS))],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "modality_dropout": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "beta": [StrOptions({"auto", "upper", "lower"}), Interval(Real, 0, None, closed="left")],
        "beta_scale": [Interval(Real, 0, None, closed="left")],
        "entropy_estimator": [StrOptions({"gaussian", "mine"}), HasMethods("estimate")],
        "weighting": [StrOptions({"reference", "symmetric", "fixed"})],
        "trb_weight": [Interval(Real, 0, None, closed="left")],
        "warmup_epochs": [Interval(Integral, 0, None, closed="left")],
    }
    _auto_fraction: ClassVar[float]  # of M_u: what beta="auto" means (benchmarks/defaults.py)
    _structure_names: ClassVar[Iterable[str]] = ("fusion", "n_heads")

    def _initialise(self, X, rng):
        if self.modality_dropout == "auto":
            self.modality_dropout_ = min(MOST_HIDDEN, ROWS_HIDDEN / len(X))
        else:
            self.modality_dropout_ = float(self.modality_dropout)
        super()._initialise(X, rng)

    def _learn_method(self, sample, rng):
        self.beta_bounds_ = estimate_beta_bounds(
            sample,
            weighting=self.weighting,
            estimator=self.entropy_estimator,
            random_state=rng.randint(2**31 - 1),
        )
        self._set_beta()

    def _make_network(self, **shared):
        return OMIBNetwork(
            **shared,
            fusion=self.fusion,
            n_heads=self.n_heads,
            modality_dropout=self.modality_dropout_,
        )

    def _make_objective(self, task):
        return OMIBObjective(task, len(self.modalities_), **self._objective_settings())

    def _objective_settings(self):
        return {
            "beta": self.beta_,
            "weighting": self.weighting,
            "branch_weight": self.trb_weight,
        }

    def _update_settings(self):
        self._set_beta()
        super()._update_settings()

    def _set_beta(self):
        named = {
            "auto": self._auto_fraction * self.beta_bounds_.upper,
            "upper": self.beta_bounds_.upper,
            "lower": self.beta_bounds_.lower,
        }
        beta = named[self.beta] if isinstance(self.beta, str) else self.beta
        self.beta_ = float(beta * self.beta_scale)
        if self.beta_ > 1 / self.beta_bounds_.total_weight:
            warnings.warn(
                f"beta={self.beta_:.3g} per nat is above 1/{self.beta_bounds_.total_weight}, where "
                "keeping a nat costs more than it can gain: the representation may lose the "
                "target. Bounds are in beta_bounds_.",
                UserWarning,
                stacklevel=3,
            )

    def _read_off(self, before=0):
        super()._read_off(before)
        self.modality_weights_ = dict(
            zip(self.modalities_, self.net_.criterion_.weights.tolist(), strict=True)
        )
