"""The methods of the comparison: what to make for a task, and what tuning draws from."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from anomaly import MEAN, N_COMPONENTS, ON_COMPONENTS
from comparison.data import ANOMALY, CLASSIFICATION, REGRESSION
from scipy.stats import loguniform, randint, uniform
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

import sklearn_omib
from sklearn_omib.preprocessing import ModalityConcatenator

OMIB, PAPER, SKLEARN = FAMILIES = ("OMIB", "the paper's methods", "scikit-learn")
ONE_NETWORK, SEARCHING = "OMIB, one network", "OMIB-CV"
SUPERVISED = (CLASSIFICATION, REGRESSION)
SUFFIX = {CLASSIFICATION: "Classifier", REGRESSION: "Regressor", ANOMALY: "AnomalyDetector"}

# Spaces of the neural methods: how they are trained, and what weighs their penalties
TRAINING = {
    "learning_rate": loguniform(1e-4, 2e-3),
    "weight_decay": loguniform(0.03, 3),
    "dropout": uniform(0, 0.6),
}
OMIB_SPACE = TRAINING | {"beta_scale": loguniform(0.03, 3)}
PENALTIES = {
    **{name: {} for name in ("Concat", "BiGated")},
    **{name: {"beta": loguniform(1e-5, 1e-1)} for name in ("DeepIB", "EMIB", "LMIB", "CMIB")},
    "MMIBCui": {"beta": loguniform(1e-5, 1e-1), "alignment": loguniform(0.01, 1)},
    "MMIBZhang": {"beta": loguniform(1e-5, 1e-1), "shared": loguniform(0.01, 1)},
    "MISA": {"similarity": loguniform(0.1, 3), "difference": loguniform(0.01, 0.3)},
    "DMIB": {"sufficiency": loguniform(0.1, 10), "unimodal": loguniform(0.1, 3)},
}


class Method(NamedTuple):
    """One method.

    Parameters
    ----------
    family : one of FAMILIES
    make : dict of task to callable (seed, X) -> estimator
        X is only asked for the names and columns of its modalities.
    spaces : dict of task to space
        Distributions of parameters, as in ParameterSampler. A task without one is not tuned.
    searches : bool
        Whether the estimator searches by itself, with ``betas`` and ``cv``.
    """

    family: str
    make: dict[str, Callable]
    spaces: dict[str, dict]
    searches: bool = False


# -- neural ---------------------------------------------------------------------------------------
def _omib(name, seed, X, **parameters):
    return getattr(sklearn_omib, name)(random_state=seed, **parameters)


def omib(tasks=tuple(SUFFIX), ending="", **parameters):
    return {task: partial(_omib, f"OMIB{SUFFIX[task]}{ending}", **parameters) for task in tasks}


def _baseline(task, name, seed, X):
    # imported when it is made: the paper's methods may not be there
    baselines = import_module("sklearn_omib.baselines")
    method = getattr(baselines, name)()
    model = getattr(baselines, f"Baseline{SUFFIX[task]}")(method=method, random_state=seed)
    return model.set_params(n_members=1) if task in SUPERVISED else model


def of_paper(name):
    space = TRAINING | {f"method__{key}": values for key, values in PENALTIES[name].items()}
    make = {task: partial(_baseline, task, name) for task in SUFFIX}
    return Method(PAPER, make, dict.fromkeys(SUPERVISED, space))


# -- scikit-learn, on all columns side by side ----------------------------------------------------
def on_table(model, reduce="passthrough"):
    """A model of the standardised columns of all modalities."""
    return Pipeline(
        [("concatenate", ModalityConcatenator()), ("scale", StandardScaler()),
         ("reduce", reduce), ("model", model)]
    )  # fmt: skip


def of_table(classifier, regressor, space, regressor_space=None):
    """A pair of models (seed, X) -> estimator, whose parameters have one name as a rule."""

    def classification(seed, X):
        return on_table(classifier(seed, X))

    def regression(seed, X):
        # some have penalties that go by the unit of the target
        model = TransformedTargetRegressor(regressor(seed, X), transformer=StandardScaler())
        return on_table(model)

    spaces = {
        CLASSIFICATION: {f"model__{name}": values for name, values in space.items()},
        REGRESSION: {
            f"model__regressor__{name}": values
            for name, values in (regressor_space or space).items()
        },
    }
    return Method(SKLEARN, {CLASSIFICATION: classification, REGRESSION: regression}, spaces)


def seeded(model, **options):
    return lambda seed, X: model(random_state=seed, **options)


def columns_of(X):
    """Where each modality lies among all columns, by name."""
    widths = [int(np.prod(shape)) for shape in X.sample_shapes.values()]
    edges = np.cumsum([0, *widths]).tolist()
    return {name: slice(*pair) for name, *pair in zip(X, edges[:-1], edges[1:], strict=True)}


class SummedRBF(BaseEstimator):
    """Mean of one Gaussian kernel per modality, as a kernel for SVC and SVR.

    Parameters
    ----------
    columns : list of slice
        Where each modality lies.
    scale : float, default=1.0
        gamma of a modality is ``scale`` over its number of columns.
    """

    def __init__(self, columns, scale=1.0):
        self.columns = columns
        self.scale = scale

    def __call__(self, A, B):
        kernels = (
            rbf_kernel(A[:, some], B[:, some], self.scale / A[:, some].shape[1])
            for some in self.columns
        )
        return sum(kernels) / len(self.columns)


def on_kernel(model):
    return lambda seed, X: model(kernel=SummedRBF(list(columns_of(X).values())))


def stacked(stacking, forest, final):
    """One forest per modality, and a linear model of what they predict."""

    def make(seed, X):
        members = [
            (name, make_pipeline(ColumnTransformer([(name, "passthrough", columns)]),
                                 forest(random_state=seed)))
            for name, columns in columns_of(X).items()
        ]  # fmt: skip
        return stacking(members, final_estimator=final())

    return make


# -- detectors ------------------------------------------------------------------------------------
class DistanceFromMean(BaseEstimator):
    """The plainest detector there is."""

    def fit(self, X, y=None):
        self.mean_ = X.mean(0)
        return self

    def score_samples(self, X):
        return -np.square(X - self.mean_).mean(1)


def on_components(detector):
    def make(seed, X):
        return on_table(detector(seed), reduce=PCA(N_COMPONENTS, random_state=seed))

    return Method(SKLEARN, {ANOMALY: make}, {})


# -- all of them ----------------------------------------------------------------------------------
METHODS = {
    "OMIB": Method(OMIB, omib(), dict.fromkeys(SUPERVISED, OMIB_SPACE)),
    ONE_NETWORK: Method(OMIB, omib(SUPERVISED, n_members=1), {}),  # left without averaging
    SEARCHING: Method(OMIB, omib(SUPERVISED, "CV"), {}, searches=True),
    **{name: of_paper(name) for name in PENALTIES},
    "linear model": of_table(
        seeded(LogisticRegression, max_iter=1000), seeded(Ridge),
        {"C": loguniform(1e-4, 1e2)}, {"alpha": loguniform(1e-2, 1e4)},
    ),
    "random forest": of_table(
        seeded(RandomForestClassifier), seeded(RandomForestRegressor),
        {"max_features": ["sqrt", 0.1, 0.3], "min_samples_leaf": randint(1, 10)},
    ),
    "gradient boosting": of_table(
        seeded(HistGradientBoostingClassifier), seeded(HistGradientBoostingRegressor),
        {
            "learning_rate": loguniform(0.02, 0.3),
            "max_leaf_nodes": randint(7, 63),
            "min_samples_leaf": randint(5, 50),
            "l2_regularization": loguniform(1e-3, 10),
        },
    ),
    "MLP": of_table(
        seeded(MLPClassifier), seeded(MLPRegressor),
        {
            "alpha": loguniform(1e-5, 10),
            "hidden_layer_sizes": [(50,), (100,), (200,), (100, 100)],
            "learning_rate_init": loguniform(3e-4, 3e-3),
            "early_stopping": [False, True],
        },
    ),
    "kernel SVM": of_table(
        on_kernel(SVC), on_kernel(SVR),
        {"C": loguniform(0.1, 1e3), "kernel__scale": loguniform(0.1, 10)},
    ),
    "stacking": of_table(
        stacked(StackingClassifier, RandomForestClassifier, LogisticRegression),
        stacked(StackingRegressor, RandomForestRegressor, Ridge),
        {"final_estimator__C": loguniform(1e-4, 1e2)},
        {"final_estimator__alpha": loguniform(1e-2, 1e4)},
    ),
    MEAN: Method(SKLEARN, {ANOMALY: lambda seed, X: on_table(DistanceFromMean())}, {}),
    **{name: on_components(detector) for name, detector in ON_COMPONENTS.items()},
}  # fmt: skip


def available():
    """Names of the methods that are installed."""
    there = find_spec("sklearn_omib.baselines") is not None
    return [name for name, method in METHODS.items() if there or method.family != PAPER]
