"""Encoders of blocks as they come: texts, pictures, recordings, tables."""

from ._base import Encoder

__all__ = ["Encoder"]
