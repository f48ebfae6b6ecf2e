"""The device of a fit, the CPU threads it uses, and torch as it is by itself around it."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from numbers import Integral
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

from ..nn.environment import ProcessSetting, plain_torch
from .processes import current_group


def memory_bytes() -> float:
    """Memory of this machine; infinite where it does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def resolve_device(device: str | torch.device) -> torch.device:
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
        return _usable(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={str(device)!r} cannot be used: {error}. device='auto' takes what is there."
        ) from error


def device_or_cpu(device: str | torch.device) -> torch.device:
    """A device, or the CPU where it is not there: what was fitted with a GPU predicts without."""
    try:
        return _usable(device)
    except (RuntimeError, AssertionError):
        return torch.device("cpu")


def _usable(device: str | torch.device) -> torch.device:
    device = torch.device(device)
    if device.type == "cpu":  # of which there is one, whatever its number
        return torch.device("cpu")
    torch.zeros(1, device=device).item()  # of "meta" there are no values
    return device


class OutOfMemoryError(torch.cuda.OutOfMemoryError):
    """A fit does not fit into memory, not with half of the batch size either."""


def free_memory(device: str | torch.device) -> None:
    """Give back to the device what nobody holds any more."""
    gc.collect()  # frames of an error hold tensors
    if str(device).startswith(("auto", "cuda")) and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


# Tensors of a step are some hundred kB, which glibc would take from the system and give back one by
# one, a page fault for each 4 kB: a third of a prediction. A block once freed moves its thresholds.
torch.empty(2**25 - 2**16, dtype=torch.uint8)

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

MOST_THREADS = 1024  # more than machines have cores; of some millions a process dies
CPU_THREADS = ProcessSetting(torch.get_num_threads, torch.set_num_threads)


def settled(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Decorate a method of an estimator that makes torch work: see :func:`settled_torch`."""

    @wraps(method)
    def within(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with settled_torch(self):
            return method(self, *args, **kwargs)

    return within


@contextmanager
def settled_torch(estimator: Any) -> Iterator[None]:
    """Let torch work as an estimator says, whatever a user has set: the same result anywhere."""
    n_threads = estimator.n_threads
    if not (isinstance(n_threads, Integral) and 1 <= int(n_threads) <= MOST_THREADS):
        raise ValueError(f"n_threads must be an int from 1 to {MOST_THREADS}, got {n_threads!r}.")
    with plain_torch(), cpu_threads(int(n_threads)):
        yield


@contextmanager
def cpu_threads(n_threads: int) -> Iterator[None]:
    """Let torch use a fixed number of CPU threads, and give it back what it had.

    How many threads share a sum changes its last digits, so a fixed number makes a fit the same
    in the main process, in joblib's workers and in its threads.
    """
    with CPU_THREADS.at(n_threads):
        yield
