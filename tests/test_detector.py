"""The evidence of benchmarks/detector.py: its anomalies, its splits and its table."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def detector(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("detector")


def test_generated_anomalies_differ_from_normal_rows_as_their_name_says(detector):
    found = detector.generated(n_samples=90, n_anomalous=30)
    kind, mixed, anomalous, elsewhere = found["linear mixed up"]
    assert kind == "generated" and elsewhere is None and anomalous.sum() == 30
    stretch = np.where(anomalous, 1.3, 1.0)[:, None]
    original = {key: block / stretch for key, block in found["linear stretched"][1].items()}
    first, second, third = original
    for key in (first, third):
        np.testing.assert_allclose(mixed[key], original[key])
    assert not np.isclose(mixed[second], original[second])[anomalous].all(1).any()
    np.testing.assert_allclose(np.sort(mixed[second], 0), np.sort(original[second], 0))
    by = found["linear moved"][1][second] - original[second]
    assert by[anomalous].all() and not by[~anomalous].any()


def test_detectors_are_rated_on_rows_they_have_not_seen(detector, monkeypatch):
    seen = {}

    class Recorder:
        def __init__(self, **parameters):
            seen["parameters"] = parameters

        def fit(self, X):
            seen["train"] = X["a"][:, 0]
            return self

        def score_samples(self, X):
            seen["test"] = X["a"][:, 0]
            return -seen["test"]

    monkeypatch.setitem(detector.VARIATIONS, "recorded", (Recorder, {"max_epochs": 7}))
    X = detector.ModalityDict({"a": np.arange(40.0)[:, None]})
    anomalous = np.arange(40) >= 30
    run = detector.evaluate("ordered", "recorded", 3, ("classes", X, anomalous, None))
    assert run["auc"] == 1 and len(seen["train"]) == 21 and seen["train"].max() < 30
    assert not set(seen["train"]) & set(seen["test"]) and len(seen["test"]) == 19
    assert seen["parameters"] == {**detector.BASE, "max_epochs": 7, "random_state": 3}
    elsewhere = np.arange(40) % 2 == 0
    run = detector.evaluate("left out", "recorded", 3, ("tissue", X, anomalous, elsewhere))
    np.testing.assert_array_equal(seen["test"], np.arange(1, 40, 2))
    np.testing.assert_array_equal(seen["train"], np.arange(0, 30, 2))
    assert run["auc"] == 1


def test_errors_of_gains_are_those_of_tasks(detector, monkeypatch, tmp_path):
    """Two seeds of one task are no second task."""
    runs = pd.DataFrame(
        {"task": task, "kind": "classes", "variation": variation, "seed": seed, "auc": auc}
        for task, gain in (("a", 0.1), ("b", 0.3)) for seed in (0, 1)
        for variation, auc in (("as it was", 0.5), ("unnormed", 0.5 + gain))
    )  # fmt: skip
    monkeypatch.setattr(detector, "RESULTS", tmp_path)
    detector.write_table(runs)
    row = (tmp_path / "detector.md").read_text().splitlines()[-1]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == ["unnormed", "0.7", "0.7", "0.2", "0.1", "2"]
