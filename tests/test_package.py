"""Public names, documentation, import cost, and which part of the package knows which."""

import ast
import csv
import importlib
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

import sklearn_omib
from sklearn_omib.baselines import BaselineAnomalyDetector, BaselineClassifier, BaselineRegressor

ESTIMATORS = [
    sklearn_omib.OMIBClassifier,
    sklearn_omib.OMIBRegressor,
    sklearn_omib.OMIBAnomalyDetector,
    BaselineClassifier,
    BaselineRegressor,
    BaselineAnomalyDetector,
]
ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sklearn_omib"
MODULES = [
    "",
    ".baselines",
    ".preprocessing",
    ".information",
    ".inspection",
    ".plotting",
    ".datasets",
    ".encoders",
    ".export",
    ".nn",
]
# Each part knows those above it alone, and none beside it
LAYERS = [
    ["_version", "_compat", "_typing", "nn"],
    ["data", "persistence"],
    ["information", "preprocessing", "datasets"],
    ["training"],
    ["encoders"],
    ["methods", "tasks"],
    ["_estimator"],
    ["_classifier", "_regressor", "_detector"],
    ["_search", "baselines"],
    ["inspection", "export"],
    ["plotting"],
    ["__init__"],
]
FOLDERS = {
    "data", "datasets", "encoders", "information", "inspection", "methods", "nn", "persistence",
    "tasks", "training",
}  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_a_docstring_and_stands_on_the_api_page(module):
    module = importlib.import_module("sklearn_omib" + module)
    page = (ROOT / "docs" / "api.rst").read_text()
    for name in module.__all__:
        if name == "__version__":
            continue
        assert getattr(module, name).__doc__, name
        assert re.search(rf"^   {name}$", page, re.MULTILINE), name


def entries(estimator, section):
    """Names of a section of a docstring, each with its text or the estimator that has it."""
    text = estimator.__doc__.partition(f"    {section}\n    -----")[2].partition("\n\n")[0]
    for names, body in re.findall(r"^    (\w[^\n]*)\n((?:        .*\n?)+)", text, re.MULTILINE):
        other = re.match(r" *As in :class:`~sklearn_omib\.(\w+)`", body)
        for name in names.partition(" : ")[0].split(", "):
            yield name, getattr(sklearn_omib, other.group(1)) if other else names + body


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_parameter_is_documented_with_its_default(estimator):
    documented = dict(entries(estimator, "Parameters"))
    given = estimator().get_params(deep=False)
    assert documented.keys() == given.keys()
    for name, value in given.items():
        text = documented[name]
        if isinstance(text, type):
            assert getattr(text(), name) == value, name
            text = dict(entries(text, "Parameters"))[name]
        default = re.search(r"default=(\S+?)(?=        |\s|$)", text).group(1)
        assert default.strip('"') == str(value) or float(default) == value, (name, default)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_attribute_that_is_documented_is_there(estimator):
    names = dict(entries(estimator, "Attributes"))
    X = {"a": np.arange(12.0)[:, None], "b": np.arange(12.0)[:, None] ** 2}
    model = estimator(max_epochs=1).fit(X, np.arange(12) % 2)
    missing = [name for name in names if not hasattr(model, name)]
    assert "net_" in names and set(missing) <= {"feature_names_in_"}  # of arrays, there are none


def test_import_neither_draws_nor_searches():
    heavy = "matplotlib", "IPython", "sklearn.ensemble"
    code = f"import sys, sklearn_omib; print([m for m in {heavy!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


# -- the house ------------------------------------------------------------------------------------
def imports(path, while_running=False):
    """Modules of the package that a file names in its imports, as tuples below the package."""
    tree = ast.parse(path.read_text())
    if while_running:  # hints alone need no import
        tree.body = [node for node in tree.body if not isinstance(node, ast.If)]
    folder = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ("sklearn_omib", *folder)[: len(folder) + 2 - node.level] if node.level else ()
            start = (*above, *(node.module or "").split(".")) if node.module else above
            named = [(*start, alias.name) for alias in node.names]
        else:
            continue
        yield from (name[1:] or ("__init__",) for name in named if name[0] == "sklearn_omib")


def files():
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_every_part_has_its_place_and_there_is_nothing_else():
    there = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    parts = {part for layer in LAYERS for part in layer}
    assert there == {name if name in FOLDERS else f"{name}.py" for name in parts} | {"py.typed"}


def test_no_part_knows_what_is_built_of_it():
    height = {part: i for i, layer in enumerate(LAYERS) for part in layer}
    back = [
        f"{path.relative_to(ROOT)} imports {'.'.join(name)}"
        for path in files()
        for name in imports(path)
        if name[:1] != (part_of(path),) and height.get(name[0], np.inf) >= height[part_of(path)]
    ]
    assert not back, back


def test_no_module_imports_itself_by_way_of_others():
    modules = {path.relative_to(PACKAGE).with_suffix("").parts: path for path in files()}
    modules = {parts[:-1] if parts[-1] == "__init__" else parts: path
               for parts, path in modules.items()}  # fmt: skip
    graph = {
        module: {name if name in modules else name[:-1] for name in imports(path, True)}
        for module, path in modules.items()
    }
    assert len([*TopologicalSorter(graph).static_order()]) == len(modules)


def test_tests_named_with_figures_exist():
    rows = [row[3] for row in csv.reader((ROOT / "docs" / "reliability.csv").open())][1:]
    for file, name in (row.strip("`").split("::") for row in rows):
        assert f"def {name}(" in (ROOT / "tests" / f"{file}.py").read_text()
