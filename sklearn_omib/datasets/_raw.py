"""Data as they come: texts, pictures, recordings and tables."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.utils import Bunch, check_random_state

from .._typing import Array, RandomState
from ..data.container import ModalityDict
from ..data.raw import as_items
from ._real import _path, data_folder
from ._store import Source, fetched, unpacked

ROOMS = ("bedroom", "bathroom", "kitchen", "frontal")
TWEET_TABLE = ("airline", "retweets", "weekday", "hour", "timezone")
SPOKEN_DIGITS = Source(
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.9.tar.gz",
    "free-spoken-digit-dataset-1.0.9.tar.gz",
    "8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0",
)
RECORDING = re.compile(r"(\d)_([^_]+)_(\d+)\.wav")
BRIGHTEST = 16.0  # of the pixels of written digits


def load_houses(
    folder: str | os.PathLike[str] | None = None,
    *,
    data_home: str | os.PathLike[str] | None = None,
) -> Bunch:
    """Prices of houses from four pictures and a table (regression).

    Parameters
    ----------
    folder : path-like, default=None
        Where ``houses.zip`` lies; see :func:`data_folder`.
    data_home : path-like, default=None
        Where the pictures are unpacked, once. None takes the environment variable
        ``SKLEARN_OMIB_CACHE``, or ``~/.cache/sklearn_omib``.

    Returns
    -------
    Bunch
        ``X``: ModalityDict of 535 houses with "table", a DataFrame of "bedrooms", "bathrooms",
        "area_sqft" and the category "zipcode", and "bedroom", "bathroom", "kitchen" and "frontal",
        paths of pictures; ``y``: logarithm to base 10 of the price in dollars; ``house``: its
        number. ZIP codes have few houses each: hold out houses at random.

    Raises
    ------
    FileNotFoundError
        If the file is not there; the message says where it was looked for.

    References
    ----------
    Ahmed and Moustafa, "House price estimation from visual and textual features",
    arXiv 1609.08399, 2016.
    """
    inside = unpacked(_path(folder, "houses.zip", "The houses data set"), data_home)
    table = pd.read_csv(inside / "houses.csv", dtype={"zipcode": str})
    X: dict[str, object] = {
        "table": table[["bedrooms", "bathrooms", "area_sqft"]].assign(
            zipcode=table["zipcode"].astype("category")
        )
    }
    for room in ROOMS:
        X[room] = as_items([inside / "images" / f"{house}_{room}.jpg" for house in table["house"]])
    y = np.log10(table["price_usd"].to_numpy(dtype=float))
    return Bunch(X=ModalityDict(X), y=y, house=table["house"].to_numpy())


def load_airline_tweets(folder: str | os.PathLike[str] | None = None) -> Bunch:
    """What tweets to airlines feel, from their text and a table (3 classes).

    Parameters
    ----------
    folder : path-like, default=None
        Where ``airline_tweets.csv.gz`` lies; see :func:`data_folder`.

    Returns
    -------
    Bunch
        ``X``: ModalityDict of 6,000 tweets with "text" and "table", a DataFrame of "airline",
        "retweets", "weekday", "hour" and "timezone", which a third lack; ``y``: "negative",
        "neutral" or "positive".

    Raises
    ------
    FileNotFoundError
        If the file is not there; the message says where it was looked for.
    """
    path = _path(folder, "airline_tweets.csv.gz", "The airline tweets data set")
    tweets = pd.read_csv(path)
    table = tweets[list(TWEET_TABLE)].astype(
        {name: "category" for name in ("airline", "weekday", "timezone")}
    )
    text = as_items(tweets["text"].tolist())
    X = ModalityDict({"text": text, "table": table})
    return Bunch(X=X, y=np.asarray(tweets["sentiment"], dtype=str))


def load_spoken_digits(
    folder: str | os.PathLike[str] | None = None,
    *,
    noise: float = 0.0,
    random_state: RandomState = 0,
    download: bool = False,
    data_home: str | os.PathLike[str] | None = None,
) -> Bunch:
    """Spoken digits, each with a picture of the same digit written by hand (10 classes).

    Recordings are of the Free Spoken Digit Dataset, pictures of
    :func:`sklearn.datasets.load_digits`. Within a digit pairs are drawn at random, and no picture
    comes twice as long as there are enough of them.

    Parameters
    ----------
    folder : path-like, default=None
        Where ``spoken_digits.zip`` lies; see :func:`data_folder`.
    noise : float, default=0.0
        Standard deviation of noise on the pixels, which lie between 0 and 1; a picture alone tells
        nearly all without.
    random_state : int, RandomState instance or None, default=0
        Of pairs and noise.
    download : bool, default=False
        Whether to fetch version 1.0.9 of the data set, 12 MB, where the file is not there.
    data_home : path-like, default=None
        Where recordings are unpacked, once, and downloads kept. None takes the environment variable
        ``SKLEARN_OMIB_CACHE``, or ``~/.cache/sklearn_omib``.

    Returns
    -------
    Bunch
        ``X``: ModalityDict with "sound", paths of recordings, of 8,000 samples per second, and
        "image", (n, 1, 8, 8) float32; ``y``: the digit; ``groups``: who speaks.

    Raises
    ------
    FileNotFoundError
        If the file is not there, and ``download`` is False.
    OSError
        If it cannot be fetched.

    References
    ----------
    Jackson et al., "Free Spoken Digit Dataset", https://github.com/Jakobovski/
    free-spoken-digit-dataset, CC BY-SA 4.0.
    """
    if noise < 0:
        raise ValueError(f"noise must not be negative, got {noise!r}.")
    recordings = _recordings(folder, download, data_home)
    named = [(path, RECORDING.fullmatch(path.name)) for path in recordings]
    known = [(path, match[1], match[2]) for path, match in named if match]
    if not known:
        raise OSError("The archive of spoken digits holds no file {digit}_{speaker}_{n}.wav.")
    rng = check_random_state(random_state)
    y = np.array([int(digit) for _, digit, _ in known])
    images = _written(y, rng)
    images = images + noise * rng.normal(size=images.shape)
    sound = as_items([path for path, _, _ in known])
    X = ModalityDict({"sound": sound, "image": images.astype(np.float32)})
    return Bunch(X=X, y=y, groups=np.array([speaker for _, _, speaker in known]))


def _recordings(
    folder: str | os.PathLike[str] | None,
    download: bool,
    data_home: str | os.PathLike[str] | None,
) -> list[Path]:
    archive = data_folder(folder) / "spoken_digits.zip"
    if not archive.exists():
        if not download:
            try:
                _path(folder, "spoken_digits.zip", "The spoken digits data set")
            except FileNotFoundError as error:
                raise FileNotFoundError(f"{error} Or say download=True.") from None
        archive = fetched(SPOKEN_DIGITS, data_home)
    return sorted(unpacked(archive, data_home).rglob("*.wav"), key=lambda path: path.name)


def _written(y: Array, rng: np.random.RandomState) -> Array:
    """A written digit for each of y: (n, 1, 8, 8), from 0 to 1."""
    written = load_digits()
    images = np.empty((len(y), 1, 8, 8))
    for digit in np.unique(y):
        rows, known = np.flatnonzero(y == digit), np.flatnonzero(written.target == digit)
        rounds = -(-len(rows) // len(known))
        drawn = np.concatenate([rng.permutation(known) for _ in range(rounds)])
        images[rows, 0] = written.images[drawn[: len(rows)]] / BRIGHTEST
    return images
