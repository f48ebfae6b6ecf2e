"""Tables of numbers, categories and dates, with gaps."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._typing import Array, Block
from ..nn.encoders import Factory
from ..nn.layers import mlp
from ._base import Encoder
from ._columns import Categories, Column, Durations, Numbers, kind_of_column, values_of

WIDE = 512  # columns, from which a table that is mostly 0 is kept sparse
MOSTLY = 0.9
EMBEDDINGS = ("linear", "periodic", "piecewise")
EMBEDDING_DIM = 16
MOST_BINS = 48


class TableEncoder(Encoder):
    """Tables of numbers, categories and dates, with gaps, as numbers.

    Numbers stay as they are, gaps included, which an estimator fills; so do texts that are numbers.
    True and False are 1 and 0. A category has a column of its own, and so have gaps; rare
    categories share one, which new ones join. A date is the days since the first of the training
    rows, and sine and cosine of month, weekday and hour, of those that differ; a duration is days.

    Parameters
    ----------
    min_frequency : int or "auto", default="auto"
        Rows that a category of its own has at least; "auto" is a hundredth of the training rows,
        but at most 10.
    max_categories : int or None, default=100
        Most categories of a column that have their own, the shared one included.
    numbers : {"linear", "periodic", "piecewise"}, default="linear"
        What a network makes of numbers first. The others embed each number into 16 dimensions, by
        sines of learned frequencies, or by where between quantiles of training rows it lies, so
        that a network finds steps and bends of its effect sooner. They need ``pip install
        'sklearn-omib[tables]'``.

    Attributes
    ----------
    columns_ : list of objects
        What was learned of each column.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_omib.encoders import TableEncoder
    >>> table = pd.DataFrame({"age": [31, None, 52], "stage": ["II", "I", None]})
    >>> encoder = TableEncoder().fit(table)
    >>> encoder.get_feature_names_out().tolist()
    ['age', 'stage_I', 'stage_II', 'stage_missing']
    >>> encoder.transform(table)
    array([[31.,  0.,  1.,  0.],
           [nan,  1.,  0.,  0.],
           [52.,  0.,  0.,  1.]], dtype=float32)
    """

    reads = ("table",)
    dims = (2,)

    def __init__(
        self,
        *,
        min_frequency: int | str = "auto",
        max_categories: int | None = 100,
        numbers: str = "linear",
    ) -> None:
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self.numbers = numbers

    def _read(self, items: Block) -> Block:
        return items if isinstance(items, pd.DataFrame) else pd.DataFrame(items)

    def _learn(self, features: Block, y: Array | None) -> None:
        if self.numbers not in EMBEDDINGS:
            raise ValueError(f"numbers must be one of {EMBEDDINGS}, got {self.numbers!r}.")
        for name, other in (("min_frequency", "auto"), ("max_categories", None)):
            value = getattr(self, name)
            if value != other and not (isinstance(value, (int, np.integer)) and value > 0):
                raise ValueError(f"{name} must be a positive int or {other!r}, got {value!r}.")
        names = list(features.columns)
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"Several columns have the name {twice[0]!r}; rename them.")
        self.names_ = names
        self.columns_: list[Column] = []
        for name, values in self._values(features):
            self.columns_.append(self._column(str(name), values).learn(values))
        parts = self._parts(features)
        self.is_sparse_ = self.numbers == "linear" and self._is_wide(parts)
        # sparse tables and embeddings get numbers at unit scale and without gaps
        self.scales_: dict[int, tuple[Array, Array]] = {}
        self.gaps_: list[int] = []
        if self.is_sparse_ or self.numbers != "linear":
            dense = {i: part for i, part in enumerate(parts) if not sparse.issparse(part)}
            self.scales_ = {i: _scale(part) for i, part in dense.items()}
            self.gaps_ = [i for i, part in dense.items() if np.isnan(part).any()]
        self.bins_: list[Array] = []
        if self.numbers == "piecewise":
            self.bins_ = [_edges(column) for column in self._convert(features)[:, self._at()].T]

    def _column(self, name: str, values: pd.Series) -> Column:
        kind = kind_of_column(name, values)
        if kind is not Categories:
            return kind(name)
        auto = int(np.clip(round(len(values) / 100), 1, 10))
        least = auto if isinstance(self.min_frequency, str) else self.min_frequency
        return Categories(name, least if least > 1 else None, self.max_categories)

    def _values(self, table: pd.DataFrame) -> Iterator[tuple[Any, pd.Series]]:
        """Names and values of the columns, in the order of fit; without names, by position."""
        if isinstance(table.columns, pd.RangeIndex) and table.shape[1] == len(self.names_):
            table = table.set_axis(self.names_, axis=1)
        lost = [name for name in self.names_ if name not in table.columns]
        if lost:
            raise ValueError(f"Column {str(lost[0])!r} was there in fit, and is not now.")
        new = [name for name in table.columns if name not in self.names_]
        if new:
            raise ValueError(f"Column {str(new[0])!r} was not there in fit.")
        for name in self.names_:
            yield name, values_of(table[name])

    def _parts(self, table: pd.DataFrame) -> list[Block]:
        read = zip(self.columns_, self._values(table), strict=True)
        return [column.numbers(values) for column, (_, values) in read]

    @staticmethod
    def _is_wide(parts: Sequence[Block]) -> bool:
        n_stored = sum(part.nnz if sparse.issparse(part) else part.size for part in parts)
        n_columns = sum(part.shape[1] for part in parts)
        return n_columns > WIDE and n_stored < (1 - MOSTLY) * n_columns * parts[0].shape[0]

    def _convert(self, features: Block) -> Block:
        parts = []
        for place, part in enumerate(self._parts(features)):
            if place not in self.scales_:
                parts.append(part)
                continue
            mean, scale = self.scales_[place]
            parts.append(np.nan_to_num((part - mean) / scale))
            if place in self.gaps_:
                parts.append(np.isnan(part[:, :1]))
        if self.is_sparse_:
            return sparse.csr_matrix(sparse.hstack(parts, format="csr"), dtype=np.float32)
        dense = [part.toarray() if sparse.issparse(part) else part for part in parts]
        with np.errstate(over="ignore"):
            return np.concatenate(dense, 1).astype(np.float32)

    def _names(self) -> list[list[str]]:
        """Of the columns behind convert, for each column of the table."""
        lost = [[f"{column.name}_missing"] for column in self.columns_]
        return [
            column.names() + (lost[place] if place in self.gaps_ else [])
            for place, column in enumerate(self.columns_)
        ]

    # -- the part that is trained -----------------------------------------------------------
    def _at(self) -> list[int]:
        """Which columns behind convert are embedded: numbers and durations."""
        start = np.cumsum([0, *map(len, self._names())]).tolist()
        told = zip(self.columns_, start, strict=False)
        return [at for column, at in told if isinstance(column, (Numbers, Durations))]

    def module(self, shape: tuple[int, ...], hidden_dim: int) -> str | nn.Module | Factory:
        """By itself the network that estimators take; else one that embeds numbers first."""
        check_is_fitted(self, "columns_")
        columns = self._at()
        if self.numbers == "linear" or not columns:
            return "auto"
        _embeddings(self.numbers)
        return partial(embedded_table, self.numbers, self.bins_, columns, hidden_dim)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> Array:
        """Names of columns, with the category, the part of a date, or ``missing`` behind it."""
        check_is_fitted(self, "columns_")
        return np.array([name for names in self._names() for name in names], dtype=object)


class EmbeddedTable(nn.Module):
    """Numbers embedded one by one, and an MLP of all columns.

    Parameters
    ----------
    embedding : torch.nn.Module
        (batch, n_embedded) to (batch, n_embedded, EMBEDDING_DIM).
    columns : list of int
        Which it reads.
    n_columns : int
    hidden_dim : int
    """

    def __init__(
        self, embedding: nn.Module, columns: Sequence[int], n_columns: int, hidden_dim: int
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.register_buffer("columns", torch.tensor(columns))
        others = [i for i in range(n_columns) if i not in set(columns)]
        self.register_buffer("others", torch.tensor(others, dtype=torch.long))
        width = len(columns) * EMBEDDING_DIM + len(others)
        self.layers = mlp(width, hidden_dim, hidden_dim, 2, 0.0)

    def forward(self, v: Tensor) -> Tensor:
        embedded = self.embedding(v[:, self.get_buffer("columns")]).flatten(1)
        return self.layers(torch.cat([embedded, v[:, self.get_buffer("others")]], 1))


def embedded_table(
    kind: str, bins: list[Array], columns: list[int], hidden_dim: int, shape: tuple[int, ...]
) -> EmbeddedTable:
    """A module with new weights, for samples of a shape."""
    rtdl = _embeddings(kind)
    embedding: nn.Module
    if kind == "periodic":
        embedding = rtdl.PeriodicEmbeddings(len(columns), EMBEDDING_DIM, lite=False)
    else:
        edges = [torch.as_tensor(edges, dtype=torch.float32) for edges in bins]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*just two bin edges")  # of columns of two values
            embedding = rtdl.PiecewiseLinearEmbeddings(
                edges, EMBEDDING_DIM, activation=False, version="B"
            )
    return EmbeddedTable(embedding, columns, shape[0], hidden_dim)


def _embeddings(kind: str) -> Any:
    try:
        import rtdl_num_embeddings
    except ImportError as error:
        raise ImportError(
            f"numbers={kind!r} needs rtdl-num-embeddings: pip install 'sklearn-omib[tables]'."
        ) from error
    return rtdl_num_embeddings


def _scale(values: Array) -> tuple[Array, Array]:
    """Mean of columns, which may lack all values, and their deviation once gaps are the mean."""
    known = ~np.isnan(values)
    mean = np.where(known, values, 0).sum(0) / known.sum(0).clip(1)
    scale = np.where(known, values - mean, 0).std(0)
    return mean, np.where(scale > 0, scale, 1.0)


def _edges(values: Array) -> Array:
    """Quantiles of a column, of which no two are the same; at least two."""
    n_bins = int(np.clip(len(values) // 4, 2, MOST_BINS))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1)))
    return edges if len(edges) > 1 else np.array([edges[0] - 1, edges[0] + 1])
