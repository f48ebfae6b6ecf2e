"""Real data: what scikit-learn ships, cut into modalities, and files the user keeps."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from ..data.container import ModalityDict
from ..data.raw import as_items

ENVIRONMENT_VARIABLE = "SKLEARN_OMIB_DATA"
CANCER = ("invasive cancer", "cancer in situ")  # labels of her2st that are anomalous


def data_folder(folder: str | os.PathLike[str] | None = None) -> Path:
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


def _path(folder: str | os.PathLike[str] | None, file: str, name: str) -> Path:
    """Path of a file the user keeps; an error that says where it was looked for."""
    path = data_folder(folder) / file
    if not path.exists():
        raise FileNotFoundError(
            f"{name} is not at {path}. Put {file} there, or name its folder in the environment "
            f"variable {ENVIRONMENT_VARIABLE}."
        )
    return path


def load_digits_views() -> Bunch:
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


def load_breast_cancer_blocks() -> Bunch:
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


def load_mosi(folder: str | os.PathLike[str] | None = None, *, text: str = "features") -> Bunch:
    """CMU-MOSI sentiment of video utterances from text, audio and video features (2 classes).

    Utterance-level features published with bc-LSTM (Poria et al., ACL 2017) of the corpus by
    Zadeh et al. (2016).

    Parameters
    ----------
    folder : path-like, default=None
        Where ``mosi.npz`` lies; see :func:`data_folder`.
    text : {"features", "raw"}, default="features"
        Whether "text" is numbers, or what was said, in lower case.

    Returns
    -------
    Bunch
        ``X_train``, ``X_test``: ModalityDict of 1447 and 752 utterances with "text", (100,) or what
        was said, "audio" (73,) and "video" (100,); ``y_train``, ``y_test``: 0 for negative, 1 for
        positive; ``groups_train``, ``groups_test``: the video an utterance is from.

    Raises
    ------
    FileNotFoundError
        If the file is not there; the message says where it was looked for.
    """
    if text not in ("features", "raw"):
        raise ValueError(f"text must be 'features' or 'raw', got {text!r}.")
    mosi = Bunch()
    with np.load(_path(folder, "mosi.npz", "CMU-MOSI")) as arrays:
        for part in ("train", "test"):
            blocks = {name: arrays[f"{name}_{part}"] for name in ("text", "audio", "video")}
            if text == "raw":
                said = as_items([words.lower() for words in arrays[f"text_raw_{part}"].tolist()])
                blocks["text"] = said
            mosi[f"X_{part}"] = ModalityDict(blocks)
            mosi[f"y_{part}"] = arrays[f"y_{part}"]
            ids = arrays[f"id_{part}"]
            mosi[f"groups_{part}"] = np.array([i.rsplit("_", 1)[0] for i in ids])
    return mosi


def load_her2st(
    folder: str | os.PathLike[str] | None = None, *, standardize: bool = False
) -> Bunch:
    """Breast tumours by spatial transcriptomics: each spot and its neighbourhood (6 tissues).

    Eight sections of HER2-positive tumours, one per patient, labelled by a pathologist (Andersson
    et al. 2021); spots without a label are left out. Sections A1, B1, C1 and D1 are the paper's
    10x-hBC-A to D; its third kind of data, the histology image, is not included.

    Parameters
    ----------
    folder : path-like, default=None
        Where ``her2st.npz`` lies; see :func:`data_folder`.
    standardize : bool, default=False
        Bring each column to zero mean and unit variance within each section, which takes away
        most of what differs between sections only. No label is used, but all spots of a section
        are: a section is known as a whole when one of its spots is classified.

    Returns
    -------
    Bunch
        ``X``: ModalityDict of 3157 spots with "expression" (1000,), log-normalised counts of the
        most variable genes, and "neighbourhood" (1000,), their mean over adjacent spots, as
        float32; ``label``: the tissue; ``anomalous``: whether it is cancer, invasive or in situ;
        ``section``: the group to split by; ``xy``: (n_samples, 2) position in the section;
        ``genes``: (1000,) names of the columns.

    Raises
    ------
    FileNotFoundError
        If the file is not there; the message says where it was looked for.

    References
    ----------
    Andersson et al., "Spatial deconvolution of HER2-positive breast cancer delineates
    tumor-associated cell type interactions", Nature Communications 12:6012, 2021.
    """
    with np.load(_path(folder, "her2st.npz", "her2st")) as arrays:
        spots = Bunch(**arrays)
    blocks = {name: spots.pop(name).astype(np.float32) for name in ("expression", "neighbourhood")}
    if standardize:
        for section in np.unique(spots.section):
            rows = spots.section == section
            for block in blocks.values():
                block[rows] = StandardScaler().fit_transform(block[rows])
    anomalous = np.isin(spots.label, CANCER)
    return Bunch(X=ModalityDict(blocks), anomalous=anomalous, **spots)
