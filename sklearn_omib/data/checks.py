"""Checking modalities for an estimator: values in fit, names and shapes from then on."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from .._compat import _check_feature_names, _check_n_features
from .._typing import Block, Modalities
from .container import (
    SINGLE_MODALITY,
    Encoded,
    ModalityDict,
    as_array,
    as_block,
    check_modalities,
    column_layout,
    flattened_layout,
    holds_modalities,
    is_lost,
    lost,
    naming_modality,
    take_rows,
    with_names,
)
from .foreign import as_pandas, as_table
from .lazy import LazyBlock, as_lazy, fits_in_memory, rows_per_read
from .raw import ENCODE_FIRST, KINDS, TEXT, as_items, is_item, is_raw, kind_of

# A table of more columns, fewer of whose values are not 0, is kept sparse
WIDEST_DENSE = 100
DENSEST_SPARSE = 0.1


def validate_modalities(
    estimator: Any,
    X: Modalities | ArrayLike,
    *,
    reset: bool,
    modalities: Mapping[str, Any] | None = None,
    check_values: bool = True,
) -> ModalityDict:
    """Check X for an estimator, remembering names and widths or comparing with them.

    An estimator whose ``missing_values`` is "mask" takes NaN, and after fit also modalities that
    are None or left out.

    Sets, when ``reset``, or else compares with ``modalities_`` (shape of one sample by name),
    ``n_features_in_`` and, where columns have names, ``feature_names_in_``.

    Parameters
    ----------
    estimator : estimator instance
        One that has encoders takes blocks that are no numbers yet.
    X : any form :func:`check_modalities` accepts
        After fitting on blocks, also one table with the flattened blocks side by side.
    reset : bool
        True in fit.
    modalities : dict of str to columns, default=None
    check_values : bool, default=True
        Whether the blocks must be numeric and finite; else only that they are not empty.

    Returns
    -------
    ModalityDict
        Blocks in the order seen in fit.
    """
    if isinstance(X, Encoded):
        return _take_over(estimator, X, reset)
    if not holds_modalities(X, modalities):
        return _validate_table(estimator, X, reset, modalities, check_values)
    if isinstance(X, Mapping) and not reset and may_miss(estimator):
        X = {name: block for name, block in X.items() if block is not None}
        if not X:
            raise ValueError("X has none of the modalities; give at least one of them.")
    X = check_modalities(X)
    if reset:
        if modalities is not None and set(modalities) != set(X):
            raise ValueError(
                f"`modalities` names {list(modalities)}, but X comes in blocks {list(X)}. Leave "
                "`modalities` out where X has modalities already."
            )
        estimator.modalities_ = X.sample_shapes
        estimator.n_features_in_ = X.shape[1]
        estimator._block_columns = {name: X.columns_of(name) for name in X}
        if all(columns is not None for columns in estimator._block_columns.values()):
            estimator.feature_names_in_ = X.feature_names
        elif hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    else:
        X = _match(estimator, X)
    return _check_blocks(estimator, X, reset) if check_values else _check_not_empty(X)


def _take_over(estimator: Any, X: Encoded, reset: bool) -> ModalityDict:
    """What a search has validated and encoded, with what it remembers of it."""
    if reset:
        _check_several(len(X))
        for name, value in X.remembered.items():
            setattr(estimator, name, value)
    return X


def may_miss(estimator: Any) -> bool:
    """Whether an estimator takes samples that lack values or modalities."""
    return getattr(estimator, "missing_values", "error") == "mask"


def _finite(missing: bool) -> bool | str:
    """What scikit-learn is to ask of the values."""
    return "allow-nan" if missing else True


def _validate_table(
    estimator: Any,
    X: Block,
    reset: bool,
    modalities: Mapping[str, Any] | None,
    check_values: bool,
) -> ModalityDict:
    """One table: a single modality, cut by a specification, or the blocks of fit flattened."""
    X = as_lazy(as_table(X))
    if isinstance(X, pd.Series) or (isinstance(X, (list, tuple)) and any(map(is_item, X))):
        X = as_items(X)
    X = X if hasattr(X, "shape") else as_array(SINGLE_MODALITY, X)
    if len(X.shape) == 1 and getattr(X, "dtype", np.dtype(float)).kind in TEXT:
        X = X.astype(object)
    flattened = (
        not reset and modalities is None and list(estimator.modalities_) != [SINGLE_MODALITY]
    )
    if flattened:
        if len(X.shape) != 2 or X.shape[1] != estimator.n_features_in_:
            raise ValueError(
                f"X has shape {X.shape}, but {type(estimator).__name__} was fitted on modalities "
                f"with samples of shape {estimator.modalities_} and expects these, or their "
                f"{estimator.n_features_in_} columns side by side."
            )
        modalities = column_layout(estimator.modalities_)
        names = getattr(X, "columns", None)
        if names is not None and all(isinstance(column, str) for column in names):
            for name, (columns, _) in modalities.items():
                _compare_names(estimator, name, list(names[columns]), prefix=f"{name}__")
    elif (
        modalities is not None
        or not check_values
        or isinstance(X, LazyBlock)
        or _reads_items(estimator, SINGLE_MODALITY, X, reset)
    ):
        X = as_block(SINGLE_MODALITY, X)
        if X.ndim > 1:
            _check_feature_names(estimator, with_names(X), reset=reset)
            _check_n_features(estimator, X, reset=reset)
        elif reset:
            estimator.n_features_in_ = 1
    else:
        if reset:
            _warn_of_flattened(estimator, X)
        with naming_column(X):
            X = validate_data(
                estimator, X, reset=reset, accept_sparse="csr", allow_nd=True,
                ensure_min_samples=2 if reset else 1,
                ensure_all_finite=_finite(may_miss(estimator)),
            )  # fmt: skip
            _check_numeric(X)
        check_values = False  # done, by scikit-learn
    X = check_modalities(X, modalities)
    if reset:
        estimator.modalities_ = X.sample_shapes
        estimator._block_columns = _cut_names(estimator, X)
    return _check_blocks(estimator, X, reset) if check_values else _check_not_empty(X)


def _reads_items(estimator: Any, name: str, block: Block, reset: bool) -> bool:
    """Whether an estimator reads a block by an encoder of its own, whatever its values are."""
    if not hasattr(estimator, "_reads_items"):
        return False
    return bool(estimator._reads_items(name, block, reset))


def _warn_of_flattened(estimator: Any, X: Any) -> None:
    """Warn where X may be several modalities that someone has put into one array."""
    shape: tuple[int, ...] = getattr(X, "shape", ())
    layout = flattened_layout(shape[1]) if len(shape) == 2 else None
    if layout is not None:
        warnings.warn(
            f"{type(estimator).__name__} takes X, one table of {shape[1]} columns, for a single "
            f"modality. A ModalityDict of as many columns, {list(layout)}, has been made one array "
            "before, as StandardScaler or BaggingClassifier do. If this is it, set "
            f"modalities={layout}, which is the ModalityDict's `layout`; to scale each modality by "
            "itself use ModalityTransformer.",
            UserWarning,
            stacklevel=4,
        )


def _cut_names(estimator: Any, X: ModalityDict) -> dict[str, list[str] | None]:
    """Column names of the modalities that a table was cut into, where it has names."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and list(X) == [SINGLE_MODALITY] and len(names) == X.shape[1]:
        return {SINGLE_MODALITY: list(names)}  # whose frame scikit-learn made an array
    return {name: None if names is None else X.columns_of(name) for name in X}


def _match(estimator: Any, X: ModalityDict) -> ModalityDict:
    """Blocks in the order of fit; an error where names or shapes differ from fit."""
    expected = estimator.modalities_
    missing = [name for name in expected if name not in X]
    unknown = [name for name in X if name not in expected]
    if unknown or (missing and not may_miss(estimator)):
        parts = [f"missing {missing}"] * bool(missing) + [f"unknown {unknown}"] * bool(unknown)
        raise ValueError(
            f"Modalities differ from those {type(estimator).__name__} was fitted on: "
            f"{', '.join(parts)}; expected {list(expected)}, got {list(X)}."
        )
    encoded = getattr(estimator, "encoders_", {})
    for name, shape in X.sample_shapes.items():
        if shape != expected[name] and name not in encoded:  # whose encoders know what they read
            raise ValueError(
                f"Modality {name!r} has samples of shape {shape}, but "
                f"{type(estimator).__name__} was fitted on shape {expected[name]}."
            )
    blocks = {name: X[name] if name in X else lost(expected[name], len(X)) for name in expected}
    X = ModalityDict(blocks).named_as(X)
    for name in X:
        if (columns := X.columns_of(name)) is not None:
            _compare_names(estimator, name, columns)
    return X


def _compare_names(estimator: Any, name: str, received: Sequence[str], prefix: str = "") -> None:
    """Raise where the columns of a modality had names in fit and bear others now."""
    columns = estimator._block_columns[name] or received
    if len(received) != len(columns):
        plain = [got.removeprefix(prefix) for got in received]
        lost = [known for known in columns if known not in plain]
        new = [got for got in plain if got not in columns]
        raise ValueError(
            f"Modality {name!r} has {len(received)} columns, but {type(estimator).__name__} was "
            f"fitted on {len(columns)}: "
            + f"{lost} are not there. " * bool(lost)
            + f"{new} were not there in fit. " * bool(new)
            + "Select the columns of fit."
        )
    for got, known in zip(received, columns, strict=True):
        if got not in (known, prefix + known):
            raise ValueError(
                f"Column names of modality {name!r} differ from those {type(estimator).__name__} "
                f"was fitted on: got {got!r} in the place of {known!r}. Names and their order must "
                "be the same; select the columns in the order of fit."
            )


def _check_blocks(estimator: Any, X: ModalityDict, reset: bool) -> ModalityDict:
    """Numeric, finite and non-empty blocks, or an error that names the modality.

    Lazy blocks are loaded where they are small, else the values are checked when they are read.
    """
    load = fits_in_memory(X.values())
    blocks = {}
    for name, block in X.items():
        if not reset and is_lost(block):
            pass  # scikit-learn would make an array of all its values to look at them
        elif _reads_items(estimator, name, block, reset):
            _check_counts(name, block)
            if reset:
                _check_several(len(block))
        elif isinstance(block, LazyBlock) and not load:
            _check_counts(name, block)
            _check_dtype(name, block)
        else:
            block = check_block(name, block, estimator, 2 if reset else 1)
        blocks[name] = block
    return ModalityDict(blocks)


def check_block(
    name: str,
    block: Block,
    estimator: Any = None,
    min_samples: int = 1,
    missing: bool | None = None,
) -> Block:
    """Return a block as a numeric and finite array, or raise an error that names the modality.

    ``missing`` says whether NaN may be among the values; None is what the estimator takes.
    """
    missing = may_miss(estimator) if missing is None else missing
    if is_raw(block) and not isinstance(block, pd.DataFrame):
        with naming_modality(name):
            raise ValueError(
                f"holds {KINDS[kind_of(block)]}, where numbers are needed. {ENCODE_FIRST}"
            )
    if type(block) is np.ndarray and block.dtype.kind == "f" and block.ndim > 1:  # most of them
        with np.errstate(over="ignore", invalid="ignore"):
            if len(block) >= min_samples and block.size and np.isfinite(block.sum()):
                return block
    block = as_pandas(block)
    if missing and isinstance(block, pd.DataFrame) and "O" in {d.kind for d in block.dtypes}:
        block = block.where(block.notna(), np.nan)  # of None and pd.NA
    elif missing and isinstance(block, np.ndarray) and block.dtype.kind == "O":
        block = np.where(pd.isna(block), np.nan, block)
    if getattr(block, "ndim", 2) > 2:
        _check_counts(name, block)
    with naming_modality(name), naming_column(block, name):
        block = check_array(
            block, accept_sparse="csr", allow_nd=True, estimator=estimator,
            ensure_min_samples=min_samples, ensure_all_finite=_finite(missing),
        )  # fmt: skip
        _check_numeric(block)
    _check_dtype(name, block)
    return block


@contextmanager
def naming_column(block: Any, name: str = SINGLE_MODALITY) -> Iterator[None]:
    """Say which column of a table cannot be read as numbers, and what to do."""
    try:
        yield
    except (ValueError, TypeError) as error:
        found = _column_without_numbers(block)
        if found is None:
            raise
        column, value = found
        kind = ValueError if isinstance(error, ValueError) else TypeError
        if isinstance(value, str):
            advice = (
                "An estimator reads categories, dates and gaps of a DataFrame: give the table as "
                "one, pandas.DataFrame(table). Text is a modality of its own. Elsewhere encode it "
                f"first, by ModalityTransformer({{{name!r}: make_column_transformer("
                f"(OneHotEncoder(), [{column!r}]), remainder='passthrough')}})."
            )
        else:
            advice = "Make numbers of it first; dates become numbers by subtracting one of them."
        raise kind(
            f"Column {column!r} holds {value!r}, which is not numeric. {advice} ({error})"
        ) from error


def _column_without_numbers(block: Any) -> tuple[Any, Any] | None:
    """The first column of a table that holds something else than numbers, and the first such."""
    if isinstance(block, pd.DataFrame):
        columns = {name: block.iloc[:, i] for i, name in enumerate(block.columns)}
    elif getattr(block, "ndim", 0) == 2 and getattr(block, "dtype", None) is not None and (
        block.dtype.kind in "OUS" and not sparse.issparse(block)
    ):  # fmt: skip
        columns = {i: pd.Series(block[:, i]) for i in range(block.shape[1])}
    else:
        return None
    for name, column in columns.items():
        if pd.api.types.is_datetime64_any_dtype(column) and len(column):
            return name, column.iloc[0]
        if not pd.api.types.is_numeric_dtype(column):
            wrong = pd.to_numeric(column.astype(object), errors="coerce").isna() & column.notna()
            if wrong.any():
                return name, column[wrong.to_numpy()].iloc[0]
    return None


def read_block(name: str, block: Block, rows: slice) -> Block:
    """Rows of a validated block, from a slice: those of a lazy block are checked here."""
    if isinstance(block, LazyBlock):
        with naming_modality(name):
            read = block.read(rows.start, rows.stop)
        # whether values may be missing is told where they are scaled
        return check_block(name, read, missing=True)
    return take_rows(block, rows)


def iterate_block(name: str, block: Block) -> Iterator[Block]:
    """Yield a validated block in parts small enough for memory; in one, where it is there."""
    if not isinstance(block, LazyBlock):
        yield block
        return
    edges = block.edges(rows_per_read(4 * prod(block.shape[1:]), block.stored_rows))
    for start, stop in pairwise(edges):
        yield read_block(name, block, slice(start, stop))


def by_content(X: ModalityDict) -> ModalityDict:
    """Validated modalities whose tables are stored as their values ask for, however they came.

    Tables of many columns that are mostly 0 become CSR, others dense. What is learned of a table,
    its scale, the bound on beta and the encoder it takes, then does not depend on its storage.
    Beside blocks that do not fit into memory nothing is made dense.
    """
    if any(isinstance(block, LazyBlock) for block in X.values()):
        return X
    blocks = {}
    for name, block in X.items():
        if block.ndim == 2:
            few = _is_mostly_zero(block)
            if few and not sparse.issparse(block):
                block = sparse.csr_matrix(block)
            elif sparse.issparse(block) and not few:
                block = block.toarray()
        blocks[name] = block
    return ModalityDict(blocks).named_as(X)


def _is_mostly_zero(table: Block) -> bool:
    """Whether reading the stored values alone pays: what sparse encoders are for."""
    n_rows, n_columns = table.shape
    if n_columns <= WIDEST_DENSE:
        return False
    n_values = table.count_nonzero() if sparse.issparse(table) else np.count_nonzero(table)
    return bool(n_values < DENSEST_SPARSE * n_rows * n_columns)


def is_constant(block: Block) -> bool:
    """Whether a validated block in memory has several rows that are all the same."""
    if block.shape[0] < 2:
        return False
    if sparse.issparse(block):
        alike = (block[:2].max(0) != block[:2].min(0)).nnz == 0
        return alike and (block.max(0) != block.min(0)).nnz == 0
    return bool((block[0] == block[1]).all() and (block == block[0]).all())


def _check_numeric(block: Block) -> None:
    if block.dtype.kind not in "fiubc":
        raise ValueError(f"dtype {block.dtype} is not numeric.")


def _check_dtype(name: str, block: Block) -> None:
    if block.dtype.kind == "c":
        raise ValueError(f"Modality {name!r}: Complex data not supported.")
    if block.dtype.kind not in "fiub":
        raise ValueError(f"Modality {name!r}: dtype {block.dtype} is not numeric.")


def _check_counts(name: str, block: Block) -> None:
    for count, what in ((block.shape[0], "sample(s)"), (prod(block.shape[1:]), "feature(s)")):
        if count == 0:
            raise ValueError(
                f"Modality {name!r}: Found array with 0 {what} (shape={tuple(block.shape)}) "
                "while a minimum of 1 is required."
            )


def _check_several(n_samples: int) -> None:
    if n_samples < 2:
        raise ValueError(
            f"Found array with {n_samples} sample(s) while a minimum of 2 is required."
        )


def _check_not_empty(X: ModalityDict) -> ModalityDict:
    for name, block in X.items():
        if np.iscomplexobj(block):
            raise ValueError(f"Modality {name!r}: Complex data not supported.")
        _check_counts(name, block)
    return X
