"""Encoders of blocks as they come: texts, pictures, recordings, tables."""

from ._audio import AudioEncoder
from ._base import Encoder

__all__ = ["AudioEncoder", "Encoder"]
