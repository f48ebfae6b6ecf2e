"""Multimodal data sets: each returns a Bunch whose ``X`` is a ModalityDict, or a dict of blocks.

A dict has texts, files and tables as they come among its blocks.
"""

from ._raw import load_airline_tweets, load_houses, load_spoken_digits
from ._real import (
    data_folder,
    load_breast_cancer_blocks,
    load_digits_views,
    load_her2st,
    load_mosi,
)
from ._sim import make_sim
from ._synthetic import make_multimodal_classification, make_multimodal_regression

__all__ = [
    "data_folder",
    "load_airline_tweets",
    "load_breast_cancer_blocks",
    "load_digits_views",
    "load_her2st",
    "load_houses",
    "load_mosi",
    "load_spoken_digits",
    "make_multimodal_classification",
    "make_multimodal_regression",
    "make_sim",
]
