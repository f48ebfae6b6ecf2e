"""Archives: unpacked once beside other caches, and fetched where their source is public."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm.auto import tqdm

CACHE_VARIABLE = "SKLEARN_OMIB_CACHE"
CHUNK = 1 << 16
TIMEOUT = 30.0  # seconds without an answer


class Source(NamedTuple):
    """A public file.

    Attributes
    ----------
    url : str
    file : str
        Its name here.
    checksum : str
        SHA-256 of its contents.
    """

    url: str
    file: str
    checksum: str


def cache_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Where archives are unpacked and downloads kept.

    Parameters
    ----------
    folder : path-like, default=None
        None takes the environment variable ``SKLEARN_OMIB_CACHE``, or ``~/.cache/sklearn_omib``
        where that is not set.

    Returns
    -------
    pathlib.Path
        Not necessarily there.
    """
    if folder is None:
        folder = os.environ.get(CACHE_VARIABLE, Path.home() / ".cache" / "sklearn_omib")
    return Path(folder)


def unpacked(archive: Path, data_home: str | os.PathLike[str] | None = None) -> Path:
    """The folder of an archive's files, which is made at the first call.

    It appears when it is whole, so that a process that is stopped, or another one beside it, never
    leaves half of it.

    Raises
    ------
    OSError
        If the archive is damaged.
    """
    state = archive.stat()
    mark = sha256(f"{state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:12]
    home = cache_folder(data_home)
    target = home / f"{archive.name.partition('.')[0]}-{mark}"
    if target.is_dir():
        return target
    home.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=home))
    try:
        _extract(archive, temporary)
        with suppress(OSError):  # another process was first
            temporary.rename(target)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, ValueError) as error:
        raise OSError(f"{archive} is no whole archive: {error}. Fetch it again.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _extract(archive: Path, folder: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)  # which lets no name lead out of the folder
        return
    with tarfile.open(archive) as file:
        safe: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        inside = [member for member in file.getmembers() if member.isfile() or member.isdir()]
        if any(Path(m.name).is_absolute() or ".." in Path(m.name).parts for m in inside):
            raise ValueError("it has names that lead out of it")
        file.extractall(folder, inside, **safe)


# -- downloads ------------------------------------------------------------------------------
def fetched(source: Source, data_home: str | os.PathLike[str] | None = None) -> Path:
    """A public file, which is fetched at the first call.

    What was fetched before a connection broke is kept, and the rest asked for at the next call.

    Parameters
    ----------
    source : Source
    data_home : path-like, default=None
        See :func:`cache_folder`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OSError
        If it cannot be fetched, or is not what it was when its checksum was written down.
    """
    home = cache_folder(data_home)
    path, part = home / source.file, home / f"{source.file}.part"
    if path.exists():
        return path
    home.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(source.url, part)
    except (URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise OSError(
            f"{source.url} cannot be fetched: {reason}. Without a network, fetch it elsewhere and "
            f"put it at {path}."
        ) from error
    if (found := _checksum(part)) != source.checksum:
        part.unlink()
        raise OSError(
            f"{source.url} has changed, or was damaged on its way: its SHA-256 is {found}, not "
            f"{source.checksum}. What was fetched is thrown away; try again."
        )
    os.replace(part, path)
    return path


def _fetch(url: str, part: Path) -> None:
    """Write a file, or what of it is not there yet."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if have and error.code == 416:  # there is no more
            return
        raise
    with answer:
        goes_on = answer.status == 206
        have = have if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        shown = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem)
        with open(part, "ab" if goes_on else "wb") as file, shown:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                shown.update(len(chunk))
    if total is not None and have < total:
        raise ConnectionError(f"the connection broke after {have} of {total} bytes")


def _checksum(path: Path) -> str:
    digest = sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
