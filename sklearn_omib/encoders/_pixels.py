"""Pictures of any kind as pixels of one size."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from .._typing import Array
from ..data.raw import is_picture
from ._files import naming, needs

CHANNELS = (1, 3, 4)  # grey, colours, colours and opacity
BILINEAR = 2  # as PIL counts
LAYOUTS = ("auto", "channels_last", "channels_first")


class Form(NamedTuple):
    """How pictures are brought to one size.

    Attributes
    ----------
    height, width : int
    shortest : int or None
        What the shortest side is brought to, before the middle is cut out; None brings the whole
        picture to height and width.
    resample : int
        A method of PIL.
    """

    height: int
    width: int
    shortest: int | None = None
    resample: int = BILINEAR


def is_several(item: Any) -> bool:
    """Whether an item is a list of pictures, and not one picture as nested lists."""
    if not isinstance(item, (list, tuple)):
        return False
    first = next((part for part in item if part is not None), None)
    return (
        isinstance(first, (str, PurePath))
        or is_picture(first)
        or (isinstance(first, np.ndarray) and first.ndim > 1)
    )


def pixels_of(item: Any, form: Form, layout: str) -> Array:
    """All pictures of an item: (n_pictures, 3, height, width), uint8.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError, TypeError
        If an array is no picture.
    """
    if not is_several(item):
        return _pixels(item, form, layout)[None]
    return np.stack([_pixels(part, form, layout) for part in item if part is not None])


def _pixels(item: Any, form: Form, layout: str) -> Array:
    """One picture, (3, height, width), uint8."""
    if isinstance(item, (str, PurePath)):
        with naming(item):
            return _planes(_of_file(item, form))
    if is_picture(item):
        return _planes(_resized(_in_colours(item), form))
    pixels = _as_colours(np.asarray(item), layout)
    if pixels.shape[:2] == (form.height, form.width):
        return _planes(pixels)
    return _planes(_resized(_pil().fromarray(pixels), form))


def _planes(pixels: Any) -> Array:
    return np.ascontiguousarray(np.asarray(pixels, dtype=np.uint8).transpose(2, 0, 1))


# -- arrays ---------------------------------------------------------------------------------
def _as_colours(pixels: Array, layout: str) -> Array:
    """(height, width, 3), uint8, of an array of a picture."""
    if pixels.ndim == 3:
        if not last_are_channels(pixels.shape, layout):
            pixels = pixels.transpose(1, 2, 0)
        if pixels.shape[2] not in CHANNELS:
            raise ValueError(f"is a picture of {pixels.shape[2]} channels; it may have 1, 3 or 4.")
    elif pixels.ndim == 2:
        pixels = pixels[:, :, None]
    else:
        raise ValueError(
            f"is an array of shape {pixels.shape}; a picture is (height, width), (height, width, "
            "channels) or (channels, height, width)."
        )
    pixels = _as_bytes(pixels)
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 4:
        return np.asarray(_in_colours(_pil().fromarray(np.ascontiguousarray(pixels))))
    return np.ascontiguousarray(pixels)


def last_are_channels(shape: tuple[int, ...], layout: str) -> bool:
    """Whether the last of the three axes of a picture are its channels, or else the first."""
    if layout != "auto":
        return layout == "channels_last"
    first, last = shape[0] in CHANNELS, shape[2] in CHANNELS
    if first == last:
        why = "both its first and its last axis" if first else "neither its first nor last axis"
        raise ValueError(
            f"is a picture of shape {shape}, of which {why} may be channels (1, 3 or 4); say "
            "layout='channels_last' or 'channels_first'."
        )
    return last


def _as_bytes(pixels: Array) -> Array:
    kind = pixels.dtype.kind
    if kind not in "biuf":
        raise TypeError(f"is an array of {pixels.dtype}, which is no picture.")
    if pixels.dtype == np.uint8:
        return pixels
    low, high = (pixels.min(), pixels.max()) if pixels.size else (0, 0)
    largest = 1 if kind in "bf" else 255
    if not (low >= 0 and high <= largest):
        raise ValueError(
            f"is a picture of {pixels.dtype} from {low} to {high}; floats must lie in [0, 1], "
            "integers in [0, 255]."
        )
    return np.rint(pixels * np.float32(255 / largest)).astype(np.uint8)


# -- PIL ------------------------------------------------------------------------------------
def _pil() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise needs("Pillow", "Reading pictures", "images") from error
    return Image


def _of_file(path: str | PurePath, form: Form) -> Any:
    with _pil().open(path) as picture:
        side = 2 * max(form.height, form.width, form.shortest or 0)
        picture.draft("RGB", (side, side))  # a large JPEG is decoded at half its size, or a quarter
        return _resized(_in_colours(picture), form)


def _in_colours(picture: Any) -> Any:
    """The right way up, in RGB; on white where it is transparent."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):  # which PIL would cut off at 255
        return Image.fromarray(_of_many_values(np.asarray(picture))).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, picture).convert("RGB")
    return picture.convert("RGB")


def _of_many_values(values: Array) -> Array:
    """Bytes, of grey values of 16 bits or floats in [0, 1]."""
    if values.dtype.kind == "f":
        return _as_bytes(values)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"its values go from {values.min()} to {values.max()}, not 0 to 65535.")
    return np.rint(values / 257).astype(np.uint8)


def _resized(picture: Any, form: Form) -> Any:
    if form.shortest is None:
        size = (form.width, form.height)
        return picture if picture.size == size else picture.resize(size, form.resample)
    scale = form.shortest / min(picture.size)
    width, height = (max(round(side * scale), 1) for side in picture.size)
    picture = picture.resize((width, height), form.resample)
    left, top = (width - form.width) // 2, (height - form.height) // 2
    return picture.crop((left, top, left + form.width, top + form.height))
