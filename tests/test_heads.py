"""The fused prediction and the branches', combined by rows held out."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import check_cv

from sklearn_omib import OMIBClassifier, OMIBClassifierCV, OMIBRegressor, load
from sklearn_omib.data.batches import Batches
from sklearn_omib.data.checks import validate_modalities
from sklearn_omib.nn import CategoricalTask, GaussianTask
from sklearn_omib.training import heads

FAST = {"max_epochs": 8, "hidden_dim": 16, "latent_dim": 8, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300, 4))
    score = a[:, 0] + b[:, 0] + 0.5 * rng.normal(size=300)
    return {"a": a, "b": b}, score, np.digitize(score, [-0.7, 0.7])


def heads_of(model, X):
    """What every head of every network says: (n_networks, n_heads, n_samples, n_outputs)."""
    blocks = validate_modalities(model, X, reset=False, modalities=model.modalities)
    (part,) = model._parts(blocks)
    ((inputs, *_),) = Batches([part], [0] * model.n_members_, len(blocks))
    with torch.no_grad():
        return model.net_.module_.eval().heads(inputs).numpy()


@pytest.mark.parametrize("members", [1, 2])
def test_classes_have_the_product_of_powers_of_what_heads_say(data, members):
    X, _, y = data
    model = OMIBClassifier(n_members=members, **FAST).fit(X, y)
    weights = model.head_weights_
    assert weights.shape == (3,) and (weights >= 0).all() and weights[:-1].any()
    log_p = torch.tensor(heads_of(model, X)).double().log_softmax(-1).numpy()
    powers = np.exp(np.einsum("h,khnc->knc", weights, log_p))
    expected = (powers / powers.sum(-1, keepdims=True)).mean(0)
    assert_allclose(model.predict_proba(X), expected, rtol=1e-4, atol=1e-6)


def test_numbers_are_the_weighted_sum_of_what_heads_say(data):
    X, score, _ = data
    model = OMIBRegressor(n_members=2, **FAST).fit(X, score)
    said = heads_of(model, X)[..., 0].mean(0)
    expected = model.head_weights_ @ said * model._task.scale + model._task.location
    assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-5)


def test_fused_predicts_from_xi_alone_with_the_same_networks(data):
    X, _, y = data
    combined = OMIBClassifier(n_members=2, **FAST).fit(X, y)
    fused = OMIBClassifier(n_members=2, combine="fused", **FAST).fit(X, y)
    assert_array_equal(fused.head_weights_, [0, 0, 1])
    assert_array_equal(fused.transform(X), combined.transform(X))
    scores = heads_of(combined, X)[:, -1]
    expected = torch.tensor(scores).double().softmax(-1).mean(0)
    assert_allclose(fused.predict_proba(X), expected, rtol=1e-4, atol=1e-6)
    assert np.abs(combined.predict_proba(X) - expected.numpy()).max() > 1e-3


@pytest.mark.parametrize("options", [{"early_stopping": False}, {"step": 34}])
def test_where_no_rows_are_held_out_the_fused_prediction_stands_alone(data, options):
    X, _, y = data
    options = dict(options)
    rows = np.argsort(y, kind="stable")[:: options.pop("step", 5)]
    X = {name: block[rows] for name, block in X.items()}
    model = OMIBClassifier(n_members=1, **FAST, **options).fit(X, y[rows])
    assert_array_equal(model.head_weights_, [0, 0, 1])
    chunk = OMIBClassifier(n_members=1, **FAST).partial_fit(X, y[rows], classes=[0, 1, 2])
    assert_array_equal(chunk.head_weights_, [0, 0, 1])


def test_a_fused_prediction_that_is_noise_loses_its_weight(data, monkeypatch):
    X, score, y = data
    conclude = OMIBClassifier._conclude

    def spoiled(self, net, together):
        for parameter in net.module_.head.parameters():
            parameter.data.normal_(0, 1, generator=torch.Generator().manual_seed(0))
        conclude(self, net, together)

    monkeypatch.setattr(OMIBClassifier, "_conclude", spoiled)
    monkeypatch.setattr(OMIBRegressor, "_conclude", spoiled)
    longer = {**FAST, "max_epochs": 30}
    model = OMIBClassifier(n_members=2, **longer).fit(X, y)
    assert model.head_weights_[-1] < 0.3 and model.score(X, y) > 0.5
    assert OMIBRegressor(n_members=2, **longer).fit(X, score).score(X, score) > 0.4


def test_a_missing_modality_has_no_say(data):
    X, _, y = data
    model = OMIBClassifier(n_members=1, **FAST).fit(X, y)
    one = {"a": X["a"][:20], "b": None}
    before = model.predict_proba(one)
    branch = model.net_.module_.branches
    for parameter in branch.parameters():  # of both, abreast
        parameter.data[:, 1] += 3
    assert_array_equal(model.predict_proba(one), before)
    both = {name: block[:20] for name, block in X.items()}
    assert np.abs(model.predict_proba(both) - before).max() > 1e-2


def test_a_search_weighs_the_heads_of_every_network_by_itself(data):
    X, _, y = data
    search = OMIBClassifierCV(betas=[0.01, 0.1], cv=2, n_members=1, refit=False, **FAST).fit(X, y)
    found = [one.head_weights_ for one in search.estimators_]
    assert not np.array_equal(*found)
    rows = np.arange(300)
    for one, (train, _) in zip(
        search.estimators_, check_cv(2, y, classifier=True).split(rows, y), strict=True
    ):
        alone = OMIBClassifier(n_members=1, beta=search.beta_, **FAST)
        alone.fit({name: block[train] for name, block in X.items()}, y[train])
        assert_allclose(one.head_weights_, alone.head_weights_, atol=1e-4)


def test_they_are_kept_in_files_and_by_training_that_goes_on(data, tmp_path):
    X, _, y = data
    model = OMIBClassifier(n_members=2, warm_start=True, **FAST).fit(X, y)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert_array_equal(again.head_weights_, model.head_weights_)
    before = model.head_weights_
    model.partial_fit(X, y)  # holds out nothing
    assert_array_equal(model.head_weights_, before)
    model.set_params(combine="fused").fit(X, y)
    assert_array_equal(model.head_weights_, [0, 0, 1])
    assert model.net_.module_.head_weights is None


# -- the weights themselves -----------------------------------------------------------------
TASK = CategoricalTask()


def held(rng, n=40, n_heads=3):
    outputs = torch.tensor(rng.normal(size=(n_heads, n, 4)))
    return outputs, torch.tensor(rng.integers(4, size=n)), torch.ones(n)


def part(one, rows):
    outputs, y, weight = one
    return outputs[:, rows], y[rows], weight[rows]


def weights_of(*held, task=TASK):
    return heads._fitted(task, held)


def test_a_row_twice_is_a_row_of_weight_two():
    one = held(np.random.default_rng(0))
    rows = np.r_[np.arange(40), np.arange(15)]
    weight = torch.ones(40)
    weight[:15] = 2
    twice, heavy = weights_of(part(one, rows)), weights_of((*one[:2], weight))
    assert_allclose(twice, heavy, atol=1e-4)


def test_networks_count_as_one_on_their_rows_together():
    one = held(np.random.default_rng(0))
    assert_allclose(weights_of(one), weights_of(one, one, one), atol=1e-4)


def test_their_order_does_not_matter():
    one = held(np.random.default_rng(0))
    turned = (one[0][[1, 0, 2]], *one[1:])
    assert_allclose(weights_of(one)[[1, 0, 2]], weights_of(turned), atol=1e-4)


def test_of_no_use_or_of_few_rows_the_fused_prediction_stays():
    outputs, y, weight = held(np.random.default_rng(0))
    same = outputs[-1:].expand(3, -1, -1)
    assert_allclose(weights_of((same, y, 0 * weight)), [0, 0, 1], atol=1e-5)
    few = weights_of(part((outputs, y, weight), np.arange(2)))
    assert abs(few.sum() - 1) < 0.1


def test_many_rows_find_the_weights_that_made_them():
    rng = np.random.default_rng(0)
    heads_said = rng.normal(size=(3, 20_000, 1))
    truth = np.array([0.5, 0.0, 0.4])
    y = np.einsum("h,hno->no", truth, heads_said) + 0.3 * rng.normal(size=(20_000, 1))
    rows = torch.tensor(heads_said), torch.tensor(y), torch.ones(20_000)
    assert_allclose(weights_of(rows, task=GaussianTask(1)), truth, atol=0.02)
