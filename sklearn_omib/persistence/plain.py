"""Objects as plain data: JSON text, numpy arrays, and what is neither ours nor known.

What :func:`to_plain` writes, :func:`from_plain` reads back, and nothing else does: files, pickles,
joblib's files and skops' hold the same. Objects become their class and their attributes, as in a
pickle, but a class is named among those :mod:`.known`, or is somebody else's: ``foreign``, of which
those who store the data decide.
"""

from __future__ import annotations

import copyreg
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import nn

from .._typing import Array
from .known import known, name_of

Node: TypeAlias = Any  # what JSON has: None, bool, int, float, str, list and dict of nodes

ATOMS = (type(None), bool, int, float, str)
AS_THEY_ARE = "biuf"  # kinds of arrays whose values safetensors can name
AS_BYTES = "cmMSU"
EMPTY = vars(nn.Module())  # what a module has that holds nothing: left out


class Plain(NamedTuple):
    """An object as plain data.

    Attributes
    ----------
    text : str
        JSON, which names arrays and foreign objects by their places.
    arrays : list of ndarray
        Of bool, int or float.
    foreign : list
        Classes and functions that are not known, and objects that cannot be taken apart.
    where : list of str
        Where each of them was found.
    """

    text: str
    arrays: list[Array]
    foreign: list[Any]
    where: list[str]


def to_plain(value: Any) -> Plain:
    """An object as plain data; arrays share memory with it."""
    writer = _Writer()
    node = writer.write(value, "")
    text = json.dumps(node, separators=(",", ":"))
    return Plain(text, writer.arrays, writer.foreign, writer.where)


def from_plain(text: str, arrays: list[Array], foreign: list[Any]) -> Any:
    """The object again, which shares no memory with the data.

    Raises
    ------
    ValueError
        If the data name a class that is not known, or are not what :func:`to_plain` writes.
    """
    try:
        return _Reader(arrays, foreign).read(json.loads(text))
    except Exception as error:  # whatever classes make of attributes that are not theirs
        raise ValueError(f"The data are not what was stored: {error!r}.") from error


class _Writer:
    """Turns objects into nodes. One that is met again is a reference to the first."""

    def __init__(self) -> None:
        self.arrays: list[Array] = []
        self.foreign: list[Any] = []
        self.where: list[str] = []
        self._places: dict[int, int] = {}
        self._kept: list[Any] = []  # or another could take the id of one that is gone

    def write(self, value: Any, where: str) -> Node:
        kind = type(value)
        if kind in ATOMS:
            return value
        if kind is list:
            return self._list(value, where)
        write = _CONTAINERS.get(kind)
        if write is not None:
            return write(self, value, where)
        place = self._places.get(id(value))
        if place is not None:
            return {"again": place}
        for kinds, write in _VALUES:
            if isinstance(value, kinds):
                return write(self, value, where)
        return self._object(value, where)

    def _remember(self, value: Any) -> None:
        self._places[id(value)] = len(self._kept)
        self._kept.append(value)

    # -- containers -----------------------------------------------------------------------
    def _list(self, values: Iterable[Any], where: str) -> list[Node]:
        return [self.write(part, f"{where}[{i}]") for i, part in enumerate(values)]

    def _tuple(self, values: Any, where: str) -> Node:
        return {"tuple": self._list(values, where)}

    def _set(self, values: Any, where: str) -> Node:
        return {type(values).__name__: self._list(sorted(values, key=repr), where)}

    def _dict(self, values: dict[Any, Any], where: str) -> Node:
        inside = {key: f"{where}[{key!r}]" if where else str(key) for key in values}
        if type(values) is dict and all(type(key) is str for key in values):
            return {"dict": {k: self.write(v, inside[k]) for k, v in values.items()}}
        pairs = [[self.write(k, where), self.write(v, inside[k])] for k, v in values.items()]
        return {"ordered" if type(values) is OrderedDict else "items": pairs}

    def _slice(self, value: slice, where: str) -> Node:
        return {"slice": self._list((value.start, value.stop, value.step), where)}

    def _range(self, value: range, where: str) -> Node:
        return {"range": [value.start, value.stop, value.step]}

    # -- numbers --------------------------------------------------------------------------
    def _scalar(self, value: np.generic, where: str) -> Node:
        if value.dtype.kind in AS_THEY_ARE and value.dtype.itemsize <= 8:
            return {"scalar": [value.dtype.str, value.item()]}
        return {"scalar": self._array(np.asarray(value), where)}

    def _array(self, value: Array, where: str) -> Node:
        kind = value.dtype.kind
        if type(value) not in (np.ndarray, np.memmap) or kind not in f"O{AS_THEY_ARE}{AS_BYTES}":
            return self._foreign(value, where)
        self._remember(value)
        if kind == "O":
            return {"objects": [list(value.shape), self._list(value.ravel().tolist(), where)]}
        if kind in AS_THEY_ARE and value.dtype.itemsize <= 8:
            return {"array": self._stored(value.astype(value.dtype.newbyteorder("="), copy=False))}
        raw = np.frombuffer(value.tobytes(), np.uint8)
        return {"bytes": [self._stored(raw), value.dtype.str, list(value.shape)]}

    def _stored(self, value: Array) -> int:
        self.arrays.append(np.require(value, requirements="C"))
        return len(self.arrays) - 1

    def _masked(self, value: Any, where: str) -> Node:
        self._remember(value)
        mask = np.ma.getmaskarray(value)
        return {"masked": [self.write(np.asarray(value.data), where), self.write(mask, where)]}

    def _random_state(self, value: np.random.RandomState, where: str) -> Node:
        state = value.get_state(legacy=False)
        if state["bit_generator"] != "MT19937":
            return self._foreign(value, where)
        self._remember(value)
        return {"random_state": self.write(state, where)}

    def _frame(self, value: pd.DataFrame, where: str) -> Node:
        if type(value) is not pd.DataFrame or isinstance(value.columns, pd.MultiIndex):
            return self._foreign(value, where)
        self._remember(value)
        columns: list[Any] = [value.iloc[:, i].to_numpy() for i in range(value.shape[1])]
        columns = [
            column if column.dtype.kind in AS_THEY_ARE else column.tolist() for column in columns
        ]
        index = value.index
        rows = range(index.start, index.stop, index.step) if type(index) is pd.RangeIndex else index
        rows = rows if isinstance(rows, range) else rows.tolist()
        return {"frame": [self.write(part, where) for part in (list(value), rows, columns)]}

    # -- torch ----------------------------------------------------------------------------
    def _tensor(self, value: torch.Tensor, where: str) -> Node:
        if type(value) not in (torch.Tensor, nn.Parameter) or value.layout is not torch.strided:
            return self._foreign(value, where)
        if value.is_complex() or value.is_quantized:
            return self._foreign(value, where)
        self._remember(value)
        plain, dtype = value.detach().cpu().contiguous(), str(value.dtype).rpartition(".")[2]
        plain = plain.view(torch.int16) if dtype == "bfloat16" else plain  # which numpy lacks
        return {"tensor": [self._stored(plain.numpy()), dtype, type(value) is nn.Parameter,
                           value.requires_grad]}  # fmt: skip

    def _device(self, value: torch.device, where: str) -> Node:
        return {"device": str(value)}

    def _dtype(self, value: torch.dtype, where: str) -> Node:
        return {"dtype": str(value).rpartition(".")[2]}

    def _size(self, value: torch.Size, where: str) -> Node:
        return {"size": list(value)}

    def _path(self, value: Path, where: str) -> Node:
        return {"path": str(value)}

    # -- classes, functions and objects ---------------------------------------------------
    def _named(self, value: Any, where: str) -> Node:
        name = name_of(value)
        return self._foreign(value, where) if name is None else {"known": name}

    def _foreign(self, value: Any, where: str) -> Node:
        for place, other in enumerate(self.foreign):
            if other is value:
                return {"foreign": place}
        self.foreign.append(value)
        self.where.append(where)
        return {"foreign": len(self.foreign) - 1}

    def _partial(self, value: partial[Any], where: str) -> Node:
        self._remember(value)
        parts = value.func, value.args, value.keywords
        return {"partial": [self.write(part, where) for part in parts]}

    def _object(self, value: Any, where: str) -> Node:
        """Class, arguments of ``__new__``, and attributes."""
        reduced = _taken_apart(value)
        if reduced is None:
            return self._foreign(value, where)
        self._remember(value)
        kind, arguments, state = reduced
        if isinstance(value, nn.Module):
            state = {k: v for k, v in state.items() if not (k in EMPTY and EMPTY[k] == v)}
        node = [self._named(kind, where), self.write(arguments, where)]
        if not isinstance(state, dict):
            return {"object": [*node, self.write(state, where)]}
        attributes = {k: self.write(v, f"{where}.{k}" if where else k) for k, v in state.items()}
        return {"object": [*node, {"dict": attributes}]}


def _taken_apart(value: Any) -> tuple[type, tuple[Any, ...], Any] | None:
    """What a plain pickle of an object has; None where its class goes another way."""
    if hasattr(value, "__plain__"):
        return type(value), (), value.__plain__()
    try:
        reduced = value.__reduce_ex__(2)
    except Exception:  # pickle will say so
        return None
    if not isinstance(reduced, tuple) or reduced[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
        return None
    kind, *arguments = reduced[1]
    state, *more = (*reduced[2:], None, None, None)[:3]
    return None if any(part is not None for part in more) else (kind, tuple(arguments), state)


Write: TypeAlias = Callable[[_Writer, Any, str], Node]
_CONTAINERS: dict[type, Write] = {
    tuple: _Writer._tuple,
    set: _Writer._set,
    frozenset: _Writer._set,
    dict: _Writer._dict,
    OrderedDict: _Writer._dict,
    slice: _Writer._slice,
    range: _Writer._range,
    torch.device: _Writer._device,
    torch.dtype: _Writer._dtype,
    torch.Size: _Writer._size,
}
_VALUES: list[tuple[Any, Write]] = [
    (np.generic, _Writer._scalar),
    (np.ma.MaskedArray, _Writer._masked),
    (np.ndarray, _Writer._array),
    (np.random.RandomState, _Writer._random_state),
    (pd.DataFrame, _Writer._frame),
    (torch.Tensor, _Writer._tensor),
    ((type, FunctionType, BuiltinFunctionType), _Writer._named),
    (partial, _Writer._partial),
    (Path, _Writer._path),
]


class _Reader:
    """Turns nodes into objects."""

    def __init__(self, arrays: list[Array], foreign: list[Any]) -> None:
        self.arrays, self.foreign = arrays, foreign
        self._met: list[Any] = []

    def read(self, node: Node) -> Any:
        if isinstance(node, list):
            return [self.read(part) for part in node]
        if not isinstance(node, dict):
            return node
        ((kind, content),) = node.items()
        if kind not in _READ_AGAIN:
            return _READ[kind](self, content)
        place = len(self._met)
        self._met.append(None)
        if kind == "object":
            return self._object(content, place)
        self._met[place] = value = _READ_AGAIN[kind](self, content)
        return value

    def _again(self, place: int) -> Any:
        return self._met[place]

    def _scalar(self, content: Node) -> Any:
        if isinstance(content, dict):
            return self.read(content)[()]
        dtype, value = content
        return _dtype(dtype).type(value)

    def _array(self, place: int) -> Array:
        return np.array(self.arrays[place])

    def _bytes(self, content: Node) -> Array:
        place, dtype, shape = content
        raw = np.ascontiguousarray(self.arrays[place])
        return np.frombuffer(raw.tobytes(), _dtype(dtype)).reshape(shape).copy()

    def _objects(self, content: Node) -> Array:
        shape, values = content
        array = np.empty(len(values), dtype=object)
        for i, part in enumerate(values):  # of which numpy would make more dimensions
            array[i] = self.read(part)
        return array.reshape(shape)

    def _masked(self, content: Node) -> Any:
        data, mask = self.read(content)
        return np.ma.MaskedArray(data, mask)

    def _random_state(self, content: Node) -> np.random.RandomState:
        random_state = np.random.RandomState()
        random_state.set_state(self.read(content))
        return random_state

    def _frame(self, content: Node) -> pd.DataFrame:
        names, rows, columns = self.read(content)
        frame = pd.DataFrame(dict(enumerate(columns)), index=rows)
        frame.columns = pd.Index(names)
        return frame

    def _tensor(self, content: Node) -> torch.Tensor:
        place, dtype, is_parameter, requires_grad = content
        tensor = torch.tensor(self.arrays[place])  # a copy, in memory that torch has aligned
        if dtype == "bfloat16":
            tensor = tensor.view(torch.bfloat16)
        if is_parameter:
            return nn.Parameter(tensor, requires_grad)
        return tensor.requires_grad_(requires_grad)

    def _partial(self, content: Node) -> Any:
        function, arguments, keywords = self.read(content)
        return partial(function, *arguments, **keywords)

    def _object(self, content: Node, place: int) -> Any:
        kind, arguments, state = content
        kind = self.read(kind)
        if not isinstance(kind, type):
            raise ValueError(f"{kind!r} is not a class.")
        value = self._met[place] = kind.__new__(kind, *self.read(arguments))
        state = self.read(state)
        if isinstance(value, nn.Module):
            state = vars(nn.Module()) | state
        if hasattr(value, "__from_plain__"):  # what is made again of its state
            value.__from_plain__(state)
        elif hasattr(value, "__plain__"):
            value.__dict__.update(state)
        elif hasattr(value, "__setstate__"):
            value.__setstate__(state)
        elif state is not None:
            value.__dict__.update(state)
        return value


def _dtype(name: str) -> np.dtype[Any]:
    dtype = np.dtype(name)
    if dtype.kind not in AS_THEY_ARE + AS_BYTES:
        raise ValueError(f"{name!r} is not a dtype that data may have.")
    return dtype


Read: TypeAlias = Callable[[_Reader, Any], Any]
_READ: dict[str, Read] = {
    "again": _Reader._again,
    "tuple": lambda reader, parts: tuple(reader.read(parts)),
    "set": lambda reader, parts: set(reader.read(parts)),
    "frozenset": lambda reader, parts: frozenset(reader.read(parts)),
    "dict": lambda reader, parts: {key: reader.read(part) for key, part in parts.items()},
    "items": lambda reader, pairs: dict(map(reader.read, pairs)),
    "ordered": lambda reader, pairs: OrderedDict(map(reader.read, pairs)),
    "slice": lambda reader, parts: slice(*reader.read(parts)),
    "range": lambda reader, parts: range(*parts),
    "scalar": _Reader._scalar,
    "device": lambda reader, name: torch.device(name),
    "dtype": lambda reader, name: _torch_dtype(name),
    "size": lambda reader, shape: torch.Size(shape),
    "path": lambda reader, path: Path(path),
    "known": lambda reader, name: known(name),
    "foreign": lambda reader, place: reader.foreign[place],
}
# what another node may refer to
_READ_AGAIN: dict[str, Any] = {
    "array": _Reader._array,
    "bytes": _Reader._bytes,
    "objects": _Reader._objects,
    "masked": _Reader._masked,
    "random_state": _Reader._random_state,
    "frame": _Reader._frame,
    "tensor": _Reader._tensor,
    "partial": _Reader._partial,
    "object": _Reader._object,
}


def _torch_dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{name!r} is not a dtype of torch.")
    return dtype
