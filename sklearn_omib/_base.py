"""What the estimators share: parameters, the fit template, transform and fitted attributes."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import reduce
from itertools import pairwise
from math import prod
from numbers import Integral, Real
from operator import or_
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.model_selection import (
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedShuffleSplit,
)
from sklearn.utils import check_consistent_length, column_or_1d, get_tags
from sklearn.utils.validation import check_is_fitted

from ._compat import Interval, StrOptions, _check_sample_weight, _fit_context
from ._devices import cpu_threads, resolve_device
from ._distributed import common_random_state, current_group, together
from ._optimizer import FlatAdamW
from ._scaling import BlockScaler
from ._stream import StreamData, buffer_rows, in_storage_order, is_streamed, sample_rows
from ._tensors import PREDICT_BATCH, TensorData, batch_edges
from ._training import PRECISIONS, EarlyStopping, ProgressBar, TwoPhaseNet
from ._validation import validate_modalities
from .information._capacity import effective_dimension
from .nn import FusionNetwork, Objective, seeded_initialisation
from .nn.encoders import ENCODERS, default_encoder

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**options):
        return lambda cls: cls


PREDICTION, XI, LOG_VARIANCE = range(3)  # what a network's predict returns
MIN_SAMPLES_TO_SPLIT = 10  # below it no rows are held out
# What validation_fraction="auto" holds out (benchmarks/rows.py): so many rows, within two shares
ROWS_HELD_OUT = 500
LEAST_HELD_OUT, MOST_HELD_OUT = 0.01, 0.15


@dataclass_transform(kw_only_default=True, eq_default=False)
@dataclass(eq=False, repr=False)
class BaseMultimodal(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, metaclass=ABCMeta
):
    """Template of all estimators: a method and a task, each a child, make an estimator together.

    Parameters are the annotated attributes of a class and of its parents, the constructor is made
    of them. A method supplies network, objective and parameters of its own, a task the coding of
    the target, its loss and predictions.
    """

    modalities: dict | None = None
    _: KW_ONLY
    encoders: Any = "auto"
    hidden_dim: int = 128
    latent_dim: int = 32
    n_layers: int = 2
    dropout: float = 0.1
    input_dropout: float = 0.0
    head_layers: int = 2
    max_epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 5e-4
    weight_decay: float = 1.0
    early_stopping: bool = True
    validation_fraction: float | str = "auto"
    n_iter_no_change: int = 15
    tol: float = 1e-4
    standardize: bool = True
    device: Any = "auto"
    precision: str = "float32"
    n_threads: int = 1
    warm_start: bool = False
    random_state: Any = None
    verbose: int = 0

    _parameter_constraints: ClassVar[dict] = {
        "modalities": [dict, None],
        "encoders": [str, dict, torch.nn.Module, callable],
        "hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "input_dropout": [Interval(Real, 0, 1, closed="left")],
        "head_layers": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "standardize": ["boolean"],
        "device": [str, torch.device],
        "precision": [StrOptions(set(PRECISIONS))],
        "n_threads": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    warmup_epochs = 0  # of a method and task without a warm-up
    _narrow_table_encoder: ClassVar[str] = "mlp"
    _watchers: ClassVar[tuple] = ()  # (name, callback) of those who look on during training
    # what the weights of a network depend on: a warm start cannot change it
    _structure_names: ClassVar[Iterable[str]] = (
        "modalities", "encoders", "hidden_dim", "latent_dim", "n_layers", "head_layers",
        "standardize",
    )  # fmt: skip

    def __init_subclass__(cls, **kwargs):
        if "__init__" not in vars(cls):
            dataclass(eq=False, repr=False, kw_only=True)(cls)
            # of parents that set another default, the first in line decides, as for attributes
            defaults = cls.__init__.__kwdefaults__ or {}
            defaults.update({name: getattr(cls, name) for name in defaults})
        # what method and task say, together
        for name, kind in (("_parameter_constraints", dict), ("_structure_names", dict.fromkeys)):
            parts = [kind(vars(base).get(name, ())) for base in reversed(cls.__mro__)]
            setattr(cls, name, reduce(or_, parts))
        super().__init_subclass__(**kwargs)

    # -- what a method supplies -----------------------------------------------------------
    def _make_network(self, **shared):
        """Return the network; ``shared`` are the arguments that all networks take."""
        return FusionNetwork(**shared)

    def _make_objective(self, task):
        """Return the objective (a :class:`~sklearn_omib.nn.Objective`) around a task's loss."""
        return Objective(task, **self._objective_settings())

    def _objective_settings(self):
        """Attributes of the objective that may change from one warm start to the next."""
        return {}

    def _learn_method(self, sample, rng):
        """What the method learns from (a sample of) the training data before training."""

    # -- what a task supplies -------------------------------------------------------------
    @abstractmethod
    def _encode_target(self, y, reset):
        """Check y and return it as the network reads it; learn its coding when ``reset``."""

    @abstractmethod
    def _make_task(self):
        """Return the task (a module of :mod:`sklearn_omib.nn.tasks`) and its number of outputs."""

    def _target_weight(self, y):
        """Weights the estimator gives to samples by their target, or None."""
        return None

    def _stratification(self, target):
        """Labels to stratify the validation split by, or None."""
        return None

    def _after_warm_up(self, data):
        """What the main phase needs to know of the warmed-up network, from (train, valid) data."""

    def _after_training(self, data):
        """What remains to be learned once the network is trained, from (train, valid) data."""

    # -- fitting --------------------------------------------------------------------------
    @together
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Fit the model: warm-up of the branches, then the main phase.

        Parameters
        ----------
        X : dict of str to array, ModalityDict, list of arrays, array-like or DataFrame
            The modalities, each of shape (n_samples, ...); or one table, cut by ``modalities``.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in every loss; samples of weight 0 are left out.
        groups : array-like of shape (n_samples,), default=None
            Samples of one group are never split between training and validation.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If a modality is empty, not numeric, not finite or of another length than the others,
            if y is constant or not finite, or if training diverges.
        RuntimeError
            If another process that shares the fit stops or fails.

        Notes
        -----
        Blocks outside memory (memory maps, zarr, h5py, dask, parquet) that take no more than
        256 MiB as float32 are loaded, with the same result as arrays. Larger ones are streamed:
        each epoch reads every row once through a shuffle buffer of 128 MiB, the validation part
        is at most 128 MiB, and the bound on beta is estimated from at most 20,000 rows.
        """
        resume = self.warm_start and hasattr(self, "net_")
        if not resume:
            self.__dict__.pop("net_", None)  # a fit that fails leaves no half of an older one
        data, seed = self._prepare(X, y, sample_weight, groups, resume)
        self._train(data, seed, 0 if resume else self.warmup_epochs, self.max_epochs)
        return self

    def _prepare(self, X, y, sample_weight, groups, resume=False):
        """All of fit before training: (train, valid) data and the seed to train with."""
        rng = common_random_state(self.random_state)
        X, target, weight, groups = self._check_input(X, y, sample_weight, groups, not resume)
        train, valid = self._validation_split(
            len(target), self._stratification(target), groups, rng,
            buffer_rows(X) if is_streamed(X) else None,
        )  # fmt: skip
        train = in_storage_order(X, train)
        X_train = X[train]
        if resume:
            self._update_settings()
        else:
            self._initialise(X_train, rng)
        self._rate_constant(target[train], weight[train])
        held_out = None
        if valid is not None:
            valid = in_storage_order(X, valid)
            held_out = self._tensor_data(X[valid], target[valid], weight[valid])
            held_out = held_out.load() if isinstance(held_out, StreamData) else held_out
        data = self._tensor_data(X_train, target[train], weight[train]), held_out
        self._chunk_rng = rng  # for a partial_fit that follows
        return data, rng.randint(2**31 - 1)

    @together
    def _partial_fit(self, X, y, sample_weight):
        """One main epoch on a chunk; the first chunk also sets up the network and warms it up."""
        first = not hasattr(self, "net_")
        rng = common_random_state(self.random_state)
        X, target, weight, _ = self._check_input(X, y, sample_weight, None, first)
        if first:
            self._initialise(X, rng)
            self._rate_constant(target, weight)
            self._chunk_rng = rng
        data = self._tensor_data(X, target, weight), None
        seed = self._chunk_rng.randint(2**31 - 1)
        self._train(data, seed, self.warmup_epochs if first else 0, 1)
        self.n_iter_ = sum(row["phase"] == "main" for row in self.net_.history)
        return self

    def _check_input(self, X, y, sample_weight, groups, reset):
        """Validated modalities, coded target, weights of mean 1 and groups, weight 0 left out."""
        if y is None and get_tags(self).target_tags.required:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        X = validate_modalities(self, X, reset=reset, modalities=self.modalities)
        y = np.ones(len(X)) if y is None else y
        check_consistent_length(X, y, groups)
        groups = None if groups is None else column_or_1d(groups)
        y = y.toarray() if sparse.issparse(y) else y
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        kept = in_storage_order(X, np.flatnonzero(weight))
        if len(kept) < min(2, len(weight)):
            raise ValueError("sample_weight leaves fewer than two samples of positive weight.")
        if not np.array_equal(kept, np.arange(len(weight))):
            X, y, weight = X[kept], _rows(y, kept), weight[kept]
            groups = None if groups is None else groups[kept]
        target = self._encode_target(y, reset)
        by_target = self._target_weight(y)
        weight = weight if by_target is None else weight * by_target
        return X, target, weight / weight.mean(), groups

    def _validation_split(self, n_samples, labels, groups, rng, limit=None):
        """Rows to train on and at most ``limit`` rows to stop by, split once for both phases."""
        if not self.early_stopping or n_samples < MIN_SAMPLES_TO_SPLIT:
            return np.arange(n_samples), None
        seed = rng.randint(2**31 - 1)
        wanted = self._held_out_share(n_samples, groups)
        fraction = wanted if limit is None else min(wanted, limit / n_samples)
        share = {"test_size": fraction, "random_state": seed}
        n_groups = n_samples if groups is None else len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                "groups has one group only, which leaves none for validation; give no groups, or "
                "early_stopping=False."
            )
        if groups is not None and labels is not None:
            n_splits = min(max(round(1 / wanted), 2), n_groups)
            splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
        elif groups is not None:
            splitter = GroupShuffleSplit(1, **share)
        elif labels is not None and self._can_stratify(labels, fraction):
            splitter = StratifiedShuffleSplit(1, **share)
        else:
            splitter = ShuffleSplit(1, **share)
        train, valid = next(splitter.split(np.zeros(n_samples), labels, groups))
        if limit is not None and len(valid) > limit:  # of whole groups
            valid = rng.permutation(valid)[:limit]
        return train, valid

    def _held_out_share(self, n_samples, groups):
        if self.validation_fraction != "auto":
            return self.validation_fraction
        if groups is not None:  # many rows may be few groups
            return MOST_HELD_OUT
        return np.clip(ROWS_HELD_OUT / n_samples, LEAST_HELD_OUT, MOST_HELD_OUT)

    @staticmethod
    def _can_stratify(labels, fraction):
        counts = np.bincount(labels)
        n_valid = int(np.ceil(fraction * len(labels)))
        fits = len(counts) <= min(n_valid, len(labels) - n_valid)
        return fits and counts[counts > 0].min() >= 2

    def _initialise(self, X, rng):
        """Everything that is learned before training: scale, bound on beta, initial weights."""
        device = resolve_device(self.device)
        sample = sample_rows(X, rng)
        encoders = self._resolve_encoders(sample)
        self._sparse = frozenset(
            name for name, block in X.items()
            if sparse.issparse(block) and encoders[name] == "sparse"
        )  # fmt: skip
        self._scaler = BlockScaler(self.standardize).fit(self._as_trained(X))
        self._learn_method(sample, rng)
        self.net_ = self._make_net(encoders, device, rng.randint(2**31 - 1))
        self._n_features_out = self.latent_dim
        self._structure = {name: getattr(self, name) for name in self._structure_names}

    def _make_net(self, encoders, device, seed):
        task, n_outputs = self._make_task()
        with seeded_initialisation(seed):
            network = self._make_network(
                sample_shapes=self.modalities_,
                encoders=encoders,
                sparse=self._sparse,
                n_outputs=n_outputs,
                hidden_dim=self.hidden_dim,
                latent_dim=self.latent_dim,
                n_layers=self.n_layers,
                dropout=self.dropout,
                input_dropout=self.input_dropout,
                head_layers=self.head_layers,
                variance_head=hasattr(task, "variance_loss"),
            )
        return TwoPhaseNet(
            network,
            criterion=self._make_objective(task),
            optimizer=FlatAdamW,
            optimizer__weight_decay=self.weight_decay,
            lr=self.learning_rate,
            batch_size=self.batch_size,
            device=device,
            train_split=None,
            verbose=0,
        ).initialize()

    def _rate_constant(self, target, weight):
        task = self.net_.criterion_.task
        self.prior_loss_ = task.prior_loss(torch.tensor(target), torch.tensor(weight)).item()

    def _update_settings(self):
        """Bring the net of a warm start up to the parameters that may have changed since."""
        changed = [n for n, old in self._structure.items() if getattr(self, n) is not old
                   and getattr(self, n) != old]  # fmt: skip
        if changed:
            raise ValueError(
                f"warm_start goes on with the fitted network, but {changed} changed since. Set "
                "warm_start=False to begin anew."
            )
        self.net_.set_params(
            lr=self.learning_rate,
            batch_size=self.batch_size,
            optimizer__weight_decay=self.weight_decay,
        )
        self.net_.criterion_.configure(**self._objective_settings())

    def _resolve_encoders(self, X):
        """The encoder of each modality: as named, or the default of its shape."""
        given = self.encoders
        if isinstance(given, Mapping):
            unknown = set(given) - set(X)
            if unknown:
                raise ValueError(
                    f"encoders names unknown modalities {sorted(unknown)}; there are {list(X)}."
                )
        elif isinstance(given, str) and given != "auto" and given not in ENCODERS:
            known = ["auto", *sorted(ENCODERS)]
            raise ValueError(f"encoders={given!r} is unknown; known are {known}.")
        reads = ENCODERS.get(given) if isinstance(given, str) else None
        resolved = {}
        for name, block in X.items():
            chosen = given.get(name, "auto") if isinstance(given, Mapping) else given
            if reads is not None:
                # one name for all goes to the blocks it is made for: an MLP to tables
                fits = reads.block(block.ndim - 1, sparse.issparse(block))
                chosen = given if fits and (reads.dims or block.ndim == 2) else "auto"
            is_auto = isinstance(chosen, str) and chosen == "auto"
            resolved[name] = self._default_encoder(block) if is_auto else chosen
        if reads and reads.dims and given not in resolved.values():
            raise ValueError(
                f"encoders={given!r} reads {reads.meaning}, but no modality is such a "
                f"block: samples have shapes {self.modalities_}."
            )
        return resolved

    def _default_encoder(self, block):
        name = default_encoder(block.shape[1:], sparse.issparse(block))
        if name != "mlp" or self.n_layers == 1:  # of one layer it is a linear map
            return name
        # a table that spreads over many directions is mapped linearly (benchmarks/wide.py)
        wide = prod(block.shape[1:]) > self.hidden_dim
        spread = wide and effective_dimension(block) > self.hidden_dim
        return "linear" if spread else self._narrow_table_encoder

    def _train(self, data, seed, warmup_epochs, max_epochs):
        net, before, group = self.net_, len(self.net_.history), current_group()
        callbacks = list(self._watchers)
        if data[1] is not None:
            callbacks.append(("early_stopping", EarlyStopping(self.n_iter_no_change, self.tol)))
        if self._shows_progress():
            epochs = {"warm-up": warmup_epochs, "main": max_epochs}
            callbacks.append(("progress", ProgressBar(epochs)))
        net.set_params(callbacks=callbacks)
        net.initialize_callbacks()
        net.precision = self.precision
        try:
            net.join(group, self, data).seed(seed)
            with cpu_threads(self.n_threads):
                if warmup_epochs:
                    net.run_phase("warm-up", data, warmup_epochs)
                    net.initialize_optimizer()  # its moments mislead the main phase
                self._after_warm_up(data)
                net.run_phase("main", data, max_epochs)
                self._after_training(data)
        except BaseException:
            del self.net_  # half-trained: not fitted
            raise
        finally:
            net.unseed()
            net.group = None
        self._read_off(before)

    def _shows_progress(self):
        group = current_group()
        return bool(self.verbose) and (group is None or group.rank == 0)

    def _read_off(self, before=0):
        """Set what training leaves in the net; ``before`` epochs belong to an earlier fit."""
        net = self.net_
        self.history_ = net.history_frame()
        self.n_iter_ = sum(row["phase"] == "main" for row in net.history[before:])

    # -- from input to network output -----------------------------------------------------
    def _as_trained(self, X):
        """Sparse blocks as CSR where the encoder reads them so, all others dense."""
        return {
            name: sparse.csr_matrix(block) if name in self._sparse
            else block.toarray() if sparse.issparse(block) else block
            for name, block in X.items()
        }  # fmt: skip

    def _as_float32(self, X):
        return self._scaler.transform(self._as_trained(X))

    def _tensor_data(self, X, target=None, weight=None):
        device = torch.device(self.net_.device)
        if is_streamed(X):
            progress = self._shows_progress()
            return StreamData(X, self._as_float32, target, weight, device, progress)
        return TensorData(self._as_float32(X), target, weight, device)

    def _members(self):
        """The estimators whose predictions are averaged."""
        return [self]

    def _forward_each(self, X, *wanted):
        """As _forward, for every member."""
        return [member._forward(X, *wanted) for member in self._members()]

    def _forward(self, X, *wanted):
        """Some outputs of the network for all rows: PREDICTION, XI, LOG_VARIANCE."""
        check_is_fitted(self, "net_")
        X = validate_modalities(self, X, reset=False, modalities=self.modalities)
        order = in_storage_order(X, np.arange(len(X)))
        if is_streamed(X):
            parts = iter([X[order]])
        else:  # prepared part by part, while the processor's cache holds it
            edges = pairwise(batch_edges(len(X), PREDICT_BATCH))
            parts = (X[start:stop] for start, stop in edges)
        with cpu_threads(self.n_threads):
            batches = [
                [output[i] for i in wanted]
                for part in parts
                for output in self.net_.predict_batches(self._tensor_data(part))
            ]
            outputs = [torch.cat(pieces).cpu().numpy() for pieces in zip(*batches, strict=True)]
        if is_streamed(X):
            outputs = [output[np.argsort(order)] for output in outputs]
        if not all(np.isfinite(output).all() for output in outputs):
            raise ValueError(
                "The prediction is not finite: X holds values far outside those seen in fit."
            )
        return outputs

    def transform(self, X):
        """Return the fused representation xi.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, latent_dim)
            Computed from the means of the codes, without noise; of the first network, where
            there are several.
        """
        return self._forward(X, XI)[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        tags.input_tags.dict = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _rows(values, rows):
    return values.iloc[rows] if hasattr(values, "iloc") else np.asarray(values)[rows]
