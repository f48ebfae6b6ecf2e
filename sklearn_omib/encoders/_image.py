"""Pictures, read by a small network, or by one that was trained on pictures before."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from .._typing import Array, Block
from ..nn.encoders import Conv2dEncoder
from ..nn.pictures import Pixels, ResNet18
from ..training.devices import resolve_device
from ._base import Encoder
from ._embeddings import Embeddings
from ._files import batches, each, gathered
from ._memory import Folder, fingerprint, remembered
from ._pixels import LAYOUTS, Form, pixels_of
from ._vision import (
    DEFAULT_SIZE,
    IMAGENET_MEAN,
    IMAGENET_SCALE,
    Cut,
    Vision,
    as_half,
    at_rest,
    cut,
    embeddings,
    load,
    through,
)

PerChannel: TypeAlias = float | Sequence[float] | None

OWN_SIZE = 64  # of pictures that no model reads
OWN_LAYERS, OWN_DROPOUT = 3, 0.1
AT_ONCE = 256  # items whose features are looked for at once
NETWORKS = ("conv2d", "resnet18")


class ImageEncoder(Encoder):
    """Pictures of any size and kind: files, PIL pictures or arrays.

    Without a model pictures are brought to one size, and a small network is trained on them. With
    one, it is run once over every picture, and what it answers are the features; the last of its
    layers can be trained further.

    An array is (height, width), (height, width, channels) or (channels, height, width), of integers
    from 0 to 255 or floats from 0 to 1; many of one size may be one array with a further axis in
    front, where floats may also be whole numbers from 0 to 255. With a model an item may also be a
    list of pictures of one thing, whose embeddings are averaged.

    Parameters
    ----------
    model : None, str, path or torch.nn.Module, default=None
        A name of a model of the Hugging Face hub or a folder that one was saved in (ResNet,
        ConvNeXt, ViT, DINO, ...; ``pip install 'sklearn-omib[images]' transformers``), or a module,
        of timm say, that reads (n, 3, size, size). Maps of features or tokens that it returns are
        averaged, or its class token taken. Of a module ``forward_features`` or
        ``extract_features`` is called where it has one. It stays as it is.
    trainable_layers : int, default=0
        How many of the last layers of the model are trained further; those before run once.
    size : int, default=None
        Height and width that pictures are brought to. None is 64 without a model, what the model
        was trained with where its folder tells, else 224.
    layout : {"auto", "channels_last", "channels_first"}, default="auto"
        Of arrays with channels. "auto" takes for channels the one axis, first or last, of length
        1, 3 or 4, and is an error where both or neither are.
    augment : bool, default=False
        Whether training sees pictures mirrored and shifted by chance. Only without a model.
    network : {"conv2d", "resnet18"}, default="conv2d"
        What is trained without a model: a small residual network, or one of 18 layers.
    pixel_mean, pixel_scale : float or sequence of 3 floats, default=None
        A module reads (pixels - pixel_mean) / pixel_scale of pixels from 0 to 255. None takes those
        of ImageNet. The folder of a model tells its own.
    batch_size : int, default=32
        Of pictures that the model reads at once.
    learning_rate : float, default=1e-4
        At which layers of the model are trained further.
    n_components : int, "auto" or None, default="auto"
        Principal components, learned of training rows, that embeddings are reduced to. "auto" does
        so where there are fewer than twice as many rows as columns, to one for every four rows.
        None keeps all columns.
    memory : str, path or None, default=None
        Folder in which features of a model are kept between fits and processes, by the content of
        pictures, in half precision.
    allow_pickle : bool, default=False
        Whether weights may be read from files that are not safetensors, which can run code.
    device : str or torch.device, default="auto"
        Where the model runs: "auto" is cuda, mps or cpu, whichever is there first.

    Attributes
    ----------
    embeddings_ : named tuple or None
        ``mean``, ``scale`` and ``components`` of embeddings of training rows.

    Notes
    -----
    Files need Pillow, ``pip install 'sklearn-omib[images]'``, and so do pictures of another size
    than ``size``. They are turned as their camera says, laid on white where they are transparent,
    and at no time all in memory.

    Layers that are trained further must come one after the other, which is looked at. Where a
    module has them otherwise, give its parts in their order, as of EfficientNet:
    ``torch.nn.Sequential(net._conv_stem, net._bn0, net._swish, *net._blocks)``.

    Of a model by name or folder no weights are stored with the encoder: where that is loaded again,
    the model must be there.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.encoders import ImageEncoder
    >>> pictures = np.random.default_rng(0).integers(256, size=(5, 16, 16, 3), dtype=np.uint8)
    >>> ImageEncoder(size=16).fit_transform(pictures).shape
    (5, 3, 16, 16)
    >>> ImageEncoder("facebook/dinov2-small").fit_transform(["a.jpg"]).shape  # doctest: +SKIP
    (1, 384)
    """

    reads: ClassVar[tuple[str, ...]] = ("image file", "image", "sequence")
    dims: ClassVar[tuple[int, ...]] = (3, 4)
    standardize: ClassVar[bool] = False  # embeddings are by what is learned here, pixels as read

    def __init__(
        self,
        model: str | os.PathLike[str] | nn.Module | None = None,
        *,
        trainable_layers: int = 0,
        size: int | None = None,
        layout: str = "auto",
        augment: bool = False,
        network: str = "conv2d",
        pixel_mean: PerChannel = None,
        pixel_scale: PerChannel = None,
        batch_size: int = 32,
        learning_rate: float = 1e-4,
        n_components: int | Literal["auto"] | None = "auto",
        memory: Folder = None,
        allow_pickle: bool = False,
        device: str | torch.device = "auto",
    ) -> None:
        self.model = model
        self.trainable_layers = trainable_layers
        self.size = size
        self.layout = layout
        self.augment = augment
        self.network = network
        self.pixel_mean = pixel_mean
        self.pixel_scale = pixel_scale
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_components = n_components
        self.memory = memory
        self.allow_pickle = allow_pickle
        self.device = device

    # -- pictures to features ---------------------------------------------------------------
    def _read(self, items: Block) -> Array:
        self._check()
        items = _as_integers(items)
        if self.model is None:
            form = Form(self.size or OWN_SIZE, self.size or OWN_SIZE)
            return gathered(self._pictures(items, form, "a model"), len(items))
        vision = self._vision()
        alone = "trainable_layers=0" if self.trainable_layers else None
        pictures = self._pictures(items, vision.form, alone)
        made = self._made if self.memory is None else self._remembered
        return gathered(made(pictures, vision), len(items))

    def _pictures(self, items: Block, form: Form, alone: str | None = None) -> Iterator[Array]:
        """Pictures of every item, (n_pictures, 3, height, width); of several is an error."""

        def pixels(item: Any) -> Array:
            found = pixels_of(item, form, self.layout)
            if alone is not None and len(found) != 1:
                raise ValueError(
                    f"is a list of {len(found)} pictures, of which embeddings are averaged; that "
                    f"needs {alone}. Else give each kind of picture as a modality of its own."
                )
            return found

        return each(pixels, items)

    def _made(self, pictures: Iterable[Array], vision: Vision) -> Iterator[Array]:
        """Features of pictures, by the model."""
        made = self._first_layers if self.trainable_layers else self._embeddings
        return made(pictures, vision, resolve_device(self.device))

    def _remembered(self, pictures: Iterable[Array], vision: Vision) -> Iterator[Array]:
        """Features of pictures, found where they were kept before, by what the model would read."""
        numbers = f"{vision.mean} {vision.scale} {vision.network}"
        reading = f"ImageEncoder {self.trainable_layers} {fingerprint(vision.network, numbers)}"
        dtype = np.float16 if self.trainable_layers else np.float32
        for some in batches(pictures, AT_ONCE):
            found = remembered(
                self.memory, reading, some,
                lambda new: list(np.concatenate(list(self._made(new, vision)))),
            )  # fmt: skip
            yield np.stack(found).astype(dtype)

    @torch.inference_mode()
    def _embeddings(
        self, pictures: Iterable[Array], vision: Vision, device: torch.device
    ) -> Iterator[Array]:
        """One row for each item, the mean over its pictures."""
        network = at_rest(vision.network, device)
        for batch in batches(pictures, self.batch_size):
            pixels = torch.from_numpy(np.concatenate(batch)).split(self.batch_size)
            rows = [embeddings(network, vision.numbers(part.to(device))) for part in pixels]
            each_picture = torch.cat(rows).float().cpu().numpy()
            counts = np.array(list(map(len, batch)))
            total = np.add.reduceat(each_picture, np.cumsum(counts) - counts)
            yield total / counts[:, None].astype(np.float32)

    @torch.inference_mode()
    def _first_layers(
        self, pictures: Iterable[Array], vision: Vision, device: torch.device
    ) -> Iterator[Array]:
        """What is ahead of the layers that are trained: (n_items, ...), float16."""
        network = at_rest(vision.network, device)
        first = self._cut(network, vision.form, device).first
        for batch in batches(pictures, self.batch_size):
            pixels = torch.from_numpy(np.concatenate(batch))
            yield as_half(through(first, vision.numbers(pixels.to(device))))

    def _vision(self) -> Vision:
        if isinstance(self.model, nn.Module):
            size = self.size or DEFAULT_SIZE
            mean, scale = self._per_channel()
            return Vision(self.model, Form(size, size), mean, scale)
        assert self.model is not None
        vision = load(os.fspath(self.model), self.size, self.allow_pickle)
        if self.pixel_mean is None and self.pixel_scale is None:
            return vision
        mean, scale = self._per_channel()
        return vision._replace(mean=mean, scale=scale)

    def _per_channel(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        mean = tuple(255 * m for m in IMAGENET_MEAN) if self.pixel_mean is None else self.pixel_mean
        scale = (
            tuple(255 * s for s in IMAGENET_SCALE) if self.pixel_scale is None else self.pixel_scale
        )
        values = [np.broadcast_to(np.asarray(part, float), 3).tolist() for part in (mean, scale)]
        return tuple(values[0]), tuple(values[1])

    def _cut(self, network: nn.Module, form: Form, device: torch.device) -> Cut:
        side = torch.arange(3.0 * form.height * form.width, device=device)
        probe: Tensor = side.sin().view(1, 3, form.height, form.width)
        return cut(network, self.trainable_layers, probe, self.learning_rate)

    def _check(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {list(LAYOUTS)}, got {self.layout!r}.")
        if self.network not in NETWORKS:
            raise ValueError(f"network must be one of {list(NETWORKS)}, got {self.network!r}.")
        for name in ("size", "batch_size"):
            value = getattr(self, name)
            if not (value is None or (isinstance(value, (int, np.integer)) and value > 0)):
                raise ValueError(f"{name} must be a positive integer, got {value!r}.")
        n_last = self.trainable_layers
        if not (isinstance(n_last, (int, np.integer)) and n_last >= 0):
            raise ValueError(f"trainable_layers must be an integer of at least 0, got {n_last!r}.")
        if n_last and self.model is None:
            raise ValueError(f"trainable_layers={n_last} needs a model.")
        if self.augment and self.model is not None:
            raise ValueError(
                "augment=True changes pictures in training, but a model reads each of them once; "
                "it needs model=None."
            )

    # -- what is learned of training rows ---------------------------------------------------
    def _learn(self, features: Block, y: Array | None) -> None:
        self.embeddings_ = None
        if features.ndim == 2:
            self.embeddings_ = Embeddings.learned(features, self.n_components)

    def _convert(self, features: Block) -> Array:
        return features if self.embeddings_ is None else self.embeddings_(features)

    # -- what is trained --------------------------------------------------------------------
    def module(self, shape: tuple[int, ...], hidden_dim: int) -> str | nn.Module:
        """The network behind features of a shape; of embeddings "auto"."""
        if self.model is None:
            reader = (
                Conv2dEncoder(shape, hidden_dim, OWN_LAYERS, OWN_DROPOUT)
                if self.network == "conv2d"
                else ResNet18(shape, hidden_dim)
            )
            return nn.Sequential(Pixels(self.augment), reader)
        if not self.trainable_layers:
            return "auto"
        vision = self._vision()
        cpu = torch.device("cpu")
        with torch.no_grad():
            last = self._cut(at_rest(vision.network, cpu), vision.form, cpu).last
        return deepcopy(last).requires_grad_(True)


def _as_integers(items: Block) -> Block:
    """Whole numbers up to 255 as integers, where NaN of pictures that are missing made floats."""
    if items.dtype.kind != "f" or not items.size or items.max() <= 1:
        return items
    whole = items.min() >= 0 and items.max() <= 255 and np.array_equal(items, np.rint(items))
    return items.astype(np.uint8) if whole else items
