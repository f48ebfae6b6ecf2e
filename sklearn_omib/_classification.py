"""Classification: the coding of labels, their loss, class probabilities."""

from functools import partial
from typing import ClassVar

import numpy as np
from scipy import sparse, special
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ._base import PREDICTION, BaseMultimodal
from ._compat import StrOptions, _fit_context
from .nn import BernoulliTask, CategoricalTask


class MultimodalClassifier(ClassifierMixin, BaseMultimodal):
    """The task of classifiers, whatever the method."""

    dropout: float = 0.5
    input_dropout: float = 0.2
    class_weight: dict | str | None = None

    _parameter_constraints: ClassVar[dict] = {
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train one more epoch on a chunk of data.

        The first call sets scale, bound on beta and network from its chunk and warms the branches
        up on it for ``warmup_epochs``. No rows are held out.

        Parameters
        ----------
        X : as in fit
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        classes : array-like of shape (n_classes,), default=None
            All labels that may come; required in the first call, except for multilabel targets.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all targets at once; give partial_fit the weights "
                "as a dict, or as sample_weight."
            )
        if not hasattr(self, "net_"):
            if classes is None and not type_of_target(y).startswith("multilabel"):
                raise ValueError("classes must be passed on the first call to partial_fit.")
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={classes!r} differ from those of the first call, {self.classes_!r}."
            )
        self._known_classes = classes
        try:
            return self._partial_fit(X, y, sample_weight)
        finally:
            self._known_classes = None

    def _encode_target(self, y, reset):
        if sparse.issparse(y):
            y = y.toarray()
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        check_classification_targets(y)
        multilabel = type_of_target(y, input_name="y") == "multilabel-indicator"
        if reset:
            self._multilabel = multilabel
            self._learn_classes(y)
        elif multilabel != self._multilabel:
            raise ValueError("y must be multilabel if and only if it was when fit began.")
        if multilabel:
            if y.shape[1] != len(self.classes_):
                raise ValueError(f"y has {y.shape[1]} labels, expected {len(self.classes_)}.")
            return y.astype(np.float32)
        y = column_or_1d(y, warn=True)
        unseen = np.setdiff1d(y, self.classes_)
        if len(unseen):
            raise ValueError(f"y has labels {list(unseen)} not among classes {self.classes_}.")
        return self._label_encoder.transform(y).astype(np.int64)

    def _learn_classes(self, y):
        known = getattr(self, "_known_classes", None)
        if self._multilabel:
            if y.min() == y.max():
                raise ValueError(f"All labels of y are {y.min()}; there is nothing to learn.")
            self.classes_ = np.arange(y.shape[1])
            return
        y = column_or_1d(y) if known is None else np.asarray(known)
        self._label_encoder = LabelEncoder().fit(y)
        self.classes_ = self._label_encoder.classes_
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class only, {self.classes_[0]!r}; a classifier needs at least two."
            )

    def _make_task(self):
        task = BernoulliTask() if self._multilabel else CategoricalTask()
        return task, len(self.classes_)

    def _target_weight(self, y):
        if self.class_weight is None:
            return None
        if self._multilabel and isinstance(self.class_weight, dict):
            raise ValueError(
                "class_weight must be None or 'balanced' for a multilabel target; weigh samples "
                "by sample_weight instead."
            )
        weight = compute_sample_weight(self.class_weight, y)
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
            raise ValueError(
                f"class_weight={self.class_weight!r} must be finite, not negative and not all 0."
            )
        return weight

    def _stratification(self, target):
        return None if self._multilabel else target

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to 1; for a multilabel target, the probability of each label on its own.
            The mean over networks, where there are several.
        """
        return np.mean([np.exp(log_p) for log_p in self._log_probabilities(X)], axis=0)

    def predict_log_proba(self, X):
        """Logarithm of :meth:`predict_proba`.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        logs = self._log_probabilities(X)
        return special.logsumexp(logs, axis=0) - np.log(len(logs)) if len(logs) > 1 else logs[0]

    def _log_probabilities(self, X):
        """Of each network."""
        scores = self._forward_each(X, PREDICTION)
        logarithm = special.log_expit if self._multilabel else partial(special.log_softmax, axis=1)
        return [logarithm(own.astype(np.float64)) for (own,) in scores]

    def predict(self, X):
        """Predict the class of each sample.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        log_p = self.predict_log_proba(X)
        if self._multilabel:
            return (log_p > np.log(0.5)).astype(int)
        return self.classes_[log_p.argmax(1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
