"""What a fitted estimator loses when a whole modality is permuted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from .._typing import Modalities, RandomState
from ..data.container import ModalityDict
from ..data.per_sample import check_entries
from ..information._pairs import is_count
from ._stages import as_container, last_step, pass_through, reorder, split_stages


def modality_importance(
    estimator: BaseEstimator,
    X: Modalities,
    y: ArrayLike,
    *,
    scoring: str | Callable[..., float] | None = None,
    n_repeats: int = 5,
    random_state: RandomState = None,
    n_jobs: int | None = None,
) -> Bunch:
    """Permutation importance of whole modalities.

    The rows of one modality are permuted, all its columns together, and the importance is by how
    much the score falls. What another modality also tells of the target is then still there, so
    two modalities that say the same may both seem unimportant:
    :func:`~sklearn_omib.inspection.modality_ablation` tells them from useless ones.

    Parameters
    ----------
    estimator : fitted estimator
        As in :func:`~sklearn_omib.inspection.modality_ablation`.
    X : dict, ModalityDict, or table that the estimator cuts into modalities
        Rows it has not been fitted on, for what holds beyond these.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    scoring : str, callable or None, default=None
        One score; None is the estimator's own.
    n_repeats : int, default=5
        Permutations of each modality.
    random_state : int, RandomState instance or None, default=None
    n_jobs : int, default=None
        Modalities permuted at the same time, by joblib.

    Returns
    -------
    Bunch
        As :func:`sklearn.inspection.permutation_importance` returns:
        ``importances_mean`` and ``importances_std`` of shape (n_modalities,), ``importances`` of
        shape (n_modalities, n_repeats); and ``names``, the modalities, and ``baseline``, the score
        that nothing is permuted for.

    Raises
    ------
    ValueError
        If ``n_repeats`` is not a positive int.
    NotFittedError
        If the estimator is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBClassifier
    >>> from sklearn_omib.inspection import modality_importance
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(200, 5)), "video": rng.normal(size=(200, 3))}
    >>> y = X["audio"][:, 0] > 0
    >>> clf = OMIBClassifier(max_epochs=30, random_state=0).fit(X, y)
    >>> result = modality_importance(clf, X, y, random_state=0)
    >>> result.names[result.importances_mean.argmax()]
    'audio'
    """
    if not is_count(n_repeats):
        raise ValueError(f"n_repeats must be a positive int, got {n_repeats!r}.")
    steps, rest = split_stages(estimator)
    check_is_fitted(last_step(rest))
    X = pass_through(steps, as_container(X, steps, rest))
    y = check_entries("y", y, len(X))
    scorer = check_scoring(rest, scoring=scoring)
    baseline = scorer(rest, X, y)
    seeds = check_random_state(random_state).randint(2**31 - 1, size=len(list(X)))
    scores = Parallel(n_jobs=n_jobs)(
        delayed(_permuted_scores)(rest, X, y, scorer, name, n_repeats, seed)
        for name, seed in zip(X, seeds, strict=True)
    )
    importances = baseline - np.array(scores)
    return Bunch(
        importances_mean=importances.mean(1),
        importances_std=importances.std(1),
        importances=importances,
        names=list(X),
        baseline=baseline,
    )


def _permuted_scores(
    estimator: Any,
    X: ModalityDict,
    y: Any,
    scorer: Callable[..., float],
    name: str,
    n_repeats: int,
    seed: int,
) -> list[float]:
    rng = np.random.RandomState(seed)
    return [
        scorer(estimator, reorder(X, {name}, rng.permutation(len(X))), y) for _ in range(n_repeats)
    ]
