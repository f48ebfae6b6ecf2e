"""How the information in xi changes while it is learned."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OutlierMixin, clone, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._search import BaseOMIBCV
from .._typing import Array, Modalities, RandomState
from ..data.container import check_modalities, flatten_block, n_rows, take_rows
from ..data.per_sample import check_entries, check_labels
from ..information import mutual_information
from ..information._pairs import is_count
from ..nn import select
from ..training.stopping import Snapshots
from ._stages import as_container, as_numbers, find_omib, noisy_xi, split_stages

LEAST_ROWS = 10  # that estimates of information ask for, of a class too


def information_plane(
    estimator: BaseEstimator,
    X: Modalities,
    y: ArrayLike,
    *,
    epochs: int | Collection[int] = 10,
    test_size: float = 0.3,
    method: str = "copula",
    random_state: RandomState = None,
) -> pd.DataFrame:
    """I(xi; y) and I(xi; v_m) along training, on rows that are held out.

    A clone of the estimator is fitted to part of the samples; at some epochs xi is read off the
    others. It is read with noise in the codes, as in training: xi of the means is a function of the
    inputs, whose information is infinite.

    Parameters
    ----------
    estimator : OMIBClassifier or OMIBRegressor
        Fitted or not. Or a fitted search over beta, whose first network is taken; or a pipeline
        or search that ends in one.
    X : dict, ModalityDict, or table that the estimator cuts into modalities
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    epochs : int or collection of int, default=10
        Epochs of the main phase to look at; 0 is before it. A number places so many from 0 to
        ``max_epochs``, densely at the beginning. The epoch that the fit keeps is always shown.
    test_size : float, default=0.3
        Share of the samples the information is measured on; stratified by class.
    method : str, default="copula"
        Of :func:`~sklearn_omib.information.mutual_information`.
    random_state : int, RandomState instance or None, default=None
        Splits the samples, draws noise, and seeds the estimate. Training is seeded by the
        estimator.

    Returns
    -------
    DataFrame
        One row per epoch. Columns, in nats: ``I(xi; y)``; ``I(xi; v)`` for each modality named v;
        ``KL(v)``, the mean KL of its code in training, an upper bound on what its code knows of
        it; and ``kept``, whether it is the epoch the fit has kept.

    Raises
    ------
    ValueError
        If ``epochs`` is a number below 1, or if fewer than ten rows would be held out.
    TypeError
        If the estimator is no OMIB, or detects anomalies.

    Notes
    -----
    Values are estimates from finite samples of many columns; the shape of the path says more than
    its level. Where columns are too many, only their principal components are used.

    References
    ----------
    Shwartz-Ziv, Tishby, "Opening the black box of deep neural networks via information", 2017.
    Saxe et al., "On the information bottleneck theory of deep learning", ICLR 2018, on how far such
    paths depend on the noise and on the estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBClassifier
    >>> from sklearn_omib.inspection import information_plane
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(300, 3)), "video": rng.normal(size=(300, 3))}
    >>> y = (X["audio"][:, 0] > 0).astype(int)
    >>> clf = OMIBClassifier(max_epochs=5, latent_dim=4, random_state=0)
    >>> table = information_plane(clf, X, y, epochs=[0, 2], random_state=0)
    >>> list(table.columns)
    ['I(xi; y)', 'I(xi; audio)', 'I(xi; video)', 'KL(audio)', 'KL(video)', 'kept']
    >>> list(table.index)
    [0, 2, 5]
    """
    rng = check_random_state(random_state)
    omib = find_omib(estimator)
    if isinstance(omib, OutlierMixin):
        raise TypeError(
            "information_plane measures what is known of a target, which a detector of anomalies "
            f"has not; got {type(omib).__name__}."
        )
    model = _one_network(omib)
    steps, rest = split_stages(estimator)
    X = as_container(X, steps, rest)
    y = check_entries("y", y, n_rows(X))
    y = y if hasattr(y, "iloc") else np.asarray(y)
    _check_rows(y, test_size, is_classifier(model))
    stratify = y if is_classifier(model) and np.ndim(y) == 1 else None
    train, test = train_test_split(
        np.arange(np.shape(y)[0]), test_size=test_size, stratify=stratify, random_state=rng
    )
    X_train, X_test = take_rows(X, train), take_rows(X, test)
    for step in steps:
        step = clone(step)
        X_train, X_test = step.fit_transform(X_train, take_rows(y, train)), step.transform(X_test)
    seed = rng.randint(2**31 - 1)
    path = _watch(model, X_train, take_rows(y, train), X_test, _numbered(epochs, model), seed)
    y_test = np.asarray(take_rows(y, test))
    table = _measure(path, X_test, y_test, model, method, seed)
    return _with_kl(table, model)


def _check_rows(y: Any, test_size: float, labels: bool) -> None:
    """Raise where the rows to measure on, or those of each class, would be too few."""
    n_test = int(np.ceil(test_size * len(y))) if test_size < 1 else int(test_size)
    least, what = LEAST_ROWS, "rows"
    if labels and np.ndim(y) == 1:
        check_labels("y", np.asarray(y))
        counts = np.unique(np.asarray(y), return_counts=True)[1]
        most, fewest = counts.max(initial=0), counts.min(initial=len(y))
        n_test, what = int(most * n_test / max(len(y), 1)), "rows of its largest class"
        if fewest == 1:
            raise ValueError("y has a class of one sample, which cannot be split; leave it out.")
    if n_test < least:
        raise ValueError(
            f"test_size={test_size} of {len(y)} samples leaves {n_test} {what} to measure on, and "
            f"information needs {least} at least. Give more samples, or a larger test_size."
        )


def _one_network(estimator: Any) -> Any:
    """An unfitted copy of the estimator, or of the first network of a search."""
    if isinstance(estimator, BaseOMIBCV):
        check_is_fitted(estimator, "estimators_")
        estimator = estimator.estimators_[0]
    return clone(estimator).set_params(modalities=None, warm_start=False, n_members=1)


def _numbered(epochs: int | Collection[int], model: Any) -> set[int]:
    if not isinstance(epochs, int | np.integer):
        return set(epochs)
    if not is_count(epochs):
        raise ValueError(f"epochs must be a positive int or a collection of ints, got {epochs!r}.")
    last = model.max_epochs
    last = model._make_task().usual.max_epochs if last == "auto" else last
    steps = np.geomspace(1, last + 1, int(epochs)) - 1
    return set(np.round(steps).astype(int).tolist())


def _watch(
    model: Any, X: Any, y: Any, X_test: Any, epochs: set[int], seed: int
) -> dict[int, Array]:
    """Fit the model; xi of X_test by epoch, the kept one included."""
    seen = {}

    def read(epoch: int, net: Any) -> None:
        seen[epoch] = select(net.live.module, [0])

    model._watchers = (("snapshots", Snapshots(epochs, read)),)
    try:
        model.fit(X, y)
    finally:
        del model._watchers
    path = {epoch: noisy_xi(model, X_test, seed, module) for epoch, module in seen.items()}
    path[_kept_epoch(model)] = noisy_xi(model, X_test, seed)
    return dict(sorted(path.items()))


def _kept_epoch(model: Any) -> int:
    main = model.history_[model.history_.phase == "main"]
    if "valid_task_loss" not in main:
        return len(main)
    return int(main.valid_task_loss.to_numpy().argmin()) + 1


def _measure(
    path: Mapping[int, Array], X: Modalities, y: Array, model: Any, method: str, seed: int
) -> pd.DataFrame:
    """Information of each xi on y and on the modalities."""
    numbers = as_numbers(model, check_modalities(X))
    blocks = {name: flatten_block(block) for name, block in numbers.items()}
    labels = is_classifier(model) and y.ndim == 1
    sources = {"I(xi; y)": (y, labels)}
    sources |= {f"I(xi; {name})": (block, False) for name, block in blocks.items()}
    options: dict[str, Any] = {"method": method, "random_state": seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the same for each epoch
        rows = {
            epoch: {
                title: mutual_information(xi, other, discrete_target=discrete, **options).value
                for title, (other, discrete) in sources.items()
            }
            for epoch, xi in path.items()
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("epoch")


def _with_kl(table: pd.DataFrame, model: Any) -> pd.DataFrame:
    """The table with the KL of each modality in training, and which epoch is kept."""
    main = model.history_[model.history_.phase == "main"]
    for name in model.modalities_:
        kl = np.concatenate([[np.nan], main[f"train_kl_{name}"]])
        table[f"KL({name})"] = kl[table.index]
    return table.assign(kept=table.index == _kept_epoch(model))
