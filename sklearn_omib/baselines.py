"""The methods that OMIB is compared with, as estimators like those of OMIB.

Each is a network of shared parts and an objective, trained as OMIB is: same encoders, codes,
heads, optimiser, early stopping and checks, and the same parameters where they mean the same. An
estimator for each task takes any of them: ``BaselineClassifier(CMIB(beta=1e-4))``.
"""

from __future__ import annotations

from os import PathLike
from typing import Any, ClassVar

import torch
from sklearn.base import clone

from ._classifier import MultimodalClassifier
from ._detector import MultimodalAnomalyDetector
from ._regressor import MultimodalRegressor
from ._typing import RandomState
from .methods import (
    CMIB,
    DMIB,
    EMIB,
    LMIB,
    MISA,
    BiGated,
    Concat,
    DeepIB,
    Method,
    MMIBCui,
    MMIBZhang,
)

__all__ = [
    "CMIB",
    "DMIB",
    "EMIB",
    "LMIB",
    "MISA",
    "BaselineAnomalyDetector",
    "BaselineClassifier",
    "BaselineRegressor",
    "BiGated",
    "Concat",
    "DeepIB",
    "MMIBCui",
    "MMIBZhang",
    "Method",
]


def _chosen(method: Method | None) -> Method:
    """A copy of the method that an estimator was given."""
    if method is None:
        return Concat()
    if not isinstance(method, Method):
        raise TypeError(
            f"method must be one of the methods of sklearn_omib.baselines, such as Concat(), got "
            f"{method!r}."
        )
    return clone(method)


class BaselineClassifier(MultimodalClassifier):
    """Classifier on several modalities by any of the methods that OMIB is compared with.

    Targets may be binary, multiclass or multilabel, and labels numbers or strings.

    Parameters
    ----------
    method : Method, default=None
        What to learn: one of the methods of :mod:`sklearn_omib.baselines`, such as
        ``CMIB(beta=1e-4)``, whose parameters a search reaches as ``method__beta``. None is
        ``Concat()``.
    modalities : dict of str to columns, default=None
        How to cut X into modalities where X is one table: by slice, positions, names, boolean
        mask or callable, as in ColumnTransformer, or by a pair ``(columns, shape)`` for
        modalities of more dimensions. ``ModalityDict(...).layout`` is such a dict. With None, a
        table is a single modality.
    n_members : int or "auto", default="auto"
        Networks trained side by side, whose predictions are averaged; at most 100. They differ in
        initial weights, validation rows, order of rows and noise. ``history_`` and
        ``transform`` are the first network's, which is the one that ``n_members=1`` fits. "auto"
        is 5 up to 11,000 samples, then 50,000 / n_samples, at least 1; and 1 in a first
        ``partial_fit``, which cannot know how many samples are to come.
    n_iter_no_change : int, default=25
        Epochs without improvement after which training ends: as many as OMIB's warm-up and
        patience together, since most of these methods have no warm-up.
    encoders, hidden_dim, latent_dim, n_layers, dropout, input_dropout, head_layers, \
max_epochs, batch_size, learning_rate, weight_decay, early_stopping, validation_fraction, tol, \
standardize, missing_values, class_weight, device, precision, n_threads, n_jobs, warm_start, \
checkpoint_dir, checkpoint_every, random_state, verbose
        As in :class:`~sklearn_omib.OMIBClassifier`, with the same defaults.

    Attributes
    ----------
    classes_, net_, history_, prior_loss_, modalities_, encoders_, recipe_, n_members_, n_iter_, \
n_features_in_, feature_names_in_
        As in :class:`~sklearn_omib.OMIBClassifier`.

    See Also
    --------
    sklearn_omib.OMIBClassifier : The method of this package.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.baselines import CMIB, BaselineClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(200, 5)), "video": rng.normal(size=(200, 3))}
    >>> y = np.where(X["audio"][:, 0] + X["video"][:, 0] > 0, "glad", "sad")
    >>> clf = BaselineClassifier(CMIB(beta=1e-4), max_epochs=60, random_state=0).fit(X, y)
    >>> clf.predict_proba(X).shape, clf.transform(X).shape
    ((200, 2), (200, 32))
    >>> clf.score(X, y) > 0.8
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MultimodalClassifier._parameter_constraints,
        "method": [Method, None],
    }

    def __init__(
        self,
        method: Method | None = None,
        modalities: dict[str, Any] | None = None,
        *,
        n_members: int | str = "auto",
        encoders: Any = "auto",
        hidden_dim: int = 128,
        latent_dim: int = 32,
        n_layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float = 0.2,
        head_layers: int = 2,
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        weight_decay: float = 1.0,
        early_stopping: bool = True,
        validation_fraction: float | str = "auto",
        n_iter_no_change: int = 25,
        tol: float = 1e-4,
        standardize: bool = True,
        missing_values: str = "mask",
        class_weight: dict[Any, float] | str | None = None,
        device: str | torch.device = "auto",
        precision: str = "float32",
        n_threads: int = 1,
        n_jobs: int | None = None,
        warm_start: bool = False,
        checkpoint_dir: str | PathLike[str] | None = None,
        checkpoint_every: int = 10,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.modalities = modalities
        self.n_members = n_members
        self.encoders = encoders
        self.hidden_dim = hidden_dim
        self.latent_dim = latent_dim
        self.n_layers = n_layers
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.head_layers = head_layers
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.standardize = standardize
        self.missing_values = missing_values
        self.class_weight = class_weight
        self.device = device
        self.precision = precision
        self.n_threads = n_threads
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.random_state = random_state
        self.verbose = verbose

    def _make_method(self) -> Method:
        return _chosen(self.method)


class BaselineRegressor(MultimodalRegressor):
    """Regressor on several modalities by any of the methods that OMIB is compared with.

    The target may be one number or many; they are standardised inside.

    Parameters
    ----------
    method : Method, default=None
        What to learn: one of the methods of :mod:`sklearn_omib.baselines`, such as
        ``CMIB(beta=1e-4)``, whose parameters a search reaches as ``method__beta``. None is
        ``Concat()``.
    modalities : dict of str to columns, default=None
        How to cut X into modalities where X is one table: by slice, positions, names, boolean
        mask or callable, as in ColumnTransformer, or by a pair ``(columns, shape)`` for
        modalities of more dimensions. ``ModalityDict(...).layout`` is such a dict. With None, a
        table is a single modality.
    n_members : int or "auto", default="auto"
        Networks trained side by side, whose predictions are averaged; at most 100. They differ in
        initial weights, validation rows, order of rows and noise. ``history_`` and
        ``transform`` are the first network's, which is the one that ``n_members=1`` fits. "auto"
        is 5 up to 11,000 samples, then 50,000 / n_samples, at least 1; and 1 in a first
        ``partial_fit``, which cannot know how many samples are to come.
    n_iter_no_change : int, default=25
        Epochs without improvement after which training ends: as many as OMIB's warm-up and
        patience together, since most of these methods have no warm-up.
    encoders, hidden_dim, latent_dim, n_layers, dropout, input_dropout, head_layers, \
max_epochs, batch_size, learning_rate, weight_decay, early_stopping, validation_fraction, tol, \
standardize, missing_values, device, precision, n_threads, n_jobs, warm_start, checkpoint_dir, \
checkpoint_every, random_state, verbose
        As in :class:`~sklearn_omib.OMIBRegressor`, with the same defaults.

    Attributes
    ----------
    net_, history_, prior_loss_, modalities_, encoders_, recipe_, n_members_, n_iter_, \
n_features_in_, feature_names_in_
        As in :class:`~sklearn_omib.OMIBRegressor`.

    See Also
    --------
    sklearn_omib.OMIBRegressor : The method of this package.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.baselines import BaselineRegressor, DeepIB
    >>> rng = np.random.default_rng(0)
    >>> X = {"sensors": rng.normal(size=(200, 5)), "records": rng.normal(size=(200, 3))}
    >>> y = X["sensors"][:, 0] + X["records"][:, 0]
    >>> reg = BaselineRegressor(DeepIB(), max_epochs=60, random_state=0).fit(X, y)
    >>> reg.score(X, y) > 0.7
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MultimodalRegressor._parameter_constraints,
        "method": [Method, None],
    }

    def __init__(
        self,
        method: Method | None = None,
        modalities: dict[str, Any] | None = None,
        *,
        n_members: int | str = "auto",
        encoders: Any = "auto",
        hidden_dim: int = 128,
        latent_dim: int = 32,
        n_layers: int = 2,
        dropout: float = 0.1,
        input_dropout: float = 0.0,
        head_layers: int = 2,
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        weight_decay: float = 0.3,
        early_stopping: bool = True,
        validation_fraction: float | str = "auto",
        n_iter_no_change: int = 25,
        tol: float = 1e-4,
        standardize: bool = True,
        missing_values: str = "mask",
        device: str | torch.device = "auto",
        precision: str = "float32",
        n_threads: int = 1,
        n_jobs: int | None = None,
        warm_start: bool = False,
        checkpoint_dir: str | PathLike[str] | None = None,
        checkpoint_every: int = 10,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.modalities = modalities
        self.n_members = n_members
        self.encoders = encoders
        self.hidden_dim = hidden_dim
        self.latent_dim = latent_dim
        self.n_layers = n_layers
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.head_layers = head_layers
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.standardize = standardize
        self.missing_values = missing_values
        self.device = device
        self.precision = precision
        self.n_threads = n_threads
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.random_state = random_state
        self.verbose = verbose

    def _make_method(self) -> Method:
        return _chosen(self.method)


class BaselineAnomalyDetector(MultimodalAnomalyDetector):
    """Detector of anomalies by any of the methods that OMIB is compared with.

    The paper of OMIB "modified" its baselines "to accommodate the SVDD strategy" without saying
    how; here the method's network and penalties take the embedding, centre, decoders and scores of
    :class:`~sklearn_omib.OMIBAnomalyDetector`.

    Parameters
    ----------
    method : Method, default=None
        What to learn: one of the methods of :mod:`sklearn_omib.baselines`, such as
        ``CMIB(beta=1e-4)``, whose parameters a search reaches as ``method__beta``. None is
        ``Concat()``.
    modalities : dict of str to columns, default=None
        How to cut X into modalities where X is one table: by slice, positions, names, boolean
        mask or callable, as in ColumnTransformer, or by a pair ``(columns, shape)`` for
        modalities of more dimensions. ``ModalityDict(...).layout`` is such a dict. With None, a
        table is a single modality.
    n_members : int or "auto", default=1
        Networks trained side by side, whose predictions are averaged; at most 100. They differ in
        initial weights, validation rows, order of rows and noise. ``history_`` and
        ``transform`` are the first network's, which is the one that ``n_members=1`` fits. "auto"
        is 5 up to 11,000 samples, then 50,000 / n_samples, at least 1; and 1 in a first
        ``partial_fit``, which cannot know how many samples are to come.
    n_iter_no_change : int, default=25
        Epochs without improvement after which training ends: as many as OMIB's warm-up and
        patience together, since most of these methods have no warm-up.
    contamination, reconstruction, nu, eta, embedding_dim, encoders, hidden_dim, latent_dim, \
n_layers, dropout, input_dropout, head_layers, warmup_epochs, max_epochs, batch_size, \
learning_rate, weight_decay, early_stopping, validation_fraction, tol, standardize, \
missing_values, device, precision, n_threads, n_jobs, warm_start, checkpoint_dir, \
checkpoint_every, random_state, verbose
        As in :class:`~sklearn_omib.OMIBAnomalyDetector`, with the same defaults.

    Attributes
    ----------
    offset_, net_, history_, modalities_, encoders_, recipe_, n_members_, n_iter_, \
n_features_in_, feature_names_in_
        As in :class:`~sklearn_omib.OMIBAnomalyDetector`.

    See Also
    --------
    sklearn_omib.OMIBAnomalyDetector : The method of this package.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.baselines import BaselineAnomalyDetector, Concat
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(300, 5)), "video": rng.normal(size=(300, 3))}
    >>> detector = BaselineAnomalyDetector(Concat(), random_state=0).fit(X)
    >>> new = {"audio": [[0] * 5, [6] * 5], "video": [[0] * 3, [6, 6, -6]]}
    >>> detector.predict(new)
    array([ 1, -1])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MultimodalAnomalyDetector._parameter_constraints,
        "method": [Method, None],
    }

    def __init__(
        self,
        method: Method | None = None,
        modalities: dict[str, Any] | None = None,
        *,
        contamination: float | str = "auto",
        reconstruction: float = 3.0,
        nu: float | None = None,
        eta: float = 1.0,
        embedding_dim: int = 128,
        n_members: int | str = 1,
        encoders: Any = "mlp",
        hidden_dim: int = 128,
        latent_dim: int = 32,
        n_layers: int = 2,
        dropout: float = 0.1,
        input_dropout: float = 0.2,
        head_layers: int = 2,
        warmup_epochs: int | str = "auto",
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        weight_decay: float = 1.0,
        early_stopping: bool = False,
        validation_fraction: float | str = "auto",
        n_iter_no_change: int = 25,
        tol: float = 1e-4,
        standardize: bool = True,
        missing_values: str = "mask",
        device: str | torch.device = "auto",
        precision: str = "float32",
        n_threads: int = 1,
        n_jobs: int | None = None,
        warm_start: bool = False,
        checkpoint_dir: str | PathLike[str] | None = None,
        checkpoint_every: int = 10,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.modalities = modalities
        self.contamination = contamination
        self.reconstruction = reconstruction
        self.nu = nu
        self.eta = eta
        self.embedding_dim = embedding_dim
        self.n_members = n_members
        self.encoders = encoders
        self.hidden_dim = hidden_dim
        self.latent_dim = latent_dim
        self.n_layers = n_layers
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.head_layers = head_layers
        self.warmup_epochs = warmup_epochs
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.standardize = standardize
        self.missing_values = missing_values
        self.device = device
        self.precision = precision
        self.n_threads = n_threads
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.random_state = random_state
        self.verbose = verbose

    def _make_method(self) -> Method:
        return _chosen(self.method)
