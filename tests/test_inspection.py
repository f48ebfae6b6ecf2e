"""Inspection: small truths that ablation, importance, probe, plane and diagnosis must see."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sklearn_omib import (
    ModalityDict,
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
    OMIBRegressorCV,
)
from sklearn_omib.inspection import (
    bottleneck_probe,
    check_assumptions,
    diagnose,
    information_plane,
    modality_ablation,
    modality_importance,
)
from sklearn_omib.plotting import (
    BottleneckProbeDisplay,
    InformationPlaneDisplay,
    ModalityAblationDisplay,
)
from sklearn_omib.preprocessing import (
    ModalityConcatenator,
    ModalitySplitter,
    ModalityTransformer,
)

N = 400
QUICK = {"max_epochs": 12, "warmup_epochs": 3, "learning_rate": 3e-3, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    """The target is in "a" and "b"; "noise" knows nothing."""
    rng = np.random.default_rng(0)
    a, b, noise = rng.normal(size=(3, N, 4))
    score = a[:, 0] + b[:, 0] + 0.3 * rng.normal(size=N)
    return ModalityDict({"a": a, "b": b, "noise": noise}), (score > 0).astype(int), score


@pytest.fixture(scope="module")
def clf(data):
    X, y, _ = data
    return OMIBClassifier(random_state=0).fit(X[:300], y[:300])


def linear():
    return make_pipeline(ModalityConcatenator(), LogisticRegression())


# -- ablation -------------------------------------------------------------------------------------
def test_refitted_ablation_finds_the_noise_useless_and_the_others_not(data):
    X, y, _ = data
    table = modality_ablation(linear(), X, y)
    assert list(table.index) == [
        "a", "b", "noise", "a + b", "a + noise", "b + noise", "a + b + noise"
    ]  # fmt: skip
    assert (table.loc["a + b + noise", ["difference", "lower", "upper"]] == 0).all()
    assert table.loc["a + b", "lower"] <= 0 <= table.loc["a + b", "upper"]
    assert (table.loc[["a", "b", "noise", "a + noise"], "upper"] < 0).all()
    assert abs(table.loc["noise", "mean"] - 0.5) < 0.1
    folds = table.filter(like="split")
    assert np.allclose(folds.mean(axis=1), table["mean"])
    assert np.allclose(folds.std(axis=1) / np.sqrt(5), table["standard_error"])


def test_refitting_a_subset_is_cross_validation_on_it(data):
    X, y, _ = data
    settings = {"max_epochs": 3, "warmup_epochs": 1, "random_state": 0}
    clf = OMIBClassifier(encoders={"a": "mlp", "noise": "mlp"}, **settings)
    table = modality_ablation(clf, X.select(["a", "noise"]), y, cv=2)
    alone = cross_val_score(OMIBClassifier(**settings), X.select(["a"]), y, cv=2)
    assert table.filter(like="split").loc["a"].tolist() == alone.tolist()


def test_masking_nothing_leaves_the_score_and_masking_all_but_noise_leaves_chance(data, clf):
    X, y, _ = data
    X, y = X[300:], y[300:]
    folds = [(np.arange(0), np.arange(i, i + 20)) for i in range(0, 100, 20)]
    table = modality_ablation(clf, X, y, method="mask", cv=folds, random_state=0)
    assert table.loc["a + b + noise", "mean"] == pytest.approx(clf.score(X, y))
    assert table.loc["a + b", "lower"] <= 0 <= table.loc["a + b", "upper"] + 1e-9
    assert abs(table.loc["noise", "mean"] - 0.5) < 3 * 0.5 / np.sqrt(100)
    again = modality_ablation(clf, X, y, method="mask", cv=folds, random_state=0)
    pd.testing.assert_frame_equal(table, again)


def test_more_than_four_modalities_are_left_out_one_by_one(data):
    X, y, _ = data
    columns = ModalityDict({f"m{i}": np.asarray(X)[:, [i]] for i in range(6)})
    table = modality_ablation(linear(), columns, y, cv=2)
    assert list(table["n_modalities"]) == [1] * 6 + [5] * 6 + [6]
    assert table.index[6:].tolist() == [*(f"all but m{5 - i}" for i in range(6)), "all"]
    assert table["difference"].idxmin() in {"m1", "m2", "m3", "m5"}
    one = modality_ablation(linear(), X.select(["a"]), y, cv=2)
    assert one["difference"].tolist() == [0]


def test_pipelines_searches_and_tables_are_ablated_alike(data):
    X, y, score = data
    flat, cut = np.asarray(X), X.layout
    blocks = modality_ablation(linear(), X, y)
    split = make_pipeline(ModalitySplitter(cut), *linear())
    pd.testing.assert_frame_equal(modality_ablation(split, flat, y), blocks)
    search = GridSearchCV(linear(), {"logisticregression__C": [1.0]}, cv=2).fit(X, y)
    pd.testing.assert_frame_equal(modality_ablation(search, X, y), blocks)
    named = make_pipeline(
        ModalityTransformer({"a": StandardScaler(), "b": StandardScaler()}),
        OMIBRegressor(max_epochs=1, warmup_epochs=0, random_state=0),
    )
    table = modality_ablation(named, X, score, cv=2)
    assert len(table) == 7
    by_table = OMIBRegressor(max_epochs=1, warmup_epochs=0, random_state=0, modalities=cut)
    columns = modality_ablation(by_table, flat, score, cv=2)
    assert np.isfinite(columns["mean"]).all()


def test_frames_are_permuted_in_spite_of_their_index(data):
    X, y, _ = data
    frames = ModalityDict({name: pd.DataFrame(block) for name, block in X.items()})
    model = linear().fit(X, y)
    options = {"n_repeats": 2, "random_state": 0}
    expected = modality_importance(model, X, y, **options)
    received = modality_importance(linear().fit(frames, y), frames, y, **options)
    assert np.allclose(received.importances, expected.importances)


def test_ablation_says_what_is_wrong(data):
    X, y, _ = data
    with pytest.raises(ValueError, match=r"method must be one of .* got 'drop'"):
        modality_ablation(linear(), X, y, method="drop")
    with pytest.raises(NotFittedError):
        modality_ablation(OMIBClassifier(), X, y, method="mask")
    with pytest.raises(ValueError, match="at least two folds, got 1"):
        modality_ablation(linear(), X, y, cv=[(np.arange(9), np.arange(9))])
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, got 95"):
        modality_ablation(linear(), X, y, confidence=95)
    with pytest.raises(ValueError, match="n_repeats must be a positive int, got 0"):
        modality_importance(linear().fit(X, y), X, y, n_repeats=0)


# -- importance -----------------------------------------------------------------------------------
def test_noise_has_no_importance(data, clf):
    X, y, _ = data
    result = modality_importance(clf, X[300:], y[300:], n_repeats=10, random_state=0)
    by_name = dict(zip(result.names, result.importances_mean, strict=True))
    assert result.importances.shape == (3, 10)
    assert result.baseline == clf.score(X[300:], y[300:])
    assert abs(by_name["noise"]) < 0.03 < 0.1 < min(by_name["a"], by_name["b"])


def test_importance_of_single_columns_is_that_of_scikit_learn(data):
    X, _, score = data
    flat = np.asarray(X)[:, [0, 4, 8]]
    columns = ModalityDict({"a": flat[:, [0]], "b": flat[:, [1]], "noise": flat[:, [2]]})
    ours = modality_importance(
        make_pipeline(ModalityConcatenator(), LinearRegression()).fit(columns, score),
        columns, score, n_repeats=30, random_state=0,
    )  # fmt: skip
    theirs = permutation_importance(
        LinearRegression().fit(flat, score), flat, score, n_repeats=30, random_state=1
    )
    error = np.hypot(ours.importances_std, theirs.importances_std) / np.sqrt(30)
    assert (abs(ours.importances_mean - theirs.importances_mean) < 4 * error).all()


def test_searches_over_beta_and_single_modalities_have_importances(data):
    X, y, _ = data
    search = OMIBClassifierCV(betas=2, cv=2, **QUICK).fit(X, y)
    assert modality_importance(search, X, y, random_state=0).importances_mean[2] < 0.1
    flat = np.asarray(X["a"])
    one = OMIBRegressor(**QUICK).fit(flat, flat[:, 0])
    assert modality_importance(one, flat, flat[:, 0], random_state=0).importances_mean[0] > 0.5


# -- probe ----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def reg(data):
    X, _, score = data
    return OMIBRegressor(random_state=0).fit(X, score)


def test_the_representation_holds_the_target_and_drops_noise(data, reg):
    X, y, score = data
    shuffled = np.random.default_rng(1).permutation(score)
    variables = {
        "target": score,
        "label": np.where(y, "high", "low"),
        "shuffled": shuffled,
        "noise": np.asarray(X["noise"]),
    }
    table = bottleneck_probe(reg, X, variables, random_state=0)
    assert table["metric"].tolist() == ["R2", "balanced accuracy", "R2", "R2"]
    assert table["chance"].tolist() == [0, 0.5, 0, 0]
    sources = ["noisy_xi", "xi", "inputs"]
    for name in ("target", "label"):
        assert (table.loc[name, sources] > 0.85).all()
    assert abs(table.loc["shuffled", sources].astype(float)).max() < 0.1
    # ridge finds a column among its own inputs; the noise of the codes covers it
    assert table.loc["noise", "inputs"] > 0.99
    assert abs(table.loc["noise", "noisy_xi"]) < 0.1 < table.loc["noise", "xi"]


def test_a_wide_variable_scores_the_mean_of_its_columns(data, reg):
    X, _, score = data
    columns = np.column_stack([score, np.random.default_rng(1).normal(size=N)])
    both = bottleneck_probe(reg, X, {"both": columns}, from_="xi", random_state=0)
    assert set(both) == {"metric", "xi", "xi_sd", "chance"}
    variables = {"first": columns[:, 0], "second": columns[:, 1]}
    each = bottleneck_probe(reg, X, variables, from_="xi", random_state=0)
    assert both.loc["both", "xi"] == pytest.approx(each["xi"].mean(), abs=0.03)


def test_searches_and_pipelines_are_probed_behind_their_steps(data):
    X, y, score = data
    search = OMIBRegressorCV(betas=2, cv=2, n_members=2, **QUICK).fit(X, score)
    assert bottleneck_probe(search, X, {"y": score}, random_state=0).loc["y", "xi"] > 0.8
    pipe = make_pipeline(ModalityTransformer({"noise": "drop"}), OMIBClassifier(**QUICK)).fit(X, y)
    inputs = bottleneck_probe(pipe, X, {"noise": X["noise"]}, random_state=0)["inputs"]
    assert abs(inputs.iloc[0]) < 0.1  # it never reached the estimator


def test_the_probe_says_what_is_wrong(data, reg):
    X, y, score = data
    for values, message in [
        (np.ones(N), "'v' is constant"),
        (np.where(y, np.nan, 1.0), "'v' has missing values"),
        (np.array(["a"] * (N - 2) + ["b"] * 2), "'v' has a label with 2 samples"),
        (score[:-1], "inconsistent numbers of samples"),
    ]:
        with pytest.raises(ValueError, match=message):
            bottleneck_probe(reg, X, {"v": values})
    with pytest.raises(ValueError, match=r"from_ must be some of .* got 'z'"):
        bottleneck_probe(reg, X, {"v": score}, from_="z")
    with pytest.raises(TypeError, match="must be an OMIB estimator"):
        bottleneck_probe(linear().fit(X, y), X, {"v": score})
    with pytest.raises(NotFittedError):
        bottleneck_probe(OMIBClassifier(), X, {"v": score})


# -- information plane ----------------------------------------------------------------------------
def test_looking_on_does_not_change_the_training(data):
    X, y, _ = data
    clf = OMIBClassifier(max_epochs=6, warmup_epochs=2, random_state=0)
    table = information_plane(clf, X, y, epochs=[0, 1, 3, 6], test_size=0.25, random_state=0)
    few = information_plane(clf, X, y, epochs=[3], test_size=0.25, random_state=0)
    pd.testing.assert_frame_equal(table.loc[few.index], few)
    assert list(table.index) == [0, 1, 3, 6] and table["kept"].sum() == 1
    assert not hasattr(clf, "net_")


def test_information_on_the_target_grows_and_on_noise_does_not(data):
    X, y, _ = data
    table = information_plane(OMIBClassifier(latent_dim=4, random_state=0), X, y, random_state=0)
    kept = table[table["kept"]].iloc[0]
    assert kept["I(xi; y)"] > table.loc[0, "I(xi; y)"] + 0.1
    assert kept["I(xi; noise)"] < 0.5 * kept["I(xi; a)"]
    assert (kept[["KL(a)", "KL(b)"]] > kept["KL(noise)"]).all()


def test_planes_of_pipelines_searches_and_regressors(data):
    X, _, score = data
    pipe = make_pipeline(
        ModalityTransformer({"noise": "drop"}),
        OMIBRegressor(max_epochs=2, random_state=0, early_stopping=False),
    )
    table = information_plane(pipe, X, score, epochs=2)
    assert list(table) == ["I(xi; y)", "I(xi; a)", "I(xi; b)", "KL(a)", "KL(b)", "kept"]
    assert list(table.index[table["kept"]]) == [2]
    with pytest.raises(NotFittedError):
        information_plane(OMIBClassifierCV(), X, score)
    with pytest.raises(ValueError, match="epochs must be a positive int or a collection"):
        information_plane(OMIBClassifier(), X, score > 0, epochs=-1)


# -- assumptions ----------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=["labels", "numbers"])
def made(request):
    """Modalities independent given y: y with noise of its own; and noise to put in both."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(500, 1))
    y = (y > 0).astype(int) if request.param == "labels" else y
    a, b = (1.5 * y + rng.normal(size=(500, 3)) for _ in range(2))
    return {"a": a, "b": b}, y[:, 0], rng.normal(size=(500, 1))


def test_dependence_given_the_target_is_seen_where_it_is(made):
    X, y, nuisance = made
    name = "modalities are independent given the target"
    report = check_assumptions(X, y, n_permutations=40, random_state=0)
    assert report.verdicts.loc[name, "holds"]
    assert abs(report.pairs.loc["a, b", "dependence"]) < 0.05
    noisy = nuisance + np.random.default_rng(1).normal(size=(500, 1))
    shared = {"a": np.hstack([X["a"], nuisance]), "b": np.hstack([X["b"], noisy])}
    report = check_assumptions(shared, y, n_permutations=40, random_state=0)
    assert not report.verdicts.loc[name, "holds"]
    # two normal variables of correlation 1 / sqrt(2)
    truth = -0.5 * np.log(1 - 0.5)
    assert report.pairs.loc["a, b", "dependence"] == pytest.approx(truth, abs=0.1)


def test_decomposition_of_the_information_on_the_target(made):
    X, y, nuisance = made
    report = check_assumptions({**X, "noise": nuisance}, y, n_permutations=1, random_state=0)
    alone = report.modalities["alone"]
    assert alone["all"] > alone["a"] > 0.2 and abs(alone["noise"]) < 0.05
    rows = report.pairs
    parts = ["redundant", "unique_first", "unique_second", "synergy"]
    known = alone.clip(0)
    assert rows.loc["a, noise", "redundant"] < 0.05
    assert rows.loc["a, b", "redundant"] == pytest.approx(min(known["a"], known["b"]))
    assert rows.loc["a, b", ["redundant", "unique_first"]].sum() == pytest.approx(known["a"])
    assert np.allclose(rows["redundant"] - rows["synergy"], rows["co_information"])
    assert rows.loc["a, b", parts].sum() <= alone["all"] + 0.03
    meaning = report.verdicts.loc["every modality adds to the others", "meaning"]
    assert "Not seen to add anything: noise." in meaning


def test_information_has_its_closed_form():
    rng = np.random.default_rng(0)
    v = rng.normal(size=(2000, 1))
    y = v[:, 0] + rng.normal(size=2000)  # half the variance
    report = check_assumptions({"v": v}, y, random_state=0)
    assert report.modalities.loc["v", "alone"] == pytest.approx(0.5 * np.log(2), abs=0.05)
    assert report.modalities.loc["v", "alone"] == report.modalities.loc["v", "given_rest"]
    assert report.pairs.empty and len(report.verdicts) == 3
    assert np.isnan(report.target_entropy)
    labels = (v[:, 0] > 0).astype(int)
    report = check_assumptions({"v": labels[:, None] + 0.1 * v}, labels, random_state=0)
    assert report.verdicts.loc["the target is a function of the modalities", "holds"]
    assert report.target_entropy == pytest.approx(np.log(2), abs=0.01)


def test_a_model_that_sees_interactions_finds_the_synergy():
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(600, 1)), "b": rng.normal(size=(600, 1))}
    xor = (X["a"][:, 0] * X["b"][:, 0] > 0).astype(int)
    options = {"n_permutations": 1, "random_state": 0}
    linear_model = check_assumptions(X, xor, **options)
    assert not linear_model.verdicts.loc["the modalities tell of the target", "holds"]
    tree = DecisionTreeClassifier(min_samples_leaf=10, random_state=0)
    report = check_assumptions(X, xor, model=tree, **options)
    assert report.pairs.loc["a, b", "synergy"] > 0.3
    assert report.pairs.loc["a, b", "co_information"] < -0.3


def test_the_interval_of_the_bound_shrinks_with_more_samples():
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(2000, 3)), "b": rng.normal(size=(2000, 2))}
    y = rng.normal(size=2000)
    few, many = (
        check_assumptions(ModalityDict(X)[:n], y[:n], n_permutations=1, random_state=0).bound
        for n in (60, 2000)
    )
    assert few["low"] < few["upper"] < few["high"]
    assert few["high"] - few["low"] > 3 * (many["high"] - many["low"])
    with pytest.raises(ValueError, match="y is constant"):
        check_assumptions(X, np.zeros(2000))


def test_the_check_says_what_is_wrong(data):
    X, y, score = data
    hole = np.where(score > 1, np.nan, score)
    for blocks, target, message in [
        ({"a": X["a"], "b": hole[:, None]}, y, "Modality 'b' contains NaN"),
        (X, hole, "y contains NaN"),
        (X, np.where(y, "b", "a")[:, None], r"y must be numeric.* of shape \(n_samples,\)"),
        (X, np.array([None, *y.astype(str)[1:]]), "y contains 1 missing labels"),
        (X, np.c_[score, 2 * score], "an output that is constant or that the others determine"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_assumptions(blocks, target)
    for name in ("n_permutations", "n_resamples"):
        with pytest.raises(ValueError, match=f"{name} must be a positive int, got 0"):
            check_assumptions(X, y, **{name: 0})


def test_a_target_that_combines_modalities_is_not_taken_for_what_they_share():
    a, b = np.random.default_rng(0).normal(size=(2, 500, 1))
    X, y = {"a": a, "b": b}, (a[:, 0] + b[:, 0] > 0).astype(int)
    report = check_assumptions(X, y, n_permutations=20, random_state=0)
    assert not report.verdicts.iloc[0].holds and report.pairs.co_information.item() < 0
    assert "or y combines them" in report.verdicts.iloc[0].meaning


# -- diagnosis ------------------------------------------------------------------------------------
def names(estimator):
    return [finding.name for finding in diagnose(estimator)]


def test_a_healthy_fit_has_no_finding(data):
    X, y, _ = data
    healthy = OMIBClassifier(random_state=0).fit(X.select(["a", "b"]), y)
    report = diagnose(healthy)
    assert len(report) == 0 and report.table.empty
    assert "No finding." in str(report) and f"{healthy.n_iter_} epochs" in str(report)


def test_noise_is_found_unused(clf):
    report = diagnose(make_pipeline(ModalityTransformer({}), clf))
    assert [finding.name for finding in report] == ["unused modality 'noise'"]
    assert "learned nothing in the warm-up" in str(report)


@pytest.mark.filterwarnings("ignore:beta=2")
def test_bad_settings_are_found(data):
    X, y, score = data
    X = X.select(["a", "b"])
    assert names(OMIBClassifier(max_epochs=3, random_state=0).fit(X, y)) == ["training cut short"]
    greedy = diagnose(OMIBClassifier(beta=2.0, random_state=0).fit(X, y))
    assert {"over-compressed", "beta above its bound"} <= set(greedy.table["name"])
    assert "above 1/W = 0.333" in str(greedy)
    closed = OMIBRegressor(beta=2.0, random_state=0, early_stopping=False).fit(X, score)
    assert {"closed bottleneck", "no better than a constant"} <= set(names(closed))


def test_overfitting_is_found():
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(200, 100)), "b": rng.normal(size=(200, 100))}
    y = (X["a"][:, 0] + X["b"][:, 0] > 0).astype(int)
    loose = OMIBClassifier(
        dropout=0.0,
        input_dropout=0.0,
        beta=0.0,
        weight_decay=0.0,
        n_iter_no_change=5,
        random_state=0,
    )
    assert "overfitting" in names(loose.fit(X, y))


def test_a_target_that_no_modality_knows_alone_is_found():
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(500, 3)), "b": rng.normal(size=(500, 3))}
    xor = (X["a"][:, 0] * X["b"][:, 0] > 0).astype(int)
    assert "warm-up learned nothing" in names(OMIBClassifier(random_state=0).fit(X, xor))


def test_rules_read_the_history(data):
    X, y, _ = data
    clf = OMIBClassifier(random_state=0).fit(X.select(["a", "b"]), y)
    clf.history_["weight_b"] = np.where(np.arange(len(clf.history_)) % 2, 1.9, 0.1)
    assert names(clf) == ["unstable weight of 'b'"]
    clf.history_["weight_b"] = 1.0
    clf.history_["valid_kl_b"] = 0.08 * clf.history_["valid_kl_a"]
    assert names(clf) == ["dominant modality 'a'"]
    clf.history_["valid_kl_b"] = 0.01 * clf.history_["valid_kl_a"]
    assert names(clf) == ["unused modality 'b'"]
    clf.history_["valid_kl_b"] = clf.history_["valid_kl_a"]
    clf.history_["valid_task_loss"] = np.linspace(0.1, 0.5, len(clf.history_))
    assert names(clf) == ["overfitting from the start"]


def test_a_search_is_told_where_its_grid_ends(data):
    X, _, score = data
    search = OMIBRegressorCV(betas=[1e-3, 0.3], cv=2, **QUICK).fit(X.select(["a", "b"]), score)
    assert search.beta_ == 1e-3
    assert names(search)[0] == "beta at the edge of the grid"


def test_chunks_that_hold_nothing_out_are_diagnosed_by_training(data):
    X, y, _ = data
    clf = OMIBClassifier(**QUICK).fit(X, y).partial_fit(X, y)
    assert "training task loss" in diagnose(clf).summary


def test_only_fitted_omibs_are_diagnosed(data):
    with pytest.raises(NotFittedError):
        diagnose(OMIBClassifier())
    with pytest.raises(TypeError, match="ends in one, got LogisticRegression"):
        diagnose(linear())
    with pytest.raises(TypeError, match="a detector of anomalies has not"):
        diagnose(OMIBAnomalyDetector())


# -- every kind of input, and pictures ------------------------------------------------------------
def test_blocks_of_every_kind(mixed):
    X, y, score = mixed
    clf = OMIBClassifier(max_epochs=2, warmup_epochs=1, random_state=0).fit(X, y)
    importance = modality_importance(clf, X, y, n_repeats=1, random_state=0)
    assert importance.names == list(X) and np.isfinite(importance.importances).all()
    assert len(modality_ablation(clf, X, y, method="mask", cv=2)) == 11
    few = X.select([name for name in X if name != "words"])  # of fewer columns than rows
    probe = bottleneck_probe(clone(clf).fit(few, y), few, {"frame": X["frame"]}, cv=3)
    assert probe.loc["frame", "inputs"] > 0.5
    probe = bottleneck_probe(clf, X, {"score": score}, cv=3)
    assert np.isfinite(probe.drop(columns="metric").to_numpy(float)).all()
    assert np.isfinite(information_plane(clf, X, y, epochs=[1])["I(xi; y)"]).all()
    report = check_assumptions(X, y, n_permutations=1, n_resamples=2, cv=3)
    assert len(report.pairs) == 10 and report.pairs.notna().all(axis=None)
    assert "2 epochs" in diagnose(clf).summary


def test_targets_of_several_columns(data):
    X, y, score = data
    labels = np.column_stack([y, X["a"][:, 1] > 0]).astype(int)
    clf = OMIBClassifier(**QUICK).fit(X, labels)
    assert clf.prior_loss_ == pytest.approx(2 * np.log(2), abs=0.05)
    assert {"unused modality 'noise'"} >= set(names(clf)) - {"training cut short"}
    outputs = np.column_stack([score, X["b"][:, 1]])
    reg = OMIBRegressor(**QUICK).fit(X, outputs)
    assert reg.prior_loss_ == pytest.approx(1 + np.log(2 * np.pi), abs=0.1)
    assert "over-compressed" not in names(reg)
    assert "I(xi; y)" in information_plane(reg, X, outputs, epochs=[1])
    report = check_assumptions(X, outputs, n_permutations=1, random_state=0)
    assert report.modalities.loc["all", "alone"] > report.modalities.loc["a", "alone"]


def test_displays_draw_their_tables(data, reg):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    X, y, score = data
    drawn = ModalityAblationDisplay.from_estimator(linear(), X, y, cv=2)
    assert [text.get_text() for text in drawn.axes_[0].get_yticklabels()] == list(drawn.table.index)
    assert drawn.axes_[1].containers[0].lines[0].get_xdata().tolist() == [*drawn.table.difference]
    probe = BottleneckProbeDisplay.from_estimator(reg, X, {"y": score}, from_="xi", random_state=0)
    assert len(probe.ax_.containers) == 1 and len(probe.figure_.legends) == 1
    quick = OMIBRegressor(max_epochs=2, random_state=0)
    plane = InformationPlaneDisplay.from_estimator(quick, X, score, epochs=[0, 1])
    assert len(plane.axes_) == 3
    assert plane.axes_[2].get_xlabel() == "I(xi; noise) (nats)"
    again = plane.plot(plane.figure_.subplots(1, 3))
    assert again is plane and len(plane.axes_[0].collections[0].get_offsets()) == len(plane.table)
    matplotlib.pyplot.close("all")
