"""The torch modules of OMIB, usable without the rest of the package.

Tensors in, tensors or named tuples out: no device choice, no printing, no training loop.
"""

from .bottleneck import Code, Projection, VariationalBottleneck, gaussian_kl
from .encoders import (
    Conv1dEncoder,
    Conv2dEncoder,
    GRUEncoder,
    LinearEncoder,
    LinearMLPEncoder,
    MLPEncoder,
    SequenceBatch,
    SparseBatch,
    SparseEncoder,
    SparseLinear,
    build_encoder,
)
from .fusion import (
    ConcatFusion,
    CrossAttentionFusion,
    FiLMFusion,
    Fused,
    GatedFusion,
    LowRankFusion,
    MeanFusion,
    SumFusion,
    UnnormedAttentionFusion,
)
from .layers import StackedBilinear, StackedLayerNorm, StackedLinear, mlp
from .losses import BernoulliTask, CategoricalTask, GaussianTask
from .model import FusionNetwork, NetworkOutput, OMIBNetwork
from .objective import Objective, ObjectiveTerms, OMIBObjective, dynamic_weights
from .one_class import (
    OneClassNetwork,
    OneClassObjective,
    OneClassOutput,
    OneClassTask,
)
from .pictures import Disturbed, Pixels, ResNet18, SpectrogramCNN
from .random import Dropout, GeneratorStack, seeded_initialisation, set_generator
from .stacking import Copies, select

__all__ = [
    "BernoulliTask",
    "CategoricalTask",
    "Code",
    "ConcatFusion",
    "Conv1dEncoder",
    "Conv2dEncoder",
    "Copies",
    "CrossAttentionFusion",
    "Disturbed",
    "Dropout",
    "FiLMFusion",
    "Fused",
    "FusionNetwork",
    "GRUEncoder",
    "GatedFusion",
    "GaussianTask",
    "GeneratorStack",
    "LinearEncoder",
    "LinearMLPEncoder",
    "LowRankFusion",
    "MLPEncoder",
    "MeanFusion",
    "NetworkOutput",
    "OMIBNetwork",
    "OMIBObjective",
    "Objective",
    "ObjectiveTerms",
    "OneClassNetwork",
    "OneClassObjective",
    "OneClassOutput",
    "OneClassTask",
    "Pixels",
    "Projection",
    "ResNet18",
    "SequenceBatch",
    "SparseBatch",
    "SparseEncoder",
    "SparseLinear",
    "SpectrogramCNN",
    "StackedBilinear",
    "StackedLayerNorm",
    "StackedLinear",
    "SumFusion",
    "UnnormedAttentionFusion",
    "VariationalBottleneck",
    "build_encoder",
    "dynamic_weights",
    "gaussian_kl",
    "mlp",
    "seeded_initialisation",
    "select",
    "set_generator",
]
