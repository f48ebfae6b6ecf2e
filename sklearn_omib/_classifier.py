"""OMIBClassifier."""

import numpy as np
from scipy import sparse, special
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ._base import BaseOMIB
from ._compat import StrOptions, _fit_context
from .nn import BernoulliTask, CategoricalTask


class OMIBClassifier(ClassifierMixin, BaseOMIB):
    _parameter_constraints: dict = {
        **BaseOMIB._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        modalities=None,
        *,
        encoders="mlp",
        hidden_dim=128,
        latent_dim=32,
        n_layers=2,
        dropout=0.5,
        input_dropout=0.2,
        head_layers=1,
        fusion="cross_attention",
        n_heads=4,
        beta="auto",
        beta_scale=1.0,
        entropy_estimator="gaussian",
        weighting="reference",
        trb_weight=1.0,
        warmup_epochs=10,
        max_epochs=100,
        batch_size=128,
        learning_rate=5e-4,
        weight_decay=0.3,
        early_stopping=True,
        validation_fraction=0.15,
        n_iter_no_change=15,
        tol=1e-4,
        standardize=True,
        class_weight=None,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            modalities,
            encoders=encoders,
            hidden_dim=hidden_dim,
            latent_dim=latent_dim,
            n_layers=n_layers,
            dropout=dropout,
            input_dropout=input_dropout,
            head_layers=head_layers,
            fusion=fusion,
            n_heads=n_heads,
            beta=beta,
            beta_scale=beta_scale,
            entropy_estimator=entropy_estimator,
            weighting=weighting,
            trb_weight=trb_weight,
            warmup_epochs=warmup_epochs,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            standardize=standardize,
            device=device,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

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
            self._known_classes = classes
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={classes!r} differ from those of the first call, {self.classes_!r}."
            )
        return self._partial_fit(X, y, sample_weight)

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
        known, self._known_classes = getattr(self, "_known_classes", None), None
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
        return compute_sample_weight(self.class_weight, y)

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
        """
        scores = self._forward(X)[0].astype(np.float64)
        return special.expit(scores) if self._multilabel else special.softmax(scores, axis=1)

    def predict_log_proba(self, X):
        """Logarithm of :meth:`predict_proba`."""
        scores = self._forward(X)[0].astype(np.float64)
        return special.log_expit(scores) if self._multilabel else special.log_softmax(scores, axis=1)

    def predict(self, X):
        """Predict the class of each sample.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        scores = self._forward(X)[0]
        if self._multilabel:
            return (scores > 0).astype(int)
        return self.classes_[scores.argmax(1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
