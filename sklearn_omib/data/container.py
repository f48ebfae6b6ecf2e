"""The modality container and the conversion of every accepted input to it."""

from __future__ import annotations

import copy
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from itertools import combinations
from math import prod
from numbers import Integral
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeGuard, overload

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike
from scipy import sparse

from .._compat import _get_column_indices
from .._typing import Array, Block, Blocks, Modalities
from .foreign import (
    as_table,
    by_first_level,
    has_levels,
    is_anndata,
    is_mudata,
    is_polars,
    labelled,
)
from .lazy import LazyBlock, ReadError, as_lazy
from .raw import TEXT, as_columns, as_items, is_item, is_raw, kind_of

if TYPE_CHECKING:
    from typing_extensions import Self

SINGLE_MODALITY = "X"  # the name given to the only modality of a plain table
# what validation and encoding set
REMEMBERED = (
    "modalities_", "n_features_in_", "feature_names_in_", "_block_columns", "encoders_", "_absent",
)  # fmt: skip
MOST_FLATTENED = 64  # widths that are remembered
# Layouts of the containers that were made one array in this process, by the number of columns. The
# array itself tells nothing, and a meta-estimator that made it is not to be seen from an estimator.
_flattened: dict[int, dict[str, tuple[slice, tuple[int, ...]]]] = {}


class ModalityDict:
    """Several modalities of the same samples, in a form scikit-learn can split.

    A plain dict given to ``GridSearchCV``, ``cross_val_score`` or ``train_test_split`` fails
    inside scikit-learn, which counts the keys of the dict instead of its rows::

        ValueError: Found input variables with inconsistent numbers of samples: [2, 90]

    ``ModalityDict(X)`` is the fix: it looks like a two-dimensional array of shape
    ``(n_samples, n_features_total)`` wherever scikit-learn looks, and like a dict elsewhere.

    Parameters
    ----------
    modalities : mapping of str to array, list of arrays, MuData or ModalityDict
        The blocks, one per modality, each with samples on its first axis: numpy arrays of two
        or more dimensions, pandas or polars DataFrames, scipy sparse matrices, AnnData (of which
        ``X`` is taken) or torch tensors. Also lists, arrays and Series of texts, of paths of
        pictures and recordings, of PIL images, and of sequences of different length, in which None
        is a sample without the modality; and DataFrames of text, categories, dates and gaps.
        Memory maps, zarr arrays, h5py datasets, dask arrays and parquet (``ParquetFile`` or a
        pyarrow dataset) stay where they are: nothing is read until rows are used.
        Blocks are kept as they are, never copied; sparse blocks are stored as CSR.
        The arrays of a list are named ``modality_0``, ``modality_1``, ...

    Attributes
    ----------
    shape : tuple of int
        ``(n_samples, n_features_total)``; blocks of more dimensions count flattened.
    ndim : int
        Always 2.
    samples : pandas.Index or None
        Names of the samples, where a DataFrame or AnnData has them.

    Raises
    ------
    ValueError
        If there is no modality, a block has fewer than two dimensions, or the blocks differ in
        their number of samples, in which samples these are, or in their order, by the indexes of
        DataFrames, AnnData and MuData. The message names the modality.

    Notes
    -----
    As in a DataFrame, ``len(X)`` is the number of samples while iteration and ``in`` go over
    names. ``X["audio"]`` is a block and ``X[["audio", "image"]]`` some of them; ``X[rows]`` is a
    ModalityDict of those rows; ``X[rows, cols]`` and ``numpy.asarray(X)`` are the flattened blocks
    side by side.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import ModalityDict
    >>> X = ModalityDict({"audio": np.zeros((4, 3)), "image": np.ones((4, 2, 5, 5))})
    >>> X
    ModalityDict(n_samples=4, audio: (3,) float64, image: (2, 5, 5) float64)
    >>> X.shape
    (4, 53)
    >>> X[:2]["image"].shape
    (2, 2, 5, 5)
    """

    ndim = 2

    def __init__(self, modalities: Blocks | ModalityDict) -> None:
        blocks, samples, self._columns = {}, {}, dict[str, list[str]]()
        for name, block in _iter_blocks(modalities):
            if not isinstance(name, str):
                raise TypeError(
                    f"Modality names must be strings, got {name!r} of type {type(name).__name__}."
                )
            block, names, columns = labelled(block)
            blocks[name] = as_block(name, block)
            if names is not None:
                samples[name] = names
            if columns is not None:
                self._columns[name] = columns
        if not blocks:
            raise ValueError("At least one modality is required, got none.")
        lengths = {name: block.shape[0] for name, block in blocks.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name!r}: {n}" for name, n in lengths.items())
            raise ValueError(f"All modalities must have the same number of samples, got {counts}.")
        _check_aligned(samples)
        self._blocks, self.samples = blocks, next(iter(samples.values()), None)
        if isinstance(modalities, ModalityDict):
            self.named_as(modalities)

    # -- what a dict offers ---------------------------------------------------------------
    def keys(self) -> KeysView[str]:
        """Names of the modalities, in order."""
        return self._blocks.keys()

    def values(self) -> ValuesView[Block]:
        """Blocks, in order."""
        return self._blocks.values()

    def items(self) -> ItemsView[str, Block]:
        """Pairs of name and block, in order."""
        return self._blocks.items()

    def __iter__(self) -> Iterator[str]:
        return iter(self._blocks)

    def __contains__(self, name: object) -> bool:
        return name in self._blocks

    def select(self, names: str | Iterable[str]) -> ModalityDict:
        """Return a ModalityDict of the named modalities only, in the order given.

        Parameters
        ----------
        names : str or list of str

        Returns
        -------
        ModalityDict
        """
        names = [names] if isinstance(names, str) else names
        return ModalityDict({name: self[name] for name in names}).named_as(self)

    # -- what an array offers -------------------------------------------------------------
    @property
    def shape(self) -> tuple[int, int]:
        return len(self), sum(prod(shape) for shape in self.sample_shapes.values())

    @property
    def sample_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one sample of each modality: ``{"audio": (73,), "image": (3, 32, 32)}``."""
        return {name: tuple(block.shape[1:]) for name, block in self.items()}

    @property
    def layout(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """Where each modality lies in ``numpy.asarray(self)``, and its shape.

        The value to give to an estimator's ``modalities`` parameter when a meta-estimator, such
        as ``BaggingClassifier``, hands it the flattened array.
        """
        return column_layout(self.sample_shapes)

    @property
    def feature_names(self) -> Array:
        """Names of all columns, ``"modality__column"``; unnamed columns are ``x0``, ``x1``, ..."""
        return qualified_names({name: self.feature_names_of(name) for name in self})

    def columns_of(self, name: str) -> list[str] | None:
        """Column names of a modality, if it has any."""
        return self._columns.get(name) or column_names(self[name])

    def feature_names_of(self, name: str) -> list[str]:
        """Column names of a modality; unnamed columns are ``x0``, ``x1``, ..."""
        return self.columns_of(name) or [f"x{i}" for i in range(prod(self.sample_shapes[name]))]

    def __len__(self) -> int:
        return next(iter(self._blocks.values())).shape[0]

    @overload
    def __getitem__(self, key: slice | list[Any] | Array) -> ModalityDict: ...
    @overload
    def __getitem__(self, key: Any) -> Any: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            try:
                return self._blocks[key]
            except KeyError:
                raise KeyError(f"No modality {key!r}; there are {list(self._blocks)}.") from None
        if isinstance(key, tuple):
            rows, columns = key if len(key) == 2 else (key, slice(None))
            if columns is Ellipsis or (isinstance(columns, slice) and columns == slice(None)):
                return self[rows]
            return self[rows].flat()[..., columns]
        if isinstance(key, Integral):
            return self[[key]].flat()[0]
        if isinstance(key, list) and key and isinstance(key[0], str):
            return self.select(key)
        if not isinstance(key, slice):
            key = np.asarray(key)
            key = key.astype(int) if key.size == 0 else key
        return self.of({name: take_rows(block, key) for name, block in self.items()}, key)

    def of(self, blocks: Mapping[str, Block], rows: Any = slice(None)) -> Self:
        """Other blocks of the same samples, or of some of them, by the names these have.

        Parameters
        ----------
        blocks : dict of str to array
        rows : slice or array, default=slice(None)
            The samples they are of.

        Returns
        -------
        ModalityDict
        """
        new = copy.copy(self)
        ModalityDict.__init__(new, blocks)
        return new.named_as(self, rows)

    def named_as(self, other: ModalityDict, rows: Any = slice(None)) -> Self:
        """Take over names that blocks do not hold themselves, of samples and of shared blocks.

        Parameters
        ----------
        other : ModalityDict
        rows : slice or array, default=slice(None)
            Its rows that are these.

        Returns
        -------
        self : ModalityDict
        """
        for name, columns in other._columns.items():
            if name in self and self[name].shape[1:] == other[name].shape[1:]:
                self._columns[name] = columns
        if self.samples is None and other.samples is not None:
            self.samples = other.samples[rows]
        return self

    def __sizeof__(self) -> int:
        # dask asks it what to send to its workers once instead of with every task
        return object.__sizeof__(self) + sum(_n_bytes(block) for block in self.values())

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if len(self._blocks) > 1:
            _note_flattened(self.layout)
        return self.flat(dtype)

    def flat(self, dtype: DTypeLike | None = None) -> Array:
        """The flattened blocks side by side, as ``numpy.asarray`` gives them."""
        blocks = []
        for name, block in self.items():
            with naming_modality(name):
                values = flatten_block(block)
                if dtype is None and values.dtype.kind in "OUS":
                    values = values.astype(object)  # beside others that hold no text
                else:
                    values = values.astype(dtype, copy=False)
            blocks.append(values)
        return np.hstack(blocks)

    # -- how it looks ---------------------------------------------------------------------
    def _describe(self) -> Iterator[tuple[str, tuple[int, ...], str]]:
        for name, block in self.items():
            dtype = getattr(block, "dtype", "mixed")
            if isinstance(block, pd.DataFrame) and block.dtypes.nunique() == 1:
                dtype = block.dtypes.iloc[0]
            kind = "sparse " if sparse.issparse(block) else ""
            kind = "lazy " if isinstance(block, LazyBlock) else kind
            if is_raw(block):
                dtype = _kind_shown(block)
            yield name, tuple(block.shape[1:]), f"{kind}{dtype}"

    def __repr__(self) -> str:
        blocks = ", ".join(f"{name}: {shape} {dtype}" for name, shape, dtype in self._describe())
        return f"ModalityDict(n_samples={len(self)}, {blocks})"

    def _repr_html_(self) -> str:
        frame = pd.DataFrame(self._describe(), columns=["modality", "shape of a sample", "dtype"])
        return f"<b>ModalityDict</b>, {len(self)} samples{frame.to_html(index=False)}"


class Encoded(ModalityDict):
    """Modalities that are numbers already, validated and encoded once for many fits.

    Attributes
    ----------
    remembered : dict of str to object
        What an estimator remembers of the input: the fitted attributes that validation sets.
    """

    remembered: dict[str, Any]

    @classmethod
    def by(cls, estimator: Any, X: ModalityDict) -> Encoded:
        """Modalities as an estimator has validated and encoded them."""
        new = cls(dict(X.items())).named_as(X)
        known = vars(estimator)
        new.remembered = {name: known[name] for name in REMEMBERED if name in known}
        return new


def _kind_shown(block: Block) -> str:
    try:
        return kind_of(block)
    except TypeError:  # which is said where it is read
        return "object"


def _iter_blocks(modalities: Any) -> Iterator[tuple[Any, Block]]:
    """Yield (name, block) from any form that holds several blocks."""
    if isinstance(modalities, (Mapping, ModalityDict)):
        yield from modalities.items()
    elif is_mudata(modalities):
        for name, annotated in modalities.mod.items():
            yield name, annotated if is_anndata(annotated) else annotated.X
    elif has_levels(modalities):
        yield from by_first_level(modalities).items()
    elif is_anndata(modalities):
        yield SINGLE_MODALITY, modalities
    elif isinstance(modalities, (list, tuple)):
        for i, block in enumerate(modalities):
            yield f"modality_{i}", block
    else:
        raise TypeError(
            "Expected a dict, list of arrays, MuData or ModalityDict of modalities, got "
            f"{type(modalities).__name__}. A single table is split into modalities by "
            "ModalitySplitter or by an estimator's `modalities` parameter."
        )


def _n_bytes(block: Block) -> int:
    if isinstance(block, pd.DataFrame):
        return int(block.memory_usage().sum())
    if sparse.issparse(block):
        return block.data.nbytes + block.indices.nbytes + block.indptr.nbytes
    return getattr(block, "nbytes", 0)


def _check_aligned(samples: Mapping[str, pd.Index]) -> None:
    """Raise where two modalities name other samples, or the same in another order.

    Where they have no name in common they count differently, and position is all there is.
    """
    for (one_name, one), (name, other) in combinations(samples.items(), 2):
        if one.equals(other) or not (shared := one.isin(other)).any():
            continue
        if shared.all() and other.isin(one).all():
            what = "have the same samples in another order"
        else:
            what = f"have only {shared.sum()} of {len(one)} samples in common"
        place = np.flatnonzero(~(one == other))[0] if len(one) == len(other) else 0
        raise ValueError(
            f"Modalities {one_name!r} and {name!r} {what}, by their index; row {place} is "
            f"{one[place]!r} in one and {other[place]!r} in the other. Bring them to the same "
            f"samples in one order, as frame.loc[other.index] does; if rows do belong together, "
            "drop the indexes by frame.reset_index(drop=True)."
        )


def _note_flattened(layout: dict[str, tuple[slice, tuple[int, ...]]]) -> None:
    if len(_flattened) >= MOST_FLATTENED:
        _flattened.clear()
    _flattened[max(columns.stop for columns, _ in layout.values())] = layout


def flattened_layout(n_columns: int) -> dict[str, tuple[slice, tuple[int, ...]]] | None:
    """Layout of a container of so many columns that was made one array, or None."""
    return _flattened.get(n_columns)


@contextmanager
def naming_modality(name: str) -> Iterator[None]:
    """Put the name of the modality before the message of an error."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        kind: Any = ReadError if isinstance(error, OSError) else ValueError
        kind = TypeError if isinstance(error, TypeError) else kind
        raise kind(f"Modality {name!r}: {error}") from error


def as_block(name: str, block: Block) -> Block:
    if block is None:
        raise ValueError(f"Modality {name!r} is None; leave it out or give an array.")
    if sparse.issparse(block):
        return block.tocsr()
    if isinstance(block, (str, PathLike)):
        raise TypeError(
            f"Modality {name!r} is {str(block)!r}. A block has one item for each sample: a text, "
            f"or the path of a picture or recording, is a list of one, [{str(block)!r}]. The path "
            "of a whole array is opened first, with numpy.memmap, or with zarr, h5py, dask or "
            "pyarrow (pip install 'sklearn-omib[streaming]')."
        )
    with naming_modality(name):
        block = as_lazy(block)
    if isinstance(block, (list, tuple)):
        block = _from_list(name, block)
    if isinstance(block, pd.Series) or not hasattr(block, "shape"):
        block = as_array(name, block)
    if isinstance(block, np.ma.MaskedArray):
        if block.dtype.kind in "OU":
            block = np.ma.filled(block.astype(object), None)
        else:
            block = np.ma.filled(block.astype(np.result_type(block, np.float32)), np.nan)
    if len(block.shape) < 2:
        if len(block.shape) == 1 and _holds_items(block):
            return np.asarray(block, dtype=object)
        raise ValueError(
            f"Modality {name!r} must have at least two dimensions, samples first, got shape "
            f"{tuple(block.shape)}. Reshape your data: array.reshape(-1, 1) makes one column."
        )
    return block


def _from_list(name: str, rows: list[Any] | tuple[Any, ...]) -> Any:
    """A list of samples: objects each of its own, or rows of numbers, of NaN where one is None."""
    empty = [isinstance(row, (np.ndarray, list, tuple)) and len(row) == 0 for row in rows]
    if any(empty) and not all(empty):  # beside sequences one without a step is missing
        rows = [None if none else row for row, none in zip(rows, empty, strict=True)]
    known = [row for row in rows if row is not None]
    if not known or any(map(is_item, known)):
        return as_items(rows)
    if not all(isinstance(row, (np.ndarray, list, tuple)) for row in known):
        return rows  # such as a list of numbers
    shapes = [np.asarray(row, dtype=object if _is_ragged(row) else None).shape for row in known]
    if len(set(shapes)) > 1:
        return as_items([row if row is None else np.asarray(row) for row in rows])
    if len(known) == len(rows):
        return rows
    return [np.full(shapes[0], np.nan) if row is None else row for row in rows]


def _is_ragged(row: Any) -> bool:
    if isinstance(row, np.ndarray):
        return False
    try:
        np.asarray(row)
    except ValueError:
        return True
    return False


def _holds_items(block: Any) -> bool:
    """Whether a 1-D array is of texts, pictures or other objects, rather than of numbers."""
    values = np.asarray(block)
    if values.dtype.kind in TEXT:
        return True
    if values.dtype != object:
        return False
    known = [item for item in values if item is not None]
    return not known or any(
        is_item(item) or isinstance(item, (bytes, np.ndarray, list, tuple)) for item in known
    )


def as_array(name: str, block: Any) -> Array:
    """A block that has no shape yet, such as a list, as an array."""
    try:
        return np.asarray(block)
    except ValueError:  # rows of several lengths
        shapes = sorted({np.shape(row) for row in block})
        raise ValueError(
            f"Modality {name!r} is ragged: its samples have the shapes {shapes[:4]}. Bring them to "
            "one length, by padding or cutting, or to summaries of one length."
        ) from None


def n_rows(block: Block) -> int:
    """How many rows there are in a block of any kind, or a container."""
    return int(block.shape[0]) if hasattr(block, "shape") else len(block)


def take_rows(block: Block, rows: Any) -> Block:
    """Rows of a block of any kind, the kind unchanged."""
    if is_lost(block):
        return lost(block.shape[1:], len(np.arange(len(block))[rows]))
    if is_polars(block):  # takes positions, but no mask
        return block[np.arange(len(block))[rows]]
    return block.iloc[rows] if hasattr(block, "iloc") else block[rows]


def lost(shape: tuple[int, ...], n_samples: int) -> Array:
    """The block of a modality that no sample has: one NaN, that takes the place of all values."""
    if not shape:  # of items
        return np.full(n_samples, None, dtype=object)
    return np.broadcast_to(np.float32(np.nan), (n_samples, *shape))


def is_lost(block: Block) -> bool:
    """Whether a block is one that :func:`lost` has made, and takes no memory."""
    return (
        type(block) is np.ndarray
        and block.size > 0
        and not any(block.strides)
        and block.dtype.kind == "f"
        and bool(np.isnan(block.flat[0]))
    )


def column_names(block: Block) -> list[str] | None:
    """Column names of a block that has any, else None."""
    columns = getattr(block, "columns", None)
    return None if columns is None else [str(column) for column in columns]


def with_names(X: Block) -> Block:
    """A lazy table with column names as an empty frame, whose names scikit-learn can read."""
    lazy = isinstance(X, LazyBlock) and X.columns is not None
    return pd.DataFrame(columns=X.columns) if lazy else X


def qualified_names(columns: Mapping[str, Iterable[str]]) -> Array:
    """``"modality__column"`` of all columns, from the column names of each modality."""
    names = [f"{name}__{column}" for name, of_block in columns.items() for column in of_block]
    return np.asarray(names, dtype=object)


def flatten_block(block: Block) -> Array:
    """A block as a dense array of shape (n_samples, n_features)."""
    if sparse.issparse(block):
        return block.toarray()
    block = np.asarray(block)
    return block.reshape(len(block), -1) if len(block) else block.reshape(0, prod(block.shape[1:]))


def column_layout(
    sample_shapes: Mapping[str, Sequence[int]],
) -> dict[str, tuple[slice, tuple[int, ...]]]:
    """``{name: (slice of columns, shape of one sample)}`` of the flattened blocks."""
    layout, start = {}, 0
    for name, shape in sample_shapes.items():
        layout[name] = (slice(start, start + prod(shape)), tuple(shape))
        start += prod(shape)
    return layout


def holds_modalities(
    X: object, modalities: Mapping[str, Any] | None = None
) -> TypeGuard[Blocks | ModalityDict]:
    """Whether X is a form that holds several blocks, rather than one table.

    What could be either is a table where ``modalities`` says how to cut it.
    """
    if sparse.issparse(X):  # scipy's DOK format is a dict
        return False
    if has_levels(X) or is_anndata(X):
        return modalities is None
    if isinstance(X, (Mapping, ModalityDict)) or is_mudata(X):
        return True
    return (
        isinstance(X, (list, tuple))
        and len(X) > 0
        and all(len(getattr(as_lazy(block), "shape", ())) >= 2 for block in X)
    )


def split_columns(X: Block, modalities: Mapping[str, Any]) -> ModalityDict:
    """Cut one table into a container.

    Parameters
    ----------
    X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
    modalities : dict of str to columns
        Columns as in ``ColumnTransformer`` (slice, positions, names, boolean mask, callable), or
        a pair ``(columns, shape)`` for modalities of more dimensions.

    Returns
    -------
    ModalityDict
    """
    if not isinstance(modalities, Mapping):
        raise TypeError(
            "`modalities` must be a dict from modality names to columns, got "
            f"{type(modalities).__name__}."
        )
    X = as_table(X)
    X = X if hasattr(X, "shape") else as_array(SINGLE_MODALITY, X)
    if len(X.shape) != 2:
        raise ValueError(f"Expected a 2-D table to split into modalities, got shape {X.shape}.")
    blocks = {}
    for name, (columns, shape) in resolve_columns(X, modalities).items():
        picked: list[int] | slice = columns
        if columns == list(range(columns[0], columns[-1] + 1)):
            picked = slice(columns[0], columns[-1] + 1)  # a view, not a copy
        block = X.iloc[:, picked] if hasattr(X, "iloc") else X[:, picked]
        if shape == ():
            block = block.iloc[:, 0] if hasattr(block, "iloc") else block[:, 0].astype(object)
        elif isinstance(block, np.ndarray) and shape == block.shape[1:]:
            block = as_columns(block)
        if shape != tuple(block.shape[1:]):
            if isinstance(block, LazyBlock):
                raise ValueError(
                    f"Modality {name!r} of a table outside memory cannot be given the shape "
                    f"{shape}; store it with its shape and give the modalities as a dict."
                )
            block = flatten_block(block).reshape(X.shape[0], *shape)
        blocks[name] = block
    return ModalityDict(blocks)


def resolve_columns(
    X: Block, modalities: Mapping[str, Any]
) -> dict[str, tuple[list[int], tuple[int, ...]]]:
    """``{name: (positions, shape of a sample)}`` of a column specification for the table X."""
    X = with_names(X)
    resolved = {}
    for name, columns in modalities.items():
        shape = None
        if isinstance(columns, tuple) and len(columns) == 2 and isinstance(columns[1], tuple):
            columns, shape = columns
        if callable(columns):
            columns = columns(X)
        try:
            index = _get_column_indices(X, columns)
        except (ValueError, IndexError, TypeError) as error:
            raise ValueError(f"Columns of modality {name!r}: {error}") from error
        if len(index) == 0:
            raise ValueError(f"Modality {name!r} has no columns: {columns!r} selects none.")
        stop = columns.stop if isinstance(columns, slice) else None
        if isinstance(stop, Integral) and stop > X.shape[1]:
            raise ValueError(
                f"Columns of modality {name!r}: {columns!r} goes beyond the {X.shape[1]} columns "
                "of the table."
            )
        if isinstance(columns, str) and hasattr(X, "iloc") and is_raw(X.iloc[:, index]):
            shape = ()  # as in ColumnTransformer a name alone is one column of items
        shape = (len(index),) if shape is None else shape
        if prod(shape) != len(index):
            raise ValueError(
                f"Modality {name!r} has {len(index)} columns, which cannot take the shape {shape}."
            )
        resolved[name] = list(index), shape
    return resolved


def check_modalities(X: Modalities, modalities: Mapping[str, Any] | None = None) -> ModalityDict:
    """Turn any accepted input into a ModalityDict, without looking at its values.

    Parameters
    ----------
    X : dict, ModalityDict, SliceDict, list of arrays, MuData, AnnData, array-like or DataFrame
        Several blocks, or one table. A DataFrame whose columns have several levels is cut by the
        first of them.
    modalities : dict of str to columns, default=None
        How to cut a table; see :class:`~sklearn_omib.preprocessing.ModalitySplitter`. With None
        a table is a single modality named "X".

    Returns
    -------
    ModalityDict

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import check_modalities
    >>> check_modalities(np.zeros((5, 4)), {"audio": slice(0, 3), "video": [3]})
    ModalityDict(n_samples=5, audio: (3,) float64, video: (1,) float64)
    """
    if holds_modalities(X, modalities):
        return X if isinstance(X, ModalityDict) else ModalityDict(X)
    if modalities is not None:
        return split_columns(X, modalities)
    return ModalityDict({SINGLE_MODALITY: X})
