"""Multimodal data sets: each returns a Bunch whose ``X`` is a ModalityDict."""

from ._real import (
    data_folder,
    load_breast_cancer_blocks,
    load_digits_views,
    load_her2st,
    load_mosi,
)
from ._synthetic import make_sim

__all__ = [
    "data_folder",
    "load_breast_cancer_blocks",
    "load_digits_views",
    "load_her2st",
    "load_mosi",
    "make_sim",
]
