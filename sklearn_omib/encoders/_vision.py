"""Networks that were trained on pictures before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .._typing import Array
from ._files import needs
from ._pixels import BILINEAR, Form

IMAGENET_MEAN, IMAGENET_SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEFAULT_SIZE = 224
LARGEST = float(np.finfo(np.float16).max)


class Vision(NamedTuple):
    """A network, and what it reads: (pixels - mean) / scale of pictures of a form."""

    network: nn.Module
    form: Form
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def numbers(self, pixels: Tensor) -> Tensor:
        """What the network reads, of (n, 3, height, width) in 0 to 255."""
        mean, scale = (
            torch.tensor(values, device=pixels.device)[:, None, None]
            for values in (self.mean, self.scale)
        )
        return (pixels.float() - mean) / scale


def fingerprint(network: nn.Module) -> str:
    """Tells networks apart that make other features, by their parts and weights."""
    digest = sha256(f"{type(network).__qualname__} {network}".encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=2)
def load(name: str, size: int | None, allow_pickle: bool) -> Vision:
    """A model of transformers by the name of its repository, or by its folder.

    Raises
    ------
    OSError
        If it is not there and cannot be fetched.
    """
    try:
        from transformers import AutoModel
        from transformers.utils import cached_file
    except ImportError as error:
        raise needs("transformers", f"model={name!r}") from error
    safely = {} if allow_pickle else {"use_safetensors": True}
    try:
        network = AutoModel.from_pretrained(name, trust_remote_code=False, **safely)
        path = cached_file(name, "preprocessor_config.json")
    except OSError as error:
        without = "safetensors" in str(error) and not allow_pickle
        hint = " A model without safetensors needs allow_pickle=True." if without else ""
        raise OSError(
            f"model={name!r} is not a folder of a model, nor one that can be fetched from the "
            f"Hugging Face hub; without a network, give a folder that it was saved in. ({error})"
            f"{hint}"
        ) from error
    with open(path, encoding="utf-8") as file:
        return Vision(network.eval(), *_preprocessing(json.load(file), size))


def _preprocessing(
    config: dict[str, Any], wanted: int | None
) -> tuple[Form, tuple[float, ...], tuple[float, ...]]:
    """What a preprocessor_config.json says."""
    size = _sides(config.get("size", DEFAULT_SIZE))
    shortest = size.get("shortest_edge")
    crop = _sides(config["crop_size"]) if config.get("do_center_crop") else {}
    height = crop.get("height", size.get("height", shortest or DEFAULT_SIZE))
    width = crop.get("width", size.get("width", shortest or DEFAULT_SIZE))
    if shortest and config.get("crop_pct") and shortest < 384:  # as ConvNeXt is
        shortest = int(shortest / config["crop_pct"])
    elif crop and not shortest:  # cut out of a picture that was squeezed
        height, width = size.get("height", height), size.get("width", width)
    if wanted is not None:
        shortest = shortest and round(shortest * wanted / min(height, width))
        height = width = wanted
    form = Form(height, width, shortest, config.get("resample", BILINEAR))
    normalizes = config.get("do_normalize", True)
    factor = 1 / config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1
    mean = config.get("image_mean", IMAGENET_MEAN) if normalizes else (0.0,) * 3
    scale = config.get("image_std", IMAGENET_SCALE) if normalizes else (1.0,) * 3
    return form, tuple(factor * m for m in mean), tuple(factor * s for s in scale)


def _sides(size: Any) -> dict[str, int]:
    """A size as it may stand in a file: one number, or several by name."""
    return dict(size) if isinstance(size, dict) else {"height": size, "width": size}


# -- embeddings -----------------------------------------------------------------------------
def at_rest(network: nn.Module, device: torch.device) -> nn.Module:
    """A network in evaluation mode on a device: a copy, where it was not, as others may use it."""
    moves = any(p.device != device for p in network.parameters())
    if moves or any(part.training for part in network.modules()):
        network = deepcopy(network).to(device).eval()
    return network


def embeddings(network: nn.Module, numbers: Tensor) -> Tensor:
    """One row for each picture, (n, width)."""
    for name in ("forward_features", "extract_features", "get_image_features"):
        if hasattr(network, name):  # the network without its classifier, or what reads texts
            return pooled(getattr(network, name)(numbers), network)
    return pooled(network(numbers), network)


def pooled(answer: Any, network: nn.Module) -> Tensor:
    """One row for each picture, of what a network answers: maps, tokens or several things."""
    if not torch.is_tensor(answer):
        last, summary = (
            getattr(answer, name, None) for name in ("last_hidden_state", "pooler_output")
        )
        # a pooler with weights of its own is left out: of many models these were never trained
        pooler = getattr(network, "pooler", None)
        trained = isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters())
        answer = last if summary is None or (trained and last is not None) else summary
        if answer is None:
            raise ValueError(f"{type(network).__name__} returns {type(answer).__name__}.")
    if answer.ndim == 3:
        return answer[:, 0] if has_class_token(network) else answer.mean(1)
    return answer.flatten(2).mean(2) if answer.ndim > 2 else answer


def has_class_token(network: nn.Module) -> bool:
    """Whether the first of a network's tokens stands for the whole picture."""
    return any(name.rpartition(".")[2] in ("cls_token", "class_embedding", "class_token")
               for name, _ in network.named_parameters())  # fmt: skip


# -- in two parts ---------------------------------------------------------------------------
class LastLayers(nn.Module):
    """The last layers of a network that was trained before, which are trained further.

    Parameters
    ----------
    layers : sequence of torch.nn.Module
    first_token : bool
        Whether the first of its tokens stands for the picture; else their mean does.
    n_behind : int
        How many of the layers come behind the mean over the picture.
    learning_rate : float
        At which they are trained.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        first_token: bool,
        n_behind: int,
        learning_rate: float,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.first_token, self.n_behind = first_token, n_behind
        self.learning_rate = learning_rate

    def forward(self, h: Tensor) -> Tensor:
        ahead = len(self.layers) - self.n_behind
        h = through(self.layers[:ahead], h.to(next(self.parameters()).dtype))
        if h.ndim == 3:
            h = h[:, 0] if self.first_token else h.mean(1)
        elif h.ndim == 4:
            h = h.mean((2, 3))
        return through(self.layers[ahead:], h)

    def train(self, mode: bool = True) -> LastLayers:
        super().train(mode)
        for part in self.modules():  # what these know of many pictures is better than of a batch
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()
        return self


def through(layers: Any, h: Any) -> Tensor:
    """What is behind several layers, each of which reads what the one before returns."""
    for layer in layers:
        h = layer(h)
        h = h if torch.is_tensor(h) else h[0]
    return h


class Cut(NamedTuple):
    """The layers of a network up to where it is trained, and from there on."""

    first: list[nn.Module]
    last: LastLayers


def cut(network: nn.Module, n_last: int, numbers: Tensor, learning_rate: float) -> Cut:
    """Cut a network ahead of its last layers.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    n_last : int
    numbers : Tensor of shape (n, 3, height, width)
        What tells whether the layers one after the other do as the network does.
    learning_rate : float

    Raises
    ------
    ValueError
        If they do not, or there are not so many.
    """
    layers, n_norms = _layers(network)
    first_token = has_class_token(network)
    n_blocks = len(layers) - n_norms
    if n_last >= n_blocks:
        raise ValueError(
            f"trainable_layers must be less than the {n_blocks} layers of "
            f"{type(network).__name__}, got {n_last}."
        )
    wanted = embeddings(network, numbers)
    for n_behind in range(n_norms + 1):
        last = LastLayers(layers[n_blocks - n_last :], first_token, n_behind, learning_rate)
        try:
            found = last.eval()(through(layers[: n_blocks - n_last], numbers))
        except Exception:  # layers that are not one after the other fail in any way
            continue
        if found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-3, atol=1e-4):
            return Cut(layers[: n_blocks - n_last], last)
    raise ValueError(
        f"trainable_layers={n_last} needs a network whose layers come one after the other, which "
        f"those of {type(network).__name__} do not. Give its parts as a torch.nn.Sequential."
    )


def _layers(network: nn.Module) -> tuple[list[nn.Module], int]:
    """Layers in their order, with those of lists, and how many norms come behind the last list."""
    layers: list[nn.Module] = []
    behind = 0
    for name, child in network.named_children():
        inner = child
        if not isinstance(inner, (nn.ModuleList, nn.Sequential)):
            lists = [part for part in child.children() if isinstance(part, nn.ModuleList)]
            inner = lists[0] if name == "encoder" and len(lists) == 1 else child
        if isinstance(inner, nn.ModuleList):
            layers, behind = [*layers, *inner], 0
        elif name != "pooler":
            layers.append(child)
            behind += 1
    return layers, 0 if isinstance(network, nn.Sequential) or behind == len(layers) else behind


def as_half(h: Tensor) -> Array:
    """float16, in which features for layers that are trained are kept."""
    return h.clamp(-LARGEST, LARGEST).half().cpu().numpy()
