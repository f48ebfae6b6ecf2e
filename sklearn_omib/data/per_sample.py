"""What comes with the samples beside their modalities: targets, weights, groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.utils import column_or_1d

from .._compat import _check_sample_weight
from .._typing import Array
from .container import ModalityDict
from .foreign import labelled


def check_entries(name: str, values: Any, n_samples: int, given: Any = None) -> Any:
    """Return values of which each sample has one, or raise an error that says what came.

    Parameters
    ----------
    name : str
        Such as "y", "groups" or "sample_weight".
    values : array-like of shape (n_samples, ...)
    n_samples : int
        Of X.
    given : object, default=None
        X as it came, for a hint.

    Returns
    -------
    array-like
        As it came, but a tensor or a sparse matrix as an array.
    """
    if isinstance(values, torch.Tensor):
        values = labelled(values).block
    shape = _shape(name, values)
    if not shape:
        raise ValueError(
            f"{name} must be an array with an entry for each of the {n_samples} samples, got "
            f"{_shown(values)} of type {type(values).__name__}.{_advice(name, values)}"
        )
    if len(shape) > 2:
        raise ValueError(f"{name} must have one dimension or two, got shape {shape}.")
    if shape[0] != n_samples:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {[n_samples, shape[0]]}, "
            f"those of X and {name}.{_hint(given)}"
        )
    return values.toarray() if sparse.issparse(values) else values


def _shape(name: str, values: Any) -> tuple[int, ...]:
    """Shape of an array-like, () of what is none."""
    if sparse.issparse(values):
        return values.shape
    if isinstance(values, (str, bytes, Mapping, set, ModalityDict)):
        return ()
    try:
        array = np.asarray(values)
    except ValueError:  # lists of several lengths
        lengths = sorted({np.size(value) for value in values})
        raise ValueError(
            f"{name} is ragged: its entries have {lengths} values. Give one value for each of the "
            "samples, or as many columns for each."
        ) from None
    if array.dtype.kind == "c":
        raise ValueError(f"{name} holds complex numbers. Complex data not supported.")
    return array.shape


def check_groups(groups: Any, n_samples: int) -> Array | None:
    """Groups as an array, or None where none were given."""
    if groups is None:
        return None
    groups = check_entries("groups", groups, n_samples)
    if np.ndim(groups) > 2 or (np.ndim(groups) == 2 and np.shape(groups)[1] != 1):
        raise ValueError(
            f"groups must be 1-D, one group for each sample, got shape {np.shape(groups)}. Columns "
            "that name a group together make one by pandas.DataFrame(groups).groupby(list(columns))"
            ".ngroup()."
        )
    groups = column_or_1d(groups)
    missing = np.flatnonzero(pd.isna(groups))
    if len(missing):
        raise ValueError(
            f"groups is missing for sample {missing[0]} and {len(missing) - 1} more; a sample that "
            "belongs to no other is a group of its own."
        )
    check_one_type("groups", groups)
    return groups


def check_one_type(name: str, values: Array) -> None:
    """Raise where an array of objects holds values that cannot be sorted, such as 1 and "a"."""
    if values.dtype != object:
        return
    kinds = {_kind(value) for value in values.ravel() if not _is_missing(value)}
    if len(kinds) > 1:
        raise ValueError(
            f"{name} mixes values of several types, {sorted(kinds)}; make them all one, for "
            f"instance by [str(value) for value in {name}]."
        )


def check_labels(name: str, values: Array) -> None:
    """Raise where labels are missing, or cannot be sorted."""
    check_one_type(name, values)
    if pd.isna(values).any():
        raise ValueError(f"{name} is missing for some samples; leave them out.")


def check_weight(weight: Any, n_samples: int) -> Array:
    """Weights of the samples, not negative, of which the mean is finite."""
    rows = np.empty((n_samples, 0))  # of which scikit-learn looks at the number
    if weight is None or (np.isscalar(weight) and not isinstance(weight, (str, bytes))):
        return _check_sample_weight(weight, rows, dtype=np.float64, ensure_non_negative=True)
    weight = check_entries("sample_weight", weight, n_samples)
    try:
        values = np.asarray(weight)
        numbers = values.astype(np.float64) if values.dtype.kind not in "mM" else None
    except (TypeError, ValueError):
        numbers = None
    if numbers is None:
        raise ValueError(
            "sample_weight must hold numbers, one for each sample, got "
            f"{_shown(values.ravel()[0])} of dtype {values.dtype}."
        )
    weight = _check_sample_weight(numbers, rows, dtype=np.float64, ensure_non_negative=True)
    with np.errstate(over="ignore"):
        if not np.isfinite(weight.sum()):
            raise ValueError("sample_weight is too large to add up; divide it by its maximum.")
    return weight


def _kind(value: object) -> str:
    if isinstance(value, str) or not np.isscalar(value):
        return type(value).__name__
    return "number"


def _is_missing(value: object) -> bool:
    return value is None or (np.isscalar(value) and bool(pd.isna(value)))


def _shown(value: object) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _advice(name: str, values: Any) -> str:
    if name == "sample_weight" and isinstance(values, (str, Mapping)):
        return " Classes are weighed by the classifier's parameter class_weight."
    return ""


def _hint(given: Any) -> str:
    """What may have been meant by a list of vectors, which is a table of as many rows."""
    if isinstance(given, (list, tuple)) and len(given) and all(
        len(getattr(one, "shape", ())) == 1 for one in given
    ):  # fmt: skip
        return (
            f" X is a list of {len(given)} vectors, which are taken for samples. Modalities of one "
            "column each have two dimensions: give [vector.reshape(-1, 1) for vector in X]."
        )
    return ""
