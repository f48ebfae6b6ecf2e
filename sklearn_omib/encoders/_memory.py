"""Features of items kept in a folder between fits, found again by content."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from .._typing import Array
from ..data.raw import is_picture

Folder: TypeAlias = str | os.PathLike[str] | None

FILE = "features.sqlite"
PATIENCE = 60.0  # seconds for another process to finish writing
AT_ONCE = 500  # keys in a question; older SQLite takes 999
LARGEST = float(np.finfo(np.float16).max)
TABLE = "CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, shape TEXT, numbers BLOB)"


def remembered(
    memory: Folder,
    fingerprint: str,
    items: Sequence[Any],
    compute: Callable[[list[Any]], Sequence[Array]],
) -> list[Array]:
    """Features of items, computed once for each content, now or at any time before.

    Parameters
    ----------
    memory : str, path or None
        A folder, made where it is not there, for as many processes as there are; None keeps
        nothing.
    fingerprint : str
        Tells encoders apart that make other features of an item.
    items : sequence of str, path, picture or ndarray
        What a path names is read: the content counts, not the name.
    compute : callable
        Makes a list of features, (...) each, of a list of items.

    Returns
    -------
    list of ndarray, float16
        The same whether they were computed or found. Equal items share one.

    Examples
    --------
    >>> from sklearn_omib.encoders._memory import remembered
    >>> def lengths(texts):
    ...     print(texts)
    ...     return [np.array([len(text)]) for text in texts]
    >>> remembered(None, "lengths", ["ab", "abc", "ab"], lengths)
    ['ab', 'abc']
    [array([2.], dtype=float16), array([3.], dtype=float16), array([2.], dtype=float16)]
    """
    keys = [_key(fingerprint, item) for item in items]
    first = {key: item for key, item in zip(reversed(keys), reversed(items), strict=True)}
    found = {} if memory is None else _read(Path(memory), list(first))
    new = [key for key in dict.fromkeys(keys) if key not in found]
    if new:
        made = compute([first[key] for key in new])
        found |= {key: _half(part) for key, part in zip(new, made, strict=True)}
        if memory is not None:
            _write(Path(memory), {key: found[key] for key in new})
    return [found[key] for key in keys]


def fingerprint(network: nn.Module, described: str) -> str:
    """Tells networks apart that make other features: by a description, and by their weights."""
    digest = sha256(described.encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _half(values: Array) -> Array:
    return np.clip(values, -LARGEST, LARGEST).astype(np.float16)


def _key(fingerprint: str, item: Any) -> bytes:
    digest = sha256(fingerprint.encode())
    for part in _content(item):
        digest.update(part)
    return digest.digest()


def _content(item: Any) -> Iterator[bytes]:
    """What kind an item is of, and what it holds."""
    if isinstance(item, str):
        yield b"\0text\0"
        yield item.encode(errors="surrogatepass")
    elif isinstance(item, PurePath):
        yield b"\0file\0"
        yield Path(item).read_bytes()
    elif is_picture(item):
        yield f"\0picture\0{item.mode}{item.size}".encode()
        yield item.tobytes()
    else:
        values = np.ascontiguousarray(item)
        yield f"\0array\0{values.dtype.str}{values.shape}".encode()
        yield values.tobytes()


def _read(folder: Path, keys: list[bytes]) -> dict[bytes, Array]:
    if not (folder / FILE).exists():
        return {}
    found = {}
    with closing(_opened(folder)) as store:
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = store.execute(f"SELECT * FROM features WHERE key IN ({marks})", some)
            for key, shape, numbers in rows:
                values = np.frombuffer(numbers, "<f2").astype(np.float16)
                found[key] = values.reshape(json.loads(shape))
    return found


def _write(folder: Path, features: dict[bytes, Array]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OSError(f"memory={str(folder)!r} is a file; name a folder.") from error
    rows = [
        (key, json.dumps(values.shape), values.astype("<f2").tobytes())
        for key, values in features.items()
    ]
    with closing(_opened(folder)) as store, store:
        store.executemany("INSERT OR IGNORE INTO features VALUES (?, ?, ?)", rows)


def _opened(folder: Path) -> sqlite3.Connection:
    path = folder / FILE
    store = sqlite3.connect(path, timeout=PATIENCE)
    try:
        store.execute(TABLE)
    except sqlite3.DatabaseError as error:
        store.close()
        raise OSError(
            f"{path} cannot be used to keep features: {error}. Delete it, or name another folder "
            "as memory."
        ) from error
    return store
