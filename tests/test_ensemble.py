"""Several networks behind one estimator: what is averaged, and when there is only one."""

import pickle

import numpy as np
import pytest
from scipy import special

from sklearn_omib import OMIBClassifier, OMIBClassifierCV, OMIBRegressor

FAST = {"max_epochs": 8, "warmup_epochs": 2, "hidden_dim": 16, "latent_dim": 8, "random_state": 0}


@pytest.fixture
def fitted(tables):
    X, y, _ = tables
    return OMIBClassifier(n_members=3, **FAST).fit(X, y)


def alone(model):
    """The members, each fitted by itself with its own seed."""
    return [type(model)(**m.get_params() | {"n_members": 1}) for m in model._members()]


def test_members_are_what_separate_fits_would_be(fitted, tables):
    X, y, _ = tables
    apart = [model.fit(X, y) for model in alone(fitted)]
    p = [model.predict_proba(X) for model in apart]
    np.testing.assert_allclose(fitted.predict_proba(X), np.mean(p, axis=0), atol=1e-5)
    assert not np.allclose(p[0], p[1], atol=1e-3)  # they differ
    np.testing.assert_allclose(fitted.transform(X), apart[0].transform(X), atol=1e-5)
    assert fitted.history_.shape == apart[0].history_.shape


def test_predictions_of_classes_agree_with_their_probabilities(fitted, tables):
    X, _, _ = tables
    p = fitted.predict_proba(X)
    np.testing.assert_allclose(p.sum(1), 1)
    np.testing.assert_allclose(fitted.predict_log_proba(X), np.log(p))
    np.testing.assert_array_equal(fitted.predict(X), fitted.classes_[p.argmax(1)])
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), p)


def test_labels_of_multilabel_targets_are_averaged_on_their_own(tables):
    X, y, score = tables
    model = OMIBClassifier(n_members=2, **FAST).fit(X, np.column_stack([y, score > 1]))
    p = [special.expit(m._forward(X, 0)[0]) for m in model._members()]
    np.testing.assert_allclose(model.predict_proba(X), np.mean(p, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X) > 0.5)


def test_numbers_are_those_of_a_mixture_of_normal_distributions(tables):
    X, _, score = tables
    model = OMIBRegressor(n_members=3, **FAST).fit(X, score)
    means, stds = zip(*(m.fit(X, score).predict(X, True) for m in alone(model)), strict=True)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, np.mean(means, axis=0), atol=1e-5)
    variance = np.mean(np.square(stds), axis=0) + np.var(means, axis=0)
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-4)


def test_a_number_of_members_that_cannot_be_is_an_error(tables):
    X, y, _ = tables
    with pytest.raises(ValueError, match="warm_start goes with one network, but n_members=2"):
        OMIBClassifier(n_members=2, warm_start=True, **FAST).fit(X, y)
    with pytest.raises(ValueError, match="a first partial_fit goes with one network, but n_memb"):
        OMIBClassifier(n_members=2, **FAST).partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="'n_members' parameter"):
        OMIBClassifier(n_members=0, **FAST).fit(X, y)


def test_by_itself_the_number_goes_by_what_can_be(tables, monkeypatch):
    X, y, _ = tables
    model = OMIBClassifier(**FAST).fit(X, y)
    assert model.n_members_ == len(model._members()) == 5
    p = OMIBClassifier(n_members=5, **FAST).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), p)
    assert OMIBClassifier(warm_start=True, **FAST).fit(X, y).n_members_ == 1
    assert OMIBClassifier(**FAST).partial_fit(X, y, classes=[0, 1]).n_members_ == 1
    monkeypatch.setattr("sklearn_omib._ensemble.MAX_SAMPLES", len(y) - 1)
    model.fit(X, y)
    assert model.n_members_ == 1
    alone = OMIBClassifier(n_members=1, **FAST).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))


def test_by_itself_fewer_codes_are_hidden_among_many_rows(tables, monkeypatch):
    X, y, _ = tables
    one = {"n_members": 1, "early_stopping": False, **FAST}
    model = OMIBClassifier(**one).fit(X, y)
    assert model.modality_dropout_ == model.net_.module_.modality_dropout.p == 0.1
    assert OMIBRegressor(**one).fit(X, y).modality_dropout_ == 0
    monkeypatch.setattr("sklearn_omib._omib.ROWS_HIDDEN", 6)
    share = model.fit(X, y).modality_dropout_
    assert share == model.net_.module_.modality_dropout.p == 6 / len(y)
    named = OMIBClassifier(**one, modality_dropout=share).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), named.predict_proba(X))
    options = {"betas": [0.01], "cv": 2, "refit": False, "early_stopping": False, **FAST}
    of_folds = OMIBClassifierCV(**options).fit(X, y).estimators_
    np.testing.assert_allclose([net.modality_dropout_ for net in of_folds], 12 / len(y))
    chunked = OMIBClassifier(**FAST).partial_fit(X, y, classes=np.unique(y))
    assert chunked.partial_fit(X, y).modality_dropout_ == 6 / len(y)
    with pytest.raises(ValueError, match="'modality_dropout' parameter"):
        model.set_params(modality_dropout="most").fit(X, y)


def test_chunks_go_on_with_all_members(fitted, tables):
    X, y, _ = tables
    before = [member.predict_proba(X) for member in alone(fitted) if member.fit(X, y)]
    fitted.partial_fit(X, y)
    after = [member._forward(X, 0)[0] for member in fitted._members()]
    assert fitted.n_members_ == 3
    for old, scores in zip(before, after, strict=True):
        assert not np.allclose(special.softmax(scores, axis=1), old, atol=1e-4)


def test_a_member_that_diverges_leaves_nothing_fitted(tables):
    X, y, _ = tables
    model = OMIBClassifier(n_members=2, **FAST).set_params(learning_rate=1e30)
    with pytest.raises(ValueError, match="Training diverged"):
        model.fit(X, y)
    assert not hasattr(model, "net_")
