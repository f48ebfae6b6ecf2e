"""Training on skorch: data as tensors, the two-phase net, stopping, devices and seeds.

The only file that imports skorch. The net is composed, never inherited by an estimator: its fit
loop and callbacks are skorch's, and the few hooks overridden here say why.
"""

from __future__ import annotations

import copy
import os
import threading
from contextlib import contextmanager, nullcontext, suppress
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer
from tqdm.auto import tqdm

from ._distributed import ProcessGroup, current_group
from ._optimizer import FlatAdamW
from .nn import SparseBatch, set_generator

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PREDICT_BATCH = 4096  # rows per batch where no gradient is kept
# Matrix products of a few rows sum in another order than those of many. Padding to this many rows
# makes the prediction of a sample the same, to the last bit, whatever it is predicted with.
MIN_PREDICT_ROWS = 16


# -- devices and threads --------------------------------------------------------------------------
def resolve_device(device):
    """Turn "auto" into the best device there is: cuda, then mps, then cpu.

    Processes started together on one machine take a GPU each, by their LOCAL_RANK.

    Parameters
    ----------
    device : str or torch.device

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If the device is not there.
    """
    if device == "auto":
        if torch.cuda.is_available():
            if "LOCAL_RANK" not in os.environ:
                return torch.device("cuda")
            return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        # processes cannot exchange what lies on mps
        if torch.backends.mps.is_available() and current_group() is None:
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={str(device)!r} cannot be used: {error}") from error
    return device


_THREADS_LOCK = threading.Lock()
_threads_users = 0
_threads_before = 1


@contextmanager
def cpu_threads(n_threads):
    """Let torch use a fixed number of CPU threads, and give it back what it had.

    How many threads share a sum changes its last digits, so a fixed number makes a fit the same
    in the main process, in joblib's workers and in its threads.
    """
    global _threads_users, _threads_before
    with _THREADS_LOCK:
        if _threads_users == 0:
            _threads_before = torch.get_num_threads()
        _threads_users += 1
        torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        with _THREADS_LOCK:
            _threads_users -= 1
            if _threads_users == 0:
                torch.set_num_threads(_threads_before)


# -- data -----------------------------------------------------------------------------------------
def batch_edges(n_samples, batch_size):
    """Where batches begin whose sizes differ by at most one row, and the end."""
    n_batches = -(-n_samples // batch_size)
    return [n_samples * i // n_batches for i in range(n_batches + 1)]


class TensorData:
    """Modalities, target and weights as tensors that give whole batches.

    Parameters
    ----------
    blocks : dict of str to (ndarray or CSR matrix), float32
    y : ndarray or None
    weight : ndarray of shape (n_samples,) or None
        None weighs all samples 1.
    device : torch.device
        Where dense blocks live; sparse ones stay on the CPU and move batch by batch.
    """

    def __init__(self, blocks, y, weight, device):
        self.device = device
        self.n_samples = next(iter(blocks.values())).shape[0]
        self.blocks = {
            name: block if sparse.issparse(block) else self._tensor(block)
            for name, block in blocks.items()
        }
        self.y = None if y is None else self._tensor(y)
        weight = np.ones(self.n_samples) if weight is None else weight
        self.weight = self._tensor(np.asarray(weight, dtype=np.float32))

    def _tensor(self, array):
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)

    def __len__(self):
        return self.n_samples

    def take(self, rows):
        """Inputs, target and weights of some rows, a slice or an index tensor."""
        inputs = {
            name: self._sparse_batch(block, rows) if sparse.issparse(block) else _rows(block, rows)
            for name, block in self.blocks.items()
        }
        return inputs, None if self.y is None else _rows(self.y, rows), _rows(self.weight, rows)

    def _sparse_batch(self, block, rows):
        block = block[rows if isinstance(rows, slice) else rows.cpu().numpy()]
        return SparseBatch(
            torch.from_numpy(block.indices.astype(np.int64)).to(self.device),
            torch.from_numpy(block.indptr[:-1].astype(np.int64)).to(self.device),
            torch.from_numpy(block.data).to(self.device),
        )

    def batches(self, batch_size, generator=None, share=None):
        """Yield the data in batches whose sizes differ by at most one row.

        Parameters
        ----------
        batch_size : int
            The largest size.
        generator : torch.Generator, default=None
            Shuffles the rows; None keeps their order.
        share : callable, default=None
            Turns ``(start, stop)`` of a batch into the part of it that is wanted.
        """
        order = None
        if generator is not None:
            order = torch.randperm(self.n_samples, generator=generator).to(self.device)
        for start, stop in pairwise(batch_edges(self.n_samples, batch_size)):
            if share is not None:
                start, stop = share(start, stop)
            yield self.take(slice(start, stop) if order is None else order[start:stop])


def _rows(tensor, rows):
    return tensor[rows] if isinstance(rows, slice) else tensor.index_select(0, rows)


class _Batches:
    """An iterable that starts a new pass over the data each time, as skorch's loop expects.

    The processes of a group pass over the data together: a batch holds ``batch_size`` rows of each.
    """

    def __init__(self, data, batch_size, generator, group):
        self.data, self.batch_size, self.generator = data, batch_size, generator
        self.group = group

    def __iter__(self):
        if self.group is None:
            return self.data.batches(self.batch_size, self.generator)
        n_rows = self.batch_size * self.group.size
        return self.data.batches(n_rows, self.generator, self.group.share)


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
            return _Batches(dataset, self.batch_size, self.shuffle_generator, self.group)
        return _Batches(dataset, PREDICT_BATCH, None, self.group)

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
