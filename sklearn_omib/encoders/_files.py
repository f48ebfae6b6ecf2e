"""Reading files: ahead of their turn, a few at a time, and by name where that fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import PurePath
from typing import Any, TypeVar

from .._typing import Array
from ..data.spill import room
from ._base import NotReadError

A = TypeVar("A")
N_THREADS = 4  # decoding leaves Python's lock, and disks of a network answer several at once


@contextmanager
def naming(path: str | PurePath) -> Iterator[None]:
    """Name the file in whatever goes wrong while it is read: libraries have errors of any kind."""
    try:
        yield
    except ImportError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{str(path)!r} is not there.") from error
    except Exception as error:
        said = str(error) or type(error).__name__
        raise OSError(f"{str(path)!r} cannot be read: {said}") from error


def each(load: Callable[[Any], A], items: Sequence[Any] | Array, ahead: int = 16) -> Iterator[A]:
    """What ``load`` makes of every item, in their order; some are read ahead by other threads.

    Parameters
    ----------
    load : callable
        Raises OSError, ValueError or TypeError, whose messages need not tell the row.
    items : sequence
    ahead : int, default=16
        How many may be read and not taken yet.
    """
    with ThreadPoolExecutor(N_THREADS) as pool:
        waiting: deque[tuple[int, Future[A]]] = deque()
        try:
            for place, item in enumerate(items):
                waiting.append((place, pool.submit(load, item)))
                if len(waiting) > ahead:
                    yield _taken(*waiting.popleft())
            while waiting:
                yield _taken(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _taken(place: int, future: Future[A]) -> A:
    try:
        return future.result()
    except ImportError:
        raise
    except Exception as error:
        raise NotReadError(place, error) from error


def batches(parts: Iterable[A], size: int) -> Iterator[list[A]]:
    """Lists of so many, the last of what is left."""
    parts = iter(parts)
    while batch := list(islice(parts, size)):
        yield batch


def gathered(parts: Iterable[Array], n_rows: int) -> Array:
    """Rows of several arrays in one, which are never held twice."""
    whole, start = None, 0
    for part in parts:
        if whole is None:
            whole = room((n_rows, *part.shape[1:]), part.dtype)
        whole[start : start + len(part)] = part
        start += len(part)
    if whole is None:
        raise TypeError("is missing in every sample; leave it out.")
    return whole


def needs(module: str, what: str, extra: str | None = None) -> ImportError:
    """The error that says how to install what is not there."""
    wanted = module if extra is None else f"'sklearn-omib[{extra}]'"
    return ImportError(f"{what} needs {module}: pip install {wanted}")
