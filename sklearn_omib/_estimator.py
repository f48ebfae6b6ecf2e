"""The one fit and the one forward of all estimators: data, plan, training, fitted state."""

from __future__ import annotations

import copy
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from ._compat import Interval, StrOptions, _fit_context, refuse_booleans
from ._typing import Array, Modalities
from .data.batches import PREDICT_BATCH, ROWS_IN_STEP, TensorData, batch_edges
from .data.checks import validate_modalities
from .data.container import ModalityDict, take_rows
from .data.foreign import with_samples
from .data.per_sample import check_entries, check_groups, check_weight
from .data.scaling import BlockScaler
from .data.streams import StreamData, buffer_rows, in_storage_order, is_streamed, sample_rows
from .methods import Method
from .nn import seeded_initialisation
from .tasks import Task
from .training.devices import MOST_THREADS, resolve_device, settled
from .training.net import PRECISIONS, XI, Family, StackedNet
from .training.plan import (
    MIN_SAMPLES_TO_SPLIT,
    Plan,
    check_size,
    count_members,
    draw,
    further,
    resolve_encoders,
    validation_split,
)
from .training.processes import common_random_state, current_group, together
from .training.stopping import ProgressBar, Stopping
from .training.workers import count_jobs, count_threads, train_in_parts

if TYPE_CHECKING:
    from typing_extensions import Self

P = ParamSpec("P")
S = TypeVar("S")
Checked: TypeAlias = tuple[ModalityDict, Array, Array, Array | None]  # X, target, weight, groups

MOST_MEMBERS = 100  # that can be asked for
MOST_LAYERS = 1000
STRUCTURE = (
    "modalities", "encoders", "hidden_dim", "latent_dim", "n_layers", "head_layers", "dropout",
    "input_dropout", "standardize", "n_members",
)  # fmt: skip


def in_one_piece(fit: Callable[Concatenate[S, P], S]) -> Callable[Concatenate[S, P], S]:
    """Decorate a method that fits: what it sets appears at its end, or not at all.

    It works on a copy of the estimator. Whatever goes wrong, at any moment, the estimator is what
    it was before.
    """

    @wraps(fit)
    def whole(self: S, /, *args: P.args, **kwargs: P.kwargs) -> S:
        draft = copy.copy(self)
        fit(draft, *args, **kwargs)
        self.__dict__ = draft.__dict__
        return self

    return whole


class BaseMultimodal(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, metaclass=ABCMeta
):
    """An estimator holds a method and a task; children name them and their parameters."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "modalities": [dict, None],
        "n_members": [Interval(Integral, 1, MOST_MEMBERS, closed="both"), StrOptions({"auto"})],
        "encoders": [str, dict, torch.nn.Module, callable],
        "hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, MOST_LAYERS, closed="both")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "input_dropout": [Interval(Real, 0, 1, closed="left")],
        "head_layers": [Interval(Integral, 1, MOST_LAYERS, closed="both")],
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
        "n_threads": [Interval(Integral, 1, MOST_THREADS, closed="both")],
        "n_jobs": [Integral, None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    _watchers: Sequence[tuple[str, Any]] = ()  # names and callbacks that look on during training
    _then: Sequence[tuple[float, int]] = ()  # betas and epochs behind the main phase, of a search
    n_jobs: int | None
    # what a fit leaves beside its public attributes
    net_: StackedNet
    _method: Method
    _task: Any  # the task of a child, which it asks more than others have
    _structure: dict[str, Any]
    _split_seeds: list[int]  # of the networks' validation rows
    _weight_unit: float  # what weighs 1 in chunks
    _rng: np.random.RandomState

    def _validate_params(self) -> None:
        super()._validate_params()
        refuse_booleans(self)

    @abstractmethod
    def _make_method(self) -> Method:
        """What to learn, from the parameters of now."""

    @abstractmethod
    def _make_task(self) -> Task:
        """What to predict, from the parameters of now."""

    # -- fitting --------------------------------------------------------------------------
    @together
    @in_one_piece
    @_fit_context(prefer_skip_nested_validation=True)
    @settled
    def fit(
        self,
        X: Modalities,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
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
            Fitted estimator. A fit that fails or is interrupted leaves it as it was.

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
        rng = common_random_state(self.random_state)
        self._begin(self._make_task(), resume)
        checked = self._check_input(X, y, sample_weight, groups, reset=not resume)
        self._train(checked, rng, resume)
        return self

    @together
    @in_one_piece
    @settled
    def _partial_fit(self, X: Modalities, y: Any, sample_weight: Any, task: Task) -> Self:
        """One main epoch on a chunk; the first chunk also sets up the networks and warms up."""
        resume = hasattr(self, "net_")
        rng = common_random_state(self.random_state)
        self._begin(task, resume)
        checked = self._check_input(X, y, sample_weight, None, not resume, chunk=True)
        rng = copy.deepcopy(self._rng) if resume else rng  # a chunk that fails leaves no trace
        self._train(checked, rng, resume, chunk=True)
        self.n_iter_ = self.net_.n_epochs()
        return self

    def _begin(self, task: Task, resume: bool) -> None:
        """Method and task of this fit, with what earlier fits have learned where one goes on."""
        method = self._make_method()
        method.check()
        method.suit(task.auto_beta)
        structure = self._structure_of(method, task)
        if resume:
            changed = [
                name for name, old in self._structure.items()
                if (new := structure.get(name)) is not old and new != old
            ]  # fmt: skip
            if changed:
                raise ValueError(
                    f"warm_start goes on with the fitted network, but {changed} changed since. Set "
                    "warm_start=False to begin anew."
                )
            for new, old in ((method, self._method), (task, self._task)):
                new.__dict__ = vars(old) | vars(new)
        else:  # nothing of an older fit, whose method may have been another
            for name in [name for name in vars(self) if name.endswith("_")]:
                delattr(self, name)
        self._method, self._task, self._structure = method, task, structure

    def _structure_of(self, method: Method, task: Task) -> dict[str, Any]:
        """What the network is made of: a warm start cannot change it."""
        own = {name: getattr(self, name) for name in STRUCTURE}
        own |= {name: getattr(method, name) for name in method.structure}
        own |= {name: getattr(task, name) for name in task.structure}
        return own | {"method": type(method)}

    def _check_input(
        self,
        X: Modalities,
        y: Any,
        sample_weight: Any,
        groups: Any,
        reset: bool,
        chunk: bool = False,
    ) -> Checked:
        """Validated modalities, coded target, weights and groups, weight 0 left out.

        Weights have a mean of 1. Those of chunks count as in the first of them: a mean of each
        would make the classes of chunks of one class alike, whatever they weigh.
        """
        task = self._task
        if y is None and get_tags(self).target_tags.required:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        given = X
        X = validate_modalities(self, X, reset=reset, modalities=self.modalities)
        y = None if y is None else check_entries("y", y, len(X), given)
        taking_part = task.takes_part(y)
        y = np.ones(len(X)) if y is None else y
        groups = check_groups(groups, len(X))
        weight = check_weight(sample_weight, len(X))
        weight = weight if taking_part is None else weight * taking_part
        kept = in_storage_order(X, np.flatnonzero(weight))
        if len(kept) < min(2, len(weight)):
            raise ValueError("sample_weight leaves fewer than two samples of positive weight.")
        if not np.array_equal(kept, np.arange(len(weight))):
            X, y, weight = X[kept], rows_of(y, kept), weight[kept]
            groups = None if groups is None else groups[kept]
        if reset:
            task.learn(y)
        target = task.encode(y)
        by_target = task.weight(y)
        weight = weight if by_target is None else weight * by_target
        if reset or not chunk:
            self._weight_unit = float(weight.mean()) or 1.0
        return X, target, weight / self._weight_unit, groups

    def _train(
        self, checked: Checked, rng: np.random.RandomState, resume: bool, chunk: bool = False
    ) -> None:
        """All of fit behind the checks: plan, networks, training, and what it leaves."""
        plan = self._plan(checked, rng, resume, chunk)
        if not resume:
            self.net_ = self._make_net(plan.encoders, plan.weights)
        before = self.net_.n_epochs()
        families = self._families(checked, plan, chunk)
        n_networks = len(plan.splits)
        family = list(range(n_networks)) if len(families) == n_networks else [0] * n_networks
        warmup = 0 if resume else getattr(self, "warmup_epochs", self._method.warmup_epochs)
        epochs = {"warm-up": warmup, "main": 1 if chunk else self.max_epochs}

        def train(net: StackedNet) -> None:
            if warmup:
                net.run_phase("warm-up", warmup)
            with torch.no_grad():
                self._task.after_warm_up(net)
            net.run_phase("main", epochs["main"], keep_moments=chunk)
            for beta, n_epochs in self._then:
                net.criterion_.beta.fill_(beta)
                net.run_phase("main", n_epochs, keep_last=True)

        with self._training(self.net_, families, family, plan.draws, epochs) as net:
            if chunk:  # the optimiser goes on with all networks
                train(net)
            else:
                train_in_parts(net, train, count_jobs(net, self.n_jobs, sum(epochs.values())))
            with torch.no_grad():
                self._task.after_training(net)
        self._rng = rng  # for a partial_fit that follows
        self._read_off(before)

    def _plan(
        self,
        checked: Checked,
        rng: np.random.RandomState,
        resume: bool = False,
        chunk: bool = False,
    ) -> Plan:
        """Rows, encoders and seeds of the networks; learns what is learned before training."""
        X, target, weight, groups = checked
        # networks that go on are stopped by the rows they have not been trained on
        kept = self._split_seeds if resume else []
        seeds: list[int] = []

        def split(rng: np.random.RandomState) -> tuple[Array, Array | None]:
            if chunk or not self.early_stopping or len(target) < MIN_SAMPLES_TO_SPLIT:
                return np.arange(len(target)), None
            seeds.append(draw(rng))
            seeds[-1:] = kept[len(seeds) - 1 : len(seeds)] or seeds[-1:]
            return validation_split(
                len(target), self._task.labels(target), groups, seeds[-1],
                fraction=self.validation_fraction,
                limit=buffer_rows(X) if is_streamed(X) else None,
            )  # fmt: skip

        splits = [split(rng)]
        train = in_storage_order(X, splits[0][0])
        prior_loss = self._task.prior_loss(target[train], weight[train])
        if prior_loss is not None:
            self.prior_loss_ = prior_loss
        encoders, weights = None, []
        if resume:
            self._go_on(X, train, rng)
            n_networks = self.net_.n_networks
        else:
            n_networks = self._count_members(len(target), chunk)
            encoders = self._learn_before(X[train], rng)
            check_size(self, encoders, n_networks)
            weights.append(draw(rng))
        draws = [draw(rng)]
        for own in further(draws[0], n_networks):  # with rows, weights and draws of their own
            splits.append(splits[0] if is_streamed(X) else split(own))
            if not resume:
                weights.append(draw(own))
            draws.append(draw(own))
        self._split_seeds = seeds or kept
        return Plan(encoders, splits, weights, draws)

    def _count_members(self, n_samples: int, chunk: bool) -> int:
        if chunk and self.n_members == "auto":
            return 1  # who knows how many rows are to come
        return count_members(self.n_members, n_samples)

    def _learn_before(self, X: ModalityDict, rng: np.random.RandomState) -> dict[str, Any]:
        """Scale and what the method learns from the training data; returns the encoders."""
        sample = sample_rows(X, rng)
        encoders = resolve_encoders(
            self.encoders, sample, hidden_dim=self.hidden_dim, n_layers=self.n_layers,
            narrow=self._task.narrow_table_encoder,
        )  # fmt: skip
        stays_sparse = frozenset(
            name for name, block in X.items()
            if sparse.issparse(block) and encoders[name] == "sparse"
        )  # fmt: skip
        self._scaler = BlockScaler(self.standardize, stays_sparse).fit(X)
        self._method.learn(sample, len(X), rng)
        return encoders

    def _make_net(self, encoders: Mapping[str, Any] | None, seeds: Sequence[int]) -> StackedNet:
        """A net of one network for each seed."""
        method, task, stack = self._method, self._task, len(seeds)
        loss, n_outputs = task.loss(stack)
        shared = {
            "sample_shapes": self.modalities_,
            "encoders": encoders,
            "sparse": self._scaler.sparse_names,
            "n_outputs": n_outputs,
            "hidden_dim": self.hidden_dim,
            "latent_dim": self.latent_dim,
            "n_layers": self.n_layers,
            "dropout": self.dropout,
            "input_dropout": self.input_dropout,
            "head_layers": self.head_layers,
            "variance_head": hasattr(loss, "variance_loss"),
            "stack": stack,
        }
        with seeded_initialisation(*seeds):
            network = task.network(method.network(**shared), shared)
        net = StackedNet(
            network,
            criterion=task.objective(method.objective(loss, len(self.modalities_), stack)),
            lr=float(self.learning_rate),
            batch_size=self.batch_size,
            device=resolve_device(self.device),
            train_split=None,
            verbose=0,
        ).initialize()
        net.n_networks, net.weight_decay = stack, float(self.weight_decay)
        return net

    def _go_on(self, X: ModalityDict, rows: Array, rng: np.random.RandomState) -> None:
        """A copy of the fitted net, brought up to parameters that may have changed since."""
        self._method.resettle(X, rows, rng)
        moments = self.net_.moments
        self.net_ = copy.deepcopy(self.net_)
        self.net_.moments = copy.deepcopy(moments)
        self.net_.move(resolve_device(self.device))
        self.net_.set_params(lr=float(self.learning_rate), batch_size=self.batch_size)
        self.net_.weight_decay = float(self.weight_decay)
        self.net_.criterion_.configure(**self._method.settings())
        self._task.configure(self.net_.criterion_)

    def _families(self, checked: Checked, plan: Plan, chunk: bool = False) -> list[Family]:
        """Rows of the networks: those of each of them, or where they are streamed of all.

        Weights have a mean of 1, but those of a chunk the unit of the first.
        """
        unit = 1.0 if chunk else None
        X, target, weight, _ = checked
        device = resolve_device(self.device)
        if not is_streamed(X):
            data = TensorData.of(self._scaler.transform(X), target, weight, device)
            return [
                Family(data.part(train, unit), None if valid is None else data.part(valid), seed)
                for (train, valid), seed in zip(plan.splits, plan.draws, strict=True)
            ]

        def stream(rows: Array) -> StreamData:
            rows = in_storage_order(X, rows)
            prepare, progress = self._scaler.transform, self._shows_progress()
            scale = 1 / (unit or weight[rows].mean() or 1.0)
            y, own = target[rows], weight[rows]
            return StreamData(X[rows], prepare, y, own, device, scale, progress)

        train, valid = plan.splits[0]
        return [Family(stream(train), valid if valid is None else stream(valid).load(),
                       plan.draws[0])]  # fmt: skip

    @contextmanager
    def _training(
        self,
        net: StackedNet,
        families: list[Family],
        family: list[int],
        seeds: list[int],
        epochs: Mapping[str, int],
    ) -> Iterator[StackedNet]:
        """A net while it trains, with those who look on."""
        group = current_group()
        callbacks = list(self._watchers)
        if self._shows_progress():
            callbacks.append(("progress", ProgressBar(epochs)))
        callbacks.append(("stopping", Stopping(self.n_iter_no_change, self.tol)))
        net.set_params(callbacks=callbacks)
        net.initialize_callbacks()
        if group is not None:
            group.check_same(self, families[0].train, families[0].valid)
        try:
            yield net.begin(families, family, seeds, self.precision, group)
        finally:
            net.end()

    def _shows_progress(self) -> bool:
        group = current_group()
        return bool(self.verbose) and (group is None or group.rank == 0)

    def _read_off(self, before: int = 0) -> None:
        """Set what training leaves in the net; ``before`` epochs belong to an earlier fit."""
        net = self.net_
        self.n_members_ = net.n_networks
        self._n_features_out = self.latent_dim
        self.history_ = net.history_frame()
        self.n_iter_ = net.n_epochs() - before
        objective = getattr(net.criterion_, "objective", net.criterion_)
        if self._then:
            self._method.beta_ = self._then[-1][0]
        self.__dict__.update(self._method.attributes(objective, tuple(self.modalities_)))
        self.__dict__.update(self._task.attributes())

    # -- from input to network output -----------------------------------------------------
    @settled
    def _outputs(self, X: Modalities, *wanted: int) -> list[Array]:
        """Some outputs of all networks for all rows, each (n_networks, n_samples, ...).

        ``wanted`` are places among what the networks predict: PREDICTION, XI, LOG_VARIANCE.
        """
        check_is_fitted(self, "net_")
        X = validate_modalities(self, X, reset=False, modalities=self.modalities)
        few = len(X) <= ROWS_IN_STEP
        n_threads = 1 if few else count_threads(self.net_, self.n_jobs)
        batches = [
            [output[i] for i in wanted]
            for part in self._parts(X)
            for output in self.net_.predict_batches(part, n_threads)
        ]
        outputs = [torch.cat(pieces, 1).cpu().numpy() for pieces in zip(*batches, strict=True)]
        if is_streamed(X):
            order = np.argsort(in_storage_order(X, np.arange(len(X))))
            outputs = [output[:, order] for output in outputs]
        if not all(np.isfinite(output).all() for output in outputs):
            raise ValueError(
                "The prediction is not finite: X holds values far outside those seen in fit."
            )
        return outputs

    def _parts(self, X: ModalityDict) -> Iterator[TensorData | StreamData]:
        """Validated modalities as networks read them, part by part."""
        device = torch.device(self.net_.device)
        if is_streamed(X):
            X = X[in_storage_order(X, np.arange(len(X)))]
            progress = self._shows_progress()
            yield StreamData(X, self._scaler.transform, None, None, device, progress=progress)
            return
        for start, stop in pairwise(batch_edges(len(X), PREDICT_BATCH)):  # what a cache holds
            part = X if stop - start == len(X) else X[start:stop]
            yield TensorData.of(self._scaler.transform(part), None, None, device)

    def transform(self, X: Modalities) -> Array:
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
        return with_samples(self, self._outputs(X, XI)[0][0], X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        tags.input_tags.dict = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def rows_of(values: Any, rows: Array) -> Any:
    """Rows of a target, weights or groups, of any kind."""
    return take_rows(values, rows) if hasattr(values, "iloc") else np.asarray(values)[rows]
