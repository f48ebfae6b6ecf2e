"""Encoders of blocks as they come: texts, pictures, recordings, tables, sequences."""

from ._audio import AudioEncoder
from ._base import Encoder
from ._image import ImageEncoder
from ._ngrams import NGramEncoder
from ._sequence import SequenceEncoder
from ._table import TableEncoder
from ._text import TextEncoder

__all__ = [
    "AudioEncoder",
    "Encoder",
    "ImageEncoder",
    "NGramEncoder",
    "SequenceEncoder",
    "TableEncoder",
    "TextEncoder",
]
