"""Training on skorch: the two-phase net, stopping and seeds.

The only file that imports skorch. The net is composed, never inherited by an estimator: its fit
loop and callbacks are skorch's, and the few hooks overridden here say why.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager, nullcontext, suppress

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer
from tqdm.auto import tqdm

from ._distributed import ProcessGroup
from ._optimizer import FlatAdamW
from ._tensors import MIN_PREDICT_ROWS, PREDICT_BATCH, Batches
from .nn import set_generator

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@contextmanager
def sampling(bottlenecks, generator):
    """Let bottlenecks draw their codes from a generator, in a network that is not in training."""
    before = [bottleneck.generator for bottleneck in bottlenecks]
    for bottleneck in bottlenecks.train():
        bottleneck.generator = generator
    try:
        yield
    finally:
        for bottleneck, own in zip(bottlenecks.eval(), before, strict=True):
            bottleneck.generator = own


# -- the net --------------------------------------------------------------------------------------
def _in_float32(output):
    """Tensors in tuples and dicts, converted."""
    if isinstance(output, dict):
        return {name: _in_float32(part) for name, part in output.items()}
    if isinstance(output, tuple):
        parts = map(_in_float32, output)
        return output._make(parts) if hasattr(output, "_make") else tuple(parts)
    return None if output is None else output.float()


def objective_terms(module, objective, phase, batch, precision="float32"):
    """The objective of a phase on one batch, for one network or a stack of them.

    Parameters
    ----------
    module : FusionNetwork
        Its averages move on if it is in training.
    objective : Objective
    phase : {"warm-up", "main"}
    batch : (inputs, y, weight)
    precision : {"float32", "bfloat16"}
        Of the network's matrix products; the objective is always computed in float32.

    Returns
    -------
    ObjectiveTerms
    """
    inputs, y, weight = batch
    low = precision != "float32"
    with torch.autocast(weight.device.type, PRECISIONS[precision]) if low else nullcontext():
        output = module.warm_up(inputs) if phase == "warm-up" else module(inputs)
    if low:
        output = _in_float32(output)
    if phase == "warm-up":
        return objective.warm_up(output, y, weight)
    terms = objective(output, y, weight)
    if module.training:
        objective.update(output, y, weight, terms)
    return terms


class StopTraining(Exception):
    """Raised by a callback to end a phase; skorch's own signal is the user's Ctrl-C."""


class TwoPhaseNet(NeuralNet):
    """A skorch net that trains in two phases and logs every term of the objective.

    ``fit_loop`` takes a pair of :class:`TensorData`, the second of which may be None.
    """

    phase = "warm-up"
    precision = "float32"
    shuffle_generator: torch.Generator | None = None
    group: ProcessGroup | None = None  # that shares the fit

    @property
    def _default_callbacks(self):
        return [("timer", EpochTimer())]  # skorch's others score and print per batch

    def get_split_datasets(self, X, y=None, **fit_params):
        return X  # split once, before both phases

    def get_iterator(self, dataset, training=False):
        # whole batches from tensors: a DataLoader would index row by row
        if training:
            return Batches(dataset, self.batch_size, self.shuffle_generator, self.group)
        return Batches(dataset, PREDICT_BATCH, None, self.group)

    def seed(self, seed):
        """Make shuffling, dropout and noise reproducible and private to this net."""
        self.shuffle_generator = torch.Generator().manual_seed(seed)
        if self.group is not None:
            seed += self.group.rank  # the shuffled order is common, dropout and noise are not
        generator = torch.Generator(device=self.device).manual_seed(seed)
        set_generator(self.module_, generator)
        return self

    def unseed(self):
        """Drop the generators, which cannot be pickled on every device."""
        self.shuffle_generator = None
        set_generator(self.module_, None)
        return self

    def join(self, group, estimator, data):
        """Train with the other processes of a group, beginning with the weights of the first."""
        self.group = group
        if group is not None:
            group.check_same(estimator, data)
            for part in (self.module_, self.criterion_):
                group.broadcast([*part.parameters(), *part.buffers()])
        return self

    def initialize_optimizer(self, *args, **kwargs):
        self.optimizer_ = FlatAdamW(
            self.module_.parameters(), lr=self.lr, weight_decay=self.optimizer__weight_decay
        )
        return self

    def train_step(self, batch, **fit_params):
        terms = self._terms(batch)
        self.optimizer_.descend(terms.loss, self.group and self._average)
        return terms

    def _average(self, gradient):
        """Make the gradient and the objective's moving averages those of all processes' rows."""
        averages = [
            average for name, average in self.criterion_.named_buffers()
            if name.rpartition(".")[2] != "weights"
        ]  # fmt: skip
        self.group.average([gradient, *averages])  # type: ignore[union-attr]

    def validation_step(self, batch, **fit_params):
        with torch.no_grad():
            return self._terms(batch)

    def _terms(self, batch):
        return objective_terms(self.module_, self.criterion_, self.phase, batch, self.precision)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        # terms stay on the device and are read once per epoch; skorch reads the loss every batch
        if iterator is None:
            return
        self._set_training(training)
        group = self.group
        if group is not None:
            group.stage = f"in epoch {len(self.history)} ({self.phase})"
        if training and self.phase == "main" and self._main_epochs() > 0:
            self.criterion_.reweight()
        terms, sizes = [], []
        for batch in iterator:
            step = step_fn(batch, **fit_params)
            terms.append(step.flat())
            sizes.append(len(batch[2]) if group is None else group.n_rows)
        share = torch.tensor(sizes, device=terms[0].device) / len(iterator.data)
        means = share @ torch.stack(terms)
        if group is not None:
            means = group.sum(means)
            if training:
                group.broadcast(self.module_.buffers())  # of a user's batch normalisation
        weights = self.criterion_.weights
        names = step.columns(self.module_.names)
        by_name = dict(zip(names, means.tolist(), strict=True))
        self.record(prefix, by_name, None if weights is None else weights.tolist())

    def _main_epochs(self):
        return sum(row["phase"] == "main" for row in self.history[:-1])

    def record(self, prefix, means, weights):
        """Write the mean terms of an epoch, and the weights it had, into the history.

        Parameters
        ----------
        prefix : {"train", "valid"}
        means : dict of str to float
            As :meth:`~sklearn_omib.nn.ObjectiveTerms.columns` names them.
        weights : list of n_modalities floats, or None
        """
        for column, value in means.items():
            self.history.record(f"{prefix}_{column}", value)
        if prefix == "train":
            self.history.record("phase", self.phase)
            for name, weight in zip(self.module_.names, weights or (), strict=weights is not None):
                self.history.record(f"weight_{name}", weight)
        if not np.isfinite(means["loss"]):
            self._raise_diverged(f"the loss is {means['loss']}")

    def _raise_diverged(self, what):
        raise ValueError(
            f"Training diverged: {what} in epoch {len(self.history)} ({self.phase}). Lower "
            "learning_rate, or check the scale of inputs and target."
        )

    def run_phase(self, phase, data, epochs):
        """Train for a number of epochs, or until a callback stops.

        Parameters
        ----------
        phase : {"warm-up", "main"}
        data : (TensorData, TensorData or None)
        epochs : int
        """
        self.phase = phase
        self.notify("on_train_begin", X=data, y=None)
        with suppress(StopTraining):
            self.fit_loop(data, epochs=epochs)
        self.optimizer_.detach()
        self.notify("on_train_end", X=data, y=None)
        self.check_weights()
        return self

    def check_weights(self):
        """Raise ValueError if any weight is not finite."""
        if not all(parameter.isfinite().all() for parameter in self.module_.parameters()):
            self._raise_diverged("weights are not finite")

    def predict_batches(self, data):
        """Yield (prediction, xi, log_variance) for successive batches of rows."""
        self._set_training(False)
        n_rows = len(data)
        with torch.inference_mode():
            if n_rows < MIN_PREDICT_ROWS:
                rows = torch.arange(MIN_PREDICT_ROWS, device=data.device).clamp_max(n_rows - 1)
                outputs = self.module_.predict(data.take(rows)[0])
                yield tuple(None if part is None else part[:n_rows] for part in outputs)
                return
            for inputs, _, _ in data.batches(PREDICT_BATCH):
                yield self.module_.predict(inputs)

    def sampled_xi(self, data, seed):
        """xi of all rows with noise in the codes, as in training, but without dropout.

        The network's own generators are left as they were.
        """
        self._set_training(False)
        generator = torch.Generator(device=self.device).manual_seed(seed)
        with sampling(self.module_.bottlenecks, generator), torch.inference_mode():
            return torch.cat(
                [self.module_.predict(inputs)[1] for inputs, _, _ in data.batches(PREDICT_BATCH)]
            )

    def history_frame(self):
        """Every epoch so far, one row each, as a DataFrame."""
        frame = pd.DataFrame([{k: v for k, v in row.items() if k != "batches"}
                              for row in self.history])  # fmt: skip
        frame = frame.rename(columns={"dur": "seconds"})
        first = [column for column in ("epoch", "phase", "seconds") if column in frame]
        return frame[first + [column for column in frame if column not in first]]


# -- callbacks ------------------------------------------------------------------------------------
class Patience:
    """Whether a loss, or each of several, still falls.

    Parameters
    ----------
    patience : int
        Epochs without a better loss after which training ends.
    tol : float
        By how much a loss must fall to be better, in nats.
    shape : tuple of int
        Of the losses.
    """

    def __init__(self, patience, tol, shape=()):
        self.patience, self.tol = patience, tol
        self.best, self.waited = np.full(shape, np.inf), np.zeros(shape, int)

    def update(self, loss):
        """Take in the losses of an epoch; returns which are the best so far, which to stop."""
        self.waited = np.where(loss < self.best - self.tol, 0, self.waited + 1)
        is_best = loss < self.best
        self.best = np.where(is_best, loss, self.best)
        return is_best, self.waited >= self.patience

    def keep(self, which):
        """Go on with some of several losses."""
        self.best, self.waited = self.best[which], self.waited[which]


class EarlyStopping(Callback):
    """Stop the main phase when the validation task loss settles, and restore the best epoch.

    The task loss, not the total: the KL falls long after prediction has stopped to gain.

    Parameters
    ----------
    patience, tol : see :class:`Patience`
    """

    def __init__(self, patience, tol):
        self.patience, self.tol = patience, tol

    def on_train_begin(self, net, **kwargs):
        self.patience_, self.best_state_ = Patience(self.patience, self.tol), None

    def on_epoch_end(self, net, **kwargs):
        if net.phase != "main" or "valid_task_loss" not in net.history[-1]:
            return
        is_best, stop = self.patience_.update(net.history[-1]["valid_task_loss"])
        if is_best:
            self.best_state_ = [
                copy.deepcopy(part.state_dict()) for part in (net.module_, net.criterion_)
            ]
        if stop:
            raise StopTraining

    def on_train_end(self, net, **kwargs):
        if self.best_state_ is not None:
            for part, state in zip((net.module_, net.criterion_), self.best_state_, strict=True):
                part.load_state_dict(state)
        self.best_state_ = None


class Snapshots(Callback):
    """Call a function before the main phase, which is epoch 0, and after some of its epochs.

    Parameters
    ----------
    epochs : collection of int
    read : callable
        Called with the number of the epoch. It may switch the network to evaluation.
    """

    def __init__(self, epochs, read):
        self.epochs, self.read = epochs, read

    def on_train_begin(self, net, **kwargs):
        self.epoch_ = 0
        self._read(net)

    def on_epoch_end(self, net, **kwargs):
        self.epoch_ += 1
        self._read(net)

    def _read(self, net):
        if net.phase == "main" and self.epoch_ in self.epochs:
            self.read(self.epoch_)


class ProgressBar(Callback):
    """One bar over the epochs of a phase, with the losses beside it."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_begin(self, net, **kwargs):
        self.bar_ = tqdm(total=self.epochs[net.phase], desc=net.phase, unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        row = net.history[-1]
        shown = {key: row[key] for key in ("train_loss", "valid_task_loss") if key in row}
        self.bar_.set_postfix({key: f"{value:.4f}" for key, value in shown.items()})
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        self.bar_.close()
        self.bar_ = None
