"""The benchmark of missing modalities, on little data."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sklearn_omib import ModalityDict, OMIBClassifier

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("missing", "resumable"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("missing")
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=150)
    X = {name: y[:, None] + rng.normal(size=(150, 3)) for name in ("a", "b")}
    monkeypatch.setattr(module, "DATA", {"tiny": lambda: (X, y, None, None)})
    monkeypatch.setattr(module, "SHARES", (0.0, 0.5))
    small = {"n_members": 1, "max_epochs": 2, "warmup_epochs": 1, "hidden_dim": 8, "n_jobs": 1}
    monkeypatch.setattr(module, "omib", lambda seed: OMIBClassifier(random_state=seed, **small))
    return module


def test_every_sample_keeps_a_modality_and_shares_are_those_asked_for(bench):
    X = ModalityDict({name: np.ones((4000, 2)) for name in "abc"})
    lost, left = bench.lose(X, 0.4, 0)
    assert left.any(1).all()
    # .4^3 of the samples, which would have none, are given one of three: .4 - .4^3 / 3
    np.testing.assert_allclose(1 - left.mean(0), 0.4 - 0.4**3 / 3, atol=0.03)
    for (name, block), there in zip(lost.items(), left.T, strict=True):
        np.testing.assert_array_equal(np.isnan(block).all(1), ~there, err_msg=name)


def test_rows_of_the_page_come_from_every_contestant(bench, tmp_path):
    rows = [
        row
        for where in bench.WHERE
        for contestant in bench.CONTESTANTS
        for row in bench.evaluate("tiny", where, contestant, 0)
    ]
    table = pd.DataFrame(rows)
    assert len(table) == 2 * 5 * 2 and table.accuracy.between(0, 1).all()
    # with nothing missing, all OMIBs are the same
    whole = table[(table.share == 0) & (table.contestant != "gradient boosting")]
    assert whole.groupby("where").accuracy.nunique().eq(1).all()
    bench.write(table, tmp_path)
    page = (tmp_path / "missing.rst").read_text()
    assert "Mean rank" in page and (tmp_path / "missing.png").stat().st_size > 10_000
