"""Synthetic data: what truth says holds for the data that come with it."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import entr, ndtr
from scipy.stats import norm
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state

from sklearn_omib import OMIBClassifier, OMIBRegressor
from sklearn_omib.datasets import (
    make_multimodal_classification,
    make_multimodal_regression,
    make_sim,
)
from sklearn_omib.datasets._factors import _couple

GENERATORS = [make_multimodal_classification, make_multimodal_regression, make_sim]
MULTIMODAL = GENERATORS[:2]
NOISE = 0.5  # the generators' default
N = 20_000


def names_of(key, X):
    """Modalities behind a key of the truth."""
    return list(X) if key == "all" else [key] if isinstance(key, str) else list(key)


def covariance(loadings, names, noise=NOISE):
    """Covariance of linear features side by side, from the columns each part loads on."""
    parts = {part: None for name in names for part in loadings[name]}
    sizes = [next(iter(loadings[name].values())).shape[0] for name in names]
    total = noise**2 * np.eye(sum(sizes))
    for part in parts:
        stacked = stack_loadings(loadings, names, part)
        total += stacked @ stacked.T
    return total


def stack_loadings(loadings, names, part):
    """Covariance of the features with the factors of a part: zero where it is not carried."""
    width = next(of[part].shape[1] for of in loadings.values() if part in of)
    return np.vstack(
        [
            loadings[name].get(part, np.zeros((len(next(iter(loadings[name].values()))), width)))
            for name in names
        ]
    )


def condition(data, names, weights):
    """Mean, per sample, and covariance of sums of factors given modalities: Gaussian regression."""
    cross = sum(
        stack_loadings(data.truth.loadings, names, part) @ of_part
        for part, of_part in weights.items()
    )
    prior = sum(of_part.T @ of_part for of_part in weights.values())
    solved = np.linalg.solve(covariance(data.truth.loadings, names), cross)
    features = np.hstack([data.X[name] for name in names])
    return features @ solved, prior - cross.T @ solved


def sign_belief(data, names):
    """E[sign product of the synergy | modalities], per sample."""
    belief = np.ones(len(data.X))
    for m in ("0", "1"):
        mean, variance = condition(data, names, {f"synergy_{m}": np.eye(1)})
        belief *= 2 * ndtr(mean[:, 0] / np.sqrt(variance[0, 0])) - 1
    return belief


def class_probabilities(data, names, flip_y):
    """P(y | modalities) of each sample, by conditioning on features."""
    truth = data.truth
    mean, variance = condition(data, names, {name: w[:, None] for name, w in truth.coef.items()})
    jump = np.sqrt(truth.share.get("synergy", 0))
    belief = sign_belief(data, names) if jump else np.zeros(len(mean))
    edges = np.r_[-np.inf, truth.cuts, np.inf]
    p = sum(
        (1 + sign * belief[:, None])
        / 2
        * np.diff(ndtr((edges - sign * jump - mean) / np.sqrt(variance)), axis=1)
        for sign in (1, -1)
    )
    return (1 - flip_y) * p + flip_y / (len(truth.cuts) + 1)


def assert_mean(values, expected, slack=0.0):
    """The mean of a sample is within four standard errors of its expectation."""
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - expected) <= 4 * error + slack


@pytest.mark.parametrize("make", GENERATORS)
def test_seeds_reproduce(make):
    first, same, other = (make(n_samples=30, random_state=seed) for seed in (0, 0, 1))
    for name in first.X:
        np.testing.assert_array_equal(first.X[name], same.X[name])
        assert not np.allclose(first.X[name], other.X[name])
    np.testing.assert_array_equal(first.y, same.y)


@pytest.mark.parametrize("importance", [None, {"specific_1": 3.0, "synergy": 2.0}])
def test_bayes_rule_reaches_the_accuracy_and_information_stated(importance):
    data = make_multimodal_classification(
        N, n_modalities=3, n_features=[11, 12, 13], n_pairwise=1, n_classes=3,
        weights=[0.2, 0.5, 0.3], flip_y=0.1, importance=importance, random_state=0,
    )  # fmt: skip
    truth = data.truth
    prior = 0.9 * np.array([0.2, 0.5, 0.3]) + 0.1 / 3
    assert len(truth.bayes_accuracy) == 7
    for key in truth.bayes_accuracy:
        p = class_probabilities(data, names_of(key, data.X), 0.1)
        assert_mean(p.argmax(1) == data.y, truth.bayes_accuracy[key])
        gain = np.log(p[np.arange(N), data.y] / prior[data.y])
        assert_mean(gain, truth.information[key])
        # less noise than in labels: averages over the features alone
        assert_mean(p.max(1), truth.bayes_accuracy[key])
        assert_mean(truth.entropy - entr(p).sum(1), truth.information[key])


def test_entropy_and_factors_without_noise_in_the_modalities():
    data = make_multimodal_classification(N, n_classes=4, flip_y=0.2, random_state=0)
    truth = data.truth
    share = np.bincount(data.y) / N
    assert_mean(-np.log(share[data.y]), truth.entropy, slack=3 / (2 * N))
    known = 0.8 * np.eye(4)[np.searchsorted(truth.cuts, truth.decision)] + 0.05
    assert_mean(np.log(known[np.arange(N), data.y] / 0.25), truth.latent_information["all"])
    clear = make_multimodal_classification(modality_noise=0, flip_y=0.2, random_state=0).truth
    assert clear.information == clear.latent_information
    assert clear.pairwise_information["modality_0", "modality_1"] == np.inf


@pytest.mark.parametrize("noise", [0.05, 0.5, 3])
def test_integrals_agree_with_adaptive_quadrature(noise):
    weights = [0.1, 0.05, 0.5, 0.35]  # a narrow class, which the Bayes rule may never choose
    truth = make_multimodal_classification(
        10, n_modalities=1, n_classes=4, weights=weights, flip_y=0, modality_noise=noise,
        random_state=0,
    ).truth  # fmt: skip
    r = 1 / (1 + noise**2)
    edges = np.r_[-np.inf, norm.ppf(np.cumsum(weights)[:-1]), np.inf]

    def average(function):
        def integrand(t):
            p = np.diff(norm.cdf((edges - np.sqrt(r) * t) / np.sqrt(1 - r)))
            return norm.pdf(t) * function(p)

        pieces = pairwise(np.linspace(-8, 8, 65))
        return sum(quad(integrand, *piece, epsabs=1e-9, limit=20)[0] for piece in pieces)

    assert truth.bayes_accuracy["all"] == pytest.approx(average(np.max), abs=1e-6)
    remaining = average(lambda p: entr(p).sum())
    assert truth.information["all"] == pytest.approx(truth.entropy - remaining, abs=1e-6)


def test_labels_drawn_anew_tell_nothing():
    truth = make_multimodal_classification(n_classes=3, flip_y=1, random_state=0).truth
    np.testing.assert_allclose(list(truth.bayes_accuracy.values()), 1 / 3)
    np.testing.assert_allclose(list(truth.information.values()), 0, atol=1e-12)


@pytest.mark.parametrize("make", MULTIMODAL)
def test_more_modalities_and_less_noise_tell_more(make):
    truth = make(n_modalities=4, importance={"synergy": 1}, random_state=0).truth
    score = truth.get("bayes_accuracy", truth.get("best_r2"))
    everything = {f"modality_{m}" for m in range(4)}
    seen = {key: frozenset(names_of(key, everything)) for key in score}
    assert len(score) == 15
    for less, more in combinations(score, 2):
        if seen[less] < seen[more]:
            assert score[less] < score[more]
            assert truth.information[less] < truth.information[more]
    for key in score:
        assert truth.information[key] < truth.latent_information[key]
    assert len(make(20, n_modalities=7, random_state=0).truth.information) == 8


def test_pure_synergy_is_an_exclusive_or():
    only = {"shared": 0, "specific": 0, "synergy": 1}
    data = make_multimodal_classification(N, importance=only, flip_y=0, random_state=0)
    truth = data.truth
    right = 1 - np.arccos(np.sqrt(1 / (1 + NOISE**2))) / np.pi  # of either sign
    assert truth.bayes_accuracy["all"] == pytest.approx((1 + (2 * right - 1) ** 2) / 2, abs=1e-5)
    for name in data.X:
        assert truth.bayes_accuracy[name] == pytest.approx(0.5)
        assert truth.information[name] == pytest.approx(0)
    signs = truth.parts["synergy_0"] * truth.parts["synergy_1"] > 0
    np.testing.assert_array_equal(data.y, signs[:, 0])


@pytest.mark.parametrize("n_targets", [1, 3])
def test_best_regression_reaches_the_r2_stated(n_targets):
    data = make_multimodal_regression(N, n_targets=n_targets, n_features=10, random_state=0)
    truth = data.truth
    y = data.y.reshape(N, -1)
    cov_y = sum(w.T @ w for w in truth.coef.values()) + 0.3**2 * np.eye(n_targets)
    np.testing.assert_allclose(np.diag(cov_y), 1.09)
    assert truth.entropy == pytest.approx(np.linalg.slogdet(2 * np.pi * np.e * cov_y)[1] / 2)
    for key, r2 in truth.best_r2.items():
        mean, remaining = condition(data, names_of(key, data.X), truth.coef)
        for squared in ((y - mean) ** 2).T:
            assert_mean(squared, 1.09 * (1 - r2))
        remaining = remaining + 0.3**2 * np.eye(n_targets)
        gain = np.linalg.slogdet(cov_y)[1] - np.linalg.slogdet(remaining)[1]
        assert truth.information[key] == pytest.approx(gain / 2)


def test_regression_with_synergy():
    importance = {"synergy": 4}
    data = make_multimodal_regression(N, n_targets=2, importance=importance, random_state=0)
    truth = data.truth
    jump = np.sqrt(truth.share["synergy"])

    def log_density(mean, cov, belief):
        """Of y around mean, and around mean + jump times a sign of this expectation."""
        away = [data.y - mean - sign * jump for sign in (1, -1)]
        far = [np.einsum("ni,ij,nj->n", r, np.linalg.inv(cov), r) / 2 for r in away]
        p = (1 + belief) / 2 * np.exp(-far[0]) + (1 - belief) / 2 * np.exp(-far[1])
        return np.log(p) - np.linalg.slogdet(2 * np.pi * cov)[1] / 2

    noise = 0.3**2 * np.eye(2)
    prior = log_density(0, sum(w.T @ w for w in truth.coef.values()) + noise, 0)
    assert_mean(-prior, truth.entropy)
    for key, r2 in truth.best_r2.items():
        names = names_of(key, data.X)
        mean, remaining = condition(data, names, truth.coef)
        belief = sign_belief(data, names)
        squared = (data.y - mean - jump * belief[:, None]) ** 2
        assert_mean(squared.mean(1), 1.09 * (1 - r2))
        assert_mean(log_density(mean, remaining + noise, belief) - prior, truth.information[key])


def test_a_target_without_noise_is_told_in_full_by_clear_modalities():
    truth = make_multimodal_regression(noise=0, modality_noise=0, random_state=0).truth
    assert truth.best_r2["all"] == pytest.approx(1) and truth.information["all"] == np.inf
    assert np.isfinite(truth.information["modality_0"])


def test_information_between_modalities_is_that_of_gaussians():
    data = make_multimodal_classification(
        N, n_modalities=3, n_features=[11, 12, 13], n_pairwise=1, random_state=0
    )

    def mutual(matrix, edges):
        log_det = [np.linalg.slogdet(block)[1] for block in diagonal_blocks(matrix, edges)]
        return (sum(log_det) - np.linalg.slogdet(matrix)[1]) / 2

    def diagonal_blocks(matrix, edges):
        return [matrix[i:j, i:j] for i, j in pairwise(edges)]

    truth, n_factors = data.truth, 5  # two shared, two nuisance, one of the pair
    for pair, value in truth.pairwise_information.items():
        widths = [data.X[name].shape[1] for name in pair]
        edges = np.cumsum([0, *widths])
        assert value == pytest.approx(mutual(covariance(truth.loadings, pair), edges))
        sample = np.cov(np.hstack([data.X[name] for name in pair]), rowvar=False)
        error = np.sqrt(n_factors * 0.8**2 / N)  # of the log-density ratio
        assert mutual(sample, edges) == pytest.approx(value, abs=4 * error + np.prod(widths) / N)
    total = mutual(covariance(truth.loadings, list(data.X)), np.cumsum([0, 11, 12, 13]))
    assert truth.total_correlation == pytest.approx(total)


@pytest.mark.parametrize("make", MULTIMODAL)
def test_parts_are_where_truth_says(make):
    data = make(
        4000, n_modalities=3, n_pairwise=1, modality_noise=[0.1, 0.5, 0], importance={"synergy": 1},
        random_state=0,
    )  # fmt: skip
    truth, noise = data.truth, {"modality_0": 0.1, "modality_1": 0.5, "modality_2": 0}
    for name, v in data.X.items():
        r2 = probe(v, truth.parts)
        for part in truth.parts:
            carried = name in truth.modalities[part]
            assert carried == (part in truth.loadings[name])
            expected = 1 / (1 + noise[name] ** 2) if carried else 0
            np.testing.assert_allclose(r2[part], expected, atol=0.05)


def probe(v, parts):
    """R2 on the second half of a linear model of each factor, fitted on the first."""
    half, u = len(v) // 2, np.hstack(list(parts.values()))
    predicted = LinearRegression().fit(v[:half], u[:half]).predict(v[half:])
    r2 = r2_score(u[half:], predicted, multioutput="raw_values")
    edges = np.cumsum([factors.shape[1] for factors in parts.values()])[:-1]
    return dict(zip(parts, np.split(r2, edges), strict=True))


def test_score_is_made_of_the_parts_and_of_no_nuisance():
    data = make_multimodal_classification(N, importance={"specific_0": 2}, random_state=0)
    truth = data.truth
    assert truth.share == {"shared": 0.25, "specific_0": 0.5, "specific_1": 0.25}
    for name, share in truth.share.items():
        assert_mean((truth.parts[name] @ truth.coef[name]) ** 2, share)
    assert truth.nuisance.shape == (N, 6)
    standard = (data.y - data.y.mean()) / data.y.std()
    for column in truth.nuisance.T:
        assert_mean(column * standard, 0)


def test_nonlinear_features_hide_factors_from_a_linear_probe_and_keep_the_truth():
    linear, nonlinear = (
        make_multimodal_classification(4000, mixing=mixing, random_state=0)
        for mixing in ("linear", "nonlinear")
    )
    assert linear.truth.information == pytest.approx(nonlinear.truth.information, abs=1e-6)
    r2 = [probe(data.X["modality_0"], data.truth.parts)["shared"] for data in (linear, nonlinear)]
    np.testing.assert_allclose(r2[0], 0.8, atol=0.04)
    assert (r2[1] < 0.7).all()


@pytest.mark.parametrize("width", [1, 2, 5])
def test_the_nonlinear_map_keeps_volume(width):
    v = np.random.default_rng(0).normal(size=(1, width))

    def coupled(shift):
        return _couple(v + shift, check_random_state(0))[0]

    steps = 1e-5 * np.eye(width)
    jacobian = np.array([(coupled(step) - coupled(-step)) / 2e-5 for step in steps])
    assert np.linalg.det(jacobian) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("make", MULTIMODAL)
def test_missing_modalities(make):
    complete, data = (
        make(N, n_modalities=3, missing=missing, random_state=0) for missing in (0, [0.3, 0.1, 0])
    )
    assert complete.truth.present.all()
    present = data.truth.present
    for m, (name, share) in enumerate(zip(data.X, [0.3, 0.1, 0], strict=True)):
        np.testing.assert_array_equal(np.isnan(data.X[name]).any(1), ~present[:, m])
        np.testing.assert_array_equal(np.isnan(data.X[name]).all(1), ~present[:, m])
        assert_mean(~present[:, m], share)
    sparse = make(500, missing=0.9, random_state=0)
    assert sparse.truth.present.any(1).all()
    kind = OMIBClassifier if "classif" in make.__name__ else OMIBRegressor
    estimator = kind(n_members=1, max_epochs=1, warmup_epochs=1, random_state=0)
    assert len(estimator.fit(data.X, data.y).predict(data.X)) == len(data.y)


@pytest.mark.parametrize("case", ["I", "II", "III"])
def test_sim(case):
    sim = make_sim(case, 4000, nuisance=5, random_state=0)
    truth = sim.truth
    assert truth.entropy == np.log(2) and truth.pairwise_information["x1", "x2"] == np.inf
    assert truth.bayes_accuracy["all"] == 1 and truth.information["all"] == np.log(2)
    coef = dict(
        zip(("a0", "a1", "a2"), np.split(truth.coef, [200, 200 + len_a1(case)]), strict=True)
    )
    norm = np.linalg.norm(truth.coef)
    for m in ("1", "2"):
        seen = {name: coef[name] / norm for name in ("a0", f"a{m}")}
        score = sum(sim.X[f"x{m}"][:, truth.columns[f"x{m}"][name]] @ seen[name] for name in seen)
        r = sum(np.sum(part**2) for part in seen.values())
        right = 1 - np.arccos(np.sqrt(r)) / np.pi
        assert truth.bayes_accuracy[f"x{m}"] == pytest.approx(right, abs=1e-9)
        assert_mean((score > 0) == sim.y, right)
        p = ndtr(score / np.sqrt(1 - r))
        assert_mean(np.log(2) - entr(p) - entr(1 - p), truth.information[f"x{m}"])
    assert not make_sim(case, 10, shared=(0, 0)).truth.pairwise_information["x1", "x2"]


def len_a1(case):
    return {"I": 500, "II": 100, "III": 300}[case]


@pytest.mark.parametrize("make", MULTIMODAL)
@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_modalities": 0}, "'n_modalities' parameter .* Got 0"),
        ({"mixing": "cubic"}, "'mixing' parameter .* Got 'cubic'"),
        ({"missing": 1.0}, "'missing' parameter .* Got 1.0"),
        ({"missing": [0.2, 1.2]}, r"missing must lie in \[0, 1\), got \[0.2, 1.2\]"),
        ({"modality_noise": [0.1, -1]}, r"modality_noise must not be negative, got \[0.1, -1.0\]"),
        ({"modality_noise": [0.1]}, r"modality_noise must be .* list of n_modalities=2 numbers"),
        ({"n_features": [20, 3]}, "n_features of 'modality_1' must be .* 8, got 3"),
        ({"n_features": [20, 9.5]}, "n_features of 'modality_1' must be an integer .* got 9.5"),
        ({"importance": {"speciific": 1}}, "importance must map .* got 1 for 'speciific'; parts"),
        ({"importance": {"shared": -1}}, "importance must map .* got -1 for 'shared'"),
        ({"importance": {"shared": 0, "specific": 0}}, "A part must matter, got importance="),
        ({"n_modalities": 1, "importance": {"synergy": 1}}, "'synergy' needs n_modalities"),
    ],
)
def test_bad_parameters(make, parameters, message):
    with pytest.raises(ValueError, match=message):
        make(20, **parameters)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_classes": 1}, "'n_classes' parameter .* Got 1"),
        ({"flip_y": 1.5}, "'flip_y' parameter .* Got 1.5"),
        ({"weights": [0.5, 0.6]}, r"weights must be n_classes=2 .* got \[0.5, 0.6\]"),
        (
            {"importance": {"shared": 0, "specific": 0, "synergy": 1}, "n_classes": 3},
            "n_classes must be 2 and weights None, got 3",
        ),
    ],
)
def test_bad_parameters_of_classes(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_multimodal_classification(20, **parameters)


@pytest.mark.parametrize("n_modalities, mixing", [(1, "linear"), (3, "nonlinear")])
def test_estimators_fit_and_stay_below_the_truth(mixing, n_modalities):
    common = {"n_modalities": n_modalities, "mixing": mixing, "random_state": 0}
    data = make_multimodal_classification(1500, n_classes=3, **common)
    clf = OMIBClassifier(warmup_epochs=2, max_epochs=6, random_state=0)
    accuracy = clf.fit(data.X[:1000], data.y[:1000]).score(data.X[1000:], data.y[1000:])
    assert 1 / 3 + 0.08 < accuracy < data.truth.bayes_accuracy["all"] + 4 * 0.5 / np.sqrt(500)
    data = make_multimodal_regression(1500, n_targets=2, **common)
    reg = OMIBRegressor(warmup_epochs=2, max_epochs=6, random_state=0)
    r2 = reg.fit(data.X[:1000], data.y[:1000]).score(data.X[1000:], data.y[1000:])
    assert 0.1 < r2 < data.truth.best_r2["all"] + 0.1
