"""The training loop: a skorch net of K >= 1 networks side by side.

With :mod:`.stopping` the only files that import skorch. The net is composed, never inherited by an
estimator: its fit loop and callbacks are skorch's, and the few hooks overridden here say why. One
fit, an ensemble and a search are the same net; they differ in K and in what networks share.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNet
from skorch.callbacks import EpochTimer
from torch import Generator, Tensor

from .._typing import Array
from ..data.batches import (
    CACHE_ROWS,
    PREDICT_BATCH,
    ROWS_IN_STEP,
    Batch,
    Batches,
    TensorData,
)
from ..data.streams import StreamData
from ..nn import GeneratorStack, ObjectiveTerms, set_generator
from ..nn.encoders import presence
from ..nn.stacking import are_finite, keep, put, select, write
from .devices import device_or_cpu
from .history import packed, terms_of, unpacked
from .interrupts import obey
from .optimizer import StackedAdamW
from .processes import ProcessGroup

T = TypeVar("T")

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# what networks predict, in order
PREDICTION, XI, LOG_VARIANCE, DISTANCE, ERRORS, PRESENCE = range(6)
MAX_NETWORKS = 64  # trained at a time, which bounds memory
KEPT = "n_networks", "weight_decay", "phase", "precision"  # in copies, pickles and files


@dataclass
class Family:
    """Rows that some networks see together, in one order.

    Parameters
    ----------
    train : TensorData or StreamData
    valid : TensorData or None
        Rows to stop by.
    seed : int
        Of the order, epoch by epoch.
    """

    train: TensorData | StreamData
    valid: TensorData | None
    seed: int

    def __post_init__(self) -> None:
        self.order = torch.Generator().manual_seed(self.seed)

    @property
    def sizes(self) -> tuple[int, int]:
        """How many rows there are to train on, and to stop by."""
        return len(self.train), len(self.valid or ())


class StopTraining(Exception):
    """Raised to end a phase; skorch's own signal is the user's Ctrl-C."""


@contextmanager
def sampling(bottlenecks: Any, generator: Generator) -> Iterator[None]:
    """Let bottlenecks draw their codes from a generator, in a network that is not in training."""
    before = [bottleneck.generator for bottleneck in bottlenecks]
    for bottleneck in bottlenecks.train():
        bottleneck.generator = generator
    try:
        yield
    finally:
        for bottleneck, own in zip(bottlenecks.eval(), before, strict=True):
            bottleneck.generator = own


def _among(terms: Sequence[str]) -> str:
    """Which terms of a loss are to blame, for messages."""
    return f", and so {'is' if len(terms) == 1 else 'are'} {', '.join(terms)}" if terms else ""


def _in_float32(output: Any) -> Any:
    """Tensors in tuples and dicts, converted."""
    if isinstance(output, dict):
        return {name: _in_float32(part) for name, part in output.items()}
    if isinstance(output, tuple):
        parts = map(_in_float32, output)
        return output._make(parts) if hasattr(output, "_make") else tuple(parts)
    return None if output is None else output.float()


def _distinct(owned: Sequence[T]) -> tuple[list[T], list[int]]:
    """The different objects among those that networks own, and each network's place."""
    present = list({id(one): one for one in owned}.values())
    place = {id(one): i for i, one in enumerate(present)}
    return present, [place[id(one)] for one in owned]


@dataclass
class Live:
    """The networks in training.

    Parameters
    ----------
    networks : list of int
    module, objective : torch.nn.Module
        Of these networks only.
    optimizer : StackedAdamW
    """

    networks: list[int]
    module: Any  # has methods that torch.nn.Module has not
    objective: Any
    optimizer: StackedAdamW

    def line_up(self, families: list[Family], family: list[int], noise: list[Generator]) -> None:
        """Note the families and generators present, and each network's place among them."""
        self.families, self.index = _distinct([families[family[k]] for k in self.networks])
        set_generator(self.module, GeneratorStack(*_distinct([noise[k] for k in self.networks])))

    def keep(self, places: list[int]) -> None:
        """Go on with some of the networks."""
        self.networks = [self.networks[i] for i in places]
        keep(self.module, places)
        keep(self.objective, places)
        self.optimizer.keep(self.module, places)


class StackedNet(NeuralNet):
    """A skorch net of several networks that trains in phases and logs every term of the objective.

    ``module_`` and ``criterion_`` hold all networks, each in its best state so far; ``live`` are
    those in training. Networks whose numbers of rows differ train one group after another; those
    that settle or diverge leave.

    Attributes
    ----------
    n_networks : int
    families : list of Family
    family : list of int
        That of each network.
    noise : list of torch.Generator
        That of each network, from which its dropout and noise are drawn.
    failed : dict of int to str
        Networks that diverged, and what happened.
    """

    device: Any  # skorch's, without types
    callbacks: Any
    callbacks_: Any
    weight_decay = 0.0
    phase = "warm-up"
    precision = "float32"
    group: ProcessGroup | None = None  # that shares the fit
    keeps_last = False
    checkpoint: Any = None  # that of a part of a fit
    saved: Mapping[str, Any] | None = None  # what a checkpoint holds, until its place is reached
    place = (0, 0)  # the phase of a training, the group of networks in it
    n_begun = 0  # rows of the history before that
    n_ended = 0  # rows of the history whose epochs have ended, best states noted
    spares_failed = False  # whether others go on where a network diverges
    moments: StackedAdamW | None = None  # to go on with

    @classmethod
    def of(cls, module: Any, criterion: Any, device: torch.device, **options: Any) -> StackedNet:
        """A net of networks and their objective, on a device."""
        return cls(
            module, criterion=criterion, device=device, train_split=None, verbose=0, **options
        ).initialize()

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        return [("timer", EpochTimer())]  # skorch's others score and print per batch

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> StackedNet:
        return self  # every phase begins with one of its own

    def begin(
        self,
        families: list[Family],
        family: list[int],
        seeds: list[int],
        precision: str,
        group: ProcessGroup | None = None,
    ) -> StackedNet:
        """Set what to train on.

        Parameters
        ----------
        families : list of Family
        family, seeds : list of int
            The family of each network, and the seed of its dropout and noise; those of one family
            and seed share their draws, as they would have the same ones when trained apart.
        precision : {"float32", "bfloat16"}
            Of matrix products; the objective is always computed in float32.
        group : ProcessGroup or None
        """
        self.families, self.family, self.precision, self.group = families, family, precision, group
        self.n_networks = len(family)
        self.failed: dict[int, str] = {}
        rank = 0 if group is None else group.rank  # the order of rows is common, noise is not
        drawn: dict[tuple[int, int], Generator] = {}
        for twins in zip(family, seeds, strict=True):
            drawn.setdefault(twins, torch.Generator(self.device).manual_seed(twins[1] + rank))
        self.noise = [drawn[twins] for twins in zip(family, seeds, strict=True)]
        if group is not None:
            for part in (self.module_, self.criterion_):
                group.broadcast([*part.parameters(), *part.buffers()])
        return self

    def end(self) -> None:
        """Drop what only training needs."""
        of_data = "families", "family", "noise", "live"
        for name in (*of_data, "failed", "checkpoint", "saved", "place"):
            self.__dict__.pop(name, None)
        self.group, self.callbacks, self.callbacks_ = None, [], []
        for part in (self.module_, self.criterion_):
            set_generator(part, None)

    def move(self, device: torch.device) -> None:
        """Go on on another device."""
        if torch.device(self.device) == device:
            return
        self.device = device
        for part in (self.module_, self.criterion_):
            part.to(device)
        if self.moments is not None:
            self.moments.move(device)

    # -- parts of a net ---------------------------------------------------------------------
    def part(self, networks: list[int]) -> StackedNet:
        """A net of some of the networks, to be trained and absorbed again."""
        net = self.taken(networks)
        net.families, net.failed = self.families, {}
        net.family = [self.family[k] for k in networks]
        net.noise = [self.noise[k] for k in networks]
        net.group, net.callbacks_ = self.group, self.callbacks_
        return net

    def absorb(self, part: StackedNet, networks: list[int]) -> None:
        """Take over what a part has become."""
        places = range(len(networks))
        put(self.module_, part.module_, networks, places)
        put(self.criterion_, part.criterion_, networks, places)
        known = sum(any(k in row["networks"] for k in networks) for row in self.history)
        for row in part.history[known:]:
            row["networks"] = [networks[place] for place in row["networks"]]
            self.history.append(row)
        self.failed |= {networks[place]: reason for place, reason in part.failed.items()}

    def taken(self, networks: list[int]) -> StackedNet:
        """A net of some of the networks."""
        net = copy.copy(self)
        for name in ("module", "criterion"):
            selected = select(getattr(self, f"{name}_"), networks)
            net.__dict__.update({name: selected, f"{name}_": selected})
        net.history_, net.n_networks = copy.copy(self.history_), len(networks)
        net.history_[:] = [dict(row) for row in self.history_]  # whose lists are made anew next
        net._follow(networks)
        net.end()
        return net

    def repeat(self, networks: list[int]) -> None:
        """Go on with networks several times over, which share their families."""
        for part in (self.module_, self.criterion_):
            keep(part, networks)
        self.family = [self.family[k] for k in networks]
        self.noise = [self.noise[k] for k in networks]
        self.failed = {i: self.failed[k] for i, k in enumerate(networks) if k in self.failed}
        self.n_networks = len(networks)
        self._follow(networks)

    def _follow(self, networks: list[int]) -> None:
        """Let the history speak of networks as they are numbered now."""
        for row in self.history:
            place = {k: i for i, k in enumerate(row["networks"])}
            new = [i for i, k in enumerate(networks) if k in place]
            for name in terms_of(row):
                row[name] = [row[name][place[networks[i]]] for i in new]
            row["networks"] = new
        self.history[:] = [row for row in self.history if row["networks"]]

    def pass_on(self, networks: Sequence[int], to: Sequence[int]) -> None:
        """Let networks go on as others, which have their history and a beta of their own."""
        beta = self.criterion_.beta[to]
        for part in (self.module_, self.criterion_):
            put(part, part, to, networks)
        self.criterion_.beta[to] = beta
        for row in self.history:
            place = {k: i for i, k in enumerate(row["networks"])}
            new = [(one, k) for one, k in zip(networks, to, strict=True)
                   if one in place and k not in place]  # fmt: skip
            for name in terms_of(row):
                row[name] = row[name] + [row[name][place[one]] for one, _ in new]
            row["networks"] = row["networks"] + [k for _, k in new]
        self.failed |= {k: self.failed[one] for one, k in zip(networks, to, strict=True)
                        if one in self.failed}  # fmt: skip

    # -- phases ---------------------------------------------------------------------------
    def run_phase(
        self,
        phase: str,
        epochs: int,
        keep_moments: bool = False,
        keep_last: bool = False,
        only: Iterable[int] | None = None,
    ) -> StackedNet:
        """Train for a number of epochs, or until all networks have settled.

        Parameters
        ----------
        phase : {"warm-up", "main"}
        epochs : int
        keep_moments : bool, default=False
            Whether the optimiser goes on where an earlier call left it, and is left for a later.
        keep_last : bool, default=False
            Whether to train for all the epochs and keep the last, whatever validation says.
        only : list of int, default=None
            Networks to train; None are all.
        """
        self.phase, self.keeps_last = phase, keep_last
        for networks in self.groups(only):
            n_left = epochs
            if self.saved is None:
                self.live = self._enter(networks, self.moments if keep_moments else None)
            elif self.place < tuple(self.saved["place"]):  # it had ended
                self.place = self.place[0], self.place[1] + 1
                continue
            else:
                n_left -= self._take_up(self.saved)
            optimizer = self.live.optimizer
            if optimizer.has_own_rates and not keep_moments:
                per_epoch = -(-self.families[self.family[networks[0]]].sizes[0] // self.batch_size)
                optimizer.n_steps = epochs * per_epoch
            self.n_begun = len(self.history) - (epochs - n_left)
            self.notify("on_train_begin", X=None, y=None)
            self.n_ended = len(self.history)
            try:
                with suppress(StopTraining):
                    self.fit_loop(None, epochs=n_left)
            except KeyboardInterrupt:
                self._break_off()
                raise
            if not self.stops_by_validation:
                self.note(range(len(self.live.networks)))
            self._check_weights()
            self.notify("on_train_end", X=None, y=None)
            self.moments = self.live.optimizer.detached() if keep_moments else None
            self.place = self.place[0], self.place[1] + 1
        self.place = self.place[0] + 1, 0
        return self

    def _take_up(self, saved: Mapping[str, Any]) -> int:
        """Go on in the middle of a phase as a checkpoint says; returns the epochs it had."""
        device = torch.device(self.device)
        state = [(first.to(device), second.to(device)) for first, second in saved["moments"]]
        moments = StackedAdamW.of(saved["used"], state, saved["steps"].to(device))
        self.live = self._enter(saved["networks"], moments)
        for part, values in zip(
            (self.live.module, self.live.objective), saved["live"], strict=True
        ):
            write(part, values)
        return saved["epochs"]

    def generators(self) -> list[Generator]:
        """All that the networks draw from: noise, and the order of rows."""
        families = [self.families[i] for i in dict.fromkeys(self.family)]
        return [*_distinct(self.noise)[0], *(family.order for family in families)]

    def _break_off(self) -> None:
        """Forget the epoch that has not ended: networks are as they were noted before it."""
        del self.history[self.n_ended :]
        self.notify("on_train_end", X=None, y=None)

    def usable(self) -> list[int]:
        """Networks that have had an epoch of the main phase and have finite weights."""
        finite = are_finite(self.module_, self.n_networks).tolist()
        return [k for k in range(self.n_networks) if finite[k] and self.n_epochs(k)]

    def groups(self, only: Iterable[int] | None = None) -> Iterator[list[int]]:
        """Lists of networks with as many rows as one another, those that failed left out."""
        wanted = set(range(self.n_networks) if only is None else only).difference(self.failed)
        alike: dict[tuple[int, int], dict[tuple[int, int], list[int]]] = {}
        for k, family in enumerate(self.family):
            if k in wanted:
                twins = family, id(self.noise[k])
                alike.setdefault(self.families[family].sizes, {}).setdefault(twins, []).append(k)
        for families in alike.values():
            group: list[int] = []
            for networks in families.values():
                if group and len(group) + len(networks) > MAX_NETWORKS:
                    yield group
                    group = []
                group = group + networks
            yield group

    def _enter(self, networks: list[int], moments: StackedAdamW | None) -> Live:
        module, objective = select(self.module_, networks), select(self.criterion_, networks)
        optimizer = StackedAdamW(module, self.lr, self.weight_decay, moments)
        live = Live(list(networks), module, objective, optimizer)
        live.line_up(self.families, self.family, self.noise)
        return live

    @property
    def stops_by_validation(self) -> bool:
        """Whether networks in training are kept in the state of their lowest validation loss."""
        if self.phase != "main" or self.keeps_last:
            return False
        return self.live.families[0].valid is not None

    def note(self, places: Sequence[int]) -> None:
        """Take the present state of networks, by their places in training, as their best."""
        networks = [self.live.networks[i] for i in places]
        put(self.module_, self.live.module, networks, places)
        put(self.criterion_, self.live.objective, networks, places)

    def dismiss(self, places: Iterable[int]) -> None:
        """Go on without some networks."""
        kept = sorted(set(range(len(self.live.networks))).difference(places))
        if not kept:
            raise StopTraining
        self.live.keep(kept)
        self.live.line_up(self.families, self.family, self.noise)

    # -- epochs ---------------------------------------------------------------------------
    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> tuple[str, Any]:
        return "train", None if self.live.families[0].valid is None else "valid"

    def get_iterator(self, dataset: str, training: bool = False) -> str:
        return dataset  # batches are made for the networks that are left in an epoch

    def _batches(self, dataset: str) -> Batches:
        training = dataset == "train"
        return Batches(
            [getattr(family, dataset) for family in self.live.families],
            self.live.index,
            self.batch_size if training else PREDICT_BATCH,
            [family.order for family in self.live.families] if training else None,
            self.group,
        )

    def train_step(self, batch: Batch, **fit_params: Any) -> ObjectiveTerms:
        terms = self._terms(batch)
        self.live.optimizer.descend(terms.loss, None if self.group is None else self._average)
        return terms

    def _average(self, gradients: list[Tensor]) -> None:
        """Make gradients and the objective's moving averages those of all processes' rows."""
        averages = [
            average for name, average in self.live.objective.named_buffers()
            if name.rpartition(".")[2] not in ("weights", "beta")
        ]  # fmt: skip
        self.group.average([*gradients, *averages])  # type: ignore[union-attr]

    def validation_step(self, batch: Batch, **fit_params: Any) -> ObjectiveTerms:
        with torch.no_grad():
            return self._terms(batch)

    def _terms(self, batch: Batch) -> ObjectiveTerms:
        """The objective on one batch; its averages move on in training."""
        inputs, y, weight = batch
        module, objective = self.live.module, self.live.objective
        low = self.precision != "float32"
        dtype = PRECISIONS[self.precision]
        with torch.autocast(weight.device.type, dtype) if low else nullcontext():
            output = module.warm_up(inputs) if self.phase == "warm-up" else module(inputs)
        if low:  # of matrix products alone
            output = _in_float32(output)
        if self.phase == "warm-up":
            return objective.warm_up(output, y, weight, presence(inputs))
        terms = objective(output, y, weight)
        if module.training:
            objective.update(output, y, weight, terms)
        return terms

    def run_single_epoch(
        self, iterator: str | None, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        # terms stay on the device and are read once per epoch; skorch reads the loss every batch
        if iterator is None:
            return
        for part in (self.live.module, self.live.objective):
            part.train(training)
        group = self.group
        if training:
            self.history.record("phase", self.phase)
            self.history.record("networks", list(self.live.networks))
            if self.phase == "main" and self._has_begun():
                self.live.objective.reweight()
        if group is not None:
            group.stage = f"in epoch {len(self.history)} ({self.phase})"
        batches, terms, sizes = self._batches(iterator), [], []
        for batch in batches:
            obey()
            step = step_fn(batch, **fit_params)
            terms.append(step.flat())
            sizes.append(batch[2].shape[1] if group is None else group.n_rows)
        share = torch.tensor(sizes, device=terms[0].device) / batches.n_rows
        means = torch.einsum("b,bkt->tk", share, torch.stack(terms))
        if group is not None:
            means = group.sum(means)
            if training:
                group.broadcast(self.live.module.buffers())  # of a user's batch normalisation
        columns = step.columns(self.live.module.names)
        self._record(prefix, dict(zip(columns, means.tolist(), strict=True)))

    def _has_begun(self) -> bool:
        """Whether the networks in training had a main epoch before."""
        before = (row for row in self.history[:-1] if row["phase"] == "main")
        return any(self.live.networks[0] in row["networks"] for row in before)

    def _record(self, prefix: str, means: Mapping[str, list[float]]) -> None:
        """Write the mean terms of an epoch, and the weights it had, into the history."""
        for column, values in means.items():
            self.history.record(f"{prefix}_{column}", values)
        weights = self.live.objective.weights
        if prefix == "train" and weights is not None:
            for name, values in zip(self.live.module.names, weights.T.tolist(), strict=True):
                self.history.record(f"weight_{name}", values)
        diverged = np.flatnonzero(~np.isfinite(means["loss"]))
        if len(diverged):
            of_first = {name: values[diverged[0]] for name, values in means.items()}
            terms = [name for name, value in of_first.items()
                     if name != "loss" and not np.isfinite(value)]  # fmt: skip
            rows = "" if prefix == "train" else " on the rows to stop by"
            self._fail(diverged, f"the loss is {of_first['loss']}", f"{rows}{_among(terms)}")

    def _fail(self, places: Array, what: str, more: str = "") -> None:
        reason = (
            f"Training diverged: {what} in epoch {len(self.history)} ({self.phase}){more}. "
            f"{self._remedy(int(places[0]))} Nothing of this training is kept: the estimator is as "
            "it was before."
        )
        if not self.spares_failed:
            raise ValueError(reason)
        for place in places:
            self.failed.setdefault(self.live.networks[place], reason)

    def _remedy(self, place: int) -> str:
        """What to do about a network that diverged, by encodings of its rows in another pass."""
        network = self.live.networks[place]
        lower = "Lower learning_rate, or check the scale of inputs and target."
        at_first = self._not_finite(select(self.module_, [network]), network)
        if at_first:
            return (
                f"The encoder of modality {at_first} returns what is not finite, though its "
                "weights and inputs are. Mend it, or check the scale of what it reads."
            )
        at_last = self._not_finite(select(self.live.module, [place]), network)
        if at_last:
            return (
                f"The encoder of modality {at_last} returns what is not finite with the weights "
                f"it had come to. {lower}"
            )
        return lower

    def _not_finite(self, module: Any, network: int) -> str:
        """Modalities whose encoders return what is not finite in training, if weights are."""
        if not bool(are_finite(module, 1).all()):
            return ""
        encoders = getattr(module.train(), "network", module)
        here = torch.device(self.device)
        devices = [here] if here.type == "cuda" else []
        batches = Batches([self.families[self.family[network]].train], [0], self.batch_size)
        with torch.no_grad(), torch.random.fork_rng(devices=devices), suppress(ValueError):
            for inputs, _, _ in batches:
                finite = [bool(z.isfinite().all()) for z in encoders.encodings(inputs)]
                if not all(finite):
                    pairs = zip(module.names, finite, strict=True)
                    return " and of ".join(repr(name) for name, is_fine in pairs if not is_fine)
        return ""

    def _check_weights(self) -> None:
        networks = self.live.networks
        finite = are_finite(self.module_, self.n_networks).cpu().numpy()[networks]
        if not finite.all():
            self._fail(np.flatnonzero(~finite), "weights are not finite")

    # -- what networks say ----------------------------------------------------------------
    def predict_batches(
        self, data: TensorData | StreamData, n_threads: int = 1
    ) -> Iterator[tuple[Any, ...]]:
        """Yield what the networks predict for successive batches of rows that all of them see.

        Parameters
        ----------
        data : TensorData or StreamData
        n_threads : int, default=1
            That predict a batch each, of rows in memory on the CPU.

        Yields
        ------
        tuple of (Tensor of shape (n_networks, batch, ...) or None)
            As ``module_.predict`` returns.
        """
        if self.module_.training:
            self.module_.eval()
        data = copy.copy(data)
        data.unit, left, run = ROWS_IN_STEP, len(data), cast(Any, map)
        on_cpu = torch.device(self.device).type == "cpu"
        size = CACHE_ROWS // self.n_networks if on_cpu else PREDICT_BATCH
        with ExitStack() as stack:
            if isinstance(data, TensorData) and on_cpu and n_threads > 1 and left > size:
                run = stack.enter_context(ThreadPoolExecutor(n_threads)).map
            batches = Batches([data], [0] * self.n_networks, max(size, ROWS_IN_STEP))
            for outputs in run(self._predict, batches):
                yield tuple(part if part is None else part[:, :left] for part in outputs)
                left -= outputs[0].shape[1]

    def _predict(self, batch: Batch) -> tuple[Any, ...]:
        with torch.inference_mode():
            return self.module_.predict(batch[0])

    def own_batches(self, which: str) -> Iterator[tuple[list[int], Any, Iterable[Any]]]:
        """Batches of rows of the networks' own, in order, group by group.

        Parameters
        ----------
        which : {"train", "valid"}

        Yields
        ------
        networks : list of int
        module : torch.nn.Module
            A copy of these networks, in evaluation.
        batches : Batches
        """
        for networks in self.groups():
            families, index = _distinct([self.families[self.family[k]] for k in networks])
            batches = Batches([getattr(one, which) for one in families], index, PREDICT_BATCH)
            yield networks, select(self.module_, networks).eval(), batches

    def own_outputs(self, which: str) -> Iterator[tuple[list[int], tuple[Any, ...], Any, Tensor]]:
        """What networks predict for rows of their own, batch by batch.

        Yields
        ------
        networks : list of int
        outputs : tuple of (Tensor of shape (len(networks), batch, ...) or None)
        y, weight : Tensor of shape (len(networks), batch, ...)
        """
        for networks, module, batches in self.own_batches(which):
            for inputs, y, weight in batches:
                yield networks, module.predict(inputs), y, weight

    def sampled_xi(self, parts: Iterable[TensorData], seed: int, module: Any = None) -> Tensor:
        """xi of all rows, of the first network, with noise in the codes, as in training.

        Parameters
        ----------
        parts : iterable of TensorData
        seed : int
        module : torch.nn.Module, default=None
            A network to take in the place of the net's own.
        """
        module = select(self.module_, [0]) if module is None else module
        generator = torch.Generator(device=self.device).manual_seed(seed)
        module.eval()
        with sampling(module.bottlenecks, generator), torch.inference_mode():
            return torch.cat([
                module.predict(inputs)[XI][0]
                for part in parts
                for inputs, _, _ in Batches([part], [0], PREDICT_BATCH)
            ])  # fmt: skip

    def history_frame(self, network: int = 0) -> pd.DataFrame:
        """Every epoch of a network so far, one row each, as a DataFrame."""
        rows: list[dict[str, Any]] = []
        for row in self.history:
            if network not in row["networks"]:
                continue
            place, n_networks = row["networks"].index(network), len(row["networks"])
            rows.append({"epoch": len(rows) + 1, "phase": row["phase"]})
            if "dur" in row:  # an epoch that failed has none
                rows[-1]["seconds"] = row["dur"] / n_networks
            rows[-1] |= {name: row[name][place] for name in terms_of(row)}
        return pd.DataFrame(rows)

    def n_epochs(self, network: int = 0, phase: str = "main") -> int:
        """How many epochs of a phase a network had."""
        own = [row for row in self.history if network in row["networks"]]
        return sum(row["phase"] == phase for row in own)

    # -- copies and pickles ---------------------------------------------------------------
    def __copy__(self) -> StackedNet:
        """The same modules, without moments: those are of one net that goes on."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, moments=None)
        return new

    def __getstate__(self) -> dict[str, Any]:
        """Networks, settings and history, without the optimiser: skorch's own has much more."""
        return {
            "module": self.module_,
            "criterion": self.criterion_,
            "device": str(self.device),
            "history": packed(self.history),
            "options": {"lr": self.lr, "batch_size": self.batch_size},
            "attributes": {name: getattr(self, name) for name in KEPT},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        device = device_or_cpu(state["device"])
        parts = {name: state[name] for name in ("module", "criterion")}
        self.__dict__.update(vars(StackedNet.of(**parts, device=device, **state["options"])))
        self.__dict__.update(state["attributes"])
        self.history[:] = unpacked(state["history"])
