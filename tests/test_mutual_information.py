"""Estimators of mutual information against closed forms, and what they say of themselves."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import norm

from sklearn_omib.information import (
    KSG,
    MINE,
    GaussianCopulaMI,
    MIResult,
    entropy,
    estimate_beta_bounds,
    mutual_information,
    total_correlation,
)

LN2 = np.log(2)
ESTIMATORS = [
    GaussianCopulaMI(),
    KSG(),
    pytest.param(MINE(n_steps=400, random_state=0), marks=pytest.mark.slow),
]


def correlated(n, d, mi, seed):
    """Gaussian pairs with the given mutual information in nats, spread over d dimensions."""
    rho = np.sqrt(1 - np.exp(-2 * mi / d))
    x, e = np.random.default_rng(seed).normal(size=(2, n, d))
    return x, rho * x + np.sqrt(1 - rho**2) * e


def swiss_roll(n, seed):
    x, y = correlated(n, 1, 0.413, seed)
    t = 1.5 * np.pi * (1 + 2 * norm.cdf(x))
    return np.c_[t * np.cos(t), t * np.sin(t)], y


# the standard error of the copula is at most sqrt(sum rho^2 / n), here below .07 nats
@pytest.mark.parametrize("d, mi", [(4, 2.0), (16, 2.0), (16, 5.0), (64, 2.0), (64, 5.0)])
def test_copula_is_unbiased_on_gaussians(d, mi):
    values = [GaussianCopulaMI().estimate(*correlated(2000, d, mi, seed)) for seed in range(4)]
    assert np.mean(values) == pytest.approx(mi, rel=0.05)


def test_copula_is_unbiased_where_columns_are_a_quarter_of_samples():
    null = [GaussianCopulaMI().estimate(*correlated(500, 64, 0, seed)) for seed in range(8)]
    full = [GaussianCopulaMI().estimate(*correlated(500, 64, 2, seed)) for seed in range(8)]
    assert abs(np.mean(null)) < 0.1  # three standard errors of a mean of eight
    assert np.mean(full) == pytest.approx(2, abs=0.15)


def test_standard_error_is_that_of_many_draws():
    copula, errors = GaussianCopulaMI(), []
    values = []
    for seed in range(60):
        values.append(copula.estimate(*correlated(400, 3, 1.0, seed)))
        errors.append(copula.result_.std_error)
    # a standard deviation of 60 draws is known to 1 / sqrt(120) = 9 %
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.35)


def test_components_find_low_rank_dependence_in_more_columns_than_samples():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 300))
    z = rng.normal(size=(500, 3))
    x, y = (z @ m + 3 * rng.normal(size=(500, 300)) for m in (a, b))
    small = [np.eye(3) + m @ m.T / 9 for m in (a, b)]
    log_det = [np.linalg.slogdet(m)[1] for m in (*small, sum(small) - np.eye(3))]
    truth = (log_det[0] + log_det[1] - log_det[2]) / 2
    with pytest.warns(UserWarning, match="600 columns and 500 samples"):
        assert GaussianCopulaMI().estimate(x, y) == pytest.approx(truth, rel=0.05)
    with pytest.warns(UserWarning):
        assert abs(GaussianCopulaMI().estimate(x, rng.permutation(y))) < 0.1
    with pytest.raises(ValueError, match=r"pca=None leaves 300 \+ 300 columns for 500"):
        GaussianCopulaMI(pca=None).estimate(x, y)


def test_ksg_agrees_with_the_copula_where_both_hold():
    x, y = correlated(2000, 1, 1.0, 0)
    assert KSG().estimate(x, y) == pytest.approx(1.0, abs=0.08)
    assert GaussianCopulaMI().estimate(x, y) == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_labels_of_two_gaussians(estimator):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=2000)
    x = rng.normal(size=2000) + 2 * y
    at = np.linspace(-8, 10, 20_001)
    p = (norm.pdf(at) + norm.pdf(at, 2)) / 2
    truth = -np.trapezoid(p * np.log(p), at) - norm.entropy()
    value = estimator.estimate(x, y)
    assert value == pytest.approx(truth, abs=0.06)
    names = np.array(["no", "yes"])[y]
    assert estimator.estimate(x, names) == pytest.approx(value)  # integers were taken for labels
    assert estimator.estimate(np.exp(x), names.astype(object)) == pytest.approx(value, rel=1e-4)


def test_independent_integers_share_nothing():
    # 20 samples in each of 100 cells: noise that unties x and y must not be the same
    x, y = np.random.default_rng(0).integers(10, size=(2, 2000))
    with pytest.warns(UserWarning, match="tied values"):
        for method in ("ksg", "auto"):
            result = mutual_information(x, y, method=method, discrete_target=False)
            assert abs(result.value) < 0.05


def test_labels_that_occur_once_are_left_out_of_ksg():
    x = np.random.default_rng(0).normal(size=(100, 2))
    y = np.r_[np.zeros(50), np.ones(48), 2, 3].astype(int)
    ksg = KSG(discrete_target=True)
    with pytest.warns(UserWarning, match="2 samples, alone with their label, are left out"):
        assert np.isfinite(ksg.estimate(x, y))
    with pytest.raises(ValueError, match="y has no label of at least 2 samples"):
        ksg.estimate(x, np.arange(100))


def test_labels_that_x_decides_share_their_entropy_and_others_nothing():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, 2)), rng.integers(2, size=2000)
    apart = x + 30 * y[:, None]
    assert KSG().estimate(apart, y) == pytest.approx(LN2, abs=0.01)
    assert GaussianCopulaMI().estimate(apart, y) <= LN2 + 1e-6
    for estimator in (KSG(), GaussianCopulaMI()):
        assert abs(estimator.estimate(x, y)) < 0.05


def test_auto_notices_what_the_copula_does_not_see():
    result = mutual_information(*swiss_roll(2000, 0))
    assert result.method == "ksg" and result.value == pytest.approx(0.413, rel=0.1)
    assert abs(result.alternatives["copula"]) < 0.1
    assert "clearly more than the copula" in result.description
    x, e = np.random.default_rng(0).uniform(-1, 1, size=(2, 2000))
    result = mutual_information(x, x**2 + e / 10)  # truth 1.626
    assert result.method == "ksg" and result.value == pytest.approx(1.626, rel=0.1)


@pytest.mark.parametrize("d", [1, 2, 4, 16])
def test_auto_raises_no_false_alarm(d):
    for seed in range(3):
        result = mutual_information(*correlated(1000, d, 0, seed))
        assert abs(result.value) < 0.1 and result.method == "copula"
    result = mutual_information(*correlated(2000, d, 3.0, 0))
    assert result.method == "copula" and result.value == pytest.approx(3, rel=0.1)


@pytest.mark.slow
def test_auto_asks_mine_in_many_columns():
    rng = np.random.default_rng(0)
    x, e = rng.uniform(-1, 1, size=(2, 4000))
    x, y = (np.c_[v, rng.normal(size=(4000, 3))] for v in (x, x**2 + e / 10))
    result = mutual_information(x, y, random_state=0)
    assert result.method == "mine" and result.value > 1.2 and len(result.history) > 5
    assert "nats more" in result.description


@pytest.mark.slow
def test_mine_from_a_gaussian_in_sixteen_columns():
    # measured 2.01 with a standard error of .07, and 1.84 without the warm start
    x, y = correlated(10_000, 16, 2.0, 0)
    mine = MINE(random_state=0)
    assert mine.estimate(x, y) == pytest.approx(2.0, rel=0.1)
    assert mine.history_[0] == pytest.approx(2.0, rel=0.15)  # before any step


@pytest.mark.slow
@pytest.mark.parametrize("options", [
    {"bound": "nwj"}, {"bound": "smile"}, {"bound": "infonce", "n_shuffles": 20}, {"ema": 0.01},
    {"warm_start": None},
])  # fmt: skip
def test_every_bound_on_a_gaussian(options):
    x, y = correlated(4000, 2, 1.0, 0)
    value = MINE(n_steps=600, random_state=0, **options).estimate(x, y)
    assert value == pytest.approx(1.0, abs=0.2)


def test_a_result_reads_as_a_number_and_as_words(tmp_path):
    x, y = correlated(500, 2, 1.0, 0)
    result = mutual_information(x, y)
    assert isinstance(result, MIResult) and float(result) == result.value
    for part in ("I(x; y) =", "+-", "500 samples of 2 + 2 columns", "copula"):
        assert part in repr(result)
    with pytest.raises(AttributeError):
        result.value = 0
    first, again = (mutual_information(x, y, memory=str(tmp_path)) for _ in range(2))
    assert first.seconds == again.seconds  # kept, not measured anew
    assert first.value == result.value


def test_doubtful_columns_are_named_and_leave_a_finite_value():
    x, y = correlated(500, 3, 1.0, 0)
    plain = GaussianCopulaMI().estimate(x, y)

    def warned(x, y, match):
        with pytest.warns(UserWarning, match=match):
            value = mutual_information(x, y).value
        assert np.isfinite(value)
        return value

    constant = np.c_[x, np.ones(500)]
    assert warned(constant, y, "1 constant columns of x are left out") == pytest.approx(plain)
    double = np.c_[x, np.exp(x[:, 0])]
    assert warned(double, y, "1 columns of x have the ranks of another") == pytest.approx(plain)
    assert warned(x, np.c_[y, x[:, 1]], "1 columns of x have the ranks of a column of y") > 5
    assert warned(x, x + 1e-9, "canonical correlations are above 1 - 1/n") > 10
    warned(np.round(x), y, "3 columns of x have more than 5% tied values")
    assert warned(np.ones((500, 2)), y, "2 constant columns") == 0


def test_frames_sparse_and_image_blocks_are_columns():
    x, y = correlated(300, 4, 1.0, 0)
    value = GaussianCopulaMI().estimate(x, y)
    for same in (pd.DataFrame(x), sparse.csr_matrix(x), x.reshape(300, 2, 2), x.astype(np.float32)):
        assert GaussianCopulaMI().estimate(same, y) == pytest.approx(value, rel=1e-4)
    labels = pd.Series(np.where(y[:, 0] > 0, "up", "down"), dtype="category")
    assert mutual_information(x, labels).n_columns == (4, 1)
    with pytest.raises(ValueError, match="y contains 1 missing labels"):
        mutual_information(x, ["a", None, *["b"] * 298])


def test_numbers_in_an_object_column_are_numbers():
    x, y = correlated(300, 1, 1.0, 0)
    value = mutual_information(x, y[:, 0]).value
    assert mutual_information(x, y[:, 0].astype(object)).value == pytest.approx(value)


def test_bad_input_of_estimators():
    x, y = correlated(50, 2, 1.0, 0)
    estimators = GaussianCopulaMI(), KSG(), MINE(paper=True)
    for estimate in (mutual_information, *(estimator.estimate for estimator in estimators)):
        with pytest.raises(ValueError, match="same number of samples, at least 10; got 50, 9"):
            estimate(x, y[:9])
        with pytest.raises(ValueError, match="y contains NaN or infinity"):
            estimate(x, np.where(y > 1, np.nan, y))
        with pytest.raises(ValueError, match="x must be numeric"):
            estimate(np.array(["a"] * 50), y)
        with pytest.raises(ValueError, match=r"y must be numeric.* of shape \(n_samples,\)"):
            estimate(x, np.array([["a"]] * 50))
    with pytest.raises(ValueError, match=r"method must be one of .*'mine'.*, got 'dv'"):
        mutual_information(x, y, method="dv")
    with pytest.raises(ValueError, match="discrete_target must be"):
        mutual_information(x, y, discrete_target="yes")
    with pytest.raises(ValueError, match=r"labels of shape \(n_samples,\), got \(50, 2\)"):
        mutual_information(x, y, discrete_target=True)
    with pytest.raises(ValueError, match=r"n_neighbors must be an int from 1 to .* 49, got 0"):
        KSG(n_neighbors=0).estimate(x, y)
    for estimator, pca in ((GaussianCopulaMI(pca=0), 0), (MINE(pca="all"), "'all'")):
        with pytest.raises(ValueError, match=f"pca must be 'auto', a positive .* got {pca}"):
            estimator.estimate(x, y)
    for name in ("hidden_dim", "n_steps", "batch_size", "n_shuffles", "patience"):
        with pytest.raises(ValueError, match=f"{name} must be a positive int, got -1"):
            MINE(**{name: -1}).estimate(x, y)
    with pytest.raises(ValueError, match="learning_rate must be positive, got 0"):
        MINE(learning_rate=0).estimate(x, y)
    with pytest.raises(ValueError, match="bound must be one of"):
        MINE(bound="js").estimate(x, y)
    with pytest.raises(ValueError, match="ema must be None or in"):
        MINE(bound="nwj", ema=0.1).estimate(x, y)
    with pytest.raises(ValueError, match="30 columns for the 25 samples of the smallest class"):
        GaussianCopulaMI(pca=None).estimate(np.hstack([x] * 15) + np.eye(50, 30), ["a", "b"] * 25)
    with pytest.raises(ValueError, match="no class of at least 10"):
        GaussianCopulaMI(discrete_target=True).estimate(x, np.arange(50) // 5)


def test_entropies_have_their_closed_forms():
    rng = np.random.default_rng(0)
    assert entropy(rng.integers(8, size=4000)) == pytest.approx(np.log(8), abs=0.005)
    assert entropy(np.zeros(20, dtype=int)) == 0
    v = rng.normal(size=(4000, 3)) @ rng.normal(size=(3, 3))
    truth = (3 * np.log(2 * np.pi * np.e) + np.linalg.slogdet(np.cov(v.T))[1]) / 2
    assert entropy(v) == pytest.approx(truth, abs=0.1)
    scaled = entropy(v * [2, 0.5, 7])
    assert scaled == pytest.approx(entropy(v) + np.log(7))
    with pytest.raises(ValueError, match="1 columns of v have more than 5 % repeated values"):
        entropy(np.c_[v, np.round(v[:, 0])])
    with pytest.raises(ValueError, match="1 columns of v have the ranks of another"):
        entropy(np.c_[v, np.exp(v[:, 0])])
    with pytest.raises(ValueError, match="kind must be one of"):
        entropy(v, kind="renyi")
    with pytest.raises(ValueError, match=r"v is to hold labels of shape \(n_samples,\)"):
        entropy(v, kind="discrete")


def test_total_correlation_of_a_shared_factor():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(3000, 1))
    X = {name: shared + rng.normal(size=(3000, 1)) for name in "abcd"}
    R = (np.eye(4) + np.ones((4, 4))) / 2
    truth = -np.linalg.slogdet(R)[1] / 2
    assert total_correlation(X, method="copula") == pytest.approx(truth, abs=0.05)
    pair = -np.log(1 - 0.25) / 2
    tree = total_correlation(X, method="pairwise")
    mean = total_correlation(X, method="pairwise", pairwise="mean")
    assert tree == pytest.approx(3 * pair, abs=0.08) and mean == pytest.approx(3 * pair, abs=0.08)
    assert mean <= tree <= truth + 0.05
    assert total_correlation(X) == pytest.approx(estimate_beta_bounds(X).total_correlation)
    with pytest.raises(ValueError, match="method must be one of"):
        total_correlation(X, method="tree")
    with pytest.raises(ValueError, match="pairwise must be one of"):
        total_correlation(X, pairwise="max")


def test_total_correlation_of_doubtful_columns_is_finite_and_told_of():
    x, y = correlated(500, 2, 1.0, 0)
    plain = total_correlation({"a": x, "b": y}, method="copula")
    with pytest.warns(UserWarning, match="1 constant columns of b are left out"):
        X = {"a": x, "b": np.c_[y, np.ones(500)]}
        assert total_correlation(X, method="copula") == pytest.approx(plain)
    with pytest.warns(UserWarning, match="1 columns have the ranks of a column of another"):
        shared = total_correlation({"a": x, "b": x[:, :1]}, method="copula")
    with pytest.warns(UserWarning, match="a leak"):  # two routes to the same floor
        floor = GaussianCopulaMI().estimate(x, x[:, :1])
    assert shared == pytest.approx(floor, rel=0.1)
    one_hot = np.eye(4)[np.random.default_rng(0).integers(4, size=500)]
    with pytest.warns(UserWarning, match="4 columns of b have more than 5% tied"):
        assert abs(total_correlation({"a": x, "b": one_hot}, method="copula")) < 0.05
    with pytest.raises(ValueError, match="X needs at least 10 samples, got 5"):
        total_correlation({"a": x[:5], "b": y[:5]}, method="copula")


def test_a_tree_of_pairs_gives_the_larger_upper_bound(tmp_path):
    class Pairs:
        calls = 0

        def estimate(self, x, y):
            Pairs.calls += 1
            return 9.0 if x is y else abs(x[0, 0] * y[0, 0])

    X = {"a": np.full((20, 1), 1.0), "b": np.full((20, 1), 2.0), "c": np.full((20, 1), 0.5)}
    mean, tree = (
        estimate_beta_bounds(X, estimator=Pairs(), pairwise=pairwise)
        for pairwise in ("mean", "tree")
    )
    assert mean.joint_entropy == pytest.approx(27 - 2 / 3 * (2 + 1 + 0.5))
    assert tree.joint_entropy == pytest.approx(27 - (2 + 1))
    assert tree.upper > mean.upper and tree.lower == mean.lower
    assert "a property of the estimator" in str(tree)
    with pytest.raises(ValueError, match="pairwise must be one of"):
        estimate_beta_bounds(X, estimator=Pairs(), pairwise="max")
    for estimator in ("ksg", None, Pairs):
        with pytest.raises(ValueError, match="estimator must be 'gaussian', 'mine' or an object"):
            estimate_beta_bounds(X, estimator=estimator)


def test_bounds_are_estimated_once_with_a_memory(tmp_path):
    x, y = correlated(200, 2, 1.0, 0)
    mine = MINE(n_steps=10, random_state=0)
    with pytest.warns(UserWarning):
        first = estimate_beta_bounds({"a": x, "b": y}, estimator=mine, memory=str(tmp_path))
    # no warning: nothing is estimated
    again = estimate_beta_bounds({"a": x, "b": y}, estimator=mine, memory=str(tmp_path))
    assert first == again
    for weighting in ("reference", "symmetric"):  # one estimate serves all weights
        bounds = estimate_beta_bounds({"a": x, "b": y}, weighting=weighting, memory=str(tmp_path))
        assert bounds.noise == 0.1
