"""What a user has set for torch, put aside while code of ours runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


class ProcessSetting:
    """What torch has one of for the whole process, lent to threads that want it otherwise.

    The first to come notes what was set, and the last to go gives it back.

    Parameters
    ----------
    read, write : callable
        Tell the value, and set it.
    """

    def __init__(self, read: Callable[[], Any], write: Callable[[Any], Any]) -> None:
        self.read, self.write = read, write
        self.lock, self.n_users = threading.Lock(), 0
        self.before: Any = None

    @contextmanager
    def at(self, value: Any) -> Iterator[None]:
        """Set a value, until all are gone who have set one."""
        with self.lock:
            if self.n_users == 0:
                self.before = self.read()
            self.n_users += 1
            self.write(value)
        try:
            yield
        finally:
            with self.lock:
                self.n_users -= 1
                if self.n_users == 0:
                    self.write(self.before)


DEFAULT_DTYPE = ProcessSetting(torch.get_default_dtype, torch.set_default_dtype)


@contextmanager
def plain_torch() -> Iterator[None]:
    """Let torch work as it does by itself, and give back what was set.

    New tensors are float32 and on the CPU, gradients are recorded, nothing is cast: results are
    the same inside ``torch.no_grad()``, ``inference_mode()``, ``autocast()`` or a device context,
    and after ``set_default_dtype`` or ``set_default_device``.

    Notes
    -----
    The default dtype alone belongs to the process, not to the thread. While any thread is inside,
    it is float32.
    """
    with ExitStack() as stack:
        stack.enter_context(DEFAULT_DTYPE.at(torch.float32))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield
