"""The one place that imports scikit-learn's private helpers.

scikit-learn 1.6 is the oldest version supported; a helper that moves is mended here.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from sklearn import base
from sklearn.utils._indexing import _get_column_indices
from sklearn.utils._metadata_requests import MetadataRequest, MethodMetadataRequest
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import (
    _check_feature_names,
    _check_feature_names_in,
    _check_n_features,
    _check_sample_weight,
)

F = TypeVar("F", bound=Callable[..., Any])
# what it decorates keeps its type
_fit_context: Callable[..., Callable[[F], F]] = base._fit_context


def refuse_booleans(estimator: Any) -> None:
    """Raise where a parameter that is no switch is True or False, which pass for 1 and 0."""
    for name, value in estimator.get_params(deep=False).items():
        allowed = estimator._parameter_constraints.get(name, ["boolean"])
        switch = any(isinstance(one, str) and one in ("boolean", "verbose") for one in allowed)
        if isinstance(value, (bool, np.bool_)) and not switch:
            raise ValueError(
                f"The {name!r} parameter of {type(estimator).__name__} must not be a boolean, got "
                f"{value}. Give a number."
            )


__all__ = [
    "HasMethods",
    "Interval",
    "MetadataRequest",
    "MethodMetadataRequest",
    "StrOptions",
    "_BaseComposition",
    "_check_feature_names",
    "_check_feature_names_in",
    "_check_n_features",
    "_check_sample_weight",
    "_fit_context",
    "_get_column_indices",
    "_get_output_config",
    "refuse_booleans",
    "validate_parameter_constraints",
    "validate_params",
]
