"""Features in memory, or where they are many in a temporary file."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from contextlib import ExitStack
from math import prod
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from .._typing import Array

IN_MEMORY = 2**30  # bytes of a block's features; more are in a file


def room(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array to be filled.

    In a file it takes as much memory as the system finds to spare. The file has no name, or goes
    with the process: nothing is left of it, however that ends.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.empty(shape, dtype)
    with TemporaryFile() as file:
        file.truncate(size)
        return _mapped(file, shape, dtype)


def stacked(parts: Iterable[Array]) -> Array:
    """Arrays below each other, of which no more than IN_MEMORY bytes are held at a time.

    Parameters
    ----------
    parts : iterable of ndarray of shape (n_rows, ...)
        Of one type.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.data.spill import stacked
    >>> stacked(np.full((n, 2), n) for n in (1, 2)).tolist()
    [[1, 1], [2, 2], [2, 2]]
    """
    held: list[Array] = []
    size = n_rows = 0
    file: Any = None  # which few features need not
    with ExitStack() as opened:
        for part in parts:
            held.append(part)
            size, n_rows = size + part.nbytes, n_rows + len(part)
            if size > IN_MEMORY:
                file = file or opened.enter_context(TemporaryFile())
                _move(held, file)
                size = 0
        if file is None:
            return np.concatenate(held) if held else np.empty((0, 1), np.float32)
        _move(held, file)
        file.flush()
        return _mapped(file, (n_rows, *part.shape[1:]), part.dtype)


def _move(held: list[Array], file: Any) -> None:
    """Write arrays to a file, in the place of holding them."""
    file.writelines(np.ascontiguousarray(one).data for one in held if one.size)
    held.clear()


def _mapped(file: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    # not a numpy.memmap: joblib would look for a file of that name
    return np.frombuffer(mmap.mmap(file.fileno(), 0), dtype).reshape(shape)
