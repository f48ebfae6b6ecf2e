"""Encoders of blocks as they come: texts, pictures, recordings, tables, sequences."""

from ._base import Encoder
from ._sequence import SequenceEncoder

__all__ = ["Encoder", "SequenceEncoder"]
