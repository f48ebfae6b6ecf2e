"""OMIBClassifierCV and OMIBRegressorCV: beta by cross-validation, all fits in one network."""

import copy
import warnings
from abc import ABCMeta, abstractmethod
from numbers import Integral

import numpy as np
from scipy import special, stats
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
    is_classifier,
)
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._base import _rows
from ._classifier import OMIBClassifier
from ._compat import Interval, StrOptions, _check_sample_weight, _fit_context
from ._regressor import OMIBRegressor
from ._stacked import Siblings, train_stacked
from ._stream import sample_rows
from ._validation import validate_modalities
from .information import estimate_beta_bounds

OWN = ("betas", "cv", "n_members", "scoring", "refit", "n_jobs")
LOWEST_BETA = 0.01  # of M_u, where the grid begins


def _store(estimator, given):
    """Set the arguments of a constructor; ``given`` is its locals()."""
    for name, value in given.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)


def _constraints(estimator_class):
    shared = dict(estimator_class._parameter_constraints)
    for fixed in ("beta", "beta_scale", "warm_start"):
        del shared[fixed]
    return {
        **shared,
        "betas": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "refit": ["boolean"],
        "n_jobs": [Integral, None],
    }


class BaseOMIBCV(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, metaclass=ABCMeta
):
    """Template of the searches; children name the estimator and average its predictions."""

    _estimator_class: type

    @abstractmethod
    def __init__(self):
        """Children list their parameters."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Cross-validate every beta, then fit the best one on all samples.

        Parameters
        ----------
        X : as in fit of the estimator
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in training; scores are not weighted.
        groups : array-like of shape (n_samples,), default=None
            For the splitter, and for the validation part of each fit.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            As in fit of the estimator; also if betas are negative, or if every fit diverged.
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        self.__dict__.pop("estimators_", None)
        rng = check_random_state(self.random_state)
        X = validate_modalities(self, X, reset=True, modalities=self.modalities)
        check_consistent_length(X, y, groups)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        self._learn_target(y)
        self.beta_bounds_ = estimate_beta_bounds(
            sample_rows(X, rng),
            weighting=self.weighting,
            estimator=self.entropy_estimator,
            random_state=rng.randint(2**31 - 1),
        )
        self.betas_ = self._grid()
        scorer = check_scoring(self, scoring=self.scoring)
        seed = rng.randint(2**31 - 1)
        if isinstance(self.random_state, Integral):
            seed = self.random_state  # the folds' networks are those of a GridSearchCV
        splits = list(check_cv(self.cv, y, classifier=is_classifier(self)).split(X, y, groups))

        families = [self._siblings(X, y, weight, groups, train, seed) for train, _ in splits]
        self._train(families)
        fits = [family.estimators for family in families]  # by fold and beta
        self._rate(fits, splits, X, y, scorer)
        if self.refit:
            final = self._estimator(self.beta_, seed, self.n_members)
            self.estimators_ = [final.fit(X, y, weight, groups)]
        else:
            of_folds = [some[self.best_index_] for some in fits]
            self.estimators_ = [one for one in of_folds if _has_ended(one)]
        self._n_features_out = self.latent_dim * len(self.estimators_)
        self.n_iter_ = max(estimator.n_iter_ for estimator in self.estimators_)
        return self

    def _grid(self):
        if isinstance(self.betas, Integral):
            # from above, so that a grid of one is M_u
            return np.geomspace(1, LOWEST_BETA, int(self.betas))[::-1] * self.beta_bounds_.upper
        betas = np.asarray(self.betas, dtype=np.float64)
        if betas.ndim != 1 or not len(betas) or not (np.isfinite(betas) & (betas >= 0)).all():
            raise ValueError(
                f"betas must be a number of values or a list of values >= 0, got {self.betas!r}."
            )
        return betas

    def _estimator(self, beta, seed, n_members):
        shared = {
            name: value for name, value in self.get_params(deep=False).items() if name not in OWN
        }
        own = {"modalities": None, "random_state": seed, "beta": beta, "n_members": n_members}
        estimator = self._estimator_class(**{**shared, **own})
        self._tell_target(estimator)
        return estimator

    def _siblings(self, X, y, weight, groups, rows, seed):
        """Prepared estimators of one network for some rows, one per beta."""
        first = self._estimator(self.betas_[0], seed, 1)
        data, training_seed = first._prepare(
            X[rows], _rows(y, rows), weight[rows], None if groups is None else _rows(groups, rows)
        )
        estimators = [first]
        for beta in self.betas_[1:]:
            other = copy.deepcopy(first)
            other.beta = float(beta)
            other._set_beta()
            other.net_.criterion_.beta = other.beta_
            estimators.append(other)
        return Siblings.seeded(estimators, data, training_seed)

    def _train(self, families):
        failed = train_stacked(families, self.n_jobs, self.n_threads, self.verbose)
        if len(failed) == sum(len(family.estimators) for family in families):
            raise ValueError(f"Every fit failed. {failed[0][1]}")
        if failed:
            warnings.warn(
                f"{len(failed)} fits failed, their scores are nan. The first: {failed[0][1]}",
                FitFailedWarning,
                stacklevel=3,
            )

    def _rate(self, fits, splits, X, y, scorer):
        """Score every beta on every fold and choose the best."""
        scores = np.full((len(self.betas_), len(splits)), np.nan)
        seconds = np.zeros_like(scores)
        for fold, (_, test) in enumerate(splits):
            X_test, y_test = X[test], _rows(y, test)
            for i, one in enumerate(fits[fold]):
                if _has_ended(one):
                    scores[i, fold] = scorer(self._predicting_by(one), X_test, y_test)
                    seconds[i, fold] = one.history_.seconds.sum()
        mean = scores.mean(1)
        results = {
            "mean_fit_time": seconds.mean(1),
            "std_fit_time": seconds.std(1),
            "param_beta": np.ma.MaskedArray(self.betas_, mask=False),
            "params": [{"beta": beta} for beta in self.betas_.tolist()],
        }
        results |= {f"split{fold}_test_score": scores[:, fold] for fold in range(len(splits))}
        worst = np.nanmin(mean) - 1 if np.isfinite(mean).any() else 0.0
        ranks = stats.rankdata(-np.nan_to_num(mean, nan=worst), method="min").astype(np.int32)
        self.cv_results_ = results | {
            "mean_test_score": mean, "std_test_score": scores.std(1), "rank_test_score": ranks
        }  # fmt: skip
        self.scores_ = scores
        self.best_index_ = int(ranks.argmin())
        self.best_score_ = float(mean[self.best_index_])
        self.beta_ = float(self.betas_[self.best_index_])

    def _predicting_by(self, estimator):
        """This search as if it had ended with one estimator."""
        ended = copy.copy(self)
        ended.estimators_ = [estimator]
        return ended

    def _each(self, method, X, **options):
        check_is_fitted(self, "estimators_")
        X = validate_modalities(self, X, reset=False, modalities=self.modalities)
        return [getattr(estimator, method)(X, **options) for estimator in self.estimators_]

    def transform(self, X):
        """Return the fused representation xi, those of several estimators side by side.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_estimators * latent_dim)
        """
        return np.hstack(self._each("transform", X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        theirs = self._estimator_class().__sklearn_tags__()
        for part in ("input_tags", "target_tags", "transformer_tags", "classifier_tags"):
            setattr(tags, part, getattr(theirs, part))
        return tags


def _has_ended(estimator):
    """Whether training reached its end."""
    return hasattr(estimator, "net_")


class OMIBClassifierCV(ClassifierMixin, BaseOMIBCV):
    """OMIBClassifier with beta chosen by cross-validation, all fits side by side.

    All betas and folds are trained side by side as one stacked network, each with the
    rows, seed and early stopping it would have alone: scores are those of a GridSearchCV over
    ``beta`` with the same folds, ``n_members=1`` and the same integer ``random_state``, up to
    rounding.

    Parameters
    ----------
    modalities : dict of str to columns, default=None
        As in :class:`OMIBClassifier`.
    betas : int or array-like of float, default=10
        Values of beta to compare, in 1/nat. A number places so many on the bound, in equal ratios
        from M_u / 100 to M_u of all samples.
    cv : int, splitter or iterable, default=5
        As in GridSearchCV.
    n_members : int or "auto", default="auto"
        Networks of the last fit, as in :class:`OMIBClassifier`; in the folds there is one per
        beta.
    scoring : str, callable or None, default=None
        As in GridSearchCV; None is accuracy.
    refit : bool, default=True
        Fit the best beta on all samples. False keeps the networks of the folds with the best beta
        and averages their probabilities.
    n_jobs : int, default=None
        Stacks trained at the same time, in threads; -1 is one per CPU core. Changes nothing but
        the time.
    encoders, hidden_dim, latent_dim, n_layers, dropout, input_dropout, head_layers, fusion, \
n_heads, modality_dropout, entropy_estimator, weighting, trb_weight, warmup_epochs, max_epochs, \
batch_size, learning_rate, weight_decay, early_stopping, validation_fraction, n_iter_no_change, \
tol, standardize, class_weight, device, precision, n_threads, random_state, verbose
        As in :class:`OMIBClassifier`, with the same defaults.

    Attributes
    ----------
    beta_ : float
        The best beta, in 1/nat.
    betas_ : ndarray of shape (n_betas,)
    scores_ : ndarray of shape (n_betas, n_folds)
        Test score of every beta in every fold.
    cv_results_ : dict
        As in GridSearchCV, with ``param_beta``.
    best_index_ : int
    best_score_ : float
        Mean score of the best beta over the folds.
    beta_bounds_ : BetaBounds
        Of all samples.
    estimators_ : list of OMIBClassifier
        What predicts: one fit, or those of the folds.
    classes_ : ndarray of shape (n_classes,)
    modalities_ : dict of str to tuple
        Shape of one sample of each modality.
    n_iter_ : int
        Most epochs of the main phase among ``estimators_``.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        As in :class:`OMIBClassifier`.

    See Also
    --------
    OMIBClassifier : One fit with a given beta.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBClassifierCV
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(200, 5)), "video": rng.normal(size=(200, 3))}
    >>> y = np.where(X["audio"][:, 0] + X["video"][:, 0] > 0, "glad", "sad")
    >>> clf = OMIBClassifierCV(betas=3, cv=3, max_epochs=30, random_state=0).fit(X, y)
    >>> clf.scores_.shape, bool(clf.beta_ <= clf.beta_bounds_.upper)
    ((3, 3), True)
    >>> clf.predict_proba(X).shape
    (200, 2)
    """

    _estimator_class = OMIBClassifier
    _parameter_constraints: dict = _constraints(OMIBClassifier)

    def __init__(
        self,
        modalities=None,
        *,
        betas=10,
        cv=5,
        n_members="auto",
        scoring=None,
        refit=True,
        n_jobs=None,
        encoders="auto",
        hidden_dim=128,
        latent_dim=32,
        n_layers=2,
        dropout=0.5,
        input_dropout=0.2,
        head_layers=2,
        fusion="cross_attention",
        n_heads=4,
        modality_dropout="auto",
        entropy_estimator="gaussian",
        weighting="reference",
        trb_weight=1.0,
        warmup_epochs=10,
        max_epochs=100,
        batch_size=128,
        learning_rate=5e-4,
        weight_decay=1.0,
        early_stopping=True,
        validation_fraction="auto",
        n_iter_no_change=15,
        tol=1e-4,
        standardize=True,
        class_weight=None,
        device="auto",
        precision="float32",
        n_threads=1,
        random_state=None,
        verbose=0,
    ):
        _store(self, locals())

    def _learn_target(self, y):
        probe = OMIBClassifier()
        probe._encode_target(y, reset=True)
        self.classes_, self._multilabel = probe.classes_, probe._multilabel

    def _tell_target(self, estimator):
        # a fold may lack a class
        estimator._known_classes = None if self._multilabel else self.classes_

    def predict_proba(self, X):
        """Probability of each class, averaged over all networks.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return np.mean(self._each("predict_proba", X), axis=0)

    def predict_log_proba(self, X):
        """Logarithm of :meth:`predict_proba`.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        logs = self._each("predict_log_proba", X)
        return special.logsumexp(logs, axis=0) - np.log(len(logs))

    def predict(self, X):
        """Predict the class of each sample.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        probability = self.predict_proba(X)
        if self._multilabel:
            return (probability > 0.5).astype(int)
        return self.classes_[probability.argmax(1)]


class OMIBRegressorCV(RegressorMixin, BaseOMIBCV):
    """OMIBRegressor with beta chosen by cross-validation, all fits side by side.

    See :class:`OMIBClassifierCV`; predictions are averaged over networks.

    Parameters
    ----------
    modalities : dict of str to columns, default=None
        As in :class:`OMIBRegressor`.
    betas : int or array-like of float, default=10
        Values of beta to compare, in 1/nat. A number places so many on the bound, in equal ratios
        from M_u / 100 to M_u of all samples.
    cv : int, splitter or iterable, default=5
        As in GridSearchCV.
    n_members : int or "auto", default="auto"
        Networks of the last fit, as in :class:`OMIBRegressor`; in the folds there is one per
        beta.
    scoring : str, callable or None, default=None
        As in GridSearchCV; None is R2.
    refit : bool, default=True
        Fit the best beta on all samples. False keeps the networks of the folds with the best beta
        and averages their predictions.
    n_jobs : int, default=None
        Stacks trained at the same time, in threads; -1 is one per CPU core. Changes nothing but
        the time.
    encoders, hidden_dim, latent_dim, n_layers, dropout, input_dropout, head_layers, fusion, \
n_heads, modality_dropout, entropy_estimator, weighting, trb_weight, warmup_epochs, max_epochs, \
batch_size, learning_rate, weight_decay, early_stopping, validation_fraction, n_iter_no_change, \
tol, standardize, device, precision, n_threads, random_state, verbose
        As in :class:`OMIBRegressor`, with the same defaults.

    Attributes
    ----------
    beta_, betas_, scores_, cv_results_, best_index_, best_score_, beta_bounds_, modalities_, \
n_iter_, n_features_in_, feature_names_in_
        As in :class:`OMIBClassifierCV`.
    estimators_ : list of OMIBRegressor
        What predicts: one fit, or those of the folds.

    See Also
    --------
    OMIBRegressor : One fit with a given beta.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> X = {"sensors": rng.normal(size=(200, 5)), "records": rng.normal(size=(200, 3))}
    >>> y = X["sensors"][:, 0] + X["records"][:, 0]
    >>> reg = OMIBRegressorCV(betas=[0.001, 0.01], cv=3, max_epochs=30, random_state=0).fit(X, y)
    >>> mean, std = reg.predict(X, return_std=True)
    >>> mean.shape, std.shape
    ((200,), (200,))
    """

    _estimator_class = OMIBRegressor
    _parameter_constraints: dict = _constraints(OMIBRegressor)

    def __init__(
        self,
        modalities=None,
        *,
        betas=10,
        cv=5,
        n_members="auto",
        scoring=None,
        refit=True,
        n_jobs=None,
        encoders="auto",
        hidden_dim=128,
        latent_dim=32,
        n_layers=2,
        dropout=0.1,
        input_dropout=0.0,
        head_layers=2,
        fusion="unnormed_attention",
        n_heads=4,
        modality_dropout=0.0,
        entropy_estimator="gaussian",
        weighting="reference",
        trb_weight=1.0,
        warmup_epochs=10,
        max_epochs=100,
        batch_size=128,
        learning_rate=5e-4,
        weight_decay=0.3,
        early_stopping=True,
        validation_fraction="auto",
        n_iter_no_change=15,
        tol=1e-4,
        standardize=True,
        device="auto",
        precision="float32",
        n_threads=1,
        random_state=None,
        verbose=0,
    ):
        _store(self, locals())

    def _learn_target(self, y):
        OMIBRegressor()._encode_target(y, reset=True)

    def _tell_target(self, estimator):
        """Each fold scales its own target."""

    def predict(self, X, return_std=False):
        """Predict the target.

        Parameters
        ----------
        X : as in fit
        return_std : bool, default=False
            Whether to return the standard deviation of the target too: that of the mixture of
            the networks' normal distributions.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        std : ndarray of the same shape
            Only if ``return_std``.
        """
        if not return_std:
            return np.mean(self._each("predict", X), axis=0)
        mean, std = np.stack(self._each("predict", X, return_std=True), axis=1)
        return mean.mean(0), np.sqrt(np.mean(std**2, axis=0) + np.var(mean, axis=0))
