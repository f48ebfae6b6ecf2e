"""Ctrl-C while a fit trains: asked for at any moment, obeyed between two steps.

Between steps all networks are whole: none has its weights of one step and its averages of another.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Callers that fit once, among those of scikit-learn; its other parts fit again and again.
SINGLE = ("sklearn.base", "sklearn.compose", "sklearn.pipeline", "sklearn.utils")
REPEATED = ("dask.", "distributed.", "joblib.", "sklearn.", "sklearn_omib._search",
            "sklearn_omib.inspection")  # fmt: skip


class _Asked:
    """How often Ctrl-C was pressed while steps were taken."""

    times = 0


_asked = _Asked()


def ask(signum: int = signal.SIGINT, frame: FrameType | None = None) -> None:
    """Handle a signal: end before the next step, or at once when asked again."""
    _asked.times += 1
    if _asked.times > 1:
        raise KeyboardInterrupt


def obey() -> None:
    """Raise KeyboardInterrupt if it was asked for."""
    if _asked.times:
        raise KeyboardInterrupt


def insisted() -> bool:
    """Whether Ctrl-C was pressed twice."""
    return _asked.times > 1


@contextmanager
def between_steps() -> Iterator[None]:
    """Let Ctrl-C wait for the end of a step; a handler that somebody else has set is left alone."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _asked.times = 0


def one_of_many() -> bool:
    """Whether the running fit is one of many that a search, an ensemble or the like makes.

    Who presses Ctrl-C then wants all of them to end.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if name.startswith(REPEATED) and not name.startswith(SINGLE):
            return True
        frame = frame.f_back
    return False
