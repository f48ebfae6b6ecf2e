"""Classification: the coding of labels, their loss and weights."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from .._typing import Array
from ..data.per_sample import check_one_type
from ..nn import BernoulliTask, CategoricalTask
from ..nn.losses import TaskLoss
from ._task import Task


class Classification(Task):
    """Binary, multiclass and multilabel targets.

    Parameters
    ----------
    class_weight : dict, "balanced" or None, default=None
    classes : array-like of shape (n_classes,), default=None
        All labels that may come; None takes those of the target.
    """

    def __init__(
        self,
        class_weight: dict[Any, float] | str | None = None,
        classes: ArrayLike | None = None,
    ) -> None:
        self.class_weight = class_weight
        self.known = classes

    def learn(self, y: ArrayLike) -> None:
        target = _checked(y)
        self.multilabel = type_of_target(target, input_name="y") == "multilabel-indicator"
        if self.multilabel:
            _check_indicator(target)
            if target.min() == target.max():
                raise ValueError(f"All labels of y are {target.min()}; there is nothing to learn.")
            self.classes = np.arange(target.shape[1])
            return
        known = column_or_1d(target) if self.known is None else np.asarray(self.known)
        self._encoder = LabelEncoder().fit(known)
        self.classes = self._encoder.classes_
        if len(self.classes) < 2:
            raise ValueError(
                f"y has one class only, {self.classes[0]!r}; a classifier needs at least two."
            )

    def encode(self, y: ArrayLike) -> Array:
        target = _checked(y)
        if (type_of_target(target, input_name="y") == "multilabel-indicator") != self.multilabel:
            raise ValueError("y must be multilabel if and only if it was when fit began.")
        if self.multilabel:
            if target.shape[1] != len(self.classes):
                raise ValueError(f"y has {target.shape[1]} labels, expected {len(self.classes)}.")
            _check_indicator(target)
            return target.astype(np.float32)
        target = column_or_1d(target, warn=True)
        unseen = np.setdiff1d(target, self.classes)
        if len(unseen):
            raise ValueError(f"y has labels {list(unseen)} not among classes {self.classes}.")
        return self._encoder.transform(target).astype(np.int64)

    def weight(self, y: Array) -> Array | None:
        if self.class_weight is None:
            return None
        if self.multilabel and isinstance(self.class_weight, dict):
            raise ValueError(
                "class_weight must be None or 'balanced' for a multilabel target; weigh samples "
                "by sample_weight instead."
            )
        if not isinstance(self.class_weight, dict):
            return compute_sample_weight(self.class_weight, y)
        for label, value in self.class_weight.items():
            if isinstance(value, bool) or not isinstance(value, Real):
                raise ValueError(f"class_weight must hold numbers, got {value!r} for {label!r}.")
        # of all classes, which a chunk may lack
        weight = compute_class_weight(self.class_weight, classes=self.classes, y=self.classes)
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
            raise ValueError(
                f"class_weight={self.class_weight!r} must be finite, not negative and not all 0."
            )
        return weight[self.encode(y)]

    def labels(self, target: Array) -> Array | None:
        return None if self.multilabel else target

    def loss(self, stack: int | None = None) -> tuple[TaskLoss, int]:
        return BernoulliTask() if self.multilabel else CategoricalTask(), len(self.classes)

    def best_constant(self, target: Array, weight: Array) -> Array:
        if self.multilabel:
            return np.average(target, axis=0, weights=weight)
        return np.bincount(target, weight, len(self.classes)) / weight.sum()

    def log_probability(self, scores: Array) -> Array:
        """Log-probabilities of the mean of networks, from the scores of each.

        Parameters
        ----------
        scores : ndarray of shape (n_networks, n_samples, n_classes)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        if self.prior is not None:
            log_prior = np.log(np.maximum(self.prior, np.finfo(np.float32).tiny))
            return np.tile(log_prior, (scores.shape[1], 1))
        scores = scores.astype(np.float64)
        if self.multilabel:
            logs = -np.logaddexp(0, -scores)
        else:
            logs = scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)
        return np.logaddexp.reduce(logs, axis=0) - np.log(len(logs))

    def attributes(self) -> Mapping[str, Any]:
        return {"classes_": self.classes}


def _check_indicator(y: Array) -> None:
    values = np.unique(y)
    if not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"y of several labels must hold 1 where a label is given and 0 where not, got the "
            f"values {values.tolist()}; (y == {values[-1]}).astype(int) makes it so."
        )


def _checked(y: Any) -> Array:
    if not sparse.issparse(y):
        check_one_type("y", np.asarray(y))
    y = check_array(
        y.toarray() if sparse.issparse(y) else y, ensure_2d=False, dtype=None, input_name="y"
    )
    check_classification_targets(y)
    return y
