"""Real data: what scikit-learn ships, cut into modalities, and files the user keeps."""

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.utils import Bunch

from .._modalities import ModalityDict

ENVIRONMENT_VARIABLE = "SKLEARN_OMIB_DATA"


def data_folder(folder=None):
    """Where data files that do not come with the package lie.

    Parameters
    ----------
    folder : path-like, default=None
        None takes the environment variable ``SKLEARN_OMIB_DATA``, or ``shared/data`` beside the
        checkout where that is not set.

    Returns
    -------
    pathlib.Path
        Not necessarily there.
    """
    if folder is None:
        beside = Path(__file__).resolve().parents[3] / "shared" / "data"
        folder = os.environ.get(ENVIRONMENT_VARIABLE, beside)
    return Path(folder)


def load_digits_views():
    """Handwritten digits as two views of each image (classification, 10 classes).

    Returns
    -------
    Bunch
        ``X``: ModalityDict with "pixels" (1797, 64) and "profile" (1797, 56), the sums of rows and
        columns and the magnitudes of the Fourier transform; ``y``: (1797,) the digit.

    Examples
    --------
    >>> from sklearn_omib.datasets import load_digits_views
    >>> load_digits_views().X
    ModalityDict(n_samples=1797, pixels: (64,) float64, profile: (56,) float64)
    """
    digits = load_digits()
    images = digits.images
    spectrum = np.abs(np.fft.rfft2(images)).reshape(len(images), -1)
    profile = np.hstack([images.sum(1), images.sum(2), spectrum])
    return Bunch(X=ModalityDict({"pixels": digits.data, "profile": profile}), y=digits.target)


def load_breast_cancer_blocks():
    """Breast cancer cells, each measure as mean, standard error and worst value (2 classes).

    Returns
    -------
    Bunch
        ``X``: ModalityDict with DataFrames "mean", "error" and "worst", each (569, 10);
        ``y``: (569,) "malignant" or "benign".

    Examples
    --------
    >>> from sklearn_omib.datasets import load_breast_cancer_blocks
    >>> load_breast_cancer_blocks().X
    ModalityDict(n_samples=569, mean: (10,) float64, error: (10,) float64, worst: (10,) float64)
    """
    data = load_breast_cancer(as_frame=True)
    blocks = {kind: data.data.filter(like=kind) for kind in ("mean", "error", "worst")}
    return Bunch(X=ModalityDict(blocks), y=data.target_names[data.target])


def load_mosi(folder=None):
    """CMU-MOSI sentiment of video utterances from text, audio and video features (2 classes).

    Utterance-level features published with bc-LSTM (Poria et al., ACL 2017) of the corpus by
    Zadeh et al. (2016).

    Parameters
    ----------
    folder : path-like, default=None
        Where ``mosi.npz`` lies; see :func:`data_folder`.

    Returns
    -------
    Bunch
        ``X_train``, ``X_test``: ModalityDict of 1447 and 752 utterances with "text" (100,),
        "audio" (73,) and "video" (100,); ``y_train``, ``y_test``: 0 for negative, 1 for positive;
        ``groups_train``, ``groups_test``: the video an utterance is from.

    Raises
    ------
    FileNotFoundError
        If the file is not there; the message says where it was looked for.
    """
    path = data_folder(folder) / "mosi.npz"
    if not path.exists():
        raise FileNotFoundError(
            f"CMU-MOSI is not at {path}. Put mosi.npz there, or name its folder in the environment "
            f"variable {ENVIRONMENT_VARIABLE}."
        )
    mosi = Bunch()
    with np.load(path) as arrays:
        for part in ("train", "test"):
            mosi[f"X_{part}"] = ModalityDict(
                {name: arrays[f"{name}_{part}"] for name in ("text", "audio", "video")}
            )
            mosi[f"y_{part}"] = arrays[f"y_{part}"]
            ids = arrays[f"id_{part}"]
            mosi[f"groups_{part}"] = np.array([i.rsplit("_", 1)[0] for i in ids])
    return mosi
