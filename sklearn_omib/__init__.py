"""Optimal Multimodal Information Bottleneck for scikit-learn."""

from ._anomaly import OMIBAnomalyDetector
from ._classifier import OMIBClassifier
from ._distributed import fit_alone
from ._modalities import ModalityDict, check_modalities
from ._regressor import OMIBRegressor
from ._search import OMIBClassifierCV, OMIBRegressorCV
from ._version import __version__

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
]
