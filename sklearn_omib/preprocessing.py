"""Transformers from tables to modalities, within modalities, and back to tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from ._compat import (
    HasMethods,
    Interval,
    _BaseComposition,
    _check_feature_names_in,
    _fit_context,
)
from ._typing import Array, Block, HasShape, Modalities, SameSignature
from .data.checks import validate_modalities
from .data.container import (
    SINGLE_MODALITY,
    ModalityDict,
    flatten_block,
    holds_modalities,
    naming_modality,
    qualified_names,
    resolve_columns,
    split_columns,
)
from .data.foreign import as_table, has_levels, with_samples

__all__ = ["ModalityConcatenator", "ModalitySplitter", "ModalityTransformer"]

_validated: SameSignature = _fit_context(prefer_skip_nested_validation=True)
# the transformers inside are the user's, so their parameters are validated too
_validated_with_nested: SameSignature = _fit_context(prefer_skip_nested_validation=False)


class ModalityTransformer(TransformerMixin, _BaseComposition, auto_wrap_output_keys=None):
    """Apply a transformer of its own to each modality, as ColumnTransformer does to columns.

    Parameters
    ----------
    transformers : dict of str to transformer, "passthrough" or "drop"
        By name of modality. Their parameters are reached by name:
        ``set_params(text__n_components=20)``, and in a pipeline
        ``modalitytransformer__text__n_components``.
    remainder : transformer, "passthrough" or "drop", default="passthrough"
        What is done with the other modalities. A transformer is cloned for each.
    modalities : dict of str to columns, default=None
        How to cut a single table; see :class:`ModalitySplitter`.
    n_jobs : int, default=None
        Modalities fitted and transformed in parallel, by joblib.

    Attributes
    ----------
    transformers_ : dict of str to transformer, "passthrough" or "drop"
        Fitted transformers of all modalities.
    modalities_ : dict of str to tuple
        Shape of one sample of each modality seen in fit.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    Raises
    ------
    ValueError
        If a name is not a modality of X.

    See Also
    --------
    ModalitySplitter : Makes modalities of one table.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_omib.preprocessing import ModalityTransformer
    >>> X = {"text": np.random.default_rng(0).normal(size=(20, 50)), "audio": np.ones((20, 3))}
    >>> ModalityTransformer({"text": PCA(5)}).fit_transform(X)
    ModalityDict(n_samples=20, text: (5,) float64, audio: (3,) float64)
    """

    _parameter_constraints: dict[str, Any] = {
        "transformers": [dict],
        "remainder": [str, HasMethods(["fit", "transform"])],
        "modalities": [dict, None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        transformers: dict[str, Any],
        *,
        remainder: Any = "passthrough",
        modalities: Mapping[str, Any] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.transformers = transformers
        self.remainder = remainder
        self.modalities = modalities
        self.n_jobs = n_jobs

    @property
    def _named(self) -> Any:
        named = self.transformers
        return list(named.items()) if isinstance(named, dict) else named

    @_named.setter
    def _named(self, pairs: Iterable[tuple[str, Any]]) -> None:
        self.transformers = dict(pairs)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, those of the transformers included as ``name__parameter``."""
        return self._get_params("_named", deep=deep)

    def set_params(self, **kwargs: Any) -> ModalityTransformer:
        """Set parameters, transformers by name, or ``name__parameter``."""
        return self._set_params("_named", **kwargs)

    @_validated_with_nested
    def fit(self, X: Modalities, y: ArrayLike | None = None) -> ModalityTransformer:
        """Fit every transformer on its modality.

        Parameters
        ----------
        X : dict of str to array, ModalityDict, list of arrays, array-like or DataFrame
        y : array-like of shape (n_samples,), default=None
            Passed to the transformers.

        Returns
        -------
        self : object
        """
        self.fit_transform(X, y)
        return self

    @_validated_with_nested
    def fit_transform(self, X: Modalities, y: ArrayLike | None = None) -> ModalityDict:
        """Fit every transformer on its modality and transform it.

        Parameters
        ----------
        X : as in fit
        y : array-like of shape (n_samples,), default=None

        Returns
        -------
        ModalityDict
        """
        X = self._validate(X, reset=True)
        assigned = self._assign(X)
        self._columns = {name: X.feature_names_of(name) for name in X}
        results = self._run(_fit_transform_one, assigned, X, y)
        self.transformers_ = {
            name: fitted for name, (fitted, _) in zip(assigned, results, strict=True)
        }
        return self._collect(X, assigned, [block for _, block in results])

    def transform(self, X: Modalities) -> ModalityDict:
        """Transform every modality.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ModalityDict
        """
        check_is_fitted(self, "transformers_")
        X = self._validate(X, reset=False)
        blocks = self._run(_transform_one, self.transformers_, X)
        return self._collect(X, self.transformers_, blocks)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> Array:
        """Names of the columns of the output, ``"modality__column"``.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "transformers_")
        names = []
        for name, transformer in self.transformers_.items():
            columns = self._columns[name]
            if transformer == "drop":
                continue
            if not isinstance(transformer, str):
                if not hasattr(transformer, "get_feature_names_out"):
                    raise AttributeError(
                        f"The transformer of modality {name!r}, {type(transformer).__name__}, has "
                        "no get_feature_names_out."
                    )
                columns = transformer.get_feature_names_out(columns)
            names += [f"{name}__{column}" for column in columns]
        return np.asarray(names, dtype=object)

    def _validate(self, X: Modalities, reset: bool) -> ModalityDict:
        return validate_modalities(
            self, X, reset=reset, modalities=self.modalities, check_values=False
        )

    def _assign(self, X: ModalityDict) -> dict[str, Any]:
        """The transformer of every modality of X, unfitted."""
        self._validate_names(list(self.transformers))
        unknown = [name for name in self.transformers if name not in X]
        if unknown:
            raise ValueError(f"transformers names unknown modalities {unknown}; X has {list(X)}.")
        assigned = {name: self.transformers.get(name, self.remainder) for name in X}
        for name, transformer in assigned.items():
            if transformer not in ("passthrough", "drop") and not (
                hasattr(transformer, "fit") and hasattr(transformer, "transform")
            ):
                raise TypeError(
                    f"The transformer of modality {name!r} must be a transformer, 'passthrough' or "
                    f"'drop', got {transformer!r}."
                )
        return assigned

    def _run(
        self,
        function: Callable[..., Any],
        transformers: Mapping[str, Any],
        X: ModalityDict,
        *args: Any,
    ) -> list[Any]:
        return Parallel(n_jobs=self.n_jobs)(
            delayed(function)(name, transformer, X[name], *args)
            for name, transformer in transformers.items()
        )

    def _collect(
        self, X: ModalityDict, names: Iterable[str], blocks: Iterable[Block]
    ) -> ModalityDict:
        kept = {name: block for name, block in zip(names, blocks, strict=True) if block is not None}
        if not kept:
            raise ValueError("All modalities are dropped; nothing is left to return.")
        passed = [name for name, block in kept.items() if block is X[name]]
        made = ModalityDict(kept)
        if passed:
            made.named_as(X.select(passed))
        if X.samples is not None:
            made.samples = X.samples
        return made

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        tags.input_tags.dict = True
        tags.input_tags.allow_nan = True  # the transformers judge the values
        tags.transformer_tags.preserves_dtype = []
        return tags


def _fit_transform_one(
    name: str, transformer: Any, block: Block, y: ArrayLike | None
) -> tuple[Any, Block]:
    if isinstance(transformer, str):
        return transformer, _transform_one(name, transformer, block)
    transformer = clone(transformer)
    with naming_modality(name):
        if hasattr(transformer, "fit_transform"):
            made = transformer.fit_transform(block, y)
        else:
            made = transformer.fit(block, y).transform(block)
        return transformer, _with_index_of(block, made)


def _transform_one(name: str, transformer: Any, block: Block) -> Block:
    if isinstance(transformer, str):
        return block if transformer == "passthrough" else None
    with naming_modality(name):
        return _with_index_of(block, transformer.transform(block))


def _with_index_of(block: Block, made: Block) -> Block:
    """A DataFrame made of another, whose rows it keeps, with the names these had."""
    if isinstance(block, pd.DataFrame) and isinstance(made, pd.DataFrame):
        return made if made.index.equals(block.index) else made.set_axis(block.index)
    return made


class ModalitySplitter(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Cut one table into modalities.

    Parameters
    ----------
    modalities : dict of str to columns, default=None
        Columns of each modality, as in ColumnTransformer: a slice, positions, names, a boolean
        mask or a callable such as ``make_column_selector(pattern="^audio_")``; or a pair
        ``(columns, shape)`` that gives a sample of the modality more dimensions. With None,
        modalities are read off the column names.
    separator : str, default="__"
        Without ``modalities``, a column "audio__pitch" belongs to the modality "audio".
    level : int or str, default=0
        Without ``modalities``, the level of the columns' MultiIndex that names the modality.

    Attributes
    ----------
    columns_ : dict of str to (positions, shape)
        Columns selected in fit and the shape of one sample, by name of modality.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has names that are all strings.

    Raises
    ------
    ValueError
        If a modality has no columns, or column names do not tell modalities.

    See Also
    --------
    ModalityConcatenator : The way back.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_omib.preprocessing import ModalitySplitter
    >>> table = pd.DataFrame({"audio__pitch": [1.0, 2.0], "video__smile": [0.0, 1.0]})
    >>> ModalitySplitter().fit_transform(table)
    ModalityDict(n_samples=2, audio: (1,) float64, video: (1,) float64)
    >>> ModalitySplitter({"a": slice(0, 1), "b": [1]}).fit_transform(table.to_numpy())
    ModalityDict(n_samples=2, a: (1,) float64, b: (1,) float64)
    """

    _parameter_constraints: dict[str, Any] = {
        "modalities": [dict, None],
        "separator": [str],
        "level": [Integral, str],
    }

    def __init__(
        self,
        modalities: Mapping[str, Any] | None = None,
        *,
        separator: str = "__",
        level: int | str = 0,
    ) -> None:
        self.modalities = modalities
        self.separator = separator
        self.level = level

    @_validated
    def fit(self, X: HasShape | ArrayLike, y: Any = None) -> ModalitySplitter:
        """Find the columns of each modality.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        self : object
        """
        table = self._table(X, reset=True)
        self.columns_ = resolve_columns(table, self.modalities or self._columns_by_name(table))
        return self

    def transform(self, X: HasShape | ArrayLike) -> ModalityDict:
        """Cut X into modalities.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        ModalityDict
        """
        check_is_fitted(self, "columns_")
        return split_columns(self._table(X, reset=False), self.columns_)

    def _table(self, X: HasShape | ArrayLike, reset: bool) -> Block:
        if holds_modalities(X, {}):
            raise ValueError(
                f"X is split already: it holds the modalities {list(ModalityDict(X))}."
            )
        table = as_table(X)
        if not has_levels(table):
            X = validate_modalities(self, table, reset=reset, check_values=False)
            return X[SINGLE_MODALITY]
        flat = table.set_axis([self.separator.join(map(str, names)) for names in table], axis=1)
        validate_modalities(self, flat, reset=reset, check_values=False)
        return table

    def _columns_by_name(self, table: Block) -> dict[str, list[int]]:
        columns = getattr(table, "columns", None)
        if isinstance(columns, pd.MultiIndex):
            try:
                labels = columns.get_level_values(self.level)
            except (KeyError, IndexError) as error:
                raise ValueError(
                    f"level={self.level!r} is none of the {columns.nlevels} levels of the columns, "
                    f"whose names are {list(columns.names)}."
                ) from error
        elif columns is not None and all(self.separator in str(column) for column in columns):
            labels = [column.split(self.separator, 1)[0] for column in columns]
        elif columns is None:
            labels = [SINGLE_MODALITY] * table.shape[1]  # no names, one modality
        else:
            alone = next(column for column in columns if self.separator not in str(column))
            raise ValueError(
                f"Column {alone!r} does not name its modality: it has no {self.separator!r}. Give "
                "`modalities`, or another `separator`."
            )
        positions = pd.Series(np.arange(len(labels))).groupby(np.asarray(labels), sort=False)
        return {str(name): group.tolist() for name, group in positions}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class ModalityConcatenator(TransformerMixin, BaseEstimator):
    """Put all modalities side by side in one table, for models that know no modalities.

    ``make_pipeline(ModalityConcatenator(), StandardScaler(), LogisticRegression())`` is a baseline
    in one line. Blocks of more than two dimensions are flattened.

    Parameters
    ----------
    sparse_threshold : float, default=0.3
        If a block is sparse and the share of non-zero values overall is below this, the table
        is a CSR matrix; as in ColumnTransformer.

    Attributes
    ----------
    modalities_ : dict of str to tuple
        Shape of one sample of each modality.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.preprocessing import ModalityConcatenator
    >>> X = {"audio": np.zeros((3, 2)), "video": np.ones((3, 1))}
    >>> ModalityConcatenator().set_output(transform="pandas").fit_transform(X)
       audio__x0  audio__x1  video__x0
    0        0.0        0.0        1.0
    1        0.0        0.0        1.0
    2        0.0        0.0        1.0
    """

    _parameter_constraints: dict[str, Any] = {
        "sparse_threshold": [Interval(Real, 0, 1, closed="both")]
    }

    def __init__(self, sparse_threshold: float = 0.3) -> None:
        self.sparse_threshold = sparse_threshold

    @_validated
    def fit(self, X: Modalities, y: Any = None) -> ModalityConcatenator:
        """Remember names and shapes of the modalities.

        Parameters
        ----------
        X : dict of str to array, ModalityDict, list of arrays, array-like or DataFrame
        y : ignored

        Returns
        -------
        self : object
        """
        modalities = validate_modalities(self, X, reset=True, check_values=False)
        self._columns = {name: modalities.feature_names_of(name) for name in modalities}
        return self

    def transform(self, X: Modalities) -> Any:
        """Concatenate the modalities.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray or CSR matrix of shape (n_samples, n_features)
        """
        check_is_fitted(self, "modalities_")
        modalities = validate_modalities(self, X, reset=False, check_values=False)
        return with_samples(self, self._side_by_side(modalities), X)

    def _side_by_side(self, modalities: ModalityDict) -> Any:
        if any(sparse.issparse(block) for block in modalities.values()):
            blocks = [
                block if sparse.issparse(block) else sparse.csr_matrix(flatten_block(block))
                for block in modalities.values()
            ]
            n_values = np.prod(modalities.shape)
            if sum(block.nnz for block in blocks) < self.sparse_threshold * n_values:
                return sparse.hstack(blocks, format="csr")
        return modalities.flat()

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> Array:
        """Names of the columns, ``"modality__column"``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names to give instead, where X came without names.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "modalities_")
        single_table = list(self.modalities_) == [SINGLE_MODALITY]
        if input_features is None and not hasattr(self, "feature_names_in_") and not single_table:
            input_features = qualified_names(self._columns)
        return _check_feature_names_in(self, input_features)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        tags.input_tags.dict = True
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags
