"""The methods that OMIB is compared with, as estimators like those of OMIB.

Each is a network of shared parts and an objective, trained as OMIB is: same encoders, codes,
heads, optimiser, early stopping and checks, and the same parameters where they mean the same.
"""

from ._bigated import BiGatedAnomalyDetector, BiGatedClassifier, BiGatedRegressor
from ._concat import ConcatAnomalyDetector, ConcatClassifier, ConcatRegressor
from ._deep_ib import DeepIBAnomalyDetector, DeepIBClassifier, DeepIBRegressor
from ._dmib import DMIBAnomalyDetector, DMIBClassifier, DMIBRegressor
from ._mib import (
    CMIBAnomalyDetector,
    CMIBClassifier,
    CMIBRegressor,
    EMIBAnomalyDetector,
    EMIBClassifier,
    EMIBRegressor,
    LMIBAnomalyDetector,
    LMIBClassifier,
    LMIBRegressor,
)
from ._misa import MISAAnomalyDetector, MISAClassifier, MISARegressor
from ._mmib_cui import MMIBCuiAnomalyDetector, MMIBCuiClassifier, MMIBCuiRegressor
from ._mmib_zhang import MMIBZhangAnomalyDetector, MMIBZhangClassifier, MMIBZhangRegressor

__all__ = [
    "BiGatedAnomalyDetector",
    "BiGatedClassifier",
    "BiGatedRegressor",
    "CMIBAnomalyDetector",
    "CMIBClassifier",
    "CMIBRegressor",
    "ConcatAnomalyDetector",
    "ConcatClassifier",
    "ConcatRegressor",
    "DMIBAnomalyDetector",
    "DMIBClassifier",
    "DMIBRegressor",
    "DeepIBAnomalyDetector",
    "DeepIBClassifier",
    "DeepIBRegressor",
    "EMIBAnomalyDetector",
    "EMIBClassifier",
    "EMIBRegressor",
    "LMIBAnomalyDetector",
    "LMIBClassifier",
    "LMIBRegressor",
    "MISAAnomalyDetector",
    "MISAClassifier",
    "MISARegressor",
    "MMIBCuiAnomalyDetector",
    "MMIBCuiClassifier",
    "MMIBCuiRegressor",
    "MMIBZhangAnomalyDetector",
    "MMIBZhangClassifier",
    "MMIBZhangRegressor",
]
