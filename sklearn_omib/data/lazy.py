"""Blocks that stay outside memory: memory maps, zarr, h5py, dask and parquet behind one interface.

None of these libraries is imported here: an object of theirs can only exist once they are.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .._typing import Array, Block

MIB = 2**20
# Lazy blocks that take no more than this as float32 are loaded, and all goes as with arrays.
MEMORY_BUDGET = 256 * MIB
# Rows held at once while streaming: a shuffle buffer (two, with the one being read), the rows for
# early stopping, the rows for the bound on beta.
BUFFER_BYTES = 128 * MIB
CHUNK_BYTES = 4 * MIB  # contiguous rows read at once; a shuffle buffer mixes many such chunks


def fits_in_memory(blocks: Iterable[Block]) -> bool:
    """Whether the lazy ones among the blocks are small enough to be loaded."""
    size = sum(4 * prod(block.shape) for block in blocks if isinstance(block, LazyBlock))
    return size <= MEMORY_BUDGET


def rows_per_read(row_bytes: int, stored_rows: int) -> int:
    """Rows in a chunk: whole chunks of storage, unless these are too large to mix many."""
    wanted = max(1, CHUNK_BYTES // row_bytes)
    if stored_rows * row_bytes > BUFFER_BYTES // 4:
        return wanted
    return max(1, wanted // stored_rows) * stored_rows


class ReadError(OSError):
    """Rows of a block outside memory cannot be read. The message names the file."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Say of whatever goes wrong what was being read."""
    try:
        yield
    except (ReadError, MemoryError):
        raise
    except Exception as error:
        raise ReadError(f"{what} cannot be read: {type(error).__name__}: {error}") from error


class LazyBlock:
    """An array outside memory, of which rows are read.

    Indexing by rows gives a lazy view; ``numpy.asarray`` loads.

    Parameters
    ----------
    source : object
        What holds the values.
    shape : tuple of int
        ``(n_samples, ...)``.
    dtype : dtype
    stored_rows : int, default=1
        Rows that storage can only give together, such as those of a compressed chunk.
    """

    columns: list[str] | None = None  # their names, where storage knows them

    def __init__(
        self, source: Any, shape: Iterable[int], dtype: DTypeLike, stored_rows: int = 1
    ) -> None:
        self.source = source
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.stored_rows = max(1, stored_rows)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"

    def where(self) -> str:
        """What holds the values, for messages."""
        return f"a {type(self.source).__name__}"

    def read(self, start: int, stop: int) -> Array:
        """Return rows ``start`` to ``stop`` as an array of their own.

        Raises
        ------
        ReadError
        """
        with reading(self.where()):
            return self._read(start, stop)

    def _read(self, start: int, stop: int) -> Array:
        raise NotImplementedError

    def take(self, rows: Array) -> Array:
        """Return the rows at the positions given, in any order, as an array.

        They are read window by window of contiguous rows, so that memory holds little more than
        the result.
        """
        rows = np.asarray(rows)
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        taken = np.empty((len(rows), *self.shape[1:]), self.dtype)
        row_bytes = max(1, self.dtype.itemsize * prod(self.shape[1:]))
        window = ordered // rows_per_read(row_bytes, self.stored_rows)
        for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(window)) + 1):
            if len(part):
                taken[order[part]] = self._pick(ordered[part])
        return taken

    def _pick(self, rows: Array) -> Array:
        """Some of the rows of one window, ascending."""
        return self.read(rows[0], rows[-1] + 1)[rows - rows[0]]

    def edges(self, n_rows: int) -> Array:
        """Where chunks of ``n_rows`` stored rows begin, and the end."""
        return np.r_[np.arange(0, len(self), n_rows), len(self)]

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            rows, columns = key
            if columns is Ellipsis or (isinstance(columns, slice) and columns == slice(None)):
                return self[rows]
            return self[rows]._select(columns)
        positions = np.arange(len(self))
        rows = positions[key]
        if isinstance(key, Integral):
            return self.read(rows, rows + 1)[0]
        return self if np.array_equal(rows, positions) else LazyRows(self, rows)

    def _select(self, columns: Any) -> LazyBlock:
        return LazyColumns(self, columns)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self._whole(), dtype=dtype, copy=copy)

    def _whole(self) -> Array:
        return self.read(0, len(self))


class LazyRows(LazyBlock):
    """Some rows of a lazy block, still lazy."""

    def __init__(self, base: LazyBlock, rows: Array) -> None:
        if isinstance(base, LazyRows):
            rows, base = base.rows[rows], base.source
        super().__init__(base, (len(rows), *base.shape[1:]), base.dtype, base.stored_rows)
        self.rows: Array = rows
        self.columns = base.columns

    def _read(self, start: int, stop: int) -> Array:
        return self.source.take(self.rows[start:stop])

    def take(self, rows: Array) -> Array:
        return self.source.take(self.rows[rows])

    def edges(self, n_rows: int) -> Array:
        # where the chunks of storage begin, if the rows ascend as they do wherever rows are many
        return np.unique(np.searchsorted(self.rows, self.source.edges(n_rows)))


class LazyColumns(LazyBlock):
    """Some columns of a lazy table, by slice or positions."""

    def __init__(self, table: LazyBlock, columns: Any) -> None:
        width = len(np.arange(table.shape[1])[columns])
        super().__init__(table, (len(table), width), table.dtype, table.stored_rows)
        self.picked = columns

    def _read(self, start: int, stop: int) -> Array:
        return self.source.read(start, stop)[:, self.picked]

    def take(self, rows: Array) -> Array:
        return self.source.take(rows)[:, self.picked]


class MemoryMapBlock(LazyBlock):
    """A memory map, or any strided view of one.

    The pages of a file that a map has touched count as memory of the process. So each read opens
    a map of its own, copies and closes it. A file that has become shorter than its array is told
    before: a map that reaches beyond the end of its file kills the process that reads it.
    """

    def __init__(self, source: Any) -> None:
        super().__init__(source, source.shape, source.dtype)
        self.filename, self.strides = os.fspath(source.filename), source.strides
        buffer = source
        while not isinstance(buffer, mmap.mmap):
            buffer = buffer.base
        mapped_from = source.offset - source.offset % mmap.ALLOCATIONGRANULARITY
        self.offset = mapped_from + _address(source) - _address(np.frombuffer(buffer, np.uint8))

    def where(self) -> str:
        return f"The memory-mapped file {self.filename!r}"

    def _map(self, start: int, stop: int) -> Array:
        shape = (stop - start, *self.shape[1:])
        if 0 in shape:
            return np.empty(shape, self.dtype)
        reach = [(n - 1) * stride for n, stride in zip(shape, self.strides, strict=True)]
        before = -sum(min(0, step) for step in reach)  # bytes before the first value, if reversed
        first = self.offset + start * self.strides[0] - before
        n_bytes = before + sum(max(0, step) for step in reach) + self.dtype.itemsize
        self._check_size(first + n_bytes)
        pages = np.memmap(self.filename, np.uint8, "r", first, (n_bytes,))
        return np.ndarray(shape, self.dtype, pages, before, self.strides)

    def _check_size(self, needed: int) -> None:
        size = os.path.getsize(self.filename)
        if size < needed:
            raise ReadError(
                f"{self.where()} has {size} bytes, but its rows end at byte {needed}: it has "
                "become shorter since it was opened. Write it anew, and open it again."
            )

    def check_file(self) -> None:
        """Raise ReadError if the file is shorter than the array."""
        with reading(self.where()):
            self._map(0, len(self))

    def _read(self, start: int, stop: int) -> Array:
        return np.array(self._map(start, stop), order="C")

    def _pick(self, rows: Array) -> Array:
        with reading(self.where()):
            return self._map(rows[0], rows[-1] + 1)[rows - rows[0]]

    def _select(self, columns: Any) -> LazyBlock:
        if isinstance(columns, slice) and self.source is not None:
            return MemoryMapBlock(self.source[:, columns])
        return super()._select(columns)

    def _whole(self) -> Array:
        self.check_file()
        return self._map(0, len(self)) if self.source is None else self.source

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"source": None}  # numpy would pickle the values


def _address(array: Array) -> int:
    return array.__array_interface__["data"][0]


class SlicedBlock(LazyBlock):
    """A zarr array, or anything whose slices are arrays."""

    def __init__(self, source: Any) -> None:
        stored = getattr(source, "shards", None) or getattr(source, "chunks", None) or (1,)
        super().__init__(source, source.shape, source.dtype, stored[0])

    def where(self) -> str:
        place = getattr(self.source, "store_path", None) or getattr(self.source, "store", "")
        return f"The {type(self.source).__module__.partition('.')[0]} array {str(place)!r}"

    def _read(self, start: int, stop: int) -> Array:
        return np.asarray(self.source[start:stop])


class H5Block(SlicedBlock):
    """A dataset of an HDF5 file, pickled as the name of both."""

    def __init__(self, source: Any) -> None:
        super().__init__(source)
        self.place = source.file.filename, source.name  # which a closed file does not know

    def where(self) -> str:
        filename, name = self.place
        return f"The dataset {name!r} of the file {filename!r}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_h5, self.place


def _open_h5(filename: str, name: str) -> H5Block:
    import h5py

    return H5Block(h5py.File(filename, "r")[name])


class DaskBlock(LazyBlock):
    """A dask array, computed slice by slice in the thread that reads."""

    def __init__(self, source: Any) -> None:
        if not all(isinstance(n, Integral) for n in source.shape):
            raise ValueError(
                "the shape of the dask array is unknown; call its compute_chunk_sizes() first."
            )
        super().__init__(source, source.shape, source.dtype, max(source.chunks[0], default=1))

    def where(self) -> str:
        return f"The dask array {self.source.name!r}"

    def _read(self, start: int, stop: int) -> Array:
        return np.asarray(self.source[start:stop].compute(scheduler="synchronous"))


class ParquetBlock(LazyBlock):
    """The columns of parquet files as one table of numbers; missing values are NaN.

    Storage gives whole row groups.
    """

    def __init__(
        self,
        source: Any,
        files: Sequence[Any],
        schema: Any,
        columns: list[str] | None = None,
        paths: Sequence[str] = (),
    ) -> None:
        index = (schema.pandas_metadata or {}).get("index_columns", ())
        self.columns = columns or [name for name in schema.names if name not in index]
        self.files, self.schema, self.paths = files, schema, paths
        self._groups = [
            (file, group) for file in self.files for group in range(file.num_row_groups)
        ]
        sizes = [file.metadata.row_group(group).num_rows for file, group in self._groups]
        self._starts = np.array([0, *accumulate(sizes)])
        types = [_numeric_type(schema.field(name)) for name in self.columns]
        super().__init__(
            source, (self._starts[-1].item(), len(self.columns)),
            np.result_type(np.float32, *types), max(sizes, default=1),
        )  # fmt: skip

    def where(self) -> str:
        return self._named(0) if len(self.files) == 1 else "A dataset of parquet files"

    def _named(self, place: int) -> str:
        """A file by its path, which a ParquetFile that was given does not know."""
        return f"The parquet file {self.paths[place]!r}" if self.paths else "The ParquetFile"

    def _read(self, start: int, stop: int) -> Array:
        table = np.empty((stop - start, *self.shape[1:]), self.dtype)
        first, last = np.searchsorted(self._starts, [start + 1, stop]) - [1, 1]
        for i in range(first, last + 1 if stop > start else first):
            (file, group), begin = self._groups[i], self._starts[i]
            with reading(self._named(self.files.index(file))):
                rows = file.read_row_group(group, columns=self.columns, use_threads=False)
            lo, hi = max(start, begin), min(stop, self._starts[i + 1])
            rows = rows.slice(lo - begin, hi - lo)
            for j, column in enumerate(rows.select(self.columns)):
                table[lo - start : hi - start, j] = column.to_numpy()
        return table

    def _select(self, columns: Any) -> LazyBlock:
        names = np.array(self.columns)[columns].tolist()
        return ParquetBlock(self.source, self.files, self.schema, names, self.paths)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.files[0] is self.source:
            raise TypeError(
                "A ParquetFile cannot be sent to another process; give "
                "pyarrow.dataset.dataset(path) as the modality instead."
            )
        return _open_dataset, (self.source, self.columns)


def _numeric_type(field: Any) -> np.dtype[Any]:
    try:
        dtype = np.dtype(field.type.to_pandas_dtype())
    except (NotImplementedError, TypeError):
        dtype = np.dtype(object)
    if dtype.kind not in "fiub":
        raise ValueError(f"column {field.name!r} of type {field.type} is not numeric.")
    return dtype


def _open_dataset(dataset: Any, columns: list[str] | None = None) -> ParquetBlock:
    """A pyarrow dataset of parquet files, in their order."""
    import pyarrow.parquet

    if getattr(dataset.format, "default_extname", None) != "parquet":
        raise ValueError(f"a pyarrow dataset must be of parquet files, got {dataset!r}.")
    open_file = dataset.filesystem.open_input_file
    files = []
    for path in dataset.files:
        with reading(f"The parquet file {path!r}"):
            files.append(pyarrow.parquet.ParquetFile(open_file(path)))
    return ParquetBlock(dataset, files, dataset.schema, columns, dataset.files)


def _parquet_file(file: Any) -> ParquetBlock:
    return ParquetBlock(file, [file], file.schema_arrow)


_KINDS = (
    ("zarr", "Array", SlicedBlock),
    ("h5py", "Dataset", H5Block),
    ("dask.array", "Array", DaskBlock),
    ("pyarrow.parquet", "ParquetFile", _parquet_file),
    ("pyarrow.dataset", "FileSystemDataset", _open_dataset),
)


def as_lazy(block: Block) -> Block:
    """Return the lazy block that reads an object outside memory; any other object as it is."""
    if isinstance(block, np.memmap):
        # a private copy of the file ("c") may differ from it, and a deleted file is not reopened
        if not block.filename or not os.path.exists(block.filename):
            return block
        mapped = MemoryMapBlock(block)
        if block.mode != "c":
            return mapped
        mapped.check_file()
        return block
    for module, name, kind in _KINDS:
        known = getattr(sys.modules.get(module), name, None)
        if known is not None and isinstance(block, known):
            return kind(block)
    return block
