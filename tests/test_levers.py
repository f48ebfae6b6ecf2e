"""The levers of benchmarks/levers.py do what they say."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def levers(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("levers")


@pytest.fixture
def sample(rng):
    X = {"a": rng.normal(size=(120, 4)), "b": rng.normal(size=(120, 3))}
    return X, X["a"][:, 0] + X["b"][:, 0] + 0.3 * rng.normal(size=120)


def test_one_member_is_its_own_pool(levers, rng):
    numbers = np.array([[rng.normal(size=5), rng.uniform(1, 2, 5)]])
    classes = rng.dirichlet(np.ones(3), size=(1, 5))
    for pools, one in zip(levers.POOLS, (classes, numbers), strict=True):
        for pool in pools.values():
            np.testing.assert_allclose(pool(one), one[0])


def test_pools_differ_by_the_variance_between_members(levers, rng):
    members = np.stack([rng.normal(size=(4, 50)), np.full((4, 50), 3.0)], axis=1)
    between = members[:, 0].var(0)
    variance = {how: pool(members)[1] ** 2 for how, pool in levers.POOLS[1].items()}
    np.testing.assert_allclose(variance[""] - variance[", mean variance"], between)
    np.testing.assert_allclose(variance[", mean variance"] - variance[", less spread"], between)


def test_averaged_weights_are_validated_and_training_goes_on_without_them(levers, sample):
    X, y = sample
    histories = [
        levers.estimator(y, *with_them)(max_epochs=8, random_state=0, **levers.BASE)
        .fit(X, y)
        .history_
        for with_them in ((), (levers.Averaging,))
    ]
    plain, averaged = (history[history.phase == "main"] for history in histories)
    np.testing.assert_array_equal(plain.train_task_loss, averaged.train_task_loss)
    # one step per epoch: after the first, the average is that step alone
    assert (plain.valid_task_loss != averaged.valid_task_loss)[1:].all()


def test_pooling_without_scores_is_the_mean(levers):
    pool = levers.WeightedMean(3, 4)
    tokens = torch.randn(5, 3, 4)
    torch.nn.init.zeros_(pool.score.weight)
    torch.testing.assert_close(pool(tokens.flatten(-2)), pool.out(tokens.mean(-2)))
    torch.nn.init.constant_(pool.score.weight, 1e4)  # of the largest sum alone
    largest = tokens[torch.arange(5), tokens.sum(-1).argmax(-1)]
    torch.testing.assert_close(pool(tokens.flatten(-2)), pool.out(largest))


def test_pooled_tokens_are_learned_from(levers, sample):
    X, y = sample
    model = levers.estimator(y, levers.Pooling)(random_state=0, **levers.BASE).fit(X, y)
    assert isinstance(model.net_.module_.fusion, levers.PooledTokens)
    assert model.score(X, y) > 0.5


def test_a_linear_path_begins_at_zero_and_is_learned(levers, sample):
    X, y = sample
    model = levers.estimator(y, levers.Skip)(max_epochs=3, random_state=0, **levers.BASE).fit(X, y)
    assert all(linear.weight.abs().max() > 0 for linear in model.net_.module_.maps)
    a, b = model.predict(X), model.predict({name: block[:60] for name, block in X.items()})
    np.testing.assert_allclose(a[:60], b, rtol=1e-5)
