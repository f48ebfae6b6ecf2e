"""What the inspections share: the estimator behind a search or pipeline, and its modalities."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from .._estimator import BaseMultimodal
from .._search import BaseOMIBCV
from .._typing import Array, Block, Modalities
from ..data.checks import validate_modalities
from ..data.container import (
    ModalityDict,
    check_modalities,
    column_layout,
    holds_modalities,
    take_rows,
)
from ..data.missing import summarised
from ..methods import OMIB
from ..preprocessing import ModalitySplitter, ModalityTransformer
from ..training.devices import settled_torch

KEEP_APART = (ModalityTransformer, ModalitySplitter, str, type(None))  # "passthrough" is a str


def unwrap(estimator: Any) -> Any:
    """The best estimator of a fitted search, else the estimator itself."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    return estimator


def split_stages(estimator: Any) -> tuple[list[Any], Any]:
    """Leading steps of a pipeline that hand on modalities, and what stands behind them.

    Modalities are those that reach the second part, so that a transformer that names them all
    need not do with some of them.

    Returns
    -------
    steps : list of transformers
    rest : estimator
    """
    estimator = unwrap(estimator)
    if not isinstance(estimator, Pipeline):
        return [], estimator
    n_before = 0
    for _, step in estimator.steps[:-1]:
        if not isinstance(step, KEEP_APART):
            break
        n_before += 1
    steps = [step for _, step in estimator.steps[:n_before] if isinstance(step, KEEP_APART[:2])]
    rest = estimator[n_before:]
    return steps, rest[0] if len(rest) == 1 else rest


def last_step(estimator: Any) -> Any:
    """The final estimator of a pipeline or search, else the estimator itself."""
    estimator = unwrap(estimator)
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def find_omib(estimator: Any) -> Any:
    """The OMIB estimator or search at the end of a pipeline or search."""
    found = last_step(estimator)
    learns_omib = isinstance(found, BaseMultimodal) and isinstance(found._make_method(), OMIB)
    if not learns_omib and not isinstance(found, BaseOMIBCV):
        raise TypeError(
            "estimator must be an OMIB estimator, its search over beta, or a pipeline or search "
            f"that ends in one, got {type(found).__name__}."
        )
    return found


def as_container(X: Modalities, steps: list[Any], rest: Any) -> Any:
    """X as a container, where the steps in front do not make one of a table."""
    cut = getattr(rest, "modalities", None)
    if holds_modalities(X, {} if steps else cut):  # what steps are given, they cut themselves
        return check_modalities(X)
    if steps:
        return X
    fitted = getattr(rest, "modalities_", {})
    return check_modalities(X, column_layout(fitted) if cut is None and len(fitted) > 1 else cut)


def pass_through(steps: list[Any], X: Any) -> ModalityDict:
    """The container that fitted steps hand on."""
    for step in steps:
        X = step.transform(X)
    return X


def reorder(X: ModalityDict, names: Collection[str], order: Array) -> ModalityDict:
    """X with the rows of the named modalities in another order."""
    return ModalityDict(
        {name: _reorder(block, order) if name in names else block for name, block in X.items()}
    )


def _reorder(block: Block, order: Array) -> Block:
    shuffled = take_rows(block, order)
    # a frame's own index would tell that its rows stand elsewhere
    return shuffled.set_axis(block.index) if hasattr(block, "iloc") else shuffled


def as_numbers(estimator: BaseMultimodal, X: Any) -> ModalityDict:
    """Modalities as a fitted estimator's encoders make numbers of them, sequences as means."""
    read = validate_modalities(estimator, X, reset=False, modalities=estimator.modalities)
    return summarised(estimator._encoded(read))


def noisy_xi(estimator: Any, X: Any, seed: int, module: Any = None) -> Array:
    """xi with noise in the codes, as the head meets it in training; of a search, side by side.

    ``module`` is a network to take in the place of the fitted one.
    """
    fits = getattr(estimator, "estimators_", [estimator])
    found = []
    for fit in fits:
        with settled_torch(fit):
            parts = fit._parts(validate_modalities(fit, X, reset=False))
            found.append(fit.net_.sampled_xi(parts, seed, module).cpu().numpy())
    return np.hstack(found)
