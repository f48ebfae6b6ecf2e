"""OMIBClassifierCV and OMIBRegressorCV: beta by cross-validation, all fits in one network."""

from __future__ import annotations

import copy
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
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
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ._classifier import OMIBClassifier
from ._compat import Interval, StrOptions, _fit_context, refuse_booleans
from ._estimator import BaseMultimodal, in_one_piece, rows_of, within_memory
from ._regressor import OMIBRegressor
from ._typing import Array, Modalities, RandomState
from .data.checks import by_content, validate_modalities
from .data.container import Encoded, ModalityDict
from .data.foreign import with_samples
from .data.missing import complete_rows, incomplete_columns, summarised
from .data.per_sample import check_entries, check_groups, check_weight
from .data.streams import sample_rows, weighted_rows
from .encoders._reading import ReadsItems
from .information import estimate_beta_bounds
from .persistence import Persistent
from .tasks import Classification, Regression, Task
from .training.devices import settled
from .training.net import Family, StackedNet
from .training.plan import Plan, Recipe, resolve_encoders
from .training.processes import common_random_state, together
from .training.workers import TOGETHER, count_jobs, train_in_parts

if TYPE_CHECKING:
    from typing_extensions import Self

OWN = ("betas", "cv", "n_members", "scoring", "refit", "method")
LOWEST_BETA = 0.01  # of M_u, where the grid begins
# of method="path" (benchmarks/evidence/search.py)
PATH_EPOCHS = 3  # at each beta but the first
LAST_EPOCHS = 5  # of the best beta's networks, on the rows of all folds
FEWEST_STEPS = 15  # in these, where an epoch has few


def _store(estimator: BaseOMIBCV, given: Mapping[str, Any]) -> None:
    """Set the arguments of a constructor; ``given`` is its locals()."""
    for name, value in given.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)


def _constraints(estimator_class: type[BaseMultimodal]) -> dict[str, Any]:
    shared = dict(estimator_class._parameter_constraints)
    for fixed in ("beta", "beta_scale", "checkpoint_dir", "checkpoint_every", "warm_start"):
        del shared[fixed]
    return {
        **shared,
        "betas": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "refit": ["boolean"],
        "method": [StrOptions({"independent", "path"})],
    }


def _single(betas: Array) -> Array:
    """As float32, whose range is smaller."""
    return np.minimum(betas, np.finfo(np.float32).max).astype(np.float32)


def _epochs(wanted: int, family: Family, batch_size: int) -> int:
    """So many epochs, or more, where they would have too few steps."""
    steps = -(-len(family.train) // batch_size)
    return max(wanted, -(-FEWEST_STEPS // steps))


class Fold(NamedTuple):
    """What a fold's networks begin with."""

    estimator: Any
    family: Family
    plan: Plan

    def ended(self, net: StackedNet, beta: float) -> Any:
        """The estimator of a beta, as its own fit would have left it."""
        estimator = copy.copy(self.estimator)
        estimator.beta, estimator.net_ = beta, net
        estimator._method = copy.copy(estimator._method).set_params(beta=beta)
        estimator._method.beta_ = beta
        estimator._read_off()
        return estimator


def _information(estimator: Any, of_last_epoch: bool) -> dict[str, float]:
    """What a network kept and how well it predicts, in the epoch it is kept of."""
    main = estimator.history_[estimator.history_.phase == "main"]
    part = "valid" if "valid_task_loss" in main else "train"
    best = len(main) - 1 if of_last_epoch else int(main[f"{part}_task_loss"].argmin())
    kept = main.iloc[best]
    kl = sum(kept[f"{part}_kl_{name}"] for name in estimator.modalities_)
    return {"kl": kl, "task_loss": kept[f"{part}_task_loss"]}


class BaseOMIBCV(
    ReadsItems,
    Persistent,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Template of the searches; children name the estimator and average its predictions."""

    recipe_: Recipe
    _estimator_class: ClassVar[type[BaseMultimodal]]
    _task_class: ClassVar[type[Task]]

    def _validate_params(self) -> None:
        super()._validate_params()
        refuse_booleans(self)

    @abstractmethod
    def _make_task(self) -> Task:
        """What the estimators predict."""

    @abstractmethod
    def __init__(self) -> None:
        """Children list their parameters."""

    @together
    @in_one_piece
    @within_memory
    @_fit_context(prefer_skip_nested_validation=True)
    @settled
    def fit(
        self,
        X: Modalities,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Cross-validate every beta, then train with the best one on all samples.

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
            As in fit of the estimator; also if betas are negative, if every fit failed, or if no
            beta has a score in every fold.

        Warns
        -----
        FitFailedWarning
            If some fits failed: their scores are NaN, as in GridSearchCV.
        UserWarning
            If a score could not be computed: it is NaN.
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        rng = common_random_state(self.random_state)
        given = X
        X = validate_modalities(self, X, reset=True, modalities=self.modalities)
        X = Encoded.by(self, by_content(self._encoded(X, reset=True)))
        y, groups = check_entries("y", y, len(X), given), check_groups(groups, len(X))
        weight = check_weight(sample_weight, len(X))
        self._learn_target(y)
        self.beta_bounds_ = estimate_beta_bounds(
            summarised(complete_rows(sample_rows(X, rng))),
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
        self._check_folds(splits)

        sample = sample_rows(X, rng)
        encoders = resolve_encoders(
            self._networks_given(), complete_rows(sample), self._networks_of(sample),
            hidden_dim=self.hidden_dim, n_layers=self.n_layers,
            narrow=self._task_class.narrow_table_encoder,
        )  # fmt: skip
        self._incomplete = incomplete_columns(sample)  # folds are to have columns alike
        folds: list[Fold | Exception] = []
        for rows, _ in splits:
            own_groups = None if groups is None else rows_of(groups, rows)
            try:
                folds.append(self._prepared(
                    X[rows], rows_of(y, rows), weight[rows], own_groups, seed, encoders
                ))  # fmt: skip
            except Exception as error:  # as in GridSearchCV, others go on
                folds.append(error)
        net, fits = self._train(folds)
        self._rate(fits, splits, X, y, scorer)
        of_folds = [some[self.best_index_] for some in fits]
        if self.refit and self.method == "independent":
            final = self._estimator(self.beta_, seed, self.n_members, encoders)
            of_folds = [final.fit(X, y, weight, groups)]
        elif self.refit:
            whole = [fold for fold in folds if isinstance(fold, Fold)]  # all, or no beta was best
            of_folds = self._go_on(whole, splits, net, X, y, weight)
        self.estimators_ = [one for one in of_folds if one is not None]
        self._n_features_out = self.latent_dim * len(self.estimators_)
        self.n_iter_ = max(estimator.n_iter_ for estimator in self.estimators_)
        return self

    def _check_folds(self, splits: Sequence[Any]) -> None:
        """Raise unless each fold is a pair of arrays of rows, of which none is empty."""
        what = "a fold" if not splits else ""
        for i, fold in enumerate(splits):
            parts = [np.asarray(rows) for rows in fold]
            are_rows = [part.dtype.kind in "iub" or not part.size for part in parts]
            if len(parts) != 2 or not all(are_rows):
                what = f"a pair of arrays of rows in fold {i}"
            elif not all(part.size for part in parts):
                what = f"rows for both parts in fold {i}"
        if what:
            raise ValueError(
                f"cv={self.cv!r} does not give {what}; give a number of folds, a splitter, or a "
                "list of (rows to train on, rows to test on)."
            )

    def _grid(self) -> Array:
        if isinstance(self.betas, Integral):
            # from above, so that a grid of one is M_u
            return np.geomspace(1, LOWEST_BETA, int(self.betas))[::-1] * self.beta_bounds_.upper
        try:
            betas = np.asarray(self.betas, dtype=np.float64)
        except (TypeError, ValueError):
            betas = np.empty(0)
        if betas.ndim != 1 or not len(betas) or not (np.isfinite(betas) & (betas >= 0)).all():
            raise ValueError(
                f"betas must be a number of values or a list of values >= 0, got {self.betas!r}."
            )
        return betas

    def _estimator(
        self, beta: float, seed: int, n_members: int | str, encoders: Mapping[str, Any]
    ) -> Any:
        shared = {
            name: value for name, value in self.get_params(deep=False).items() if name not in OWN
        }
        own = {"modalities": None, "random_state": seed, "beta": beta, "n_members": n_members}
        return self._estimator_class(**shared | own | {"encoders": encoders})

    def _prepared(
        self,
        X: ModalityDict,
        y: Any,
        weight: Array,
        groups: Any,
        seed: int,
        encoders: Mapping[str, Any],
    ) -> Fold:
        """An estimator of one network for the rows of a fold, its rows and its plan."""
        estimator = self._estimator(self.betas_[0], seed, 1, encoders)
        estimator._begin(self._make_task(), resume=False)
        estimator._method.beta_bounds_ = self.beta_bounds_
        estimator._incomplete = self._incomplete
        checked = estimator._check_input(X, y, weight, groups, reset=True)
        self._check_fold(checked[1])
        estimator._decide_recipe(len(checked[1]))
        plan = estimator._plan(checked, check_random_state(seed))
        (family,) = estimator._families(checked, plan)
        return Fold(estimator, family, plan)

    def _check_fold(self, target: Array) -> None:
        """Raise where the training part of a fold teaches nothing by itself."""

    def _train(self, prepared: Sequence[Fold | Exception]) -> tuple[StackedNet, list[list[Any]]]:
        """Train all folds, at all betas.

        Returns
        -------
        net : StackedNet
            Of all of them.
        fits : list of lists of estimators, by fold and beta
            None for those that failed.
        """
        folds = [fold for fold in prepared if isinstance(fold, Fold)]
        reasons = [str(error) for error in prepared if isinstance(error, Exception)]
        if not folds:
            raise ValueError(f"Every fit failed. {reasons[0]}")
        first = folds[0].estimator
        net = first._make_net(folds[0].plan.encoders, [fold.plan.weights[0] for fold in folds])
        net.spares_failed = True
        families, seeds = [f.family for f in folds], [f.plan.draws[0] for f in folds]
        self.recipe_ = first.recipe_
        warmup = self.recipe_.warmup_epochs
        epochs = {"warm-up": warmup, "main": self.recipe_.max_epochs}
        with first._training(net, families, list(range(len(folds))), seeds, epochs):
            if warmup:  # which knows no beta
                net.run_phase("warm-up", warmup)
            places = self._train_each(net, first)
            reasons += net.failed.values()
        trained = iter([
            [None if net is None else fold.ended(net, beta)
             for net, beta in zip(nets, self.betas_.tolist(), strict=True)]
            for fold, nets in zip(folds, places, strict=True)
        ])  # fmt: skip
        fits = [next(trained) if isinstance(fold, Fold) else [None] * len(self.betas_)
                for fold in prepared]  # fmt: skip
        n_failed = sum(one is None for of_fold in fits for one in of_fold)
        if n_failed == len(fits) * len(self.betas_):
            raise ValueError(f"Every fit failed. {reasons[0]}")
        if n_failed:
            warnings.warn(
                f"{n_failed} fits failed, their scores are nan. The first: {reasons[0]}",
                FitFailedWarning,
                stacklevel=3,
            )
        return net, fits

    def _go_on(
        self,
        folds: Sequence[Fold],
        splits: Sequence[tuple[Array, Array]],
        net: StackedNet,
        X: ModalityDict,
        y: Any,
        weight: Array,
    ) -> list[Any]:
        """The folds' networks of the best beta, after some more epochs on the rows of all folds.

        Each keeps its scales, and the rows that are held out to stop by.
        """
        first, n_betas = folds[0].estimator, len(self.betas_)
        families, kept = [], weighted_rows(X, weight)
        for fold, (rows, _) in zip(folds, splits, strict=True):
            _, held_out = fold.plan.splits[0]
            checked = fold.estimator._check_input(X, y, weight, None, reset=False)
            own = rows[weighted_rows(X[rows], weight[rows])]
            held = np.isin(kept, own[[] if held_out is None else held_out])
            valid = None if held_out is None else np.flatnonzero(held)
            plan = fold.plan._replace(splits=[(np.flatnonzero(~held), valid)])
            families += fold.estimator._families(checked, plan)
        net = net.taken([k * n_betas + self.best_index_ for k in range(len(folds))])
        seeds = [fold.plan.draws[0] for fold in folds]
        n_epochs = _epochs(LAST_EPOCHS, families[0], self.recipe_.batch_size)
        epochs = {"main": n_epochs}
        with first._training(net, families, list(range(len(folds))), seeds, epochs):
            train_in_parts(
                net,
                lambda part: part.run_phase("main", n_epochs, keep_last=True),
                count_jobs(net, self.n_jobs, n_epochs),
            )
            first._conclude(net, [[k] for k in range(len(folds))])
            failed = net.failed
        return [
            None if k in failed else fold.ended(net.taken([k]), self.beta_)
            for k, fold in enumerate(folds)
        ]

    def _train_each(self, net: StackedNet, first: Any) -> list[list[StackedNet | None]]:
        """One network for each fold and beta: by fold and beta, or None where it diverged."""
        n_folds, n_betas = net.n_networks, len(self.betas_)
        net.repeat([k for k in range(n_folds) for _ in range(n_betas)])
        betas = np.tile(_single(self.betas_), n_folds)
        net.criterion_.beta = torch.from_numpy(betas).to(net.device)
        max_epochs = self.recipe_.max_epochs
        n_jobs = count_jobs(net, self.n_jobs, max_epochs)
        if self.method == "path":  # of which a network at a time is in training
            train_in_parts(net, self._train_along, n_jobs, TOGETHER * n_betas)
        else:
            train_in_parts(net, lambda part: part.run_phase("main", max_epochs), n_jobs)
        first._conclude(net, [[k] for k in range(net.n_networks)])
        nets = [None if k in net.failed else net.taken([k]) for k in range(net.n_networks)]
        return [nets[k : k + n_betas] for k in range(0, len(nets), n_betas)]

    def _train_along(self, net: StackedNet) -> None:
        """Train each fold at its smallest beta and go on to the next, up to the largest."""
        firsts = np.arange(0, net.n_networks, len(self.betas_))
        order = np.argsort(self.betas_, kind="stable")
        epochs = _epochs(PATH_EPOCHS, net.families[0], self.recipe_.batch_size)
        net.run_phase("main", self.recipe_.max_epochs, only=(firsts + order[0]).tolist())
        for before, after in pairwise(order):
            net.pass_on((firsts + before).tolist(), (firsts + after).tolist())
            net.run_phase("main", epochs, keep_last=True, only=(firsts + after).tolist())

    def _rate(
        self,
        fits: Sequence[Sequence[Any]],
        splits: Sequence[tuple[Array, Array]],
        X: ModalityDict,
        y: Any,
        scorer: Callable[..., float],
    ) -> None:
        """Score every beta on every fold and choose the best."""
        scores = np.full((len(self.betas_), len(splits)), np.nan)
        seconds = np.zeros_like(scores)
        for fold, (_, test) in enumerate(splits):
            X_test, y_test = X[test], rows_of(y, test)
            for i, one in enumerate(fits[fold]):
                if one is not None:
                    scores[i, fold] = self._score(scorer, one, X_test, y_test)
                    seconds[i, fold] = one.history_.seconds.sum()
        mean = scores.mean(1)
        if np.isnan(mean).all():  # a choice would be one of nothing
            never = np.flatnonzero(np.isnan(scores).all(0)).tolist()
            raise ValueError(
                f"No beta has a score in every fold, and none can be chosen; of {len(splits)} "
                f"folds, {never} have no score at any beta. Fits or their scoring failed there, as "
                "warnings say, or scoring returned nan. Give a cv whose parts all hold what fit "
                "and scoring need (StratifiedKFold, fewer splits), or another scoring."
            )
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
        self.path_ = pd.DataFrame([
            {"beta": beta, "fold": fold, "score": scores[i, fold],
             **_information(fits[fold][i], self.method == "path" and beta > self.betas_.min())}
            for i, beta in enumerate(self.betas_)
            for fold in range(len(splits)) if fits[fold][i] is not None
        ])  # fmt: skip
        self.best_index_ = int(ranks.argmin())
        self.best_score_ = float(mean[self.best_index_])
        self.beta_ = float(self.betas_[self.best_index_])

    def _score(
        self, scorer: Callable[..., float], estimator: Any, X: ModalityDict, y: Any
    ) -> float:
        """A score, or NaN and a warning where it cannot be computed, as in GridSearchCV."""
        try:
            return scorer(self._predicting_by(estimator), X, y)
        except Exception as error:
            warnings.warn(
                f"Scoring failed, the score of a fold is nan: {type(error).__name__}: {error}",
                UserWarning,
                stacklevel=4,
            )
            return np.nan

    def _predicting_by(self, estimator: Any) -> Self:
        """This search as if it had ended with one estimator."""
        ended = copy.copy(self)
        ended.estimators_ = [estimator]
        return ended

    def _each(self, method: str, X: Modalities, **options: Any) -> list[Any]:
        check_is_fitted(self, "estimators_")
        X = validate_modalities(self, X, reset=False, modalities=self.modalities)
        return [getattr(estimator, method)(X, **options) for estimator in self.estimators_]

    def transform(self, X: Modalities) -> Array:
        """Return the fused representation xi, those of several estimators side by side.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_estimators * latent_dim)
        """
        return with_samples(self, np.hstack(self._each("transform", X)), X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        theirs = self._estimator_class().__sklearn_tags__()
        for part in ("input_tags", "target_tags", "transformer_tags", "classifier_tags"):
            setattr(tags, part, getattr(theirs, part))
        tags.input_tags.allow_nan = self.missing_values == "mask"
        return tags


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
        beta. With ``method="path"`` there is no fit but those of the folds.
    scoring : str, callable or None, default=None
        As in GridSearchCV; None is accuracy.
    refit : bool, default=True
        Train on all samples with the best beta. False keeps the networks of the folds with it, and
        averages their probabilities.
    method : {"independent", "path"}, default="independent"
        How the networks of a fold are trained. "independent": each beta by itself, as in
        GridSearchCV, but all side by side. "path": one network trains at the smallest beta, then
        goes on to the next for a few epochs, and so up to the largest, as the information
        bottleneck is computed by annealing; with the best beta the networks of the folds go on to
        all samples. It takes two fifths of the time, and its networks are not those of a fit at one
        beta alone.
    encoders, hidden_dim, latent_dim, n_layers, dropout, input_dropout, head_layers, fusion, \
n_heads, modality_dropout, combine, entropy_estimator, weighting, trb_weight, warmup_epochs, \
max_epochs, batch_size, learning_rate, weight_decay, early_stopping, validation_fraction, \
n_iter_no_change, tol, standardize, missing_values, class_weight, device, precision, n_threads, \
n_jobs, random_state, verbose
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
    path_ : DataFrame
        One row for each beta and fold: ``kl`` of all modalities and ``task_loss``, in nats, of the
        rows to stop by (or of training, where none are held out) in the epoch that is kept, and
        the test ``score``: the information curve.
    estimators_ : list of OMIBClassifier
        What predicts: one fit, or those of the folds, each with its own scales.
    classes_ : ndarray of shape (n_classes,)
    modalities_ : dict of str to tuple
        Shape of one sample of each modality; () of texts, pictures and other single entries.
    encoders_ : dict of str to Encoder
        Fitted, of the modalities that are no numbers as they come.
    recipe_ : Recipe
        ``warmup_epochs``, ``max_epochs``, ``batch_size`` and ``learning_rate`` as they were used.
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
    _task_class = Classification
    _parameter_constraints: ClassVar[dict[str, Any]] = _constraints(OMIBClassifier)

    def __init__(
        self,
        modalities: dict[str, Any] | None = None,
        *,
        betas: int | ArrayLike = 10,
        cv: Any = 5,
        n_members: int | str = "auto",
        scoring: str | Callable[..., float] | None = None,
        refit: bool = True,
        method: str = "independent",
        encoders: Any = "auto",
        hidden_dim: int = 128,
        latent_dim: int = 32,
        n_layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float = 0.2,
        head_layers: int = 2,
        fusion: str = "cross_attention",
        n_heads: int = 4,
        modality_dropout: float | str = "auto",
        combine: str = "held_out",
        entropy_estimator: Any = "gaussian",
        weighting: str = "reference",
        trb_weight: float = 1.0,
        warmup_epochs: int | str = "auto",
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        weight_decay: float = 1.0,
        early_stopping: bool = True,
        validation_fraction: float | str = "auto",
        n_iter_no_change: int = 15,
        tol: float = 1e-4,
        standardize: bool = True,
        missing_values: str = "mask",
        class_weight: dict[Any, float] | str | None = None,
        device: str | torch.device = "auto",
        precision: str = "float32",
        n_threads: int = 1,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        _store(self, locals())

    def _learn_target(self, y: ArrayLike) -> None:
        task = Classification()
        task.learn(y)
        self.classes_, self._multilabel = task.classes, task.multilabel

    def _make_task(self) -> Classification:
        # a fold may lack a class
        return Classification(self.class_weight, None if self._multilabel else self.classes_)

    def _check_fold(self, target: Array) -> None:
        if not self._multilabel and len(np.unique(target)) < 2:
            raise ValueError(
                f"y has one class only in the training part of a fold, "
                f"{self.classes_[target[0]]}; a classifier needs at least two."
            )

    def predict_proba(self, X: Modalities) -> Array:
        """Probability of each class, averaged over all networks.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return np.mean(self._each("predict_proba", X), axis=0)

    def predict_log_proba(self, X: Modalities) -> Array:
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

    def predict(self, X: Modalities) -> Array:
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
        beta. With ``method="path"`` there is no fit but those of the folds.
    scoring : str, callable or None, default=None
        As in GridSearchCV; None is R2.
    refit : bool, default=True
        Train on all samples with the best beta. False keeps the networks of the folds with it, and
        averages their predictions.
    method : {"independent", "path"}, default="independent"
        How the networks of a fold are trained. "independent": each beta by itself, as in
        GridSearchCV, but all side by side. "path": one network trains at the smallest beta, then
        goes on to the next for a few epochs, and so up to the largest, as the information
        bottleneck is computed by annealing; with the best beta the networks of the folds go on to
        all samples. It takes two fifths of the time, and its networks are not those of a fit at one
        beta alone.
    encoders, hidden_dim, latent_dim, n_layers, dropout, input_dropout, head_layers, fusion, \
n_heads, modality_dropout, combine, entropy_estimator, weighting, trb_weight, warmup_epochs, \
max_epochs, batch_size, learning_rate, weight_decay, early_stopping, validation_fraction, \
n_iter_no_change, tol, standardize, missing_values, device, precision, n_threads, n_jobs, \
random_state, verbose
        As in :class:`OMIBRegressor`, with the same defaults.

    Attributes
    ----------
    beta_, betas_, scores_, cv_results_, best_index_, best_score_, beta_bounds_, path_, \
modalities_, encoders_, recipe_, n_iter_, n_features_in_, feature_names_in_
        As in :class:`OMIBClassifierCV`.
    estimators_ : list of OMIBRegressor
        What predicts: one fit, or those of the folds, each with its own scales.

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
    _task_class = Regression
    _parameter_constraints: ClassVar[dict[str, Any]] = _constraints(OMIBRegressor)

    def __init__(
        self,
        modalities: dict[str, Any] | None = None,
        *,
        betas: int | ArrayLike = 10,
        cv: Any = 5,
        n_members: int | str = "auto",
        scoring: str | Callable[..., float] | None = None,
        refit: bool = True,
        method: str = "independent",
        encoders: Any = "auto",
        hidden_dim: int = 128,
        latent_dim: int = 32,
        n_layers: int = 2,
        dropout: float = 0.1,
        input_dropout: float = 0.0,
        head_layers: int = 2,
        fusion: str = "unnormed_attention",
        n_heads: int = 4,
        modality_dropout: float | str = 0.0,
        combine: str = "held_out",
        entropy_estimator: Any = "gaussian",
        weighting: str = "reference",
        trb_weight: float = 1.0,
        warmup_epochs: int | str = "auto",
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        weight_decay: float = 0.3,
        early_stopping: bool = True,
        validation_fraction: float | str = "auto",
        n_iter_no_change: int = 15,
        tol: float = 1e-4,
        standardize: bool = True,
        missing_values: str = "mask",
        device: str | torch.device = "auto",
        precision: str = "float32",
        n_threads: int = 1,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        _store(self, locals())

    def _learn_target(self, y: ArrayLike) -> None:
        Regression().learn(y)

    def _make_task(self) -> Regression:
        return Regression()  # each fold scales its own target

    def predict(self, X: Modalities, return_std: bool = False) -> Array | tuple[Array, Array]:
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
