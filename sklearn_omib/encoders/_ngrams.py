"""Texts as counts of words and characters: what needs no pretrained network."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._typing import Array, Block
from ._base import Encoder

# in scikit-learn's messages
NO_TERM = ("empty vocabulary", "no terms remain", "documents than min_df")
FEW, MANY = 100, 5000  # texts from which a term is to be in two, and in five


class NGramEncoder(Encoder):
    """Texts as tf-idf of their words and characters.

    Words tell what a text is about, pairs of words some of their order; pieces of words make up
    for endings and misspellings, and read languages without blanks.

    Parameters
    ----------
    word_ngrams : (int, int) or None, default=(1, 2)
        Fewest and most words in a term; None reads no words.
    char_ngrams : (int, int) or None, default=(2, 5)
        Fewest and most characters of pieces of words; None reads no pieces.
    min_df : int, float or "auto", default="auto"
        In how many training texts a term has to be, or in which part of them. "auto" is one of
        fewer than 100 texts, two of fewer than 5000, and five of more.
    max_features : int or None, default=20000
        Most terms of words, and of pieces of words: those that are there most often.
    lowercase : bool, default=True

    Attributes
    ----------
    vectorizers_ : dict of str to TfidfVectorizer
        "word" and "char", of those that found a term.

    Examples
    --------
    >>> from sklearn_omib.encoders import NGramEncoder
    >>> texts = ["a calm sea", "a rough sea", None]
    >>> encoder = NGramEncoder(char_ngrams=None).fit(texts)
    >>> encoder.get_feature_names_out().tolist()
    ['calm', 'calm sea', 'rough', 'rough sea', 'sea']
    >>> encoder.transform(texts).toarray().round(2)
    array([[0.63, 0.63, 0.  , 0.  , 0.45],
           [0.  , 0.  , 0.63, 0.63, 0.45],
           [ nan, 0.  , 0.  , 0.  , 0.  ]], dtype=float32)
    """

    reads = ("text",)

    def __init__(
        self,
        *,
        word_ngrams: tuple[int, int] | None = (1, 2),
        char_ngrams: tuple[int, int] | None = (2, 5),
        min_df: int | float | str = "auto",
        max_features: int | None = 20_000,
        lowercase: bool = True,
    ) -> None:
        self.word_ngrams = word_ngrams
        self.char_ngrams = char_ngrams
        self.min_df = min_df
        self.max_features = max_features
        self.lowercase = lowercase

    def _learn(self, features: Block, y: Array | None) -> None:
        analyzers = {"word": self.word_ngrams, "char": self.char_ngrams}
        self._check()
        self.vectorizers_ = {}
        for name, ngrams in analyzers.items():
            vectorizer = None if ngrams is None else self._fitted(name, ngrams, features)
            if vectorizer is not None:
                self.vectorizers_[name] = vectorizer
        if not self.vectorizers_:
            raise ValueError(
                f"has no term in {self.min_df!r} of the {len(features)} texts to train on; lower "
                "min_df, or leave the modality out."
            )

    def _check(self) -> None:
        for name in ("word_ngrams", "char_ngrams"):
            ngrams = getattr(self, name)
            if ngrams is None:
                continue
            lengths = tuple(ngrams) if isinstance(ngrams, (tuple, list)) else ()
            if len(lengths) != 2 or not 0 < lengths[0] <= lengths[1]:
                raise ValueError(f"{name} must be None or (fewest, most), got {ngrams!r}.")
        if self.word_ngrams is None and self.char_ngrams is None:
            raise ValueError("word_ngrams and char_ngrams are both None; one has to be given.")
        least = self.min_df
        if least != "auto" and not (isinstance(least, Real) and least > 0):
            raise ValueError(f"min_df must be a positive number or 'auto', got {least!r}.")
        most = self.max_features
        if most is not None and not (isinstance(most, Integral) and most > 0):
            raise ValueError(f"max_features must be a positive int or None, got {most!r}.")

    def _fitted(self, name: str, ngrams: tuple[int, int], texts: Array) -> TfidfVectorizer | None:
        """What counts words or pieces of them; None where there is no term."""
        for min_df in self._rarities(len(texts)):
            vectorizer = TfidfVectorizer(
                analyzer="char_wb" if name == "char" else "word",
                ngram_range=tuple(ngrams),
                min_df=min_df,
                max_features=self.max_features,
                lowercase=self.lowercase,
                sublinear_tf=True,
                dtype=np.float32,
            )
            try:
                vectorizer.fit(texts)
            except ValueError as error:
                if not any(said in str(error) for said in NO_TERM):
                    raise  # of a parameter
                continue
            # numpy's integers are slow to store
            vectorizer.vocabulary_ = {t: int(i) for t, i in vectorizer.vocabulary_.items()}
            return vectorizer
        return None

    def _rarities(self, n_texts: int) -> list[int | float | str]:
        """Values of ``min_df`` to try, until a term is left."""
        if self.min_df != "auto":
            return [self.min_df]
        if n_texts < FEW:
            return [1]
        return [2, 1] if n_texts < MANY else [5, 1]

    def _convert(self, features: Block) -> Block:
        parts = [vectorizer.transform(features) for vectorizer in self.vectorizers_.values()]
        return sparse.csr_matrix(sparse.hstack(parts, format="csr"), dtype=np.float32)

    def module(self, shape: tuple[int, ...], hidden_dim: int) -> str | nn.Module:
        """A network that reads the stored entries only."""
        return "sparse"

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> Array:
        """The terms; pieces of words begin with 'char: '."""
        check_is_fitted(self, "vectorizers_")
        terms = []
        for name, vectorizer in self.vectorizers_.items():
            prefix = "char: " if name == "char" else ""
            terms += [f"{prefix}{term}" for term in vectorizer.get_feature_names_out()]
        return np.array(terms, dtype=object)
