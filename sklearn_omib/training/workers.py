"""Networks that share nothing, trained in processes forked from this one.

A fork costs milliseconds where a new process would first import torch. The children do nothing but
the arithmetic of our own modules on one thread, and what they learned comes back through a pipe. A
child that dies, or is not heard of for long, costs time alone: its share is trained here.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import numpy as np
import torch
from joblib import cpu_count, effective_n_jobs

from .._typing import Array
from ..data.batches import Batch
from ..nn import ObjectiveTerms
from ..nn.stacking import copies, tensors, write
from .interrupts import ask, obey
from .net import StackedNet

# what a net has learned: weights of network and objective, history, failures
Learned: TypeAlias = tuple[list[list[Array]], list[dict[str, Any]], dict[int, str]]

TOGETHER = 3  # networks trained at a time: with more, a second core has too little to do
USUAL_EPOCHS, FEWEST_STEPS = 30, 60  # half a second
PATIENCE = 60.0  # seconds without a sign of life
LOOK_UP = 0.1  # seconds after which who waits asks whether to go on


def count_jobs(net: StackedNet, n_jobs: int | None, n_epochs: int) -> int:
    """How many processes to train a net in: None is one per core, where it pays.

    It pays for a number of steps, of which a fit is taken to need some thirty epochs. Always only
    where this process may fork.
    """
    if n_jobs is None:
        n_batches = -(-len(net.families[0].train) // net.batch_size)
        pays = min(n_epochs, USUAL_EPOCHS) * n_batches >= FEWEST_STEPS
        n_jobs = -1 if pays else 1
    return count_threads(net, n_jobs) if sys.platform == "linux" else 1


def count_threads(net: StackedNet, n_jobs: int | None) -> int:
    """How many threads may predict: None is one per core.

    One in processes and threads that share work already, and of a user's own modules, of which
    nobody knows what they do in two threads, or behind a fork.
    """
    shares = multiprocessing.parent_process() is not None
    if shares or threading.current_thread() is not threading.main_thread() or copies(net.module_):
        return 1
    return cpu_count() if n_jobs is None else effective_n_jobs(n_jobs)


def train_in_parts(
    net: StackedNet, train: Callable[[StackedNet], Any], n_jobs: int, together: int = TOGETHER
) -> None:
    """Train a net whose networks have rows of their own, a few networks at a time.

    Parameters
    ----------
    net : StackedNet
    train : callable
        Trains a net, in place.
    n_jobs : int
        Processes, this one included. Parts do not depend on it, and so results do not.
    together : int
        Networks of a part.
    """
    families = [
        [k for k, own in enumerate(net.family) if own == i] for i in range(len(net.families))
    ]
    n_parts = min(-(-net.n_networks // together), len(families))
    on_cpu = torch.device(net.device).type == "cpu"
    checkpoint = net.checkpoint
    if n_parts == 1 or net.group is not None or not on_cpu:
        if checkpoint is not None:
            checkpoint.part(0).load(net)
        train(net)
        return
    edges = np.linspace(0, len(families), n_parts + 1).round().astype(int).tolist()
    shares = [[k for own in families[i:j] for k in own] for i, j in pairwise(edges)]
    parts = [net.part(networks) for networks in shares]
    if checkpoint is not None:
        for number, part in enumerate(parts):
            checkpoint.part(number).load(part)
    try:
        _train_apart(parts, train, n_jobs)
    except KeyboardInterrupt:  # what there is may be of use
        _absorb(net, parts, shares)
        raise
    _absorb(net, parts, shares)


def _absorb(net: StackedNet, parts: list[StackedNet], shares: list[list[int]]) -> None:
    for part, networks in zip(parts, shares, strict=True):
        net.absorb(part, networks)


def _train_apart(nets: list[StackedNet], train: Callable[[StackedNet], Any], n_jobs: int) -> None:
    """Train nets that share nothing, some of them in other processes."""
    shares = np.array_split(np.arange(len(nets)), min(n_jobs, len(nets)))
    shares.sort(key=lambda share: -sum(nets[i].n_networks for i in share))
    own, *others = shares  # the most here, where nothing has to be sent
    children: list[_Child] = []
    try:
        for share in others:
            children.append(_Child([nets[i] for i in share], train))
        for i in own:
            train(nets[i])
        for child in children:
            child.finish()
    except KeyboardInterrupt:
        for child in children:
            child.stop()
        raise
    finally:
        for child in children:
            child.end()


class _Child:
    """A process that trains some nets."""

    taken = False  # whether what it has learned has come

    def __init__(self, nets: list[StackedNet], train: Callable[[StackedNet], Any]) -> None:
        self.nets, self.train = nets, train
        self.pipe, theirs = multiprocessing.Pipe(duplex=False)
        with warnings.catch_warnings():  # of threads, which the child does not need
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            self.pipe.close()
            self._work(theirs)
        theirs.close()

    def _work(self, pipe: Connection) -> None:
        """What the child does, and nothing after it."""
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
            signal.signal(signal.SIGUSR1, ask)
            interrupted = False
            try:
                for net in self.nets:
                    net.callbacks_ = [pair for pair in net.callbacks_ if pair[0] != "progress"]
                    _let_beat(net, pipe)
                    self.train(net)
            except KeyboardInterrupt:
                interrupted = True
            learned = [_learned(net) for net in self.nets]
            pipe.send((learned, interrupted))  # waits for the parent to read
        except BaseException as error:
            with suppress(Exception):
                pipe.send(error)
        finally:
            os._exit(0)

    def finish(self) -> None:
        """Take what the child has learned, or train here where it is lost."""
        try:
            if self.take():
                raise KeyboardInterrupt
        except EOFError:
            self.end()
            for net in self.nets:
                self.train(net)

    def stop(self) -> None:
        """Tell the child to stop, and take what it has learned until then, if it says so."""
        if not self.pid or self.taken:
            return
        os.kill(self.pid, signal.SIGUSR1)
        with suppress(Exception):  # of a child that is lost, nothing is kept
            self.take(waits=False)

    def take(self, waits: bool = True) -> bool:
        """Take what the child has learned; returns whether it was interrupted."""
        learned, interrupted = self._received(waits)
        self.taken = True
        for net, own in zip(self.nets, learned, strict=True):
            _take(net, own)
        return interrupted

    def _received(self, waits: bool) -> tuple[list[Learned], bool]:
        heard = time.monotonic()
        while time.monotonic() - heard < (PATIENCE if waits else PATIENCE / 6):
            if waits:
                obey()
            if not self.pipe.poll(LOOK_UP):
                continue
            heard, received = time.monotonic(), self.pipe.recv()
            if isinstance(received, BaseException):
                raise received
            if received is not None:
                return received
        raise EOFError

    def end(self) -> None:
        """Let the child be gone."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        self.pipe.close()


def _let_beat(net: Any, pipe: Connection) -> None:
    """Tell the parent with a step now and then that its child lives."""
    step, last = net.train_step, time.monotonic()

    def beating(batch: Batch, **fit_params: Any) -> ObjectiveTerms:
        nonlocal last
        if time.monotonic() - last > PATIENCE / 6:
            last = time.monotonic()
            pipe.send(None)
        return step(batch, **fit_params)

    net.train_step = beating


def _learned(net: StackedNet) -> Learned:
    weights = [[t.numpy() for t in tensors(part)] for part in (net.module_, net.criterion_)]
    return weights, [dict(row) for row in net.history], net.failed


def _take(net: StackedNet, learned: Learned) -> None:
    weights, rows, net.failed = learned
    for part, values in zip((net.module_, net.criterion_), weights, strict=True):
        write(part, map(torch.from_numpy, values))
    net.history[:] = rows
