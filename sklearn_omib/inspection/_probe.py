"""What can still be read off the representation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._typing import Array, Modalities, RandomState
from ..data.per_sample import check_entries
from ..information._pairs import is_discrete
from ._stages import as_container, as_numbers, find_omib, noisy_xi, pass_through, unwrap

ALPHAS = np.logspace(-2, 5, 15)  # on standardised columns
SOURCES = ("noisy_xi", "xi", "inputs")


def bottleneck_probe(
    estimator: BaseEstimator,
    X: Modalities,
    variables: Mapping[str, ArrayLike],
    *,
    from_: str | Sequence[str] = SOURCES,
    cv: Any = 5,
    n_jobs: int | None = None,
    random_state: RandomState = None,
) -> pd.DataFrame:
    """How well given variables can be decoded from the representation xi, and from its inputs.

    A cross-validated linear probe predicts each variable: ridge regression for numbers, logistic
    regression for labels. What is decoded from the noisy xi has passed the bottleneck; what only
    the probe of the inputs finds has not. Linear probes overlook what is encoded otherwise.

    Parameters
    ----------
    estimator : fitted OMIB estimator
        Or a search over beta, a pipeline that ends in one, or a search over these.
    X : dict, ModalityDict, or table that the estimator cuts into modalities
        Better rows it has not been fitted on: it may have learned others by heart.
    variables : dict of str to array-like of shape (n_samples,) or (n_samples, n_columns)
        What to decode. Strings, booleans and integers of few distinct values are labels, in one
        column; all else, and all arrays of several columns, are numbers.
    from_ : str or tuple of {"noisy_xi", "xi", "inputs"}, default=all three
        "noisy_xi" is xi with noise in the codes, as the head meets it in training; "xi" is what
        ``transform`` returns, from the means of the codes; "inputs" are the modalities as they
        reach the estimator, flattened, side by side.
    cv : int or splitter, default=5
        Folds of the probe; an int shuffles the rows, and stratifies them by label.
    n_jobs : int, default=None
        Folds fitted at the same time, by joblib.
    random_state : int, RandomState instance or None, default=None
        Shuffles, and draws the noise.

    Returns
    -------
    DataFrame
        One row per variable. Columns: ``metric``, "R2" (the mean over columns, equally weighted)
        or "balanced accuracy"; for each source its mean over folds, and with ``_sd`` behind its
        name the standard deviation over folds; ``chance``, what a constant reaches: 0 or
        1 / n_classes.

    Raises
    ------
    ValueError
        If a variable has NaN, one value only, another length than X, or a label with fewer
        samples than folds.
    TypeError
        If the estimator is no OMIB.
    NotFittedError
        If it is not fitted.

    Notes
    -----
    The bottleneck drops by noise: it scales what it does not pay for down, until the noise of the
    codes covers it. Without the noise, a linear map can scale it up again. "xi" may therefore tell
    much more than "noisy_xi", and more than the price beta was paid for.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBRegressor
    >>> from sklearn_omib.inspection import bottleneck_probe
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(200, 3)), "video": rng.normal(size=(200, 3))}
    >>> y = X["audio"][:, 0]
    >>> reg = OMIBRegressor(max_epochs=30, random_state=0).fit(X, y)
    >>> variables = {"target": y, "video": X["video"]}
    >>> table = bottleneck_probe(reg, X, variables, random_state=0)
    >>> bool(table.loc["target", "noisy_xi"] > 0.5 > table.loc["video", "noisy_xi"])
    True
    """
    names = (from_,) if isinstance(from_, str) else tuple(from_)
    if not names or set(names) - set(SOURCES):
        raise ValueError(f"from_ must be some of {SOURCES}, got {from_!r}.")
    omib, estimator = find_omib(estimator), unwrap(estimator)
    check_is_fitted(omib)
    rng = check_random_state(random_state)
    steps = [estimator[:-1]] if isinstance(estimator, Pipeline) and len(estimator) > 1 else []
    blocks = as_container(pass_through(steps, as_container(X, steps, omib)), [], omib)
    read = {
        "noisy_xi": lambda: noisy_xi(omib, blocks, rng.randint(2**31 - 1)),
        "xi": lambda: omib.transform(blocks),
        "inputs": lambda: as_numbers(omib, blocks).flat(np.float64),
    }
    sources, seed = {name: read[name]() for name in names}, rng.randint(2**31 - 1)
    rows = {}
    for name, values in variables.items():
        values = check_entries(f"variable {name!r}", values, len(blocks))
        rows[name] = _decode(name, values, sources, cv, n_jobs, seed)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("variable")


def _decode(
    name: str,
    values: ArrayLike,
    sources: Mapping[str, Array],
    cv: Any,
    n_jobs: int | None,
    seed: int,
) -> dict[str, str | float]:
    """One row of the table: how well the values are predicted from each source."""
    values = _checked(name, values)
    labels = values.ndim == 1 and is_discrete(values, "auto")
    if labels:
        n_least, splitter = np.unique(values, return_counts=True)[1].min(), StratifiedKFold
        if isinstance(cv, int) and n_least < cv:
            raise ValueError(
                f"Variable {name!r} has a label with {n_least} samples, fewer than cv={cv} folds. "
                "Lower cv or merge labels."
            )
        metric, chance = "balanced_accuracy", 1 / len(np.unique(values))
        probe = LogisticRegression(max_iter=1000, class_weight="balanced")
    else:
        metric, chance, splitter, probe = "r2", 0.0, KFold, RidgeCV(ALPHAS)
    folds = splitter(cv, shuffle=True, random_state=seed) if isinstance(cv, int) else cv
    probe = make_pipeline(StandardScaler(), probe)
    row = {"metric": "balanced accuracy" if labels else "R2"}
    for source, features in sources.items():
        scores = cross_val_score(probe, features, values, scoring=metric, cv=folds, n_jobs=n_jobs)
        row |= {source: scores.mean(), f"{source}_sd": scores.std()}
    return row | {"chance": chance}


def _checked(name: str, values: ArrayLike) -> Array:
    values = np.asarray(values)
    if pd.isna(values).any():
        raise ValueError(f"Variable {name!r} has missing values; leave these samples out.")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2):
        raise ValueError(f"Variable {name!r} must have one or two dimensions, got {values.ndim}.")
    if (values == values[:1]).all():
        raise ValueError(f"Variable {name!r} is constant; there is nothing to decode.")
    return values.astype(str) if values.dtype.kind in "OU" else values
