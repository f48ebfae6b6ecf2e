"""Classes and functions that a file may name: ours, and some of scikit-learn's and torch's.

A name in a file is looked up among what is here. Nothing is imported because a file says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import FunctionType
from typing import Any, TypeAlias

import numpy as np
import sklearn.compose
import sklearn.metrics
import sklearn.model_selection
import sklearn.preprocessing
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from torch import nn

from .._compat import MetadataRequest, MethodMetadataRequest

Named: TypeAlias = type | Callable[..., Any]

PACKAGE = __name__.partition(".")[0]
EMBEDS = "rtdl_num_embeddings"  # small modules, an extra
APART = (f"{PACKAGE}.baselines", EMBEDS)  # which the package does not import by itself
PLACES = (f"{PACKAGE}.", f"{EMBEDS}.")
# ours that are neither estimators nor torch modules
OURS = (
    "Classification", "Regression", "AnomalyDetection", "BlockScaler", "BetaBounds", "Recipe",
    "Ragged", "Embeddings", "Numbers", "Durations", "Dates", "Categories",
)  # fmt: skip
SPLITTERS = (
    "GroupKFold", "GroupShuffleSplit", "KFold", "LeaveOneGroupOut", "LeaveOneOut",
    "LeavePGroupsOut", "LeavePOut", "PredefinedSplit", "RepeatedKFold", "RepeatedStratifiedKFold",
    "ShuffleSplit", "StratifiedGroupKFold", "StratifiedKFold", "StratifiedShuffleSplit",
    "TimeSeriesSplit",
)  # fmt: skip
ACTIVATIONS = (
    "celu", "elu", "gelu", "hardtanh", "leaky_relu", "mish", "relu", "relu6", "selu", "sigmoid",
    "silu", "softplus", "tanh",
)  # fmt: skip


@cache
def _others() -> dict[str, Named]:
    """What is known beside this package, by public name."""
    found: dict[str, Named] = {
        "sklearn.preprocessing.LabelEncoder": sklearn.preprocessing.LabelEncoder,
        "sklearn.preprocessing.StandardScaler": sklearn.preprocessing.StandardScaler,
        # of encoders of texts and tables
        "sklearn.preprocessing.OneHotEncoder": sklearn.preprocessing.OneHotEncoder,
        "sklearn.feature_extraction.text.TfidfVectorizer": TfidfVectorizer,
        "sklearn.feature_extraction.text.TfidfTransformer": TfidfTransformer,
        "numpy.float32": np.float32,
        "scipy.sparse.csr_matrix": sparse.csr_matrix,
        "sklearn.compose.make_column_selector": sklearn.compose.make_column_selector,
        # of a scoring that is an object, not a name, and of routed metadata
        "sklearn.metrics.Scorer": type(sklearn.metrics.get_scorer("accuracy")),
        "sklearn.MetadataRequest": MetadataRequest,
        "sklearn.MethodMetadataRequest": MethodMetadataRequest,
        "torch.nn.NonDynamicallyQuantizableLinear": (
            nn.modules.linear.NonDynamicallyQuantizableLinear  # of MultiheadAttention
        ),
    }
    for name in SPLITTERS:
        found[f"sklearn.model_selection.{name}"] = getattr(sklearn.model_selection, name)
    for name in sklearn.metrics.__all__:
        if isinstance(function := getattr(sklearn.metrics, name), FunctionType):
            found[f"sklearn.metrics.{name}"] = function
    for name, part in vars(nn).items():
        if isinstance(part, type) and issubclass(part, nn.Module):
            found[f"torch.nn.{name}"] = part
    for name in ACTIVATIONS:
        found[f"torch.nn.functional.{name}"] = getattr(torch.nn.functional, name)
    return found


@cache
def _names() -> dict[Named, str]:
    return {part: name for name, part in _others().items()}


def path_of(named: Named) -> str:
    """Where a class or function is imported from."""
    return f"{named.__module__}.{named.__qualname__}"


def _is_ours(named: object) -> bool:
    if not isinstance(named, type) or not f"{named.__module__}.".startswith(PLACES):
        return False
    return issubclass(named, (nn.Module, BaseEstimator)) or named.__name__ in OURS


def name_of(named: Named) -> str | None:
    """The name by which a file may call a class or function; None where it is not known."""
    if _is_ours(named):
        return path_of(named)
    return _names().get(named)


def known(name: str) -> Named:
    """The class or function of a name.

    Raises
    ------
    ValueError
        If it is not known.
    """
    found: Any = _others().get(name)
    if found is None:
        module, _, last = name.rpartition(".")
        if module in APART:
            import_module(module)
        found = getattr(sys.modules.get(module), last, None)
        if not _is_ours(found) or path_of(found) != name:
            raise ValueError(f"{name!r} is not among the classes that a file may name.")
    return found
