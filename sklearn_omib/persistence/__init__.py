"""Fitted estimators as plain data, and as files without pickle."""

from .estimator import InconsistentVersionWarning, Persistent, load

__all__ = ["InconsistentVersionWarning", "Persistent", "load"]
