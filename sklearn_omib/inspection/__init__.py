"""What each modality contributes, what the bottleneck kept, and whether the assumptions hold."""

from ._ablation import modality_ablation
from ._assumptions import AssumptionReport, check_assumptions
from ._diagnosis import Diagnosis, Finding, diagnose
from ._importance import modality_importance
from ._plane import information_plane
from ._probe import bottleneck_probe

__all__ = [
    "AssumptionReport",
    "Diagnosis",
    "Finding",
    "bottleneck_probe",
    "check_assumptions",
    "diagnose",
    "information_plane",
    "modality_ablation",
    "modality_importance",
]
