"""When training ends, and who looks on: callbacks of the net."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from skorch.callbacks import Callback
from tqdm.auto import tqdm

from .._typing import Array
from .net import StackedNet


class Patience:
    """Which of several losses still fall.

    Parameters
    ----------
    patience : int
        Epochs without a better loss after which training ends.
    tol : float
        By how much a loss must fall to be better, in nats.
    n_losses : int
    """

    def __init__(self, patience: int, tol: float, n_losses: int) -> None:
        self.patience, self.tol = patience, tol
        self.best, self.waited = np.full(n_losses, np.inf), np.zeros(n_losses, int)

    def update(self, loss: Array) -> tuple[Array, Array]:
        """Take in the losses of an epoch; returns which are the best so far, which to stop."""
        self.waited = np.where(loss < self.best - self.tol, 0, self.waited + 1)
        is_best = loss < self.best
        self.best = np.where(is_best, loss, self.best)
        return is_best, self.waited >= self.patience

    def keep(self, which: Array) -> None:
        """Go on with some of the losses."""
        self.best, self.waited = self.best[which], self.waited[which]


class Stopping(Callback):
    """Dismiss networks that have settled, noting each where its validation task loss is lowest.

    Without rows to stop by, the last epoch that has ended is noted.

    The task loss, not the total: the KL falls long after prediction has stopped to gain. Networks
    that diverged are dismissed too.

    Parameters
    ----------
    patience, tol : see :class:`Patience`
    """

    def __init__(self, patience: int, tol: float) -> None:
        self.patience, self.tol = patience, tol

    def on_train_begin(self, net: StackedNet, **kwargs: Any) -> None:
        self.patience_ = Patience(self.patience, self.tol, len(net.live.networks))

    def on_epoch_end(self, net: StackedNet, **kwargs: Any) -> None:
        stop = np.array([k in net.failed for k in net.live.networks])
        if net.stops_by_validation:
            loss = np.array(net.history[-1]["valid_task_loss"])
            is_best, settled = self.patience_.update(loss)
            net.note(np.flatnonzero(is_best).tolist())
            stop |= settled
        elif net.phase == "main":
            net.note(range(len(net.live.networks)))  # what is left if the next epoch does not end
        net.n_ended = len(net.history)
        if stop.any():
            self.patience_.keep(~stop)
            net.dismiss(np.flatnonzero(stop).tolist())


class Snapshots(Callback):
    """Call a function before the main phase, which is epoch 0, and after some of its epochs.

    Parameters
    ----------
    epochs : collection of int
    read : callable
        Called with the number of the epoch and the network in training.
    """

    def __init__(self, epochs: Collection[int], read: Callable[[int, StackedNet], None]) -> None:
        self.epochs, self.read = epochs, read

    def on_train_begin(self, net: StackedNet, **kwargs: Any) -> None:
        self.epoch_ = 0
        self._read(net)

    def on_epoch_end(self, net: StackedNet, **kwargs: Any) -> None:
        self.epoch_ += 1
        self._read(net)

    def _read(self, net: StackedNet) -> None:
        if net.phase == "main" and self.epoch_ in self.epochs:
            self.read(self.epoch_, net)


class ProgressBar(Callback):
    """One bar over the epochs of a phase, with the mean losses of the networks beside it."""

    def __init__(self, epochs: Mapping[str, int]) -> None:
        self.epochs = epochs

    def on_train_begin(self, net: StackedNet, **kwargs: Any) -> None:
        self.bar_ = tqdm(total=self.epochs[net.phase], desc=net.phase, unit="epoch")

    def on_epoch_end(self, net: StackedNet, **kwargs: Any) -> None:
        row = net.history[-1]
        shown = {
            key: f"{np.mean(row[key]):.4f}"
            for key in ("train_loss", "valid_task_loss")
            if key in row
        }
        n_networks = len(row["networks"])
        self.bar_.set_postfix(shown | ({"networks": n_networks} if n_networks > 1 else {}))
        self.bar_.update()

    def on_train_end(self, net: StackedNet, **kwargs: Any) -> None:
        self.bar_.close()
        self.bar_ = None
