"""The evidence for defaults: fair splits, paired gains, runs that resume, pages of their rows."""

import importlib
import runpy
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.dummy import DummyClassifier

from sklearn_omib import ModalityDict

FOLDER = Path(__file__).parents[1] / "benchmarks" / "evidence"
RESULTS = FOLDER.parent / "results"
QUESTIONS = ("defaults", "levers", "wide", "rows", "detector")


@pytest.fixture
def question(monkeypatch):
    """A script of the folder, or what they share, by name."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Run a script as from the command line; returns the rows there are then."""
    monkeypatch.syspath_prepend(FOLDER)

    def run(name, *options):
        script = str(FOLDER / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [script, "--out", str(tmp_path), *options])
        runpy.run_path(script, run_name="__main__")
        return pd.read_csv(tmp_path / f"{name}.csv")

    return run


# -- what all share -------------------------------------------------------------------------------
@pytest.mark.parametrize("name", QUESTIONS)
def test_each_page_is_made_of_its_rows(command, name, tmp_path):
    shutil.copy(RESULTS / f"{name}.csv", tmp_path)
    command(name, "--report")
    assert (tmp_path / f"{name}.md").read_text() == (RESULTS / f"{name}.md").read_text()


def test_a_part_of_the_variations_is_run_beside_the_reference_and_once(
    question, command, monkeypatch, tmp_path
):
    framework = question("framework")
    monkeypatch.setattr(framework, "PARTS", ("wine",))
    for name in ("warmup_epochs", "max_epochs"):
        monkeypatch.setitem(framework.BASE, name, 1)
    first = command("defaults", "head_layers", "--seeds", "1")
    assert first.variation.tolist() == ["default", "head_layers=1"]
    first = first.drop(columns=["device", "n_cores", "torch"])  # as in older files
    first.to_csv(tmp_path / "defaults.csv", index=False)
    whole = command("defaults", "head_layers", "--seeds", "2")
    assert whole.seed.tolist() == [0, 0, 1, 1]
    pd.testing.assert_frame_equal(whole[:2], first)
    page = (tmp_path / "defaults.md").read_text().splitlines()
    assert page[0].startswith("Evidence for the default parameters")
    assert page[-1].startswith("| head_layers=1") and page[-1].endswith(" 2 |")


def test_gains_are_of_the_same_data_and_seed_and_a_loss_gained_is_a_lower_one(question):
    framework = question("framework")
    runs = pd.DataFrame(
        {"data": data, "seed": seed, "variation": variation, "score": score, "loss": -score}
        for data, seed, base in (("a", 0, 0.1), ("a", 1, 0.5), ("b", 0, 0.9))
        for variation, score in (("default", base), ("other", base + 0.01))
    )
    runs = runs[:-1]  # nothing to pair the default of b with
    pairs = framework.gains(runs.sample(frac=1, random_state=0), {"variation": "default"})
    other = pairs[pairs.variation == "other"]
    np.testing.assert_allclose(other[["score gain", "loss gain"]], 0.01)
    words = "+0.0100 ± 0.0000, better in 2 of 2 runs"
    assert framework.told(other) == f"score {words}; loss {words}"


def test_loss_of_numbers_is_that_in_units_of_the_target(question, rng):
    y, mean, std, unit = (*rng.normal(size=(2, 9)), rng.uniform(1, 2, 9), 7.0)
    expected = -norm.logpdf(y / unit, mean / unit, std / unit).mean()
    assert question("framework").gaussian_loss(y, mean, std, unit) == pytest.approx(expected)


def test_folds_keep_groups_together(question):
    framework, groups, seen = question("framework"), np.arange(60) // 4, []

    class Spy(DummyClassifier):
        def fit(self, X, y, groups=None):
            seen.append(groups)
            return super().fit(X, y)

    found = framework.cross_validated(Spy(), np.zeros((60, 1)), np.arange(60) % 2, groups, 0)
    assert found["score"] == pytest.approx(0.5) and found["seconds"] > 0
    assert len(seen) == framework.N_FOLDS
    for fitted in seen:
        assert all((groups == one).sum() == (fitted == one).sum() for one in set(fitted))


# -- levers ---------------------------------------------------------------------------------------
def test_every_lever_names_parameters_of_what_it_changes(question, monkeypatch):
    levers, models = question("levers"), []

    def recorded(model, X, y, groups, seed):
        models.append(model)
        return {"score": 1.0, "loss": 0.0, "seconds": 2.0}

    monkeypatch.setattr(levers, "cross_validated", recorded)
    for lever, changed in levers.LEVERS.items():
        for data, task in (("wine", "classification"), ("diabetes", "regression")):
            row = levers.evaluate(data, lever, 3)
            assert row["task"] == task and row["seconds"] == 10.0
            expected = {**levers.BASE, **changed, "random_state": 3}
            assert expected.items() <= models[-1].get_params().items()


def test_data_of_levers_are_numbers_or_labels_as_told(question):
    levers = question("levers")
    for name, load in levers.DATA.items():
        X, y, groups = load()
        assert len(X) == len(y) <= 1000 and groups is None
        assert (y.dtype.kind == "f") == (name in levers.NUMBERS), name


# -- wide tables, and numbers of rows -------------------------------------------------------------
def test_encoders_are_rated_on_rows_that_none_was_fitted_to(question, monkeypatch):
    wide = question("wide")
    monkeypatch.setattr(wide, "N_DRAWN", 200)
    for name in ("warmup_epochs", "max_epochs"):
        monkeypatch.setitem(wide.OTHERS, name, 1)
    for data, metric in (("low rank", "accuracy"), ("low rank, regression", "R2")):
        fitted, scored = wide.DATA[data][0](0, 60)[2:]
        assert len(fitted) == 60 and not set(fitted) & set(scored)
        row = wide.evaluate(data, 60, "linear", 0)
        assert row["metric"] == metric and row["rows"] == 60 and row["columns"] == 400
        assert np.isfinite([row["score"], row["loss"]]).all()


def test_settings_of_rows_reach_the_estimator(question, monkeypatch):
    rows, seen = question("rows"), {}
    monkeypatch.setattr(rows, "rated", lambda *args: seen.update(args=args) or (1.0, 0.0))
    for data, hidden, share in (("linear", "150 rows", 150 / 8000), ("friedman", "0", None)):
        rows.evaluate(data, 8000, hidden, "500", 0)
        model, _, y, fitted, scored = seen["args"]
        assert model.validation_fraction == 500 / 8000
        assert share is None or model.modality_dropout == share
        assert len(fitted) == len(scored) == 8000 and not set(fitted) & set(scored)
        assert len(y) == 16_000


def test_regressors_are_compared_by_the_rows_they_stop_by_alone(question):
    rows = question("rows")
    settings = pd.DataFrame(rows.settings())
    assert not settings.duplicated().any() and set(settings.data) == set(rows.DATA)
    assert set(settings[settings.data.isin(rows.NUMBERS)].hidden) == {"0"}
    assert set(settings[settings.held_out == "500"].n_rows) == {8000}


# -- detectors ------------------------------------------------------------------------------------
def test_generated_anomalies_differ_from_normal_rows_as_their_name_says(question):
    tasks = question("detector").TASKS
    small = {name: partial(tasks[f"linear {name}"], n_samples=90, n_anomalous=30)
             for name in ("mixed up", "moved", "stretched")}  # fmt: skip
    kind, mixed, anomalous, elsewhere = small["mixed up"]()
    assert kind == "generated" and elsewhere is None and anomalous.sum() == 30
    stretch = np.where(anomalous, 1.3, 1.0)[:, None]
    original = {key: block / stretch for key, block in small["stretched"]()[1].items()}
    first, second, third = original
    for key in (first, third):
        np.testing.assert_allclose(mixed[key], original[key])
    assert not np.isclose(mixed[second], original[second])[anomalous].all(1).any()
    np.testing.assert_allclose(np.sort(mixed[second], 0), np.sort(original[second], 0))
    by = small["moved"]()[1][second] - original[second]
    assert (abs(by[anomalous]) > 1e-3).all() and np.allclose(by[~anomalous], 0)


def test_detectors_are_rated_on_rows_they_have_not_seen(question, monkeypatch):
    detector, seen = question("detector"), {}

    class Recorder:
        def __init__(self, **parameters):
            seen["parameters"] = parameters

        def fit(self, X):
            seen["train"] = X["a"][:, 0]
            return self

        def score_samples(self, X):
            seen["test"] = X["a"][:, 0]
            return -seen["test"]

    X, anomalous = ModalityDict({"a": np.arange(40.0)[:, None]}), np.arange(40) >= 30
    elsewhere = np.arange(40) % 2 == 0
    monkeypatch.setattr(detector, "OMIBAnomalyDetector", Recorder)
    monkeypatch.setitem(detector.VARIATIONS, "recorded", (detector.OMIB, {"max_epochs": 7}))
    for name, kind, rows in (("ordered", "classes", None), ("left out", "tissue", elsewhere)):
        monkeypatch.setitem(detector.TASKS, name, partial(tuple, (kind, X, anomalous, rows)))
    run = detector.evaluate("ordered", "recorded", 3)
    assert run["auc"] == 1 and len(seen["train"]) == 21 and seen["train"].max() < 30
    assert not set(seen["train"]) & set(seen["test"]) and len(seen["test"]) == 19
    assert seen["parameters"] == {**detector.BASE, "max_epochs": 7, "random_state": 3}
    run = detector.evaluate("left out", "recorded", 3)
    np.testing.assert_array_equal(seen["test"], np.arange(1, 40, 2))
    np.testing.assert_array_equal(seen["train"], np.arange(0, 30, 2))
    assert run["auc"] == 1 and run["kind"] == "tissue"


def test_every_variation_names_parameters_of_its_detector(question):
    detector = question("detector")
    for method, changed in detector.VARIATIONS.values():
        made = detector.made(method, **{**detector.BASE, **changed})
        parameters = made.get_params()
        assert {**detector.BASE, **changed}.items() <= parameters.items()
        assert method == detector.OMIB or type(parameters["method"]).__name__ == method


def test_errors_of_gains_are_those_of_tasks(question):
    """Two seeds of one task are no second task."""
    runs = pd.DataFrame(
        {"task": task, "kind": "classes", "variation": variation, "seed": seed, "auc": auc}
        for task, gain in (("a", 0.1), ("b", 0.3)) for seed in (0, 1)
        for variation, auc in (("as it was", 0.5), ("unnormed", 0.5 + gain))
    )  # fmt: skip
    (table,) = question("detector").sections(runs)
    cells = [cell.strip() for cell in table.splitlines()[-1].split("|")[1:-1]]
    assert cells == ["unnormed", "0.7", "0.7", "0.2", "0.1", "2"]
