"""Texts as what a pretrained transformer makes of them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._typing import Array, Block
from ..data.ragged import Ragged
from ..training.devices import resolve_device
from ._base import Encoder
from ._embeddings import Embeddings
from ._memory import Folder, remembered
from ._transformers import (
    Pretrained,
    batches,
    filled,
    fingerprint,
    hidden_states,
    layers_of,
    pretrained,
    stamp,
    tokenised,
)
from ._tuned import TunedLayers, pooled, same_as_whole, vectors_of

POOLINGS = ("mean", "cls", "max")
AT_ONCE = 4096  # texts, among which those of one length are read together
MOST_SCALED = 256  # texts whose vectors tell the scale of what is trained
WEIGHTS = ("safetensors", "pickle")


class TextEncoder(Encoder):
    """Texts as what a pretrained transformer makes of them; its last layers can be trained further.

    What is not trained is computed once for every text. By itself that is the whole transformer,
    and every text becomes a vector. With ``trainable_layers``, it is the layers before: every text
    is then a sequence of vectors, which the last layers read in every epoch, and are trained with
    the network, at a learning rate of their own.

    Needs ``pip install 'sklearn-omib[text]'``.

    Parameters
    ----------
    model : str or path
        A model of the kind of BERT, RoBERTa, DistilBERT, MPNet or DeBERTa: its name on the Hugging
        Face hub, or the folder it is in. No code that comes with it is run.
    trainable_layers : int or "all", default=0
        How many of the last layers are trained further; embeddings of tokens never are.
    pooling : {"mean", "cls", "max"}, default="mean"
        How the tokens of a text become one vector: their mean, the first one, or the largest
        value of each.
    max_length : int, default=128
        Tokens of a text that are read, at most.
    lowercase : bool, default=False
        Read texts in lower case; some models do anyway.
    lora_rank : int, default=0
        Of low-rank adapters on the attention of the trained layers, in place of all their weights,
        for fewer rows and less memory; 0 trains all weights.
    learning_rate : float, default=1e-4
        Of the trained layers.
    n_components : int, "auto" or None, default="auto"
        Principal components of training rows that vectors are reduced to, where no layer is
        trained. "auto" takes one for every four rows, where rows are fewer than twice the numbers
        of a vector, and else all numbers; None always takes all.
    batch_size : int, default=64
        Texts read at a time, in the order of their length.
    memory : str, path or None, default=None
        Folder in which features are kept between fits and processes, by the content of texts.
    device : str, default="auto"
        Where texts are read: "auto" is a GPU where there is one.
    weights : {"safetensors", "pickle"}, default="safetensors"
        "pickle" also loads a model whose weights come as ``pytorch_model.bin``, which can run code
        when it is loaded.

    Examples
    --------
    >>> from sklearn_omib.encoders import TextEncoder
    >>> encoder = TextEncoder("sentence-transformers/all-MiniLM-L6-v2")
    >>> encoder.fit_transform(["a calm sea", "a rough sea", "bread"]).shape  # doctest: +SKIP
    (3, 1)
    >>> tuned = TextEncoder("roberta-base", trainable_layers=3, memory="features")
    """

    reads = ("text",)
    standardize = False  # layers read hidden states as they are; vectors are scaled here

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        trainable_layers: int | str = 0,
        pooling: str = "mean",
        max_length: int = 128,
        lowercase: bool = False,
        lora_rank: int = 0,
        learning_rate: float = 1e-4,
        n_components: int | str | None = "auto",
        batch_size: int = 64,
        memory: Folder = None,
        device: str = "auto",
        weights: str = "safetensors",
    ) -> None:
        self.model = model
        self.trainable_layers = trainable_layers
        self.pooling = pooling
        self.max_length = max_length
        self.lowercase = lowercase
        self.lora_rank = lora_rank
        self.learning_rate = learning_rate
        self.n_components = n_components
        self.batch_size = batch_size
        self.memory = memory
        self.device = device
        self.weights = weights

    # -- once for every text ----------------------------------------------------------------
    def _read(self, items: Block) -> Block:
        known = self._pretrained()
        n_last = self._n_last(known)
        texts = [text.lower() if self.lowercase else text for text in map(str, items)]
        reading = "" if self.memory is None else self._fingerprint(known, n_last)
        found = (
            vector
            for start in range(0, len(texts), AT_ONCE)
            for vector in remembered(
                self.memory, reading, texts[start : start + AT_ONCE],
                lambda new: self._computed(known, n_last, new),
            )
        )  # fmt: skip
        return Ragged.of(found) if n_last else np.stack(list(found)).astype(np.float32)

    def _pretrained(self) -> Pretrained:
        self._check()
        return pretrained(*self._named())

    def _named(self) -> tuple[str, bool, int]:
        model = os.fspath(self.model)
        return model, self.weights == "pickle", stamp(model)

    def _check(self) -> None:
        for name, allowed in (("pooling", POOLINGS), ("weights", WEIGHTS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}.")
        for name, least in (("max_length", 3), ("batch_size", 1), ("lora_rank", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)!r}.")

    def _n_last(self, known: Pretrained) -> int:
        """How many layers are trained."""
        if self.trainable_layers == 0:
            return 0
        n_layers = len(getattr(*layers_of(known.network)))
        n_last = n_layers if self.trainable_layers == "all" else self.trainable_layers
        if not isinstance(n_last, (int, np.integer)) or not 0 <= n_last <= n_layers:
            raise ValueError(
                f"trainable_layers must be 'all' or an int up to {n_layers}, the layers of "
                f"{os.fspath(self.model)!r}, got {self.trainable_layers!r}."
            )
        return int(n_last)

    def _fingerprint(self, known: Pretrained, n_last: int) -> str:
        reading = [n_last, None if n_last else self.pooling, min(self.max_length, known.longest)]
        return f"TextEncoder {fingerprint(*self._named())} {reading}"

    def _computed(self, known: Pretrained, n_last: int, texts: list[str]) -> list[Array]:
        """Vectors of texts, or of their tokens."""
        tokens = tokenised(known, texts, self.max_length)
        device = resolve_device(self.device)
        network = known.network.to(device)
        found: list[Array] = len(texts) * [np.empty(0)]
        with torch.inference_mode():
            for rows in batches(np.array([len(one) for one in tokens]), self.batch_size):
                read, mask = filled([tokens[i] for i in rows], known.tokenizer.pad_token_id)
                read, mask = read.to(device), mask.to(device)
                hidden = hidden_states(network, read, mask.long(), n_last)
                if n_last == 0:
                    hidden = pooled(hidden, mask, self.pooling)
                for i, row in zip(rows, hidden.cpu().numpy(), strict=True):
                    found[i] = row[: len(tokens[i])].astype(np.float16) if n_last else row
        return found

    # -- from training rows -----------------------------------------------------------------
    def _learn(self, features: Block, y: Array | None) -> None:
        self._check()
        n_components: int | str | None = self.n_components
        if isinstance(features, Ragged):
            some = np.unique(np.linspace(0, len(features) - 1, MOST_SCALED).astype(int))
            features = vectors_of(self._tuned().eval(), features[some], self.batch_size).numpy()
            n_components = None
        self.embeddings_ = Embeddings.learned(features, n_components)

    def _convert(self, features: Block) -> Block:
        return features if isinstance(features, Ragged) else self.embeddings_(features)

    # -- the part that is trained -----------------------------------------------------------
    def module(self, shape: tuple[int, ...], hidden_dim: int) -> str | nn.Module:
        """The layers that are trained further, as they were pretrained; or what reads vectors."""
        if self.trainable_layers == 0:
            return "auto"
        check_is_fitted(self, "embeddings_")
        tuned = self._tuned()
        tuned.mean = torch.as_tensor(self.embeddings_.mean)
        tuned.scale = torch.as_tensor(self.embeddings_.scale)
        return tuned

    def _tuned(self) -> TunedLayers:
        """The last layers, as they were pretrained."""
        known = self._pretrained()
        network: Any = known.network.to("cpu")
        tuned = TunedLayers(
            network, self._n_last(known), self.pooling, self.lora_rank, self.learning_rate
        )
        if not same_as_whole(tuned, network):
            raise ValueError(
                f"The last layers of {type(network).__name__} cannot be run apart from those "
                "before; trainable_layers=0 reads its features."
            )
        return tuned
