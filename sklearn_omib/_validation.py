"""Checking modalities for an estimator: values in fit, names and shapes from then on."""

from math import prod

import numpy as np
import pandas as pd
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from ._compat import _check_feature_names, _check_n_features
from ._modalities import (
    SINGLE_MODALITY,
    ModalityDict,
    as_block,
    block_feature_names,
    check_modalities,
    column_layout,
    holds_modalities,
    naming_modality,
)


def validate_modalities(estimator, X, *, reset, modalities=None, check_values=True):
    """Check X for an estimator, remembering names and widths or comparing with them.

    Sets, when ``reset``, or else compares with ``modalities_`` (shape of one sample by name),
    ``n_features_in_`` and, where columns have names, ``feature_names_in_``.

    Parameters
    ----------
    estimator : estimator instance
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
    if not holds_modalities(X):
        return _validate_table(estimator, X, reset, modalities, check_values)
    X = check_modalities(X)
    if reset:
        if modalities is not None and set(modalities) != set(X):
            raise ValueError(
                f"`modalities` names {list(modalities)}, but X comes in blocks {list(X)}. Leave "
                "`modalities` out where X has modalities already."
            )
        estimator.modalities_ = X.sample_shapes
        estimator.n_features_in_ = X.shape[1]
        estimator._block_columns = {
            name: block_feature_names(block) if isinstance(block, pd.DataFrame) else None
            for name, block in X.items()
        }
        if all(isinstance(block, pd.DataFrame) for block in X.values()):
            estimator.feature_names_in_ = X.feature_names
        elif hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    else:
        X = _match(estimator, X)
    return _check_blocks(estimator, X, reset) if check_values else _check_not_empty(X)


def _validate_table(estimator, X, reset, modalities, check_values):
    """One table: a single modality, cut by a specification, or the blocks of fit flattened."""
    flattened = (
        not reset and modalities is None and list(estimator.modalities_) != [SINGLE_MODALITY]
    )
    if flattened:
        X = X if hasattr(X, "shape") else np.asarray(X)
        if len(X.shape) != 2 or X.shape[1] != estimator.n_features_in_:
            raise ValueError(
                f"X has shape {X.shape}, but {type(estimator).__name__} was fitted on modalities "
                f"with samples of shape {estimator.modalities_} and expects these, or their "
                f"{estimator.n_features_in_} columns side by side."
            )
        modalities = column_layout(estimator.modalities_)
        if hasattr(X, "columns") and all(isinstance(column, str) for column in X.columns):
            for name, (columns, _) in modalities.items():
                _compare_names(estimator, name, list(X.columns[columns]), prefix=f"{name}__")
    elif modalities is None and check_values:
        X = validate_data(
            estimator, X, reset=reset, accept_sparse="csr", allow_nd=True,
            ensure_min_samples=2 if reset else 1,
        )  # fmt: skip
        check_values = False  # done, by scikit-learn
    else:
        X = as_block(SINGLE_MODALITY, X)
        _check_feature_names(estimator, X, reset=reset)
        _check_n_features(estimator, X, reset=reset)
    X = check_modalities(X, modalities)
    if reset:
        estimator.modalities_ = X.sample_shapes
        estimator._block_columns = dict.fromkeys(X)  # a table's names are feature_names_in_
    return _check_blocks(estimator, X, reset) if check_values else _check_not_empty(X)


def _match(estimator, X):
    """Blocks in the order of fit; an error where names or shapes differ from fit."""
    expected = estimator.modalities_
    missing = [name for name in expected if name not in X]
    unknown = [name for name in X if name not in expected]
    if missing or unknown:
        parts = [f"missing {missing}"] * bool(missing) + [f"unknown {unknown}"] * bool(unknown)
        raise ValueError(
            f"Modalities differ from those {type(estimator).__name__} was fitted on: "
            f"{', '.join(parts)}; expected {list(expected)}, got {list(X)}."
        )
    for name, shape in X.sample_shapes.items():
        if shape != expected[name]:
            raise ValueError(
                f"Modality {name!r} has samples of shape {shape}, but "
                f"{type(estimator).__name__} was fitted on shape {expected[name]}."
            )
    X = X.select(list(expected))
    for name, block in X.items():
        if isinstance(block, pd.DataFrame):
            _compare_names(estimator, name, block_feature_names(block))
    return X


def _compare_names(estimator, name, received, prefix=""):
    """Raise where the columns of a modality had names in fit and bear others now."""
    for got, known in zip(received, estimator._block_columns[name] or received, strict=True):
        if got not in (known, prefix + known):
            raise ValueError(
                f"Column names of modality {name!r} differ from those {type(estimator).__name__} "
                f"was fitted on: got {got!r} in the place of {known!r}. Names and their order must "
                "be the same."
            )


def _check_blocks(estimator, X, reset):
    """Numeric, finite and non-empty blocks, or an error that names the modality."""
    blocks = {}
    for name, block in X.items():
        with naming_modality(name):
            block = check_array(
                block, accept_sparse="csr", allow_nd=True, estimator=estimator,
                ensure_min_samples=2 if reset else 1,
            )  # fmt: skip
            if block.dtype.kind not in "fiub":
                raise ValueError(f"dtype {block.dtype} is not numeric.")
            blocks[name] = block
    return ModalityDict(blocks)


def _check_not_empty(X):
    for name, block in X.items():
        if np.iscomplexobj(block):
            raise ValueError(f"Modality {name!r}: Complex data not supported.")
        for count, what in ((block.shape[0], "sample(s)"), (prod(block.shape[1:]), "feature(s)")):
            if count == 0:
                raise ValueError(
                    f"Modality {name!r}: Found array with 0 {what} (shape={tuple(block.shape)}) "
                    "while a minimum of 1 is required."
                )
    return X
