"""The measurement of the engine: turns, processes, and a page that follows its rows."""

import importlib
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

FOLDER = Path(__file__).parents[1] / "benchmarks"
FAKE = """
class OMIBClassifier:
    def __init__(self, random_state, max_epochs):
        self.n = 2**17 * max_epochs

    def fit(self, X, y):
        import numpy
        numpy.ones(self.n)
"""


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    names = ("child", "page", "parts", "turns", "twin")
    modules = {name: importlib.import_module(f"speed.{name}") for name in names}
    return SimpleNamespace(**modules, engine=importlib.import_module("engine"))


@pytest.fixture
def in_this_process(speed, monkeypatch):
    """Jobs without processes, which take seconds to start."""

    class Here(speed.turns.Process):
        def __init__(self, checkout=None):
            pass

        def __call__(self, job, **options):
            return getattr(speed.child, job)(**options)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(speed.parts, "Process", Here)
    monkeypatch.setattr(speed.turns, "Process", Here)


def test_each_part_runs_alone_and_keeps_the_rows_of_the_others(speed, in_this_process, tmp_path):
    folder = ["--quick", "--out", str(tmp_path)]
    measured = [part for part in speed.parts.PARTS if part != "gpu"]
    for part in reversed(measured):
        speed.engine.main([part, *folder, *(["--against", str(FOLDER.parent)] * (part == "fit"))])
    rows = pd.read_csv(tmp_path / "engine.csv")
    assert list(rows.part.unique()) == measured
    assert (rows.low <= rows.value).all() and (rows.value <= rows.high).all()
    for column in ("value", "setting", "what", "unit", "torch"):
        assert rows[column].notna().all(), column
    assert set(rows.part[rows.target.notna()]) == {"fit", "start", "predict", "search", "rows"}
    page = (tmp_path / "engine.rst").read_text()
    for part in measured:
        assert f"\n{speed.page.TITLES[part][0]}\n" in page
    assert (tmp_path / "engine.png").stat().st_size > 5_000
    assert rows.what.str.contains("that of [0-9a-z-]+$").sum() >= 2  # an earlier version


@pytest.mark.slow
def test_all_parts_run_in_processes_of_their_own(speed, tmp_path):
    speed.engine.main(["--quick", "--out", str(tmp_path), "--against", str(FOLDER.parent)])
    rows = pd.read_csv(tmp_path / "engine.csv")
    assert set(rows.part) >= set(speed.parts.PARTS) - {"gpu"}


def test_without_a_gpu_its_part_says_so_and_keeps_what_there_is(
    speed, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(speed.parts.torch.cuda, "is_available", lambda: False)
    row = ["gpu", "batch 128", "rows per second", 1e6, 9e5, 2e6, "1/s", np.nan, 5, "GPU", 2, "2"]
    pd.DataFrame([row], columns=speed.engine.COLUMNS).to_csv(tmp_path / "engine.csv", index=False)
    speed.engine.main(["gpu", "--out", str(tmp_path)])
    assert "no GPU" in capsys.readouterr().out
    assert "1,000,000 1/s" in (tmp_path / "engine.rst").read_text()


def test_the_part_of_the_gpu_runs_wherever_torch_does(speed, monkeypatch):
    launches = speed.parts._launches
    counted = []

    def count_once(*args):  # a profile takes a second
        counted.append(0.0 if counted else launches(*args))
        return counted[-1]

    monkeypatch.setattr(speed.parts, "_launches", count_once)
    run = speed.parts.Run(1, speed.parts.QUICK, None)
    whats = [figure.what for figure in speed.parts.gpu(run, device="cpu")]
    assert counted == 4 * [0.0]
    for what in ("rows per second", "kernel launches per step", "a step of five networks"):
        assert any(one.startswith(what) for one in whats)


def test_a_search_is_measured_in_each_way_it_offers(speed, monkeypatch):
    class Search(BaseEstimator):
        def __init__(self, betas=10, method="path"):
            self.betas, self.method = betas, method

    monkeypatch.setattr(speed.parts, "OMIBClassifierCV", Search)
    searches = speed.parts._searches(betas=[1.0])
    assert list(searches) == [f'OMIBClassifierCV, method="{m}"' for m in ("path", "independent")]
    assert [search.method for search in searches.values()] == ["path", "independent"]


# -- turns and processes --------------------------------------------------------------------------
def test_contestants_take_turns(speed):
    calls = []

    def contestant(name):
        return lambda turn: calls.append((name, turn)) or {"seconds": turn, "mebibytes": 1}

    took = speed.turns.take_turns({name: contestant(name) for name in "AB"}, 2)
    assert calls == [("A", 0), ("B", 0), ("A", 1), ("B", 1)]
    np.testing.assert_array_equal(took["B"]["seconds"], [0, 1])


def test_a_process_has_the_checkout_that_is_asked_for(speed, tmp_path):
    (tmp_path / "sklearn_omib").mkdir()
    (tmp_path / "sklearn_omib" / "__init__.py").write_text(FAKE)
    job = {"model": "OMIB", "shape": (20, 2, 3), "seed": 0}
    with speed.turns.Process(tmp_path) as process:
        cost = process("fit", **job, options={"max_epochs": 48})
        assert cost["seconds"] > 0
        if os.access("/proc/self/clear_refs", os.W_OK):
            assert cost["mebibytes"] == pytest.approx(48, abs=8)
    with pytest.raises(RuntimeError, match="has ended"):
        speed.turns.fresh("fit", tmp_path, **job, options={"no_such_option": 1})


def test_a_version_is_a_commit_or_a_folder(speed, tmp_path):
    (tmp_path / "earlier").mkdir()
    assert speed.turns.version_of(tmp_path / "earlier") == "earlier"


# -- by hand --------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_modalities", [1, 3])
def test_the_loop_by_hand_has_the_losses_of_the_package(speed, n_modalities):
    """Dropout, hidden codes, noise, weights of the modalities, both phases, batch by batch."""
    X, y = speed.child.make_data((150, n_modalities, 4))
    twin = speed.twin.Twin(2, X, y, batch_size=32, warmup_epochs=2, max_epochs=3)
    assert twin.clf.dropout and twin.clf.input_dropout and twin.clf.modality_dropout_
    assert twin.n_steps == 4 * (2 + 3) and twin.ours() > 0
    for k, by_hand in enumerate(twin.histories):
        ours = twin.clf.net_.history_frame(k)
        assert ours.phase.tolist() == [phase for phase, *_ in by_hand]
        losses = ours[["train_loss", "valid_loss"]].to_numpy()
        np.testing.assert_allclose(losses, [losses for _, *losses in by_hand], rtol=1e-5)


# -- page -----------------------------------------------------------------------------------------
def test_the_page_tells_which_targets_are_reached(speed, tmp_path):
    machine = {"rounds": 5, "device": "cpu", "n_cores": 2, "torch": "2"}
    rows = pd.DataFrame(
        {"part": part, "setting": setting, "what": "ours / theirs", "value": value,
         "low": value - 0.1, "high": value + 0.1, "unit": "ratio", "target": target, **machine}
        for part, setting, value, target in (
            ("fit", "small: 300 rows", 0.5, 0.6), ("fit", "wide: 250 rows", 0.7, 0.6),
            ("step", "batch 64", 1.1, np.nan),
        )
    )  # fmt: skip
    speed.page.write(rows, tmp_path)
    page = (tmp_path / "engine.rst").read_text()
    assert "1 of 2 targets are reached." in page
    assert "Missed: ours / theirs (wide), 0.7 where 0.6 was wanted." in page
    assert "   * - ours / theirs\n     - small: 300 rows\n     - at most 0.6\n     - 0.5\n" in page
    assert "     - 0.4 to 0.6\n     - yes\n" in page and "     - 0.6 to 0.8\n     - no\n" in page
    speed.page.write(rows[rows.part == "step"], tmp_path)
    assert "Targets" not in (tmp_path / "engine.rst").read_text()


def test_rows_of_another_version_are_left_behind(speed, tmp_path):
    (tmp_path / "engine.csv").write_text("section,value\nfit,1\n")
    assert speed.engine.known(tmp_path / "engine.csv").empty
    speed.engine.main(["--report", "--out", str(tmp_path)])
    assert not (tmp_path / "engine.rst").exists()  # nor is a page made of none


def test_wrong_commands_say_what_there_is(speed, tmp_path, capsys):
    for wrong in (["fitt"], ["--against", str(tmp_path)]):
        with pytest.raises(SystemExit):
            speed.engine.main(wrong)
    told = capsys.readouterr().err
    assert "there are fit, start" in told and "has no folder sklearn_omib" in told
