"""The benchmark of data as they come, on little data and without pretrained networks."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sklearn_omib import OMIBClassifier, OMIBRegressor
from sklearn_omib.data.ragged import Ragged
from sklearn_omib.data.raw import as_items
from sklearn_omib.encoders import NGramEncoder

FOLDER = Path(__file__).parents[1] / "benchmarks"
WORDS = {0: "a calm and friendly sea", 1: "a rough and angry wind"}


class Counts(NGramEncoder):
    """In the place of a pretrained network: few dense numbers."""

    def _convert(self, features):
        return super()._convert(features).toarray()

    def module(self, shape, hidden_dim):
        return "auto"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("raw", "resumable"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("raw")
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=120)
    groups = np.arange(120) // 6
    text = as_items([f"{WORDS[label]} {i % 7}" for i, label in enumerate(y)])
    numbers = {name: y[:, None] + rng.normal(size=(120, 3)) for name in ("audio", "video")}
    kept = pd.DataFrame({"area": y + rng.normal(size=120), "kind": np.where(y, "a", "b")})
    table = kept.astype({"kind": "category"})
    data = {
        "mosi": module.Sample({"text": text, **numbers}, y, groups, groups >= 15),
        "tweets": module.Sample({"text": text, "table": table}, np.where(y, "good", "bad")),
        "houses": module.Sample({"table": table}, y + 0.1 * rng.normal(size=120)),
    }
    monkeypatch.setattr(module, "DATA", {name: lambda s=s: s for name, s in data.items()})
    monkeypatch.setitem(module.MODALITIES, "houses", ("table",))
    monkeypatch.setattr(module, "of_text", lambda *args, **options: Counts(char_ngrams=None))
    small = {"n_members": 1, "max_epochs": 2, "warmup_epochs": 1, "hidden_dim": 8}
    for kind in (OMIBClassifier, OMIBRegressor):
        monkeypatch.setattr(
            module, kind.__name__, lambda kind=kind, **options: kind(**options | small)
        )
    return module


def test_parts_keep_groups_together_and_development_leaves_test_rows_alone(bench):
    train, test = bench.split("mosi", 0, False)
    assert set(train.groups) == set(range(15)) and len(test.y) == 30
    inner, outer = bench.split("mosi", 0, True)
    assert not set(inner.groups) & set(outer.groups)
    assert set(inner.groups) | set(outer.groups) == set(train.groups)
    assert list(inner.X) == ["text"]  # the others know y of these rows
    train, test = bench.split("tweets", 0, False)
    inner, outer = bench.split("tweets", 0, True)
    assert len(inner.y) + len(outer.y) == len(train.y) and len(train.y) + len(test.y) == 120
    assert isinstance(train.X["table"], pd.DataFrame)


def test_recordings_are_summarised_by_parts(bench):
    rises = np.arange(16.0)[:, None]
    found = bench.summaries(Ragged.of([rises, rises[:3]]))
    assert found.shape == (2, bench.PARTS)
    np.testing.assert_allclose(found[0], np.arange(bench.PARTS) * 2 + 0.5)
    assert np.isfinite(found).all()  # shorter than there are parts


def test_the_page_comes_from_every_contestant(bench, tmp_path):
    rows = pd.DataFrame(
        row
        for data in bench.DATA
        for contestant in bench.contestants(data)
        for seed in range(2)
        for row in bench.evaluate(data, contestant, seed)
    )
    assert len(rows) == 2 * (10 + 9 + 8)
    assert rows[rows.data != "houses"].accuracy.between(0, 1).all()
    assert rows[rows.data == "houses"].r2.notna().all() and (rows.seconds > 0).all()
    bench.write(rows, tmp_path)
    page = (tmp_path / "raw.rst").read_text()
    assert "mosi, trained minus frozen: accuracy" in page and "What was hoped for" in page
    bench.write(rows[rows.contestant == "linear"], tmp_path)  # what an interrupted run has
    assert "2 on mosi" in (tmp_path / "raw.rst").read_text()
