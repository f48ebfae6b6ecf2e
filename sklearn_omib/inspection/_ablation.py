"""What is lost without some of the modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._typing import Array, Modalities, RandomState
from ..data.checks import may_miss
from ..data.container import ModalityDict, lost, n_rows, take_rows
from ..data.per_sample import check_entries, check_groups, check_labels
from ._stages import as_container, last_step, pass_through, reorder, split_stages

Subset: TypeAlias = tuple[str, ...]

ALL_SUBSETS = 4  # modalities up to which every subset is tried
METHODS = ("refit", "mask", "permute")


def modality_ablation(
    estimator: BaseEstimator,
    X: Modalities,
    y: ArrayLike,
    *,
    scoring: str | Callable[..., float] | None = None,
    method: str = "refit",
    cv: Any = 5,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    n_jobs: int | None = None,
    random_state: RandomState = None,
) -> pd.DataFrame:
    r"""Score every subset of the modalities, on the same folds.

    "refit" tells what could be predicted from a subset: a clone is fitted to it in each fold.
    "mask" tells what the fitted estimator makes of a subset alone: other modalities are missing.
    "permute" tells what it takes from the subset, of any estimator: in each fold the rows of all
    other modalities are permuted, together, among the test rows. They keep their values and what
    they know of each other, and lose what they know of the target and of the subset.

    Parameters
    ----------
    estimator : estimator
        An OMIB estimator or search over beta, any other estimator that takes several modalities,
        a pipeline that ends in one, or a search over these, of which the best estimator counts.
        Fitted, unless ``method="refit"``. Modalities are those behind
        :class:`~sklearn_omib.preprocessing.ModalityTransformer` and ``ModalitySplitter``.
    X : dict, ModalityDict, or table that the estimator cuts into modalities
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    scoring : str, callable or None, default=None
        One score, as in ``cross_val_score``; None is the estimator's own.
    method : {"refit", "mask", "permute"}, default="refit"
        Give "mask" and "permute" rows that the estimator has not been fitted on.
    cv : int, splitter or iterable, default=5
        Folds; "mask" and "permute" use their test part alone.
    groups : array-like of shape (n_samples,), default=None
        For the splitter.
    confidence : float, default=0.95
        Of the interval.
    n_jobs : int, default=None
        Folds computed at the same time, by joblib.
    random_state : int, RandomState instance or None, default=None
        Permutes rows ("permute"), and seeds the clones of an estimator whose own ``random_state``
        is None ("refit").

    Returns
    -------
    DataFrame
        One row per subset, named ``"audio + video"``; all of them for up to four modalities,
        else the single ones, ``"all but audio"`` of each, and ``"all"``. Columns:

        - ``n_modalities``;
        - ``mean``, ``standard_error``: of the score over folds;
        - ``difference``, ``lower``, ``upper``: of the score from that of all modalities, fold by
          fold, with an interval by Student's t;
        - ``split0_score``, ...: of each fold.

    Raises
    ------
    ValueError
        If a parameter is none of the values allowed, or there are fewer than two folds, or if
        ``method="mask"`` and the estimator takes no missing modalities.
    NotFittedError
        If ``method`` is "mask" or "permute" and the estimator is not fitted.

    Notes
    -----
    Fits on overlapping training parts are not independent. The interval of "refit" therefore
    widens the variance of the mean of k differences from 1 / k to 1 / k + n_test / n_train [1]_.

    References
    ----------
    .. [1] Nadeau, Bengio, "Inference for the generalization error", Machine Learning 52, 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBClassifier
    >>> from sklearn_omib.inspection import modality_ablation
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(200, 5)), "video": rng.normal(size=(200, 3))}
    >>> y = X["audio"][:, 0] > 0
    >>> clf = OMIBClassifier(max_epochs=30, random_state=0).fit(X, y)
    >>> table = modality_ablation(clf, X, y, method="mask", random_state=0)
    >>> list(table.index)
    ['audio', 'video', 'audio + video']
    >>> bool(table.loc["video", "upper"] < 0)
    True
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}.")
    steps, rest = split_stages(estimator)
    if method != "refit":
        check_is_fitted(last_step(rest))
    if method == "mask" and not may_miss(last_step(rest)):
        raise ValueError(
            f"method='mask' needs an estimator that takes missing modalities, which "
            f"{type(last_step(rest)).__name__} with these parameters is not; method='permute' "
            "needs none."
        )
    X = as_container(X, steps, rest)
    y, groups = check_entries("y", y, n_rows(X)), check_groups(groups, n_rows(X))
    y = y if hasattr(y, "iloc") else np.asarray(y)
    if is_classifier(rest):
        check_labels("y", np.asarray(y))
    rng = check_random_state(random_state)
    splits = list(check_cv(cv, y, classifier=is_classifier(rest)).split(X, y, groups))
    if len(splits) < 2:
        raise ValueError(f"cv must give at least two folds, got {len(splits)}.")
    seeds = rng.randint(2**31 - 1, size=len(splits))
    scorer = check_scoring(rest, scoring=scoring)
    if method == "refit" and random_state is not None:
        rest = _seeded(rest, int(rng.randint(2**31 - 1)))
    score_fold = _score_refitted
    if method != "refit":
        score_fold = partial(_score_fitted, mask=method == "mask")
    folds = Parallel(n_jobs=n_jobs)(
        delayed(score_fold)(steps, rest, X, y, train, test, scorer, seed)
        for (train, test), seed in zip(splits, seeds, strict=True)
    )
    overlap = method == "refit" and np.mean([len(test) / len(train) for train, test in splits])
    return _table(folds, float(overlap), confidence)


def _subsets(names: Sequence[str]) -> list[Subset]:
    """Which modalities are scored together; all of them come last."""
    n = len(names)
    sizes = range(1, n + 1) if n <= ALL_SUBSETS else (1, n - 1, n)
    return [subset for size in sizes for subset in combinations(names, size)]


def _title(subset: Subset, names: Sequence[str]) -> str:
    if len(names) > ALL_SUBSETS and len(subset) > 1:
        lacking = [name for name in names if name not in subset]
        return f"all but {lacking[0]}" if lacking else "all"
    return " + ".join(subset)


def _score_refitted(
    steps: list[Any],
    rest: Any,
    X: Any,
    y: Any,
    train: Array,
    test: Array,
    scorer: Callable[..., float],
    seed: int,
) -> dict[Subset, float]:
    X_train, X_test = take_rows(X, train), take_rows(X, test)
    y_train, y_test = take_rows(y, train), take_rows(y, test)
    for step in steps:
        step = clone(step)
        X_train, X_test = step.fit_transform(X_train, y_train), step.transform(X_test)
    scores = {}
    for subset in _subsets(list(X_train)):
        model = _on_subset(rest, subset).fit(X_train.select(list(subset)), y_train)
        scores[subset] = scorer(model, X_test.select(list(subset)), y_test)
    return scores


def _score_fitted(
    steps: list[Any],
    rest: Any,
    X: Any,
    y: Any,
    train: Array,
    test: Array,
    scorer: Callable[..., float],
    seed: int,
    mask: bool,
) -> dict[Subset, float]:
    """Scores where the other modalities are missing, or their rows in another order."""
    X_test, y_test = pass_through(steps, take_rows(X, test)), take_rows(y, test)
    if mask:
        shapes = X_test.sample_shapes.items()
        spoilt = ModalityDict({name: lost(shape, len(test)) for name, shape in shapes})
    else:
        order = np.random.RandomState(seed).permutation(len(test))
        spoilt = reorder(X_test, set(X_test), order)
    return {
        subset: scorer(
            rest,
            ModalityDict({m: (X_test if m in subset else spoilt)[m] for m in X_test}),
            y_test,
        )
        for subset in _subsets(list(X_test))
    }


def _on_subset(estimator: Any, subset: Subset) -> Any:
    """A clone that expects some of the modalities, as blocks."""
    model = clone(estimator)
    last = last_step(model)
    params = last.get_params(deep=False)
    if params.get("modalities") is not None:
        last.set_params(modalities=None)
    if isinstance(params.get("encoders"), Mapping):
        kept = {name: one for name, one in params["encoders"].items() if name in subset}
        last.set_params(encoders=kept)
    return model


def _seeded(estimator: Any, seed: int) -> Any:
    """The estimator, or a clone with the seed where it has none of its own."""
    if last_step(estimator).get_params(deep=False).get("random_state", seed) is not None:
        return estimator
    model = clone(estimator)
    last_step(model).set_params(random_state=seed)
    return model


def corrected_half_width(
    differences: Array, overlap: float, confidence: float = 0.95, least: float = 0.0
) -> Array:
    """Half the width of the interval of the mean of paired differences, over the last axis.

    Parameters
    ----------
    differences : ndarray of shape (..., n_repetitions)
        Of the scores of two models on the same test parts.
    overlap : float
        n_test / n_train where the repetitions share training rows (Nadeau & Bengio, 2003); 0
        where they are independent, which is Student's interval.
    confidence : float, default=0.95
    least : float, default=0.0
        What is known to be a lower bound of their variance.

    Returns
    -------
    ndarray of shape (...)
    """
    k = differences.shape[-1]
    variance = np.maximum(differences.var(-1, ddof=1), least)
    spread = np.sqrt(variance * (1 / k + overlap))
    return stats.t.ppf((1 + confidence) / 2, k - 1) * spread


def _table(
    folds: Sequence[Mapping[Subset, float]], overlap: float, confidence: float
) -> pd.DataFrame:
    """Means, errors and intervals; ``overlap`` is n_test / n_train, 0 where nothing is trained."""
    subsets, k = list(folds[0]), len(folds)
    scores = np.array([[fold[subset] for fold in folds] for subset in subsets])
    difference = scores - scores[-1]
    half = corrected_half_width(difference, overlap, confidence)
    columns = {
        "n_modalities": [len(subset) for subset in subsets],
        "mean": scores.mean(1),
        "standard_error": scores.std(1, ddof=1) / np.sqrt(k),
        "difference": difference.mean(1),
        "lower": difference.mean(1) - half,
        "upper": difference.mean(1) + half,
    }
    columns |= {f"split{fold}_score": scores[:, fold] for fold in range(k)}
    titles = [_title(subset, subsets[-1]) for subset in subsets]
    return pd.DataFrame(columns, index=pd.Index(titles, name="modalities"))
