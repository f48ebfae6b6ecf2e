"""The file: arrays and their description in safetensors' format, with a checksum over every bit."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from os import PathLike
from typing import TypeAlias

import safetensors.numpy

from .._typing import Array

Path: TypeAlias = str | PathLike[str]

MAGIC = "sklearn-omib"
FORMAT = 1  # raised where an older version of the package could not read the file
UNSIGNED = "0" * 64  # in the place of the checksum, while it is computed
LENGTH_BYTES = 8  # of the header's length, little-endian, with which a safetensors file begins


def to_bytes(description: Mapping[str, str], arrays: list[Array]) -> bytes:
    """A file's contents.

    Parameters
    ----------
    description : dict of str to str
    arrays : list of ndarray
    """
    metadata = {"format": MAGIC, "format_version": str(FORMAT), "sha256": UNSIGNED, **description}
    named = {f"{i:05d}": array for i, array in enumerate(arrays)}
    data = safetensors.numpy.save(named, metadata)
    return data.replace(_field(UNSIGNED), _field(_checksum(data)), 1)


def from_bytes(data: bytes, path: str) -> tuple[dict[str, str], list[Array]]:
    """What :func:`to_bytes` was given.

    Raises
    ------
    ValueError
        If these are not the contents of such a file, of one that was changed or not written to
        its end, or of one of a newer format.
    """
    metadata = _metadata(data, path)
    version = metadata.get("format_version", "")
    if version.isdecimal() and int(version) > FORMAT:
        raise ValueError(
            f"{path} has format {version}, and this version of sklearn-omib reads up to {FORMAT}. "
            f"It was written by version {metadata.get('version')}: pip install --upgrade "
            "sklearn-omib."
        )
    checksum = metadata.get("sha256", "")
    unsigned = data.replace(_field(checksum), _field(UNSIGNED), 1)
    if version != str(FORMAT) or sha256(unsigned).hexdigest() != checksum:
        raise ValueError(
            f"{path} is damaged: its contents are not those of its checksum. It was changed, or "
            "not written or copied to its end. Save the estimator again."
        )
    try:
        named = safetensors.numpy.load(data)
    except Exception as error:  # safetensors has errors of its own
        raise ValueError(f"{path} is damaged: {error}.") from error
    return metadata, [named[name] for name in sorted(named)]


def _metadata(data: bytes, path: str) -> dict[str, str]:
    """What the header says, without a look at the arrays."""
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    try:
        header = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + length])
        metadata = header["__metadata__"]
        is_ours = metadata["format"] == MAGIC
    except (ValueError, KeyError, TypeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise ValueError(
            f"{path} is not a file that save() of an estimator has written, or its beginning is "
            "damaged. Files of pickle, joblib and skops are read by these: joblib.load, "
            "skops.io.load."
        )
    return metadata


def _field(checksum: str) -> bytes:
    return f'"sha256":"{checksum}"'.encode()


def _checksum(unsigned: bytes) -> str:
    return sha256(unsigned).hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file as a whole, or leave what was there before as it was.

    Parameters
    ----------
    path : str or path
    data : bytes
    """
    target = os.path.realpath(os.fspath(path))  # what a link points to
    temporary = f"{target}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    with suppress(OSError):  # the folder's entry too; not all systems let folders be opened
        folder = os.open(os.path.dirname(target), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
