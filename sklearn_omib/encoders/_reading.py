"""How estimators use encoders of blocks as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone

from .._typing import Block
from ..data.container import Encoded, ModalityDict, naming_modality
from ..data.ragged import Ragged
from ..data.raw import is_raw, kind_of
from ._base import Encoder, missing_features, spread
from ._defaults import default_encoder


class ReadsItems:
    """An estimator with a parameter ``encoders``, some of which read what is no numbers yet.

    Attributes
    ----------
    encoders_ : dict of str to Encoder
        Those of the modalities that are encoded before the network reads them, fitted.
    """

    encoders: Any
    hidden_dim: int
    encoders_: dict[str, Encoder]
    _absent: dict[str, Block]  # a sample without the modality, as its module reads it

    def _reads_items(self, name: str, block: Block, reset: bool) -> bool:
        """Whether a modality is encoded first: as in fit, or by its kind."""
        if not reset:
            return name in self.encoders_
        return isinstance(self._given(name), Encoder) or is_raw(block)

    def _given(self, name: str) -> Any:
        """What the parameter says of a modality; an encoder for all is for what is no numbers."""
        if isinstance(self.encoders, Mapping):
            return self.encoders.get(name, "auto")
        return "auto" if isinstance(self.encoders, Encoder) else self.encoders

    def _encoded(self, X: ModalityDict, reset: bool = False) -> ModalityDict:
        """Modalities as numbers; when ``reset``, encoders learn from them first."""
        if isinstance(X, Encoded):
            return X
        if reset:
            self.encoders_ = {
                name: self._choose(name, block)
                for name, block in X.items() if self._reads_items(name, block, True)
            }  # fmt: skip
            self._absent = {}
        if not self.encoders_:
            return X
        blocks = dict(X.items())
        for name, encoder in self.encoders_.items():
            with naming_modality(name):
                blocks[name] = self._encode(name, encoder, X[name], reset)
        return ModalityDict(blocks).named_as(X)

    def _networks_of(self, X: ModalityDict) -> dict[str, Any]:
        """What a network trains of the encoders, by modality, of encoded ones."""
        return {
            name: encoder.module(tuple(X[name].shape[1:]), self.hidden_dim)
            for name, encoder in self.encoders_.items()
            if not isinstance(self.encoders, Mapping)
            or isinstance(self._given(name), Encoder)
            or self._given(name) == "auto"
        }

    def _choose(self, name: str, block: Block) -> Encoder:
        given = self._given(name)
        given = self.encoders if isinstance(self.encoders, Encoder) else given
        if isinstance(given, Encoder):
            return clone(given)
        with naming_modality(name):
            return default_encoder(kind_of(block))

    def _encode(self, name: str, encoder: Encoder, block: Block, reset: bool) -> Block:
        if not reset and missing_features(block).all():
            return self._absent[name][np.zeros(len(block), dtype=int)]
        features = encoder.read(block)
        if reset:
            encoder.learn(features)
        encoded = encoder.convert(features)
        if reset:
            none = encoded[:0].compact() if isinstance(encoded, Ragged) else encoded[:0]
            self._absent[name] = spread(none, np.ones(1, dtype=bool))
        return encoded
