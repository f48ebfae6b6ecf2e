"""Encoders of blocks as they come: texts, pictures, recordings, tables."""

from ._base import Encoder
from ._ngrams import NGramEncoder
from ._table import TableEncoder
from ._text import TextEncoder

__all__ = ["Encoder", "NGramEncoder", "TableEncoder", "TextEncoder"]
