"""Optimal Multimodal Information Bottleneck for scikit-learn."""

from ._classifier import OMIBClassifier
from ._detector import OMIBAnomalyDetector
from ._regressor import OMIBRegressor
from ._search import OMIBClassifierCV, OMIBRegressorCV
from ._version import __version__
from .data.container import ModalityDict, check_modalities
from .persistence import load
from .training.processes import fit_alone

__all__ = [
    "ModalityDict",
    "OMIBAnomalyDetector",
    "OMIBClassifier",
    "OMIBClassifierCV",
    "OMIBRegressor",
    "OMIBRegressorCV",
    "__version__",
    "check_modalities",
    "fit_alone",
    "load",
]
