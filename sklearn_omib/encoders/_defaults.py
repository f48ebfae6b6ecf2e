"""The encoder that a block takes when none is given."""

from __future__ import annotations

from ._audio import AudioEncoder
from ._base import Encoder
from ._image import ImageEncoder
from ._ngrams import NGramEncoder
from ._sequence import SequenceEncoder
from ._table import TableEncoder

DEFAULTS: dict[str, type[Encoder]] = {
    "text": NGramEncoder,
    "table": TableEncoder,
    "image": ImageEncoder,
    "image file": ImageEncoder,
    "sound file": AudioEncoder,
    "sequence": SequenceEncoder,
}


def default_encoder(kind: str) -> Encoder:
    """An unfitted encoder of a kind of items."""
    return DEFAULTS[kind]()
