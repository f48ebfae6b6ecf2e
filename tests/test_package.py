"""Public names, documentation, import cost."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sklearn_omib
import sklearn_omib.baselines

ESTIMATORS = [
    sklearn_omib.OMIBClassifier,
    sklearn_omib.OMIBRegressor,
    sklearn_omib.OMIBAnomalyDetector,
    *(getattr(sklearn_omib.baselines, name) for name in sklearn_omib.baselines.__all__),
]
ROOT = Path(__file__).parents[1]
MODULES = [
    "",
    ".baselines",
    ".preprocessing",
    ".information",
    ".inspection",
    ".plotting",
    ".datasets",
    ".nn",
]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_a_docstring_and_stands_on_the_api_page(module):
    module = importlib.import_module("sklearn_omib" + module)
    page = (ROOT / "docs" / "api.rst").read_text()
    for name in module.__all__:
        if name == "__version__":
            continue
        assert getattr(module, name).__doc__, name
        assert re.search(rf"^   {name}$", page, re.MULTILINE), name


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_parameter_is_documented_with_its_default(estimator):
    doc = estimator.__doc__
    for name, value in estimator().get_params().items():
        line = re.search(
            rf"^    {name} : (.*?)(?=^    \w|\n        )", doc, re.MULTILINE | re.DOTALL
        )
        assert line, name
        default = re.search(r"default=(\S+)", doc[line.start() : line.start() + 250]).group(1)
        assert default.strip('"') == str(value) or float(default) == value, (name, default)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_attribute_that_is_documented_is_there(estimator):
    attributes = estimator.__doc__.partition("Attributes\n")[2].partition("Examples\n")[0]
    names = re.findall(r"^    (\w+_) : ", attributes, re.MULTILINE)
    X = {"a": np.arange(12.0)[:, None], "b": np.arange(12.0)[:, None] ** 2}
    model = estimator(max_epochs=1).fit(X, np.arange(12) % 2)
    missing = [name for name in names if not hasattr(model, name)]
    assert "net_" in names and set(missing) <= {"feature_names_in_"}  # of arrays, there are none


def test_import_neither_draws_nor_searches():
    heavy = "matplotlib", "IPython", "sklearn.ensemble"
    code = f"import sys, sklearn_omib; print([m for m in {heavy!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
