"""A pytest plugin: in scikit-learn's own tests other estimators stand in for its estimators.

OMIB does, or MLPClassifier and MLPRegressor where the environment has STAND_INS=MLP, to tell what
neural networks of few epochs fail from what OMIB alone fails.
"""

import inspect
import os
from fnmatch import fnmatchcase

import sklearn.calibration
import sklearn.discriminant_analysis
import sklearn.ensemble
import sklearn.inspection
import sklearn.linear_model
import sklearn.model_selection
import sklearn.multiclass
import sklearn.multioutput
import sklearn.naive_bayes
import sklearn.neighbors
import sklearn.neural_network
import sklearn.pipeline
import sklearn.svm
import sklearn.tree
from sklearn.base import ClassifierMixin
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils._param_validation import make_constraint

from sklearn_omib import OMIBClassifier, OMIBRegressor

# meta-estimators, imported above, have bound the originals that they use themselves
REPLACED = {
    sklearn.discriminant_analysis: "LinearDiscriminantAnalysis",
    sklearn.ensemble: "GradientBoostingClassifier HistGradientBoostingClassifier "
    "RandomForestClassifier RandomForestRegressor",
    sklearn.linear_model: "Lasso LinearRegression LogisticRegression OrthogonalMatchingPursuit "
    "Perceptron Ridge SGDClassifier SGDRegressor",
    sklearn.naive_bayes: "ComplementNB GaussianNB MultinomialNB",
    sklearn.neighbors: "KNeighborsClassifier KNeighborsRegressor",
    sklearn.neural_network: "MLPClassifier MLPRegressor",
    sklearn.svm: "LinearSVC LinearSVR SVC SVR",
    sklearn.tree: "DecisionTreeClassifier DecisionTreeRegressor",
}
if os.environ.get("STAND_INS") == "MLP":
    CLASSIFIER, REGRESSOR = MLPClassifier, MLPRegressor
    SMALL = {"max_iter": 3, "hidden_layer_sizes": 8}
else:
    CLASSIFIER, REGRESSOR = OMIBClassifier, OMIBRegressor
    SMALL = {
        "n_members": 1, "max_epochs": 2, "warmup_epochs": 1,
        "hidden_dim": 8, "latent_dim": 4, "n_layers": 1, "head_layers": 1,
    }  # fmt: skip


def stand_in(base, replaced):
    """A child of ``base``, small, with the name and also the parameters of another estimator.

    Those that ``base`` has too are heeded where it takes their value; the others are kept only.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = inspect.signature(base).parameters.values()
    own = {p.name: SMALL.get(p.name, p.default) for p in parameters}
    fixed = {name: value for name, value in vars(base()).items() if name not in own} | SMALL
    defaults = own | fixed
    theirs = [p for p in inspect.signature(replaced).parameters.values() if p.name not in defaults]
    ours = [inspect.Parameter(name, keyword, default=value) for name, value in defaults.items()]
    signature = inspect.Signature(sorted(theirs + ours, key=lambda p: p.kind))

    def takes(name, value):
        constraints = base._parameter_constraints.get(name, [])
        return any(make_constraint(one).is_satisfied_by(value) for one in constraints)

    def __init__(self, *args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = bound.arguments
        heeded = {name: values[name] for name in own.keys() - SMALL if takes(name, values[name])}
        base.__init__(self, **own | heeded)
        for parameter in theirs:
            setattr(self, parameter.name, values[parameter.name])

    receiver = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    __init__.__signature__ = signature.replace(
        parameters=[receiver, *signature.parameters.values()]
    )
    return type(base)(replaced.__name__, (base,), {"__init__": __init__, "__module__": __name__})


def is_classifier(kind):
    return issubclass(kind, ClassifierMixin)


STAND_INS = {
    (module, name): stand_in(CLASSIFIER if is_classifier(kind) else REGRESSOR, kind)
    for module, names in REPLACED.items()
    for name in names.split()
    for kind in [getattr(module, name)]
}
globals().update({kind.__name__: kind for kind in STAND_INS.values()})  # to be unpickled


def pytest_addoption(parser):
    parser.addoption("--left-out", default="", help="comma-separated patterns of test:parameters")


def pytest_configure(config):
    for (module, name), kind in STAND_INS.items():
        setattr(module, name, kind)


def pytest_collection_modifyitems(config, items):
    patterns = config.getoption("--left-out").split(",")

    def is_left_out(item):
        name, _, parameters = item.name.rstrip("]").partition("[")
        return any(fnmatchcase(one, p) for one in (name, f"{name}:{parameters}") for p in patterns)

    left_out = [item for item in items if is_left_out(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
