"""Encoders of blocks as they come: texts, pictures, recordings, tables."""

from ._audio import AudioEncoder
from ._base import Encoder
from ._image import ImageEncoder

__all__ = ["AudioEncoder", "Encoder", "ImageEncoder"]
