"""What estimators can predict: classes, numbers, whether a sample is normal."""

from ._task import Task
from .classification import Classification
from .detection import AnomalyDetection
from .regression import Regression

__all__ = ["AnomalyDetection", "Classification", "Regression", "Task"]
