"""What a user has set for torch, put aside while code of ours runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_DTYPE_LOCK = threading.Lock()
_dtype_users = 0
_dtype_before = torch.float32


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
        stack.enter_context(_float32())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield


@contextmanager
def _float32() -> Iterator[None]:
    global _dtype_users, _dtype_before
    with _DTYPE_LOCK:
        if _dtype_users == 0:
            _dtype_before = torch.get_default_dtype()
        _dtype_users += 1
        if torch.get_default_dtype() != torch.float32:
            torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _DTYPE_LOCK:
            _dtype_users -= 1
            if _dtype_users == 0 and _dtype_before != torch.float32:
                torch.set_default_dtype(_dtype_before)
