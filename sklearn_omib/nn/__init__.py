"""The torch modules of OMIB, usable without the rest of the package.

Tensors in, tensors or named tuples out: no device choice, no printing, no training loop.
"""

from .bottleneck import Code, VariationalBottleneck, gaussian_kl
from .encoders import (
    Conv1dEncoder,
    Conv2dEncoder,
    GRUEncoder,
    LinearMLPEncoder,
    MLPEncoder,
    SparseBatch,
    SparseEncoder,
    SparseLinear,
    build_encoder,
)
from .fusion import ConcatFusion, CrossAttentionFusion, Fused
from .layers import mlp
from .model import OMIBNetwork, OMIBOutput
from .objective import ObjectiveTerms, OMIBObjective, dynamic_weights
from .one_class import (
    OneClassNetwork,
    OneClassObjective,
    OneClassOutput,
    OneClassTask,
    OneClassTerms,
)
from .random import Dropout, GeneratorStack, seeded_initialisation, set_generator
from .stacking import stack, unstack
from .tasks import BernoulliTask, CategoricalTask, GaussianTask

__all__ = [
    "BernoulliTask",
    "CategoricalTask",
    "Code",
    "ConcatFusion",
    "Conv1dEncoder",
    "Conv2dEncoder",
    "CrossAttentionFusion",
    "Dropout",
    "Fused",
    "GRUEncoder",
    "GaussianTask",
    "GeneratorStack",
    "LinearMLPEncoder",
    "MLPEncoder",
    "OMIBNetwork",
    "OMIBObjective",
    "OMIBOutput",
    "ObjectiveTerms",
    "OneClassNetwork",
    "OneClassObjective",
    "OneClassOutput",
    "OneClassTask",
    "OneClassTerms",
    "SparseBatch",
    "SparseEncoder",
    "SparseLinear",
    "VariationalBottleneck",
    "build_encoder",
    "dynamic_weights",
    "gaussian_kl",
    "mlp",
    "seeded_initialisation",
    "set_generator",
    "stack",
    "unstack",
]
