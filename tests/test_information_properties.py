"""Laws of information, each for the estimators that promise it, on data of all kinds."""

import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_omib.information import (
    KSG,
    MINE,
    GaussianCopulaMI,
    estimate_beta_bounds,
    information_capacity,
    mutual_information,
)
from sklearn_omib.information._copula import gaussian_local
from sklearn_omib.information._entropy import from_pairs

pytestmark = pytest.mark.filterwarnings("ignore:KSG finds only a part")
few = settings(max_examples=12, derandomize=True, deadline=None, database=None)
copula, ksg = GaussianCopulaMI(), KSG()
RANKS = [copula, ksg]


@st.composite
def blocks(draw, n_blocks=2, n_samples=300):
    """Blocks of a few columns that share some factors, with heavy or light tails."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    widths = [draw(st.integers(1, 3)) for _ in range(n_blocks)]
    factors = rng.normal(size=(n_samples, 2))
    power = draw(st.sampled_from([1, 3]))
    loud = draw(st.floats(0.3, 3))
    return [
        (factors @ rng.normal(size=(2, k)) + loud * rng.normal(size=(n_samples, k))) ** power
        for k in widths
    ]


@pytest.mark.parametrize("estimator", RANKS)
@few
@given(blocks())
def test_symmetry(estimator, xy):
    x, y = xy
    assert estimator.estimate(x, y) == pytest.approx(estimator.estimate(y, x), abs=1e-9)


@pytest.mark.parametrize("estimator", RANKS)
@few
@given(blocks())
def test_increasing_maps_of_columns_change_nothing(estimator, xy):
    x, y = xy
    value = estimator.estimate(x, y)
    assert estimator.estimate(np.arctan(x / 100), 3 * y - 7) == pytest.approx(value, abs=1e-9)


@pytest.mark.slow
@settings(few, max_examples=3)
@given(blocks())
def test_increasing_maps_of_columns_change_nothing_for_mine(xy):
    x, y = xy
    mine = MINE(n_steps=100, random_state=0)
    value = mine.estimate(x, y)
    assert mine.estimate(np.arctan(x / 100), 3 * y - 7) == pytest.approx(value, abs=1e-4)


@few
@given(blocks(), st.integers(0, 100))
def test_rotations_of_scores_change_nothing_for_the_copula(xy, seed):
    x, y = xy
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(x.shape[1],) * 2))[0]
    turned = gaussian_local(x @ rotation, y, []).mean()
    assert turned == pytest.approx(gaussian_local(x, y, []).mean(), abs=1e-9)


@pytest.mark.parametrize("estimator", RANKS)
@few
@given(blocks(), st.integers(0, 2**20))
def test_noise_added_to_x_loses_information(estimator, xy, seed):
    x, y = xy
    error = 2 * 300**-0.5  # two standard errors of what was shared by chance
    noisy = x + 3 * x.std(0) * np.random.default_rng(seed).normal(size=x.shape)
    assert estimator.estimate(noisy, y) <= estimator.estimate(x, y) + error


@few
@given(blocks())
def test_dropping_columns_loses_information_for_the_copula(xy):
    x, y = xy
    wide = np.c_[x, y.sum(1) + np.random.default_rng(0).normal(size=300) * y.std()]
    whole = copula.estimate(wide, y)
    # what chance puts in a column is p q / 2n on average, and taken off
    assert copula.estimate(x, y) <= whole + 0.03


@few
@given(blocks(n_blocks=2), blocks(n_blocks=2))
def test_independent_blocks_add_up_for_the_copula(first, second):
    (a, b), order = first, np.random.default_rng(2).permutation(300)
    c, d = (v[order] for v in second)
    both = copula.estimate(np.c_[a, c], np.c_[b, d])
    # two standard errors at 300 samples of 6 columns by chance, sqrt(2 * 9) / 300 at most
    assert both == pytest.approx(copula.estimate(a, b) + copula.estimate(c, d), abs=0.1)


@few
@given(blocks(n_blocks=3), st.sampled_from([0.01, 0.1, 1.0]))
def test_entropies_and_bounds_are_ordered(three, noise):
    X = dict(zip("abc", three, strict=True))
    bounds = estimate_beta_bounds(X, noise=noise)
    entropies = bounds.entropies.values()
    assert max(entropies) <= bounds.joint_entropy <= sum(entropies) + 1e-9
    assert bounds.lower <= bounds.upper * (1 + 1e-9)
    assert bounds.upper <= 3 * bounds.lower * (1 + 1e-9)


@few
@given(st.integers(2, 6), st.integers(0, 2**20))
def test_a_tree_is_never_less_than_the_mean_of_pairs(n_modalities, seed):
    names = list("abcdef")[:n_modalities]
    rng = np.random.default_rng(seed)
    pairs = {pair: rng.exponential() for pair in combinations(names, 2)}
    tree, mean = (from_pairs(pairs, names, pairwise) for pairwise in ("tree", "mean"))
    assert 0 <= mean <= tree + 1e-9 and tree <= sum(pairs.values()) + 1e-9
    if n_modalities == 2:
        assert tree == mean


@few
@given(blocks(n_blocks=1), st.integers(0, 100))
def test_capacity_does_not_change_with_scale_and_grows_with_columns(one, seed):
    (v,) = one
    rng = np.random.default_rng(seed)
    value = information_capacity(v)
    assert information_capacity(v * rng.uniform(0.1, 10, v.shape[1])) == pytest.approx(value)
    assert information_capacity(v, rng.normal(size=(300, 2))) > value


@few
@given(st.integers(0, 2**20), st.sampled_from([1, 2, 5]), st.sampled_from(["x", "labels"]))
def test_independent_data_share_next_to_nothing(seed, width, kind):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 600, width))
    y = rng.integers(3, size=600) if kind == "labels" else y
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # and nothing to warn of
        result = mutual_information(x, y, random_state=0)
    assert abs(result.value) < 0.1
