"""The encoder that a block takes when none is given."""

from __future__ import annotations

from ..data.raw import KINDS
from ._base import Encoder
from ._sequence import SequenceEncoder

DEFAULTS: dict[str, type[Encoder]] = {"sequence": SequenceEncoder}


def default_encoder(kind: str) -> Encoder:
    """An unfitted encoder of a kind of items.

    Raises
    ------
    TypeError
        If there is none without being told more.
    """
    if kind not in DEFAULTS:
        raise TypeError(f"holds {KINDS[kind]}; name their encoder in `encoders`.")
    return DEFAULTS[kind]()
