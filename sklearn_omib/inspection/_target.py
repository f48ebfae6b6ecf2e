"""The target of a check: what a model can tell of it, and what is left where it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .._typing import Array
from ..information._pairs import is_discrete, labels, normal_scores, numeric
from ._probe import ALPHAS

LOGIT_VARIANCE = 10  # a priori, with standardised columns: whatever their number, none overfits
LEAST_PROBABILITY = 1e-6  # of a class: one sample costs no more than 14 nats


class Target:
    """y as labels or as normal scores.

    Parameters
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    model : estimator or None
        None is logistic or ridge regression of standardised columns.
    cv : int or splitter
    n_jobs : int or None
    seed : int
        Of the folds.
    """

    def __init__(
        self, y: Array, model: BaseEstimator | None, cv: Any, n_jobs: int | None, seed: int
    ) -> None:
        self.discrete = bool(is_discrete(y, "auto"))
        self.model, self.n_jobs = model, n_jobs
        splitter = StratifiedKFold if self.discrete else KFold
        self.cv = splitter(cv, shuffle=True, random_state=seed) if isinstance(cv, int) else cv
        if self.discrete:
            self.values = labels(y, "y")
            self.shares = np.bincount(self.values) / len(y)
            self.entropy = float(stats.entropy(self.shares))
        else:
            self.values = normal_scores(numeric(y, "y"))
            if np.linalg.matrix_rank(self.values) < self.values.shape[1]:
                raise ValueError("y has an output that is constant or that the others determine.")
            self.entropy = np.nan

    def local_information(self, features: Array) -> Array:
        """ln p(y | v) - ln p(y) of each sample, by a model that has not seen it."""
        if self.discrete:
            return self._local_of_labels(features)
        return self._local_of_numbers(features)

    def _local_of_labels(self, features: Array) -> Array:
        default = LogisticRegression(C=LOGIT_VARIANCE / features.shape[1], max_iter=1000)
        p = self._predict(features, default, method="predict_proba")
        p = p[np.arange(len(p)), self.values].clip(LEAST_PROBABILITY)
        return np.log(p / self.shares[self.values])

    def _local_of_numbers(self, features: Array) -> Array:
        predicted = self._predict(features, RidgeCV(ALPHAS)).reshape(self.values.shape)
        before, after = (_log_density(part) for part in (self.values, self.values - predicted))
        return after - before

    def _predict(self, features: Array, default: BaseEstimator, **options: Any) -> Array:
        if self.model is None:
            model = make_pipeline(StandardScaler(), default)
        else:
            model = clone(self.model)
        target = self.values
        if not self.discrete and target.shape[1] == 1:
            target = target[:, 0]
        return cross_val_predict(model, features, target, cv=self.cv, n_jobs=self.n_jobs, **options)

    def remove_from(self, scores: Array) -> Array:
        """Normal scores within classes, or what linear regression on y leaves of scores."""
        if not self.discrete:
            design = np.column_stack([np.ones(len(scores)), self.values])
            return scores - design @ np.linalg.lstsq(design, scores, rcond=None)[0]
        left = np.empty_like(scores)
        for rows in self._strata():
            left[rows] = normal_scores(scores[rows])
        return left

    def permutation(self, rng: np.random.RandomState) -> Array:
        """An order of the rows that leaves each in its class."""
        order = np.arange(len(self.values))
        for rows in self._strata():
            order[rows] = rng.permutation(rows)
        return order

    def _strata(self) -> list[Array]:
        if not self.discrete:
            return [np.arange(len(self.values))]
        return [np.flatnonzero(self.values == k) for k in range(len(self.shares))]


def _log_density(errors: Array) -> Array:
    """Gaussian ln p of each row, with the covariance of all rows around 0."""
    covariance = np.atleast_2d(errors.T @ errors / len(errors))
    squared = np.einsum("ij,ji->i", errors, np.linalg.pinv(covariance) @ errors.T)
    return -0.5 * (squared + np.linalg.slogdet(covariance)[1])
