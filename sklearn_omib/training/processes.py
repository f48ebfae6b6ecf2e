"""One fit shared by several processes: who takes part, who takes which rows, what they exchange.

``torchrun --nproc-per-node 2 script.py`` runs a script twice. Each process prepares the same fit on
the same data, trains on its share of every batch and adds its gradient to those of the others, so
that all of them end with the same model. The only file that knows of torch.distributed; accelerate
finds the processes and their devices.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from functools import wraps
from numbers import Integral
from traceback import clear_frames
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import distributed

from .._typing import RandomState
from ..data.batches import TensorData
from ..data.streams import StreamData
from ..nn import SparseBatch

DIGEST_ROWS = 256  # by which processes tell whether they hold the same data
TIMEOUT = 300.0  # seconds to wait for another process before a fit gives up
# what may differ between processes without harm; the first one's random_state counts for all
PRIVATE_PARAMETERS = {"device", "n_threads", "random_state", "verbose"}

P = ParamSpec("P")
R = TypeVar("R")

_group: ContextVar[ProcessGroup | None] = ContextVar("group", default=None)
_alone: ContextVar[bool] = ContextVar("alone", default=False)


class ProcessLostError(RuntimeError):
    """Another process of a shared fit stopped, failed or did not come."""


# -- who takes part -------------------------------------------------------------------------------
@contextmanager
def fit_alone() -> Iterator[None]:
    """Let every process fit on its own, although several were started together.

    Under ``torchrun`` or ``accelerate launch``, a ``fit`` in the main thread of each process is one
    fit that all of them share: every process has to call it, with the same data. Inside this
    context a fit waits for nobody, so that one process may fit what the others do not.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBClassifier, fit_alone
    >>> X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    >>> with fit_alone():
    ...     clf = OMIBClassifier(max_epochs=1).fit(X, y)
    """
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def _takes_part() -> bool:
    """Whether a fit here is shared with other processes.

    Workers of joblib, dask and multiprocessing inherit the environment of the process that started
    them, but the group does not expect them: they fit alone, and so do all threads but the main.
    """
    return (
        int(os.environ.get("WORLD_SIZE") or 1) > 1
        and "RANK" in os.environ
        and not _alone.get()
        and multiprocessing.parent_process() is None
        and threading.current_thread() is threading.main_thread()
    )


def together(fit: Callable[P, R]) -> Callable[P, R]:
    """Decorate a method that fits, so that processes started for that share it."""

    @wraps(fit)
    def shared(*args: P.args, **kwargs: P.kwargs) -> R:
        if _group.get() is not None or not _takes_part():
            return fit(*args, **kwargs)
        with ProcessGroup() as group:
            token = _group.set(group)
            try:
                return fit(*args, **kwargs)
            finally:
                _group.reset(token)

    return shared


def current_group() -> ProcessGroup | None:
    """Return the group that shares the running fit, or None."""
    return _group.get()


def common_random_state(random_state: RandomState) -> Any:
    """:func:`check_random_state`, with the same outcome in every process of the group."""
    group = _group.get()
    if group is None:
        return check_random_state(random_state)
    if not isinstance(random_state, Integral):
        random_state = check_random_state(random_state).randint(2**31 - 1)
    return np.random.RandomState(group.gather(random_state)[0])


# -- the group ------------------------------------------------------------------------------------
class ProcessGroup:
    """The processes that share a fit, connected for the time of this fit only.

    So a process that fails closes its connections without harm to later fits, and the others, who
    wait for its part of a sum, see that at once instead of hanging.

    Attributes
    ----------
    rank : int
        Number of this process.
    size : int
        Number of processes.
    n_rows : int
        Rows of the current batch that are this process's share.
    stage : str
        How far the fit is, for messages.
    """

    broken = False  # whether a process is gone for good, and waiting for it in vain

    def __init__(self) -> None:
        if self.broken:
            raise ProcessLostError(
                "An earlier fit lost another process. Start all of them again, or use "
                "sklearn_omib.fit_alone()."
            )
        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.stage = "before the first epoch"
        self.n_rows, self._fraction = 0, 0.0
        self._handle: distributed.ProcessGroup | None = None
        with self._explained():
            self._connect(timedelta(seconds=TIMEOUT))

    def _connect(self, timeout: timedelta) -> None:
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise ImportError(
                f"WORLD_SIZE={self.size}: to share a fit between processes, install accelerate: "
                "pip install 'sklearn-omib[distributed]'. To fit in each process on its own, use "
                "sklearn_omib.fit_alone()."
            ) from error
        cuda = torch.cuda.is_available()
        state = PartialState(cpu=not cuda, timeout=timeout)
        found = getattr(state, "num_processes", 0)  # unset where an earlier attempt failed
        if found != self.size:
            raise ValueError(
                f"WORLD_SIZE={self.size}, but accelerate finds {found} process(es). Start the "
                "script with torchrun or accelerate launch."
            )
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        self._handle = distributed.new_group(timeout=timeout, backend=backend)

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and not isinstance(error, ProcessLostError):
            self._report(error)
        # the last reference: gloo closes its connections with it
        handle, self._handle = self._handle, None
        distributed.destroy_process_group(handle)

    # -- what is exchanged ----------------------------------------------------------------
    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, any object that pickles, by rank."""
        values = [None] * self.size
        with self._explained():
            distributed.all_gather_object(values, value, group=self._handle)
        return values

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Add up a tensor over the processes, in place."""
        with self._explained():
            distributed.all_reduce(tensor, group=self._handle)
        return tensor

    @torch.no_grad()
    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors by their means over the processes, weighted by the rows of each."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        # what was computed from rows that do not count may be NaN
        self.sum(flat.mul_(self._fraction) if self._fraction else flat.zero_())
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    @torch.no_grad()
    def broadcast(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace tensors by those of the first process."""
        for tensor in tensors:
            sent = tensor.contiguous()
            with self._explained():
                distributed.broadcast(sent, src=0, group=self._handle)
            tensor.copy_(sent)

    # -- what is shared -------------------------------------------------------------------
    def share(self, start: int, stop: int) -> tuple[int, int]:
        """This process's part of the rows of a batch; at least one, which then does not count."""
        n_batch = stop - start
        first, last = (start + n_batch * rank // self.size for rank in (self.rank, self.rank + 1))
        self.n_rows = last - first
        self._fraction = self.n_rows / n_batch
        return (first, last) if self.n_rows else (start, start + 1)

    def check_same(
        self, estimator: Any, train: TensorData | StreamData, valid: TensorData | None
    ) -> None:
        """Raise in all processes if they fit different estimators or data."""
        facts: dict[str, Any] = {
            name: value for name, value in estimator.get_params(deep=False).items()
            if isinstance(value, (bool, int, float, str)) and name not in PRIVATE_PARAMETERS
        }  # fmt: skip
        facts["estimator"] = type(estimator).__name__
        facts["rows for training and validation"] = [len(train), len(valid or ())]
        facts["modalities"] = estimator.modalities_
        everyone, digests = zip(*self.gather((facts, _digest(train))), strict=True)
        differing: dict[str, Any] = {
            name: [other.get(name) for other in everyone] for name in facts
            if any(other.get(name) != facts[name] for other in everyone)
        }  # fmt: skip
        if not differing and not np.allclose(digests, digests[0], rtol=1e-3, atol=1e-5):
            differing["values"] = "other rows or another order"
        if differing:
            raise ValueError(
                f"The {self.size} processes of one fit differ in {differing}. Give them the same "
                "data, parameters and splits, or let each fit on its own with "
                "sklearn_omib.fit_alone()."
            )

    # -- when a process is lost -----------------------------------------------------------
    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in words what torch's errors of communication, all RuntimeErrors, mean."""
        try:
            yield
        except RuntimeError as error:
            # its frames keep connections open that others wait on
            clear_frames(error.__traceback__)
            reports = self._reports()
            if not reports:  # who fails and lives on says why
                ProcessGroup.broken = True
            raise ProcessLostError(
                f"Process {self.rank} of {self.size} lost the others {self.stage}: another process "
                f"stopped or failed, or did not come within {TIMEOUT:g} seconds."
                f"{reports} A fit is shared by all processes that were started together; "
                "to let one fit on its own, use sklearn_omib.fit_alone()."
            ) from error

    def _report(self, error: BaseException) -> None:
        """Leave the reason where the others find it once the connections are closed."""
        with suppress(RuntimeError):
            self._store().set(str(self.rank), f"{type(error).__name__}: {error}")

    def _reports(self) -> str:
        said = ""
        with suppress(RuntimeError):
            store = self._store()
            for rank in map(str, range(self.size)):
                if store.check([rank]):
                    said += f" Process {rank} says {store.get(rank).decode()!r}."
        return said

    def _store(self) -> distributed.PrefixStore:
        if self._handle is None:
            raise RuntimeError("There is no connection yet.")
        store = distributed.distributed_c10d._get_default_store()
        return distributed.PrefixStore(f"sklearn_omib/{self._handle.group_name}", store)


def _digest(data: TensorData | StreamData) -> list[float]:
    """A number for each tensor of the first rows that changes with rows and their order."""
    inputs, y, weight = data.take(torch.arange(min(len(data), DIGEST_ROWS), device=data.device))
    digest = []
    part: Any  # in a fit there is a target, and sparse batches come singly
    for part in (*inputs.values(), y, weight):
        flat = (part.values if isinstance(part, SparseBatch) else part).float().flatten()
        ramp = torch.linspace(1, 2, len(flat), device=flat.device)
        digest.append(float(flat @ ramp) / max(len(flat), 1))
    return digest
