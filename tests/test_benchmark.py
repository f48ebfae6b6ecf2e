"""The comparison with other methods: fair splits and tuning, and a page that follows its rows."""

import importlib
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import ParameterSampler
from sklearn.neighbors import LocalOutlierFactor

from sklearn_omib import ModalityDict
from sklearn_omib.inspection._ablation import corrected_half_width

FOLDER = Path(__file__).parents[1] / "benchmarks"
OTHERS = ("compare", "paper.common", "resumable")
FAMILY = {"OMIB": "OMIB", "forest": "scikit-learn", "DeepIB": "the paper's methods"}


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    names = ("cost", "data", "methods", "runs", "ranking", "report")
    modules = {name: importlib.import_module(f"comparison.{name}") for name in names}
    others = {name.split(".")[-1]: importlib.import_module(name) for name in OTHERS}
    return SimpleNamespace(**modules, **others)


@pytest.fixture
def folder(tmp_path, rng):
    """A user's folder: classes with groups, and a target."""
    a, b = rng.normal(size=(2, 60, 3))
    score = a[:, 0] + b[:, 0]
    groups = np.repeat(np.arange(15), 4)
    np.savez(tmp_path / "words.npz", X_a=a, X_b=b, y=np.where(score > 0, "yes", "no"),
             groups=groups)  # fmt: skip
    np.savez(tmp_path / "number.npz", X_a=a, X_b=b, y=score)
    return tmp_path


@pytest.fixture
def quick_omib(bench, monkeypatch):
    """OMIB with few epochs, so that whole runs take seconds."""

    def shortened(make, seed, X):
        return make(seed, X).set_params(warmup_epochs=1, max_epochs=2)

    for name in ("OMIB", "OMIB-CV"):
        method = bench.methods.METHODS[name]
        make = {task: partial(shortened, make) for task, make in method.make.items()}
        monkeypatch.setitem(bench.methods.METHODS, name, method._replace(make=make))


def made_rows(gains, overlap=0.0):
    """Rows in which OMIB is ahead of the others by ``gains``: data -> one gain per seed."""
    return pd.DataFrame(
        {"data": data, "method": method, "seed": seed, "budget": 1 if setting is None else 2,
         "task": "classification", "family": FAMILY[method], "n_train": 900, "n_test": 300,
         "n_modalities": 2, "n_columns": 4, "overlap": overlap, "limit": np.nan,
         "setting": setting or "defaults", "inner_score": 0.5,
         "score": 0.5 + (method == "OMIB") * gain,
         "loss": np.nan, "seconds": 1.0, "device": "cpu", "n_cores": 2, "torch": "2"}
        for data, some in gains.items() for seed, gain in enumerate(some)
        for method, setting in (("OMIB", None), ("forest", "defaults"), ("forest", "tuned"))
    )  # fmt: skip


# -- data -----------------------------------------------------------------------------------------
def test_no_group_is_on_both_sides_and_no_anomaly_in_training(bench):
    for name, data_set in bench.data.DATA.items():
        try:
            train, test, _ = data_set.split(1, small=True)
        except FileNotFoundError:
            continue
        assert len(train.y) and len(test.y) and data_set.description, name
        if data_set.task == bench.data.ANOMALY:
            assert not train.y.any() and 0 < test.y.sum() < len(test.y), name
        if train.groups is not None:
            assert not set(train.groups) & set(test.groups), name


def test_a_seed_is_a_split_or_other_rows(bench):
    for name in ("wine", "nonlinear", "diabetes"):
        one, again, other = (bench.data.DATA[name].split(seed, True) for seed in (0, 0, 1))
        np.testing.assert_array_equal(np.asarray(one.train.X), np.asarray(again.train.X))
        assert not np.array_equal(np.asarray(one.train.X), np.asarray(other.train.X))


def test_tasks_of_the_users_data_are_read_off_y(bench, folder):
    sets = bench.data.from_folder(folder)
    assert {name: one.task for name, one in sets.items()} == {
        "number": "regression", "words": "classification"
    }  # fmt: skip
    train, test, _ = sets["words"].split(0)
    assert train.X.sample_shapes == {"a": (3,), "b": (3,)}
    assert not set(train.groups) & set(test.groups)


def test_wrong_files_say_what_is_missing(bench, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no \*.npz in"):
        bench.data.from_folder(tmp_path)
    np.savez(tmp_path / "one.npz", a=np.zeros((3, 2)), y=np.zeros(3))
    with pytest.raises(ValueError, match="needs arrays X_<modality> and y, it has"):
        bench.data.from_folder(tmp_path)


# -- methods --------------------------------------------------------------------------------------
def test_every_space_names_parameters_of_its_method(bench):
    X = ModalityDict({"a": np.zeros((2, 3)), "b": np.zeros((2, 2))})
    for name in bench.methods.available():
        method = bench.methods.METHODS[name]
        for task, make in method.make.items():
            model = make(0, X)
            for drawn in ParameterSampler(method.spaces.get(task, {}), 1, random_state=0):
                assert model.set_params(**drawn) is model


def test_summed_kernel_is_the_mean_over_modalities(bench, rng):
    A, B = rng.normal(size=(5, 6)), rng.normal(size=(4, 6))
    X = ModalityDict({"a": A[:, :2], "b": A[:, 2:]})
    columns = list(bench.methods.columns_of(X).values())
    expected = (rbf_kernel(A[:, :2], B[:, :2]) + rbf_kernel(A[:, 2:], B[:, 2:])) / 2
    np.testing.assert_allclose(bench.methods.SummedRBF(columns)(A, B), expected)


# -- tuning ---------------------------------------------------------------------------------------
def split_data(bench, rng, shuffle_test=False):
    X = {"a": rng.normal(size=(90, 3)), "b": rng.normal(size=(90, 8))}
    y = (X["a"][:, 0] + rng.normal(size=90) > 0).astype(int)
    y[60:] = rng.permutation(y[60:]) if shuffle_test else y[60:]
    sample = bench.data.Sample(ModalityDict(X), y, rows=(np.arange(60), np.arange(60, 90)))
    return {"tiny": bench.data.DataSet("classification", lambda seed, small: sample)}


def test_tuning_reads_nothing_of_the_test_part(bench):
    honest, shuffled = (
        bench.runs.evaluate("tiny", "linear model", 0, 6,
                            sets=split_data(bench, np.random.default_rng(0), shuffle_test))
        for shuffle_test in (False, True)
    )  # fmt: skip
    assert [row["setting"] for row in honest] == ["defaults", "tuned"]
    assert honest[1]["configuration"] == shuffled[1]["configuration"] != "{}"
    assert honest[1]["score"] != shuffled[1]["score"]


def test_a_budget_is_the_number_of_configurations(bench, rng, monkeypatch):
    fits = []
    monkeypatch.setattr(bench.runs, "_rate", lambda model, *_: fits.append(model.C))
    train = split_data(bench, rng)["tiny"].split(0).train
    space = {"C": stats.loguniform(1e-3, 1e3)}
    configurations, ratings = bench.runs.search(
        LogisticRegression(), space, 7, train, "classification", [], 0
    )
    assert len(configurations) == len(ratings) == len(fits) == 7
    assert configurations[0] == {} and fits[0] == LogisticRegression().C


def test_a_detector_sees_no_labels(bench):
    seen = []

    class Spy(LocalOutlierFactor):
        def fit(self, X, y=None):
            seen.append(y)
            return self

    part = bench.data.Part(ModalityDict({"a": np.zeros((3, 1))}), np.zeros(3, bool), None)
    bench.runs.fit(Spy(novelty=True), part, bench.data.ANOMALY)
    assert seen == [None]


def test_a_job_that_fails_leaves_no_row(bench, rng, monkeypatch, capsys):
    broken = bench.methods.Method("OMIB", {"classification": lambda seed, X: 1 / 0}, {})
    monkeypatch.setitem(bench.methods.METHODS, "broken", broken)
    assert bench.runs.evaluate("tiny", "broken", 0, 1, sets=split_data(bench, rng)) == []
    assert "Failed: broken on tiny, seed 0" in capsys.readouterr().err


# -- statistics -----------------------------------------------------------------------------------
@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_difference_is_that_of_the_printed_table(bench, k, q):
    """Demšar, "Statistical comparisons of classifiers", JMLR 2006, table 5."""
    expected = q * np.sqrt(k * (k + 1) / (6 * 12))
    assert bench.ranking.critical_difference(k, 12) == pytest.approx(expected, rel=1e-3)


def test_interval_is_students_without_overlap_and_wider_with_it(rng):
    values = rng.normal(size=6)
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    half = corrected_half_width(values, 0.0)
    assert half == pytest.approx((interval.high - interval.low) / 2)
    assert corrected_half_width(values, 3 / 7) == pytest.approx(half * np.sqrt(1 + 6 * 3 / 7))


def test_one_error_on_every_split_is_not_evidence(bench, rng):
    """As many rows judged by one method alone: simulated, and against equal differences."""
    share, n_rows = 0.1, 54
    simulated = rng.binomial(n_rows, share, size=20_000) / n_rows
    half = bench.common.half_width(np.full(5, share), n_rows=n_rows)
    assert half == pytest.approx(stats.t.ppf(0.975, 4) * simulated.std() / np.sqrt(5), rel=0.05)
    errors = np.full(5, -1 / n_rows)
    assert bench.common.direction(errors) == "lower"
    assert bench.common.direction(errors, n_rows=n_rows) == "not told apart"
    assert bench.common.direction(10 * errors, n_rows=n_rows) == "lower"
    values = rng.normal(size=5)  # that vary more than they must
    assert bench.common.half_width(values, n_rows=10**9) == bench.common.half_width(values)


def test_accuracies_alone_have_a_least_variance(bench):
    rows = made_rows({"a": [0.1, 0.1], "b": [-0.1, -0.2]})
    rows.loc[rows.data == "b", "task"] = "regression"
    found = bench.ranking.intervals(rows.assign(n_test=70, overlap=0.5))
    assert found == {"a": {"overlap": 0.5, "n_rows": 70}, "b": {"overlap": 0.5, "n_rows": None}}
    fixed = bench.ranking.intervals(made_rows({"mosi": [0.1, 0.1]}))
    assert fixed["mosi"]["n_rows"] is None


def test_ranks_are_over_data_that_all_entrants_share(bench):
    rows = made_rows({"a": [0.1, 0.1], "b": [-0.1, -0.2], "c": [0.3, 0.3]})
    rows = rows[~((rows.data == "c") & (rows.setting == "tuned"))]
    contest = bench.ranking.Contest("", "scikit-learn", "tuned")
    ranks = bench.ranking.ranks(bench.ranking.prepared(rows), contest)
    assert ranks.to_dict() == {"OMIB": {"a": 1, "b": 2}, "forest, tuned": {"a": 2, "b": 1}}


def test_another_form_of_omib_can_stand_in_its_place(bench):
    rows = made_rows({"a": [0.1, 0.1], "b": [-0.1, -0.2]})
    one = rows[rows.method == "OMIB"].assign(method="OMIB, one network", score=0.0)
    rows = pd.concat([rows, one], ignore_index=True)
    contest = bench.ranking.Contest("", "scikit-learn", "tuned", "OMIB, one network")
    ranks = bench.ranking.ranks(bench.ranking.prepared(rows), contest)
    assert ranks["OMIB, one network"].tolist() == [2, 2] and "OMIB" not in ranks


def test_contests_are_of_those_they_name(bench):
    rows = made_rows({"a": [0.1, 0.1], "b": [-0.1, -0.2]}).replace({"method": {"forest": "DeepIB"}})
    rows["family"] = rows.method.map(FAMILY)
    ours = rows[rows.method == "OMIB"]
    more = [ours.assign(setting="tuned"), ours.assign(setting="tuned", method="OMIB-CV"),
            ours.assign(method="OMIB, one network")]  # fmt: skip
    rows = bench.ranking.prepared(pd.concat([rows, *more], ignore_index=True).assign(budget=2))
    for contest in bench.ranking.CONTESTS[:-1]:
        other = "DeepIB, tuned" if contest.setting == "tuned" else "DeepIB"
        assert set(bench.ranking.ranks(rows, contest)) == {contest.ours, other}, contest.title


def test_costs_are_on_the_page_where_they_are_known(bench, tmp_path):
    rows = made_rows({"a": [0.1, 0.1], "b": [-0.1, -0.2]}).assign(mebibytes=np.nan)
    bench.report.write(rows, tmp_path)
    page = (tmp_path / "benchmark.rst").read_text()
    assert "Seconds\n-------" in page and "Mebibytes of memory\n" not in page
    bench.report.write(rows.assign(mebibytes=70.5), tmp_path)
    page = (tmp_path / "benchmark.rst").read_text()
    table = page[page.index("Mebibytes of memory\n") :]
    assert "* - OMIB\n     - 70.5 / -" in table and "* - forest\n     - 70.5 / 70.5" in table


def test_a_run_on_a_larger_budget_stands_for_what_it_repeats(bench):
    rows = made_rows({"a": [0.1, 0.1]})
    forest = rows[(rows.method == "forest") & (rows.setting == "defaults")]
    both = pd.concat([forest.assign(budget=1, score=0.0), rows], ignore_index=True)
    kept = bench.ranking.scores(bench.ranking.prepared(both))
    assert len(bench.ranking.prepared(both)) == len(rows) and (kept["forest"] == 0.5).all()


def test_sentences_tell_where_omib_loses(bench, tmp_path):
    gains = {"won": [0.1, 0.11, 0.12], "lost": [-0.1, -0.11, -0.12], "even": [-0.1, 0.0, 0.1]}
    bench.report.write(made_rows(gains), tmp_path)
    page = (tmp_path / "benchmark.rst").read_text()
    assert "the best of scikit-learn: higher on won; lower on lost; not told apart on even." in page
    assert "* lost: OMIB 0.390, forest 0.500; -0.110" in page
    assert "the best of the paper's methods" not in page
    assert "Methods without rows: OMIB, one network, OMIB-CV, Concat" in page


def test_the_choice_is_made_by_inner_scores(bench):
    rows = bench.ranking.prepared(made_rows({"a": [0.1, 0.2]}))
    other = rows[rows.setting == "tuned"].assign(method="MLP", score=0.9)
    other["inner_score"] = [0.6, 0.4]
    both = pd.concat([rows, other], ignore_index=True)
    assert bench.ranking.picked(both, "scikit-learn").tolist() == [0.9, 0.5]


# -- runs -----------------------------------------------------------------------------------------
def test_a_run_goes_on_where_it_was_and_writes_its_page(bench, quick_omib, folder, tmp_path):
    out = tmp_path / "out"
    run = partial(bench.compare.main, [
        "--data", str(folder), "--out", str(out), "--seeds", "2", "--budget", "2",
        "--methods", "OMIB", "OMIB-CV", "linear model",
    ])  # fmt: skip
    run()
    whole = pd.read_csv(out / "compare.csv")
    assert len(whole) == 2 * 2 * (2 + 1 + 2)
    without_the_last_two_jobs = whole[:-3]
    without_the_last_two_jobs.to_csv(out / "compare.csv", index=False)
    run()
    again = pd.read_csv(out / "compare.csv")
    costs = list(bench.report.COSTS)
    pd.testing.assert_frame_equal(again.drop(columns=costs), whole.drop(columns=costs))
    page = (out / "benchmark.rst").read_text()
    assert "OMIB-CV" in page and "Negative log-likelihood" in page
    for picture in ("ranks", "differences"):
        assert (out / f"benchmark_{picture}.png").stat().st_size > 5_000


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="peaks are from there")
def test_memory_is_the_peak_of_the_work_alone(bench):
    for n_mebibytes in (48, 16):  # the second is not hidden by the first
        with bench.cost.measured() as cost:
            np.ones(n_mebibytes * 2**17)
        assert cost["mebibytes"] == pytest.approx(n_mebibytes, abs=8)
        assert cost["seconds"] > 0


def test_rows_with_other_columns_are_not_added(bench, tmp_path):
    (tmp_path / "compare.csv").write_text("data,seconds\nwine,1\n")
    rows = bench.resumable.Rows("compare", tmp_path)
    with pytest.raises(ValueError, match=r"lacks columns \[.*'memory'"):
        rows.run(lambda data: [{"data": data, "memory": 1, "seconds": 1}], [{"data": "cancer"}])
    assert rows.rows().to_dict("list") == {"data": ["wine"], "seconds": [1]}


def test_the_order_of_columns_does_not_matter(bench, tmp_path):
    rows = bench.resumable.Rows("compare", tmp_path)
    machine = "device,n_cores,torch"
    (tmp_path / "compare.csv").write_text(f"{machine},seconds,data\ncpu,2,2,1,wine\n")
    rows.run(lambda data: [{"data": data, "seconds": 3}], [{"data": "cancer"}])
    assert rows.rows().set_index("data").seconds.to_dict() == {"wine": 1, "cancer": 3}


def test_seeds_come_first_so_that_a_part_of_a_run_is_a_table(bench):
    listed = bench.runs.jobs(["wine", "cancer cells"], bench.methods.available(), range(2), 8)
    assert [job["seed"] for job in listed] == sorted(job["seed"] for job in listed)
    budgets = {(job["data"], job["method"]): job["budget"] for job in listed}
    assert budgets["wine", "OMIB"] == budgets["wine", "MLP"] == 8
    assert budgets["cancer cells", "OMIB"] == 1 and ("wine", "OneClassSVM") not in budgets
