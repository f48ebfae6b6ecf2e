"""What all encoders of blocks as they come have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._typing import Array, Block
from ..data.container import take_rows
from ..data.foreign import as_pandas
from ..data.missing import missing_rows
from ..data.ragged import Ragged
from ..data.raw import KINDS, as_columns, as_items, kind_of, missing_items
from ..nn.encoders import Factory


class NotReadError(Exception):
    """An item that cannot be read, by its place among those that are there.

    :meth:`Encoder.read` names its row.
    """

    def __init__(self, place: int, cause: Exception) -> None:
        super().__init__(str(cause) or type(cause).__name__)
        self.place = place
        known = (FileNotFoundError, OSError, TypeError, ValueError)
        self.kind = next((kind for kind in known if isinstance(cause, kind)), RuntimeError)


class Encoder(TransformerMixin, BaseEstimator):
    """From a block as it comes to the encoding z_m, in three steps.

    1. :meth:`read` makes features of every item by itself. No fit changes them, so they are made
       once, however many networks, folds and values of beta there are.
    2. :meth:`learn` and :meth:`convert` are what is learned of training rows before there is a
       network: a vocabulary, categories, principal components.
    3. :meth:`module` is the part that is trained with the network.

    In a scikit-learn pipeline ``fit`` and ``transform`` are the first two steps.
    """

    reads: ClassVar[tuple[str, ...]]  # among data.raw.KINDS
    dims: ClassVar[tuple[int, ...]] = ()  # of arrays of numbers that are read too
    # whether the estimator brings what convert returns to unit scale
    standardize: ClassVar[bool] = True
    # whether :meth:`module` is a network of many layers, trained from nothing: few epochs suit it
    trains_slowly: ClassVar[bool] = False

    @property
    def fine_tunes(self) -> bool:
        """Whether :meth:`module` has parts that were trained before and are trained further."""
        return bool(getattr(self, "trainable_layers", 0))

    # -- what a child says ------------------------------------------------------------------
    def _read(self, items: Block) -> Block:
        """Features of items, none missing: (n_items, ...), CSR, Ragged or as they are."""
        return items

    def _learn(self, features: Block, y: Array | None) -> None:
        """Learn from features of training rows, none of which is missing."""

    def _convert(self, features: Block) -> Block:
        """What the module reads: (n_items, ...), CSR or Ragged."""
        return features

    def module(self, shape: tuple[int, ...], hidden_dim: int) -> str | nn.Module | Factory:
        """The part that is trained: a name of the estimator's encoders, a module, or its factory.

        Parameters
        ----------
        shape : tuple of int
            Of a sample behind :meth:`convert`.
        hidden_dim : int
            Width that other encoders have.

        Returns
        -------
        str, torch.nn.Module or callable
            A module reads (batch, *shape), or of Ragged a ``SequenceBatch``, and returns (batch,
            any width). Parts of it that were trained before have an attribute ``learning_rate``,
            at which they are trained further. A callable makes a module of the shape of a sample,
            once for each network, and draws its initial weights.
        """
        return "auto"

    # -- what estimators and pipelines call -------------------------------------------------
    def read(self, block: Block) -> Block:
        """Features of every item; a missing one has NaN, or an empty sequence.

        Parameters
        ----------
        block : array-like of shape (n_samples,), or DataFrame

        Returns
        -------
        ndarray of shape (n_samples, ...), CSR matrix, Ragged, or as it came

        Raises
        ------
        TypeError
            If items are of another kind than this encoder reads.
        OSError
            If a file cannot be read; the message names it and its row.
        """
        block = self._checked(block)
        lost = missing_features(block)
        if not lost.any():
            return self._read_or_name(block, lost)
        return spread(self._read_or_name(take_rows(block, ~lost), lost), lost)

    def _read_or_name(self, items: Block, lost: Array) -> Block:
        try:
            return self._read(items)
        except NotReadError as error:
            row = int(np.flatnonzero(~lost)[error.place])
            raise error.kind(f"row {row}: {error}") from error.__cause__

    def learn(self, features: Block, y: Any = None) -> Encoder:
        """Learn from features of training rows."""
        there = ~missing_features(features)
        if not there.any():
            raise ValueError("is missing in every row to train on; leave it out.")
        self._learn(take_rows(features, there), None if y is None else np.asarray(y)[there])
        self.n_features_in_ = 1
        return self

    def convert(self, features: Block) -> Block:
        """What the module reads, of features; a missing item stays missing."""
        check_is_fitted(self, "n_features_in_")
        lost = missing_features(features)
        if not lost.any():
            return self._convert(features)
        return spread(self._convert(take_rows(features, ~lost)), lost)

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Encoder:
        """Learn from items as they come.

        Parameters
        ----------
        X : array-like of shape (n_samples,), or DataFrame
        y : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object
        """
        return self.learn(self.read(X), y)

    def transform(self, X: ArrayLike) -> Block:
        """Numbers of items as they come.

        Parameters
        ----------
        X : as in fit

        Returns
        -------
        ndarray of shape (n_samples, n_features) or CSR matrix
        """
        return self.convert(self.read(X))

    def _checked(self, block: Any) -> Block:
        """The items as an array of objects, or a DataFrame, of a kind that is read here."""
        block = as_pandas(block)
        known = " or ".join(KINDS[kind] for kind in self.reads)
        if isinstance(block, np.ndarray) and block.ndim > 1:
            if block.ndim in self.dims:
                return as_columns(block) if "table" in self.reads else block
            if "sequence" not in self.reads:  # which may be of one length
                raise TypeError(
                    f"is an array of shape {block.shape}, and {type(self).__name__} reads {known}."
                )
        items = block if hasattr(block, "iloc") and block.ndim == 2 else _as_array(block)
        kind = kind_of(items)
        if "text" in self.reads and kind in ("image file", "sound file"):
            return items  # words that look like names of files
        if kind not in self.reads:
            raise TypeError(f"holds {KINDS[kind]}, and {type(self).__name__} reads {known}.")
        return items


def _as_array(block: Any) -> Array:
    values = block if isinstance(block, (np.ndarray, list, tuple)) else list(block)
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return values.astype(object)
    return as_items(values)


def missing_features(features: Block) -> Array:
    """Which samples lack the modality, of features: (n_samples,), bool."""
    if hasattr(features, "iloc") or features.dtype == object:
        return missing_items(features)
    return missing_rows(features)


def spread(known: Block, lost: Array) -> Block:
    """Features of all samples, from those that are not lost."""
    place = np.cumsum(~lost) - 1
    if isinstance(known, Ragged):
        start, lengths = (np.zeros(len(lost), dtype=np.int64) for _ in range(2))
        start[~lost], lengths[~lost] = known.start, known.lengths
        return Ragged(known.values, start, lengths, known.longest)
    if sparse.issparse(known):
        mark = sparse.csr_matrix(
            ([np.nan], ([0], [0])), shape=(1, known.shape[1]), dtype=known.dtype
        )
        whole = sparse.vstack([known, mark], format="csr")
        return whole[np.where(lost, known.shape[0], place)]
    if hasattr(known, "iloc"):
        return known.iloc[place.clip(0)].mask(np.repeat(lost[:, None], known.shape[1], 1))
    if known.dtype == object:
        whole = np.full(len(lost), None, dtype=object)
    else:
        dtype = known.dtype if known.dtype.kind == "f" else np.float32
        whole = np.full((len(lost), *known.shape[1:]), np.nan, dtype)
    whole[~lost] = known
    return whole
