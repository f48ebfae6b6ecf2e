"""Blocks that are no numbers yet: texts, files, pictures, sequences of any length, mixed tables.

Such a block is an array of objects, one for each sample, or a DataFrame; a sample that lacks it has
None, or any other sign of a missing value.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from .._typing import Array, Block
from .foreign import as_pandas, is_polars

IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
SOUND_SUFFIXES = frozenset((".aif", ".aiff", ".flac", ".mp3", ".ogg", ".wav"))
TEXT = "UST"  # kinds of numpy's types of text, and of bytes, which are refused by name
ENCODE_FIRST = (
    "Encode it first: TfidfVectorizer().fit_transform(texts) makes a table of texts, and every "
    "encoder of sklearn_omib.encoders one of what it reads."
)
# What a block is made of, and what it is called in messages
KINDS = {
    "text": "texts",
    "image file": "paths of pictures",
    "sound file": "paths of recordings",
    "image": "pictures",
    "sequence": "sequences of different length",
    "table": "a table with columns that are no numbers",
}


def is_raw(block: Block) -> bool:
    """Whether a block of a container is to be read by an encoder before it is numbers."""
    block = as_pandas(block)
    if isinstance(block, pd.DataFrame):
        return not all(_is_numeric(block.iloc[:, i]) for i in range(block.shape[1]))
    return isinstance(block, np.ndarray) and block.ndim == 1 and block.dtype == object


def _is_numeric(column: pd.Series) -> bool:
    """Whether scikit-learn reads a column as numbers: objects too, where they are such."""
    if column.dtype != object:
        return pd.api.types.is_numeric_dtype(column)
    return not any(isinstance(value, str) or (not np.isscalar(value) and value is not None
                   and value is not pd.NA) for value in column)  # fmt: skip


def as_columns(table: Array) -> Block:
    """A 2-D array of objects that are not all numbers, as a table whose columns have types."""
    if table.dtype != object or not is_raw(frame := pd.DataFrame(table)):
        return table
    return frame.infer_objects()


def is_item(value: Any) -> bool:
    """Whether a value is a sample by itself: text, the path of a file, or a picture."""
    return isinstance(value, (str, PurePath)) or is_picture(value)


def missing_items(block: Block) -> Array:
    """Which samples of a raw block lack it: (n_samples,), bool.

    Texts of blanks only tell nothing, and count as missing; so do rows of a table without a value.
    """
    if isinstance(block, pd.DataFrame):
        return block.isna().to_numpy().all(1)
    return np.fromiter(map(_is_missing, block), bool, len(block))


def _is_missing(item: Any) -> bool:
    if item is None or item is pd.NA or item is pd.NaT:
        return True
    if isinstance(item, str):
        return not item.strip()
    if isinstance(item, (float, np.floating)):
        return bool(np.isnan(item))
    if isinstance(item, np.ma.MaskedArray):
        return item.size > 0 and bool(np.ma.getmaskarray(item).all())
    if isinstance(item, (list, tuple)):  # whose parts may be pictures of any size
        return len(item) == 0
    return isinstance(item, np.ndarray) and item.size == 0


def kind_of(block: Block) -> str:
    """One of ``KINDS``, by the items that are there; of several kinds is an error.

    Raises
    ------
    TypeError
        If items are of no kind, or of several; the message names a sample.
    """
    if isinstance(block, pd.DataFrame) or is_polars(block):
        return "table"
    there = np.flatnonzero(~missing_items(block))
    if not len(there):
        raise ValueError("is None in every sample; leave it out.")
    kinds: dict[str, int] = {}
    for i in there.tolist():
        kinds.setdefault(_kind_of_item(block[i], i), i)
    if set(kinds) == {"text", "image file"} or set(kinds) == {"text", "sound file"}:
        return "text"  # of which some looks like the name of a file
    if len(kinds) > 1:
        (one, first), (other, second) = list(kinds.items())[:2]
        raise TypeError(
            f"mixes {KINDS[one]} (sample {first}: {_shown(block[first])}) and {KINDS[other]} "
            f"(sample {second}: {_shown(block[second])}); give each kind as a modality of its own."
        )
    return next(iter(kinds))


def _kind_of_item(item: Any, place: int) -> str:
    if isinstance(item, (str, PurePath)):
        suffix = _suffix(item)
        if suffix in IMAGE_SUFFIXES:
            return "image file"
        if suffix in SOUND_SUFFIXES:
            return "sound file"
        if isinstance(item, str):
            return "text"
        raise TypeError(
            f"names a file that is neither a picture nor a recording, {str(item)!r} (sample "
            f"{place}); read it first."
        )
    if is_picture(item):
        return "image"
    if isinstance(item, (np.ndarray, list, tuple)):
        return "sequence"
    if isinstance(item, (bytes, bytearray)):
        raise TypeError(
            f"holds bytes, {_shown(item)} (sample {place}); make text of them, item.decode(), or "
            "open them as what they are, PIL.Image.open(io.BytesIO(item))."
        )
    raise TypeError(
        f"holds {_shown(item)} of type {type(item).__name__} (sample {place}); what can be read "
        f"are {', '.join(KINDS.values())}, and numbers."
    )


def _suffix(item: str | PurePath) -> str:
    """The suffix of a path; of a text that no path is, ''."""
    if isinstance(item, str) and (len(item) > 4096 or "\n" in item or item[-1:].isspace()):
        return ""
    return Path(item).suffix.lower()


def is_picture(item: Any) -> bool:
    """Whether an object is a picture of PIL, which need not be installed."""
    return hasattr(item, "convert") and hasattr(item, "getbands")


def _shown(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 40 else f"{text[:37]}..."


def as_items(values: Any) -> Array:
    """A sequence of any objects as a 1-D array of them, of which numpy would make more dimensions.

    Examples
    --------
    >>> from sklearn_omib.data.raw import as_items
    >>> as_items([[1, 2], [3, 4]]).shape
    (2,)
    """
    items = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        items[i] = value
    return items
