"""The last layers of a pretrained transformer, as a module that is trained further."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.ragged import Ragged
from ..nn.encoders import SequenceBatch, own_dropout
from ._transformers import batches, hidden_states, layers_of, transformers

WEIGHT_DECAY = 0.01
ADAPTED = ("atten", "attn")  # in names of modules whose linear maps have adapters
ALPHA = 2.0  # of adapters, in units of their rank


def pooled(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """One vector for each sequence: (batch, time, width) to (batch, width)."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "max":
        return hidden.masked_fill(~mask[..., None], -torch.inf).amax(1)
    weight = mask.to(hidden.dtype)
    return torch.einsum("bt,btd->bd", weight, hidden) / weight.sum(1, keepdim=True)


class Given(nn.Module):
    """In the place of a transformer's embeddings: returns the hidden states it is given."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        parts = (*args, *kwargs.values())
        return next(p for p in parts if torch.is_tensor(p) and p.ndim == 3)


class LowRank(nn.Module):
    """y = W x + b + 2 B A x, W and b frozen; B begins at 0.

    Parameters
    ----------
    linear : torch.nn.Linear
    rank : int
    generator : torch.Generator
        Draws A.
    """

    def __init__(self, linear: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        like = linear.weight
        start = torch.randn(rank, linear.in_features, generator=generator)
        start = start.to(like) * linear.in_features**-0.5
        self.down = nn.Parameter(start)
        self.up = nn.Parameter(like.new_zeros(linear.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + ALPHA * (x @ self.down.T) @ self.up.T


class TunedLayers(nn.Module):
    """The last layers of a transformer and pooling: (batch, time, width) to (batch, width).

    The layers stay in the transformer they came from, whose embeddings and other layers are taken
    out: masks and positions are made by its own code. Vectors are brought to the scale that buffers
    ``mean`` and ``scale``, (width,), say; by themselves they do nothing.

    Parameters
    ----------
    network : transformers.PreTrainedModel
        Is copied.
    n_last : int
    pooling : {"mean", "cls", "max"}
    lora_rank : int
        0 trains all weights; else low-rank adapters on the attention's linear maps.
    learning_rate : float
        At which the layers are trained.
    """

    def __init__(
        self, network: Any, n_last: int, pooling: str, lora_rank: int, learning_rate: float
    ) -> None:
        super().__init__()
        self.n_last, self.pooling, self.lora_rank = n_last, pooling, lora_rank
        self.learning_rate_ = learning_rate
        self.config = network.config.to_json_string()
        self.network = self._cut(network)
        width = network.config.hidden_size
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def _cut(self, network: Any) -> Any:
        """A copy of a transformer of which only the last layers are left, to be trained."""
        parent, name = layers_of(network)
        layers = getattr(parent, name)
        kept: dict[int, Any] = {id(layers): copy.deepcopy(layers[len(layers) - self.n_last :])}
        kept[id(network.embeddings)] = Given()
        if getattr(network, "embeddings_project", None) is not None:
            kept[id(network.embeddings_project)] = nn.Identity()  # of ELECTRA
        if getattr(network, "pooler", None) is not None:
            kept[id(network.pooler)] = None
        if self.n_last < len(layers) and getattr(parent, "conv", None) is not None:
            kept[id(parent.conv)] = None  # of DeBERTa, behind the first layer
        cut: Any = own_dropout(copy.deepcopy(network, kept))
        cut.config.num_hidden_layers = self.n_last
        parent, name = layers_of(cut)
        trained = getattr(parent, name)
        cut.requires_grad_(False)  # such as a bias of positions that all layers share
        if self.lora_rank:
            _adapt(trained, self.lora_rank)
        else:
            trained.requires_grad_(True)
        # read by the optimiser
        cut.learning_rate, cut.weight_decay = self.learning_rate_, WEIGHT_DECAY
        return cut

    def forward(self, batch: SequenceBatch) -> Tensor:
        values, mask = batch
        # attention to nothing at all is not a number; of a missing text nobody reads what comes out
        empty = ~mask.any(1, keepdim=True)
        mask = mask | (empty & (torch.arange(mask.shape[1], device=mask.device) == 0))
        out = self.network(inputs_embeds=values.float(), attention_mask=mask.long())
        vectors = pooled(out.last_hidden_state, mask, self.pooling)
        return (vectors - self.get_buffer("mean")) / self.get_buffer("scale")

    # -- as plain data: no class of transformers, and none of its layers but the last --------
    def __plain__(self) -> dict[str, Any]:
        own = {name: vars(self)[name] for name in STORED}
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        return own | {"tensors": tensors}

    def __from_plain__(self, state: dict[str, Any]) -> None:
        tensors = state.pop("tensors")
        self.__dict__.update(state)
        library, described = transformers(), json.loads(self.config)
        config = library.AutoConfig.for_model(described.pop("model_type"), **described)
        with torch.device("meta"):
            whole = library.AutoModel.from_config(config)
        self.network = self._cut(whole).train(self.training)
        for name in ("mean", "scale"):
            self.register_buffer(name, None)
        for name, tensor in tensors.items():
            place, _, last = name.rpartition(".")
            owner = self.get_submodule(place)
            owned = owner._parameters if last in owner._parameters else owner._buffers
            owned[last] = tensor


STORED = ("n_last", "pooling", "lora_rank", "learning_rate_", "config", "training")


def _adapt(layers: nn.Module, rank: int) -> None:
    """Put adapters on the linear maps of attention, in place."""
    generator = torch.Generator().manual_seed(0)
    maps = [
        (owner, last, part)
        for name, owner in layers.named_modules()
        for last, part in owner.named_children()
        if isinstance(part, nn.Linear) and any(word in f"{name}.{last}" for word in ADAPTED)
    ]
    if not maps:
        raise ValueError("The layers have no linear maps of attention to adapt; use lora_rank=0.")
    for owner, last, part in maps:
        setattr(owner, last, LowRank(part, rank, generator))


@torch.no_grad()
def vectors_of(tuned: TunedLayers, block: Ragged, batch_size: int) -> Tensor:
    """What the layers give of sequences, none of them missing: (n_samples, width)."""
    found: list[Tensor] = len(block) * [torch.empty(0)]
    for rows in batches(block.lengths, batch_size):
        parts = [torch.from_numpy(np.asarray(block.sequence(i), np.float32)) for i in rows]
        values = nn.utils.rnn.pad_sequence(parts, True)
        mask = torch.arange(values.shape[1]) < torch.tensor(block.lengths[rows])[:, None]
        for i, vector in zip(rows, tuned(SequenceBatch(values, mask)), strict=True):
            found[i] = vector
    return torch.stack(found)


def same_as_whole(tuned: TunedLayers, network: Any) -> bool:
    """Whether the layers alone give what the transformer gives, on a few tokens."""
    tokens = torch.arange(12).view(2, 6) % network.config.vocab_size
    mask = torch.ones_like(tokens)
    mask[1, 4:] = 0
    was_training = tuned.training
    with torch.no_grad():
        before = hidden_states(network, tokens, mask, tuned.n_last)
        whole = pooled(hidden_states(network, tokens, mask, 0), mask.bool(), tuned.pooling)
        try:
            alone = tuned.eval()(SequenceBatch(before, mask.bool()))
        except (RuntimeError, TypeError, AttributeError, StopIteration):  # of strange layers
            return False
    tuned.train(was_training)
    return bool(torch.allclose(alone, whole, rtol=1e-3, atol=1e-4))
