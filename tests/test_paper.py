"""The paper's experiments run from beginning to end, at a size that says nothing."""

import importlib
from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks" / "paper"


@pytest.mark.slow
def test_figure3_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    figure3, common = (importlib.import_module(name) for name in ("figure3", "common"))
    study = common.Study("figure3", tmp_path)
    figure3.run(study, ["I"], 1, [1e-4], 300, 1)
    first = study.rows()
    figure3.run(study, ["I"], 1, [1e-4, 1.0], 300, 1)
    assert study.rows().beta.tolist() == [1e-4, 1.0]
    pd.testing.assert_frame_equal(study.rows()[:1], first)
    figure3.report(study)
    assert "SIM-I: accuracy peaks at" in (tmp_path / "paper.rst").read_text()
    assert (tmp_path / "paper_figure3.png").stat().st_size > 5_000
