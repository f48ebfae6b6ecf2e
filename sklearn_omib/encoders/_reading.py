"""How estimators use encoders of blocks as they come."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from torch import nn

from .._typing import Block
from ..data.container import Encoded, ModalityDict, naming_modality
from ..data.foreign import as_pandas
from ..data.ragged import Ragged
from ..data.raw import is_raw, kind_of
from ..nn import seeded_initialisation
from ._base import Encoder, missing_features, spread
from ._defaults import default_encoder

if TYPE_CHECKING:
    from typing_extensions import Self


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

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; when ``deep``, also those of encoders, as ``encoders__text__model``.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        dict of str to object
        """
        params: dict[str, Any] = super().get_params(deep)  # type: ignore[misc]
        if deep:
            for name, encoder in self._own_encoders().items():
                params[f"encoders__{name}"] = encoder
                for parameter, value in encoder.get_params().items():
                    params[f"encoders__{name}__{parameter}"] = value
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, those of encoders as ``encoders__text__model``.

        Parameters
        ----------
        **params : object

        Returns
        -------
        self : object
        """
        if "encoders" in params:
            self.encoders = params.pop("encoders")
        own = self._own_encoders()
        if not isinstance(self.encoders, Mapping):
            return super().set_params(**params)  # type: ignore[misc]
        named = {key: self._place_of(key) for key in params if key.startswith("encoders__")}
        for key, (name, parameter) in named.items():
            if name not in self.encoders or (parameter and name not in own):
                raise ValueError(
                    f"Invalid parameter {key!r} for estimator {type(self).__name__}; encoders with "
                    f"parameters are {list(own)}."
                )
        for key in sorted(named, key=len):  # an encoder before its parameters
            name, parameter = named[key]
            value = params.pop(key)
            self.encoders = dict(self.encoders)
            if parameter:
                self.encoders[name] = clone(self.encoders[name]).set_params(**{parameter: value})
            else:
                self.encoders[name] = value
        return super().set_params(**params)  # type: ignore[misc]

    def _place_of(self, key: str) -> tuple[str, str]:
        """Modality and parameter that ``encoders__text__model`` is of; names may hold ``__``."""
        key = key.removeprefix("encoders__")
        fitting = [name for name in self.encoders if f"{key}__".startswith(f"{name}__")]
        name = max(fitting, key=len, default=key.partition("__")[0])
        return name, key[len(name) + 2 :]

    def _own_encoders(self) -> dict[str, Encoder]:
        """Encoders with parameters among those given by modality."""
        given = self.encoders if isinstance(self.encoders, Mapping) else {}
        return {name: one for name, one in given.items() if isinstance(one, Encoder)}

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
            self._check_instances(X)
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

    def _check_instances(self, X: ModalityDict) -> None:
        for name in X:
            given = self._given(name)
            if isinstance(given, type) and issubclass(given, Encoder):
                raise TypeError(
                    f"The encoder of modality {name!r} is a class; give an instance, "
                    f"{given.__name__}()."
                )

    def _networks_given(self) -> Any:
        """The parameter ``encoders`` with "auto" for encoders, whose networks are their own."""
        if isinstance(self.encoders, Mapping):
            own = self._own_encoders()
            return {name: "auto" if name in own else one for name, one in self.encoders.items()}
        return "auto" if isinstance(self.encoders, Encoder) else self.encoders

    def _networks_of(self, X: ModalityDict) -> dict[str, Any]:
        """What a network trains of the encoders, by modality, of encoded ones.

        Those that are not known by name are factories, so that each network draws its own initial
        weights, from its own seed.
        """
        found: dict[str, Any] = {}
        for name, encoder in self.encoders_.items():
            with seeded_initialisation(0):  # of a module to look at
                part = encoder.module(tuple(X[name].shape[1:]), self.hidden_dim)
            named = isinstance(part, str)
            found[name] = part if named else partial(_new_network, encoder, self.hidden_dim)
        return found

    def _choose(self, name: str, block: Block) -> Encoder:
        given = self._given(name)
        given = self.encoders if isinstance(self.encoders, Encoder) else given
        if isinstance(given, Encoder):
            return clone(given)
        with naming_modality(name):
            return default_encoder(kind_of(block))

    def _encode(self, name: str, encoder: Encoder, block: Block, reset: bool) -> Block:
        block = as_pandas(block)
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


def _new_network(encoder: Encoder, hidden_dim: int, shape: tuple[int, ...]) -> nn.Module:
    """What is trained of an encoder, made anew."""
    made: Any = encoder.module(shape, hidden_dim)
    return made if isinstance(made, nn.Module) else made(shape)
