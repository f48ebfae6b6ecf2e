"""The one fit and the one forward of all estimators: data, plan, training, fitted state."""

from __future__ import annotations

import copy
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import pairwise
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from ._compat import Interval, StrOptions, _fit_context, refuse_booleans
from ._typing import Array, Block, Modalities
from .data.batches import PREDICT_BATCH, ROWS_IN_STEP, TensorData, batch_edges
from .data.checks import by_content, is_constant, validate_modalities
from .data.container import ModalityDict, take_rows
from .data.foreign import with_samples
from .data.lazy import LazyBlock
from .data.missing import complete_rows, summarised
from .data.per_sample import check_entries, check_groups, check_weight
from .data.ragged import Ragged
from .data.scaling import BlockScaler
from .data.streams import (
    StreamData,
    buffer_rows,
    in_storage_order,
    is_streamed,
    sample_rows,
    weighted_rows,
)
from .encoders import Encoder
from .encoders._reading import ReadsItems
from .methods import Method
from .nn import seeded_initialisation
from .nn.encoders import lacks_memory
from .persistence import Persistent
from .tasks import Task
from .training.checkpoints import Checkpoint, Saving, facts_of
from .training.devices import (
    MOST_THREADS,
    OutOfMemoryError,
    free_memory,
    resolve_device,
    settled,
)
from .training.heads import combine_heads
from .training.interrupts import between_steps, insisted, obey, one_of_many
from .training.net import PRECISIONS, XI, Family, StackedNet
from .training.plan import (
    MIN_SAMPLES_TO_SPLIT,
    Plan,
    Recipe,
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
COMBINE: dict[str, Any] = {"combine": [StrOptions({"held_out", "fused"})]}  # of those with branches
STRUCTURE = (
    "modalities", "encoders", "hidden_dim", "latent_dim", "n_layers", "head_layers", "dropout",
    "input_dropout", "standardize", "n_members",
)  # fmt: skip


def in_one_piece(fit: Callable[Concatenate[S, P], S]) -> Callable[Concatenate[S, P], S]:
    """Decorate a method that fits: what it sets appears at its end, or not at all.

    It works on a copy of the estimator. Whatever goes wrong, at any moment, the estimator is what
    it was before. Noted in ``_learned`` are the attributes that fits have set: the others are
    those of a child class, say, whose own fit sets some before it calls this one.
    """

    @wraps(fit)
    def whole(self: S, /, *args: P.args, **kwargs: P.kwargs) -> S:
        others = _ending_in_underscore(self) - vars(self).get("_learned", frozenset())
        draft = copy.copy(self)
        fit(draft, *args, **kwargs)
        draft.__dict__["_learned"] = _ending_in_underscore(draft) - others
        self.__dict__ = draft.__dict__
        return self

    return whole


def _ending_in_underscore(estimator: object) -> frozenset[str]:
    return frozenset(name for name in vars(estimator) if name.endswith("_"))


def within_memory(fit: Callable[Concatenate[S, P], S]) -> Callable[Concatenate[S, P], S]:
    """Decorate a method that fits a draft: out of memory, it begins anew with half the batch size.

    Once, and with a warning; the parameter ``batch_size`` stays as it was given. Processes that
    share a fit cannot: the others wait in the middle of theirs.
    """

    @wraps(fit)
    def bounded(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        before, given = dict(vars(self)), self.batch_size
        rng = self.random_state if isinstance(self.random_state, np.random.RandomState) else None
        state: Any = None if rng is None else rng.get_state()
        try:
            return fit(self, *args, **kwargs)
        except RuntimeError as error:
            may = current_group() is None and hasattr(self, "recipe_")  # else nothing to halve
            if not lacks_memory(error) or not may or isinstance(error, OutOfMemoryError):
                raise
            if given == 1:
                raise OutOfMemoryError(_no_memory(self, "batch_size=1")) from error
            said = str(error)
        tried = self.recipe_.batch_size
        self.__dict__.clear()
        self.__dict__.update(before)
        if rng is not None:
            rng.set_state(state)
        free_memory(self.device)
        half = tried // 2
        warnings.warn(
            f"Out of memory on device {str(self.device)!r} with batch_size={tried}: the fit begins "
            f"anew with batch_size={half}. ({said})",
            UserWarning,
            stacklevel=2,
        )
        self.batch_size = half
        try:
            return fit(self, *args, **kwargs)
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            both = f"batch_size={tried}, and again with {half}"
            raise OutOfMemoryError(_no_memory(self, both)) from error
        finally:
            self.batch_size = given

    return bounded


def _no_memory(estimator: Any, tried: str) -> str:
    return (
        f"Out of memory on device {str(estimator.device)!r} with {tried}. Lower batch_size, "
        "n_members, hidden_dim or the size of your encoders, or give another device."
    )


class BaseMultimodal(
    ReadsItems,
    Persistent,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """An estimator holds a method and a task; children name them and their parameters."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "modalities": [dict, None],
        "n_members": [Interval(Integral, 1, MOST_MEMBERS, closed="both"), StrOptions({"auto"})],
        "encoders": [str, dict, Encoder, torch.nn.Module, callable],
        "hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, MOST_LAYERS, closed="both")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "input_dropout": [Interval(Real, 0, 1, closed="left")],
        "head_layers": [Interval(Integral, 1, MOST_LAYERS, closed="both")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "standardize": ["boolean"],
        "missing_values": [StrOptions({"mask", "error"})],
        "device": [str, torch.device],
        "precision": [StrOptions(set(PRECISIONS))],
        "n_threads": [Interval(Integral, 1, MOST_THREADS, closed="both")],
        "n_jobs": [Integral, None],
        "checkpoint_dir": [str, PathLike, None],
        "checkpoint_every": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    _watchers: Sequence[tuple[str, Any]] = ()  # names and callbacks that look on during training
    _incomplete: Mapping[str, Array] | None = None  # columns lacking values, as a search says
    combine: str = "fused"  # what is predicted, where it is no parameter
    n_jobs: int | None
    missing_values: str
    checkpoint_dir: str | PathLike[str] | None
    checkpoint_every: int
    _learned: frozenset[str] = frozenset()  # attributes that fits have set, as in_one_piece notes
    # what a fit leaves beside its public attributes
    net_: StackedNet
    _method: Method
    _task: Any  # the task of a child, which it asks more than others have
    _structure: dict[str, Any]
    _split_seeds: list[int]  # of the networks' validation rows
    _weight_unit: float  # what weighs 1 in chunks
    _rng: np.random.RandomState
    recipe_: Recipe

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
    @within_memory
    @_fit_context(prefer_skip_nested_validation=True)
    @settled
    def fit(
        self,
        X: Modalities,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        resume: bool = False,
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
            Samples of one group are never split between training and validation. At least one
            whole group is held out: of four, a quarter of what there is to learn from.
        resume : bool, default=False
            Whether to go on from the checkpoint in ``checkpoint_dir``, where there is one, of a
            fit of the same data and parameters that was killed or interrupted. It ends as if
            nothing had been.

        Returns
        -------
        self : object
            Fitted estimator. A fit that fails leaves it as it was. Ctrl-C in the main phase of a
            fresh fit keeps the best weights so far; elsewhere it counts as a failure.

        Raises
        ------
        ValueError
            If a modality is empty, not numeric, not finite or of another length than the others,
            if y is not finite or has one class only, or if training diverges. If the checkpoint
            to resume is of other data or parameters.
        OSError
            If data outside memory cannot be read.
        RuntimeError
            If another process that shares the fit stops or fails, or if the device is out of
            memory with half of ``batch_size`` too.

        Warns
        -----
        UserWarning
            If a target of numbers, or one of its outputs, is constant: predictions are that
            constant. If all modalities are: predictions are the best ones without inputs. If
            Ctrl-C has ended the main phase. If the device was out of memory and the fit began
            anew with half of ``batch_size``.

        Notes
        -----
        Blocks outside memory (memory maps, zarr, h5py, dask, parquet) that take no more than
        256 MiB as float32 are loaded, with the same result as arrays. Larger ones are streamed:
        each epoch reads every row once through a shuffle buffer of 128 MiB, the validation part
        is at most 128 MiB, and the bound on beta is estimated from at most 20,000 rows.
        """
        goes_on = self.warm_start and hasattr(self, "net_")
        checkpoint = self._checkpoint(goes_on, resume)
        rng = common_random_state(self.random_state)
        self._begin(self._make_task(), goes_on)
        checked = self._check_input(X, y, sample_weight, groups, reset=not goes_on)
        if checkpoint is not None:
            blocks, target, weight, groups = checked
            facts = facts_of(self, blocks, y=target, sample_weight=weight, groups=groups)
            rng = (resume and checkpoint.resume(facts)) or checkpoint.begin(facts, rng)
        self._train(checked, rng, goes_on, checkpoint=checkpoint)
        return self

    def _checkpoint(self, goes_on: bool, resume: bool) -> Checkpoint | None:
        """Where a fresh fit keeps how far it is, if anywhere."""
        if resume and (goes_on or self.checkpoint_dir is None):
            reason = "a warm_start goes on from the fitted model" if goes_on else (
                "checkpoint_dir is None; give the folder that the killed fit had"
            )  # fmt: skip
            raise ValueError(f"There is no checkpoint to resume: {reason}.")
        if self.checkpoint_dir is None or goes_on:
            return None
        if current_group() is not None:
            raise ValueError(
                "checkpoint_dir must be None where several processes share a fit; with "
                "sklearn_omib.fit_alone() each fits, and keeps checkpoints, by itself."
            )
        return Checkpoint(self.checkpoint_dir, self.checkpoint_every)

    @together
    @in_one_piece
    @within_memory
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
            for name in self._learned & vars(self).keys():
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
        kept = weighted_rows(X, weight)
        if len(kept) < min(2, len(weight)):
            raise ValueError("sample_weight leaves fewer than two samples of positive weight.")
        if not np.array_equal(kept, np.arange(len(weight))):
            X, y, weight = X[kept], rows_of(y, kept), weight[kept]
            groups = None if groups is None else groups[kept]
        X = by_content(self._encoded(X, reset))
        if reset:
            task.learn(y)
        target = task.encode(y)
        by_target = task.weight(y)
        weight = weight if by_target is None else weight * by_target
        if reset or not chunk:
            self._weight_unit = float(weight.mean()) or 1.0
        return X, target, weight / self._weight_unit, groups

    def _train(
        self,
        checked: Checked,
        rng: np.random.RandomState,
        resume: bool,
        chunk: bool = False,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """All of fit behind the checks: plan, networks, training, and what it leaves."""
        self._decide_recipe(len(checked[1]))
        plan = self._plan(checked, rng, resume, chunk)
        if not resume:
            self.net_ = self._make_net(plan.encoders, plan.weights)
        if checkpoint is not None:
            checkpoint.confirm(self.net_)
        before = self.net_.n_epochs()
        families = self._families(checked, plan, chunk)
        n_networks = len(plan.splits)
        family = list(range(n_networks)) if len(families) == n_networks else [0] * n_networks
        warmup = 0 if resume else self.recipe_.warmup_epochs
        epochs = {"warm-up": warmup, "main": 1 if chunk else self.recipe_.max_epochs}

        def train(net: StackedNet) -> None:
            if warmup:
                net.run_phase("warm-up", warmup)
            with torch.no_grad():
                self._task.after_warm_up(net)
            net.run_phase("main", epochs["main"], keep_moments=chunk)

        with self._training(self.net_, families, family, plan.draws, epochs) as net:
            net.checkpoint, whole = checkpoint, True
            n_jobs = 1 if chunk else count_jobs(net, self.n_jobs, sum(epochs.values()))
            if chunk:  # the optimiser goes on with all networks
                train(net)
            elif resume or net.group is not None:
                train_in_parts(net, train, n_jobs)
            else:
                whole = self._train_while_wanted(net, train, n_jobs)
            self._conclude(net, [range(net.n_networks)])
        self._rng = rng  # for a partial_fit that follows
        self._read_off(before)
        if checkpoint is not None and whole:
            checkpoint.remove()

    def _conclude(self, net: StackedNet, together: Sequence[Sequence[int]]) -> None:
        """Learn what remains once networks are trained, some of which predict together."""
        if self.combine == "fused":
            net.module_.head_weights = None  # as a fit that goes on may have some
        else:
            combine_heads(net, together)
        with torch.no_grad():
            self._task.after_training(net)

    def _train_while_wanted(
        self, net: StackedNet, train: Callable[[StackedNet], None], n_jobs: int
    ) -> bool:
        """Train a fresh net; where Ctrl-C ends the main phase, keep what it has become.

        Returns whether it has ended by itself.
        """
        with between_steps():
            try:
                train_in_parts(net, train, n_jobs)
                obey()  # what was asked for in the last step
            except KeyboardInterrupt:
                usable = net.usable()
                if not usable or insisted() or one_of_many():
                    raise
                epochs = [net.n_epochs(k) for k in usable]
                done = dict.fromkeys([str(min(epochs)), str(max(epochs))])
                planned = self.recipe_.max_epochs
                others = f"; {len(usable)} of {net.n_networks} networks had begun it"
                warnings.warn(
                    f"Training was interrupted after epoch {' to '.join(done)} of "
                    f"{planned} (main phase){others * (len(usable) < net.n_networks)}. The "
                    "best weights so far are kept, and the model is usable. Call fit again to "
                    "train it in full.",
                    UserWarning,
                    stacklevel=2,
                )
                net.repeat(usable)
                return False
        return True

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
            self._task.prior = None  # other inputs may tell something
            n_networks = self.net_.n_networks
        else:
            n_networks = self._count_members(len(target), chunk)
            encoders = self._learn_before(X[train], target, weight, rng)
            check_size(self, self._input_shapes, encoders, n_networks)
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
        return count_members(self.n_members, n_samples, self._fine_tunes, self._trains_slowly)

    @property
    def _fine_tunes(self) -> bool:
        """Whether layers of encoders that were trained before are trained further."""
        return any(encoder.fine_tunes for encoder in self.encoders_.values())

    @property
    def _trains_slowly(self) -> bool:
        """Whether encoders have networks of many layers that are trained from nothing."""
        return any(encoder.trains_slowly for encoder in self.encoders_.values())

    def _decide_recipe(self, n_samples: int) -> None:
        """Set how long and how fast to train, of parameters that are "auto"."""
        usual, slowly = self._task.usual, self._trains_slowly
        recipe = Recipe.of(self, usual, n_samples, self._fine_tunes, slowly)
        warmup = getattr(self, "warmup_epochs", self._method.warmup_epochs)
        self.recipe_ = recipe if isinstance(warmup, str) else recipe._replace(warmup_epochs=warmup)

    def _learn_before(
        self, X: ModalityDict, target: Array, weight: Array, rng: np.random.RandomState
    ) -> dict[str, Any]:
        """Scale and what the method learns from the training data; returns the encoders.

        X are the training rows, target and weight those of all rows.
        """
        sample = complete_rows(sample_rows(X, rng))
        encoders = resolve_encoders(
            self._networks_given(), sample, self._networks_of(sample), hidden_dim=self.hidden_dim,
            n_layers=self.n_layers, narrow=self._task.narrow_table_encoder,
        )  # fmt: skip
        sample = summarised(sample)
        self._task.prior = None
        if all(is_constant(block) for block in sample.values()):
            self._task.prior = self._task.best_constant(target, weight)
            warnings.warn(
                f"All modalities are constant, {list(sample)}: there is nothing to predict from. "
                "Predictions are the same for every sample, those of a model without inputs.",
                UserWarning,
                stacklevel=2,
            )
        stays_sparse = frozenset(
            name for name, block in X.items()
            if encoders[name] == "sparse" and block.ndim == 2 and not isinstance(block, LazyBlock)
        )  # fmt: skip
        tables = frozenset(name for name, one in encoders.items() if isinstance(one, str))
        ready = frozenset(
            name for name, encoder in self.encoders_.items() if not encoder.standardize
        )
        self._scaler = BlockScaler(
            self.standardize, stays_sparse, tables - stays_sparse - ready, ready,
            self.missing_values, self._incomplete,
        ).fit(X)  # fmt: skip
        self._input_shapes = self._scaler.sample_shapes(X.sample_shapes)
        self._ragged = frozenset(name for name, block in X.items() if isinstance(block, Ragged))
        self._method.learn(sample, len(X), rng)
        return encoders

    def _make_net(self, encoders: Mapping[str, Any] | None, seeds: Sequence[int]) -> StackedNet:
        """A net of one network for each seed."""
        method, task, stack = self._method, self._task, len(seeds)
        loss, n_outputs = task.loss(stack)
        shared = {
            "sample_shapes": self._input_shapes,
            "encoders": encoders,
            "sparse": self._scaler.sparse_names,
            "ragged": self._ragged,
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
        net = StackedNet.of(
            network,
            task.objective(method.objective(loss, len(self.modalities_), stack)),
            resolve_device(self.device),
            lr=float(self.recipe_.learning_rate),
            batch_size=self.recipe_.batch_size,
        )
        net.n_networks, net.weight_decay = stack, float(self.weight_decay)
        return net

    def _go_on(self, X: ModalityDict, rows: Array, rng: np.random.RandomState) -> None:
        """A copy of the fitted net, brought up to parameters that may have changed since."""
        self._method.resettle(X, rows, rng)
        moments = self.net_.moments
        self.net_ = copy.deepcopy(self.net_)
        self.net_.moments = copy.deepcopy(moments)
        self.net_.move(resolve_device(self.device))
        recipe = self.recipe_
        self.net_.set_params(lr=float(recipe.learning_rate), batch_size=recipe.batch_size)
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
            prepare, progress = self._prepare, self._shows_progress()
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
        stopping = Stopping(self.n_iter_no_change, self.tol)
        callbacks += [("stopping", stopping), ("saving", Saving(stopping))]
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
        self.__dict__.update(self._method.attributes(objective, tuple(self.modalities_)))
        self.__dict__.update(self._task.attributes())
        if "combine" in self._parameter_constraints:
            weights = net.module_.head_weights
            alone = np.eye(len(self.modalities_) + 1)[-1]
            self.head_weights_ = alone if weights is None else weights[0].double().cpu().numpy()

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

    def _prepare(self, blocks: Mapping[str, Block]) -> dict[str, Block]:
        """A part of a stream as networks read it: all parts say what is missing, or none."""
        return self._scaler.transform(blocks, always=self.missing_values == "mask")

    def _parts(self, X: ModalityDict) -> Iterator[TensorData | StreamData]:
        """Validated modalities as networks read them, part by part."""
        device = torch.device(self.net_.device)
        if is_streamed(X):
            X = self._encoded(X[in_storage_order(X, np.arange(len(X)))])
            progress = self._shows_progress()
            yield StreamData(X, self._prepare, None, None, device, progress=progress)
            return
        for start, stop in pairwise(batch_edges(len(X), PREDICT_BATCH)):  # what a cache holds
            part = self._encoded(X if stop - start == len(X) else X[start:stop])
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
        tags.input_tags.allow_nan = self.missing_values == "mask"
        tags.input_tags.three_d_array = True
        tags.input_tags.dict = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def rows_of(values: Any, rows: Array) -> Any:
    """Rows of a target, weights or groups, of any kind."""
    if sparse.issparse(values):
        return values.tocsr()[rows]
    return take_rows(values, rows) if hasattr(values, "iloc") else np.asarray(values)[rows]
