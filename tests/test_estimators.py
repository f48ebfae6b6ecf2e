"""What the estimators promise: targets, weights, invariances, limit cases."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_multilabel_classification
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from sklearn_omib import ModalityDict, OMIBAnomalyDetector, OMIBClassifier, OMIBRegressor
from sklearn_omib.preprocessing import ModalityConcatenator, ModalityTransformer


def quick(kind=OMIBClassifier, **parameters):
    options = {"max_epochs": 40, "learning_rate": 3e-3, "dropout": 0.1, "input_dropout": 0.0}
    return kind(**{**options, "random_state": 0, **parameters})


def test_every_kind_of_block_is_learned_from(mixed):
    X, y, score = mixed
    clf = quick(early_stopping=False).fit(X, y)
    assert list(clf.classes_) == ["no", "yes"]
    assert clf.score(X, y) > 0.95
    probabilities = clf.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    np.testing.assert_allclose(np.log(probabilities), clf.predict_log_proba(X), rtol=1e-5)
    assert clf.transform(X).shape == (120, 32)
    assert clf.modalities_ == X.sample_shapes and clf.n_features_in_ == X.shape[1]
    reg = quick(OMIBRegressor, early_stopping=False).fit(X, score)
    assert reg.score(X, score) > 0.9


def test_order_of_modalities_and_form_of_input_do_not_matter_at_predict(mixed):
    X, y, _ = mixed
    clf = quick(max_epochs=2).fit(X, y)
    expected = clf.predict_proba(X)
    turned = {name: X[name] for name in reversed(list(X))}
    for form in (turned, ModalityDict(turned), np.asarray(X)):
        np.testing.assert_allclose(clf.predict_proba(form), expected, rtol=1e-6)


def test_table_with_a_column_specification_is_the_same_as_blocks(tables):
    X, y, _ = tables
    table = np.hstack(list(X.values()))
    frame = pd.DataFrame(table, columns=[f"{m}{i}" for m in "ab" for i in range(4)])
    expected = quick(max_epochs=2).fit(X, y).predict_proba(X)
    positions = {"a": slice(0, 4), "b": slice(4, 8)}
    names = {"a": ["a0", "a1", "a2", "a3"], "b": ["b0", "b1", "b2", "b3"]}
    for form, modalities in ((table, positions), (frame, names)):
        clf = quick(max_epochs=2, modalities=modalities).fit(form, y)
        np.testing.assert_array_equal(clf.predict_proba(form), expected)
    assert list(clf.feature_names_in_) == list(frame.columns)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 15, 16, 17, 100])
def test_prediction_does_not_depend_on_how_rows_are_batched(mixed, n_rows):
    X, y, _ = mixed
    clf = quick(max_epochs=2).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X[:n_rows]), clf.predict_proba(X)[:n_rows])
    np.testing.assert_array_equal(clf.transform(X[:n_rows]), clf.transform(X)[:n_rows])


@pytest.mark.parametrize("kind", [OMIBClassifier, OMIBRegressor, OMIBAnomalyDetector])
def test_nor_on_how_many_rows_and_threads_there_are(kind, rng, monkeypatch):
    monkeypatch.setattr("sklearn_omib.training.net.CACHE_ROWS", 128)  # of five networks
    X = {"a": rng.normal(size=(700, 7)), "b": rng.normal(size=(700, 3))}
    model = kind(n_members=5, warmup_epochs=1, max_epochs=1, random_state=0)
    model.fit({name: block[:60] for name, block in X.items()}, np.arange(60) % 2)
    say = getattr(model, "predict_proba", getattr(model, "score_samples", model.predict))
    expected = say(X), model.transform(X)
    for n_rows in (1, 15, 17, 33, 255, 257, 699):
        part = {name: block[700 - n_rows :] for name, block in X.items()}
        for found, whole in zip((say(part), model.transform(part)), expected, strict=True):
            if kind is OMIBAnomalyDetector:  # MKL rounds products of few columns by row
                np.testing.assert_allclose(found, whole[700 - n_rows :], rtol=2e-6, atol=1e-6)
            else:
                np.testing.assert_array_equal(found, whole[700 - n_rows :])
    for n_jobs in (1, 2, 3):
        model.set_params(n_jobs=n_jobs)
        np.testing.assert_array_equal(say(X), expected[0])


def test_pickle_round_trip_goes_on_training(tables):
    X, y, _ = tables
    clf = quick(max_epochs=3).fit(X, y)
    loaded = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    loaded.partial_fit(X, y)
    clf.partial_fit(X, y)
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


def test_constant_columns_and_scale_do_not_matter(tables):
    X, y, _ = tables
    expected = quick(max_epochs=3).fit(X, y).predict_proba(X)
    scaled = {"a": X["a"] * [1e-6, 1.0, 1e3, 1e6] + 1e5, "b": X["b"]}
    clf = quick(max_epochs=3).fit(scaled, y)
    np.testing.assert_allclose(clf.predict_proba(scaled), expected, atol=1e-3)


# -- targets --------------------------------------------------------------------------------------
def test_multilabel():
    table, y = make_multilabel_classification(300, 10, n_classes=4, random_state=0)
    X = {"a": table[:, :5], "b": table[:, 5:]}
    clf = quick().fit(X, y)
    assert clf.predict_proba(X).shape == clf.predict(X).shape == (300, 4)
    assert f1_score(y, clf.predict(X), average="micro") > 0.75
    np.testing.assert_array_equal(clf.predict(X), clf.predict_proba(X) > 0.5)


def test_class_weight_moves_the_balance(tables):
    X, _, score = tables
    y = (score > np.quantile(score, 0.85)).astype(int)
    predicted = [
        quick(class_weight=weight, max_epochs=10).fit(X, y).predict(X).sum()
        for weight in ({0: 5.0}, None, "balanced", {1: 50.0})
    ]
    assert predicted == sorted(predicted) and predicted[0] < predicted[-1]


def test_samples_of_weight_zero_count_for_nothing(tables):
    X, y, _ = tables
    weight = np.r_[np.zeros(40), np.ones(80)]
    spoiled = np.r_[1 - y[:40], y[40:]]
    left_out = {name: block[40:] for name, block in X.items()}
    with_zeros = quick(max_epochs=3).fit(X, spoiled, sample_weight=weight)
    without = quick(max_epochs=3).fit(left_out, y[40:])
    np.testing.assert_array_equal(with_zeros.predict_proba(X), without.predict_proba(X))


def test_several_outputs(tables):
    X, _, score = tables
    Y = np.c_[score, 100 - 50 * X["a"][:, 1]]
    reg = quick(OMIBRegressor, max_epochs=60).fit(X, Y)
    mean, std = reg.predict(X, return_std=True)
    assert mean.shape == std.shape == Y.shape and (std > 0).all()
    assert reg.score(X, Y) > 0.8


def test_units_of_y_change_nothing_but_the_units_of_the_prediction(tables):
    X, _, score = tables
    plain = quick(OMIBRegressor, max_epochs=5).fit(X, score)
    other = quick(OMIBRegressor, max_epochs=5).fit(X, 1e6 * score - 3e7)
    for a, b, offset in zip(
        plain.predict(X, return_std=True), other.predict(X, return_std=True), (3e7, 0), strict=True
    ):
        np.testing.assert_allclose(a, (b + offset) / 1e6, atol=1e-3)
    assert other.beta_ == plain.beta_


def test_predicted_standard_deviation_follows_the_noise():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3000, 3))
    noise = np.where(a[:, 1] > 0, 1.0, 0.1)
    y = a[:, 0] + b[:, 0] + noise * rng.normal(size=3000)
    X = ModalityDict({"a": a, "b": b})
    # the noise is learned long after the mean
    reg = quick(OMIBRegressor, max_epochs=100, n_iter_no_change=40).fit(X[:2000], y[:2000])
    mean, std = reg.predict(X[2000:], return_std=True)
    loud = noise[2000:] == 1
    assert std[loud].mean() > 2 * std[~loud].mean()
    # mean of 1000 squared standardised errors: standard error .045 were they normal
    assert 0.7 < np.mean(((y[2000:] - mean) / std) ** 2) < 1.4


# -- beta -----------------------------------------------------------------------------------------
def test_named_betas_and_their_scale(tables):
    X, y, _ = tables
    fits = {
        beta: quick(max_epochs=1, beta=beta, beta_scale=2.0).fit(X, y)
        for beta in ("auto", "upper", "lower", 1e-3)
    }
    bounds = fits["auto"].beta_bounds_
    assert 0 < bounds.lower <= bounds.upper
    assert fits["upper"].beta_ == pytest.approx(2 * bounds.upper)
    assert fits["lower"].beta_ == pytest.approx(2 * bounds.lower)
    assert fits["auto"].beta_ == pytest.approx(2 * bounds.upper)
    continuous = quick(OMIBRegressor, max_epochs=1).fit(X, y)
    assert continuous.beta_ == pytest.approx(continuous.beta_bounds_.upper / 3)
    assert fits[1e-3].beta_ == pytest.approx(2e-3)


def test_more_beta_less_kl_and_none_beyond_one(tables):
    X, y, _ = tables

    def kl(beta):
        clf = quick(beta=beta, early_stopping=False, trb_weight=0.0, dropout=0.0, max_epochs=150)
        return clf.fit(X, y).history_.filter(like="train_kl").iloc[-1].sum()

    with pytest.warns(UserWarning, match="may lose the target"):
        values = [kl(beta) for beta in (1e-4, 1e-2, 0.3, 1.5)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 5 and values[-1] < 0.01


def test_weighting_and_estimator_of_entropy_reach_the_objective(tables):
    X, y, _ = tables

    class TwoNats:
        def estimate(self, x, y):
            return 2.0

    clf = quick(max_epochs=3, weighting="symmetric", entropy_estimator=TwoNats()).fit(X, y)
    assert clf.beta_bounds_.upper == pytest.approx(1 / (2 * 2))  # W = 2, H_joint = 4 - 2
    assert sum(clf.modality_weights_.values()) == pytest.approx(2, abs=1e-4)
    fixed = quick(max_epochs=3, weighting="fixed").fit(X, y)
    assert set(fixed.modality_weights_.values()) == {1.0}


# -- one modality, beta to 0: a plain predictor ---------------------------------------------------
def test_limit_of_one_modality_is_logistic_regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 8))
    y = (X @ rng.normal(size=8) + rng.logistic(size=6000) > 0).astype(int)
    train, test = slice(0, 4000), slice(4000, None)
    clf = OMIBClassifier(beta=1e-6, random_state=0).fit(X[train], y[train])
    reference = LogisticRegression().fit(X[train], y[train])
    assert clf.modality_weights_ == {"X": 1.0}
    assert abs(clf.score(X[test], y[test]) - reference.score(X[test], y[test])) < 0.01


def test_limit_of_one_modality_is_ridge_regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 8))
    y = X @ rng.normal(size=8) + rng.normal(size=6000)
    train, test = slice(0, 4000), slice(4000, None)
    reg = OMIBRegressor(beta=1e-6, random_state=0).fit(X[train], y[train])
    reference = Ridge().fit(X[train], y[train])
    assert abs(reg.score(X[test], y[test]) - reference.score(X[test], y[test])) < 0.01


def test_standard_deviation_stays_bounded_away_from_the_data(tables):
    X, _, score = tables
    reg = quick(OMIBRegressor, n_members=1).fit(X, score)
    _, near = reg.predict(X, return_std=True)
    _, far = reg.predict({"a": 100 * X["a"], "b": X["b"]}, return_std=True)
    assert far.max() / near.min() < np.exp(3.01) and near.max() / far.min() < np.exp(3.01)


# -- encoders -------------------------------------------------------------------------------------
def kinds_of(model):
    """Names of the encoders' classes."""
    encoders = model.net_.module_.encoders
    return [type(getattr(one, "networks", [one])[0]).__name__ for one in encoders]


def test_a_module_given_as_encoder_is_never_trained(mixed):
    X, y, _ = mixed
    module = torch.nn.Linear(5, 7)
    before = module.weight.detach().clone()
    clf = quick(max_epochs=2, encoders={"table": module, "sequence": "gru"}).fit(X, y)
    assert torch.equal(module.weight, before)
    own = clf.net_.module_.encoders[0].networks
    assert len(own) == clf.n_members_ and not any(torch.equal(one.weight, before) for one in own)
    assert kinds_of(clf)[3] == "GRUEncoder"


def test_one_name_goes_to_the_blocks_it_reads(mixed):
    X, y, _ = mixed
    clf = quick(max_epochs=1, encoders="gru").fit(X, y)
    assert kinds_of(clf) == [
        "MLPEncoder",
        "MLPEncoder",
        "SparseEncoder",
        "GRUEncoder",
        "Conv2dEncoder",
    ]


def test_a_table_that_spreads_over_more_than_hidden_dim_is_encoded_linearly(rng):
    factors = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 60))
    X = {"independent": rng.normal(size=(400, 60)), "low rank": factors, "few": factors[:, :20]}
    X, y = ModalityDict(X), np.arange(400) % 2

    def kinds(**options):
        clf = quick(max_epochs=1, hidden_dim=32, **options).fit(X, y)
        return kinds_of(clf)

    assert kinds() == ["LinearEncoder", "MLPEncoder", "MLPEncoder"]
    assert kinds(encoders={"independent": "mlp", "few": "linear_mlp"})[::2] == [
        "MLPEncoder", "LinearMLPEncoder"
    ]  # fmt: skip
    assert kinds(encoders="mlp") == ["MLPEncoder"] * 3
    assert kinds(n_layers=1) == ["MLPEncoder"] * 3  # linear already


def test_regressors_give_narrow_tables_a_linear_path(mixed, rng):
    X, _, score = mixed
    reg = quick(OMIBRegressor, max_epochs=1).fit(X, score)
    kinds = kinds_of(reg)
    assert kinds[:2] == ["LinearMLPEncoder"] * 2 and "LinearMLPEncoder" not in kinds[2:]
    reg.set_params(encoders="mlp").fit(X, score)
    assert kinds_of(reg)[0] == "MLPEncoder"
    wide = {"independent": rng.normal(size=(90, 60))}
    reg.set_params(encoders="auto", hidden_dim=32).fit(wide, wide["independent"][:, 0])
    assert kinds_of(reg)[0] == "LinearEncoder"


def test_torch_dropout_of_a_given_module_follows_the_seed(tables):
    X, y, _ = tables
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5))
    first, second = (
        quick(max_epochs=3, encoders={"a": module}).fit(X, y).predict_proba(X) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert type(module[1]) is torch.nn.Dropout


def test_global_transform_output_changes_only_the_output_of_transform(tables):
    import sklearn

    X, y, score = tables
    expected = quick(max_epochs=2).fit(X, y).predict_proba(X)
    expected_regression = quick(OMIBRegressor, max_epochs=2).fit(X, score).predict(X)
    with sklearn.config_context(transform_output="pandas"):
        clf = quick(max_epochs=2).fit(X, y)
        np.testing.assert_array_equal(clf.predict_proba(X), expected)
        assert isinstance(clf.transform(X), pd.DataFrame)
        reg = quick(OMIBRegressor, max_epochs=2).fit(X, score)
        np.testing.assert_array_equal(reg.predict(X), expected_regression)


def test_names_of_features_come_through_a_pipeline(tables):
    X, y, _ = tables
    pipe = make_pipeline(ModalityTransformer({"a": PCA(2)}), quick(max_epochs=1)).fit(X, y)
    assert pipe.get_feature_names_out()[0] == "omibclassifier0"
    table = make_pipeline(ModalityTransformer({"a": PCA(2)}), ModalityConcatenator()).fit(X)
    assert list(table.get_feature_names_out()[:3]) == ["a__pca0", "a__pca1", "b__x0"]


def test_transform_keeps_to_set_output(tables):
    X, y, _ = tables
    clf = quick(max_epochs=1).fit(X, y).set_output(transform="pandas")
    frame = clf.transform(X)
    assert list(frame.columns) == list(clf.get_feature_names_out())
    assert frame.columns[0] == "omibclassifier0" and frame.shape == (120, 32)
