"""The methods OMIB is compared with: laws of their parts, which method is which other's limit."""

import pickle
from dataclasses import fields
from math import log

import numpy as np
import pytest
import torch
from sklearn.base import clone

import sklearn_omib.baselines as baselines
from sklearn_omib import ModalityDict
from sklearn_omib._base import BaseMultimodal
from sklearn_omib._classification import MultimodalClassifier
from sklearn_omib.baselines._dmib import DMIBNetwork, DMIBObjective
from sklearn_omib.baselines._mib import CMIB, EMIB, LMIB
from sklearn_omib.baselines._misa import (
    SharedPrivateFusion,
    central_moment_discrepancy,
    soft_orthogonality,
)
from sklearn_omib.baselines._mmib_cui import Alignment
from sklearn_omib.baselines._mmib_zhang import PairInformation
from sklearn_omib.nn import (
    CategoricalTask,
    FusionNetwork,
    GaussianTask,
    Objective,
    OMIBNetwork,
    OMIBObjective,
    set_generator,
)

K = 8
SHAPES = {"a": (5,), "b": (3,), "c": (4,)}
FAST = {"max_epochs": 5, "hidden_dim": 16, "latent_dim": K, "random_state": 0}
METHODS = ["BiGated", "CMIB", "Concat", "DMIB", "DeepIB", "EMIB", "LMIB", "MISA", "MMIBCui",
           "MMIBZhang"]  # fmt: skip
ESTIMATORS = [getattr(baselines, name) for name in baselines.__all__]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def make_network(kind=FusionNetwork, **options):
    sizes = {"hidden_dim": 16, "latent_dim": K, "n_layers": 2, "dropout": 0.0, "head_layers": 2}
    names = options.pop("names", "abc")
    shapes = {name: SHAPES[name] for name in names}
    return kind(shapes, dict.fromkeys(names, "mlp"), frozenset(), 2, **sizes, **options)


def make_batch(n=6, names="abc"):
    return {name: torch.randn(n, *SHAPES[name]) for name in names}


def labels(n=6):
    return torch.arange(n) % 2, torch.ones(n)


def copy_shared(source, target):
    """Give the target what weights of its names the source has."""
    target.load_state_dict({**target.state_dict(), **{
        name: tensor for name, tensor in source.state_dict().items()
        if name in target.state_dict() and target.state_dict()[name].shape == tensor.shape
    }})  # fmt: skip


def quieten(bottleneck):
    """Let sigma be 0, up to the least there is."""
    with torch.no_grad():
        bottleneck.heads.weight[K:] = 0
        bottleneck.heads.bias[K:] = -40


def same_draws(network, inputs):
    """The output in training, with draws that begin at one place."""
    set_generator(network, torch.Generator().manual_seed(0))
    return network.train()(inputs)


# -- which method is which other's limit ----------------------------------------------------------
def test_all_ten_methods_are_there_for_every_task():
    assert {f"{m}{t}" for m in METHODS for t in ("Classifier", "Regressor", "AnomalyDetector")} == (
        set(baselines.__all__)
    )


def test_cmib_with_a_transparent_joint_bottleneck_is_lmib():
    whole, late = make_network(**CMIB._parts), make_network(**LMIB._parts)
    copy_shared(late, whole)
    quieten(whole.joint)
    with torch.no_grad():
        whole.joint.heads.weight[:K] = torch.eye(K)
        whole.joint.heads.bias[:K] = 0
    inputs, (y, weight) = make_batch(), labels()
    output, expected = same_draws(whole, inputs), same_draws(late, inputs)
    torch.testing.assert_close(output.prediction, expected.prediction)
    weights = {"kl": 0.1, "joint_kl": 0.1}
    terms = Objective(CategoricalTask(), weights)(output, y, weight)
    late_terms = Objective(CategoricalTask(), weights)(expected, y, weight)
    torch.testing.assert_close(terms.loss - 0.1 * terms["joint_kl"], late_terms.loss)
    assert "joint_kl" not in late_terms and late_terms["kl"].shape == (3,)


def test_cmib_without_codes_and_branches_is_emib():
    whole, early = make_network(**CMIB._parts), make_network(**EMIB._parts)
    copy_shared(early, whole)
    for own, plain in zip(whole.bottlenecks, early.bottlenecks, strict=True):
        quieten(own)
        with torch.no_grad():
            own.heads.weight[:K], own.heads.bias[:K] = plain.heads.weight, plain.heads.bias
    inputs, (y, weight) = make_batch(), labels()
    output, expected = whole.eval()(inputs), early.eval()(inputs)
    torch.testing.assert_close(output.prediction, expected.prediction)
    task, weights = CategoricalTask(), {"joint_kl": 0.1}
    terms = Objective(task, weights, branch_weight=0.0)(output, y, weight)
    torch.testing.assert_close(terms.loss, Objective(task, weights)(expected, y, weight).loss)


def test_lmib_without_its_heads_is_deep_ib():
    late, deep = make_network(**LMIB._parts), make_network()
    copy_shared(deep, late)
    inputs, (y, weight) = make_batch(), labels()
    weights = {"kl": 0.1}
    loss = Objective(CategoricalTask(), weights, 0.0)(same_draws(late, inputs), y, weight).loss
    expected = Objective(CategoricalTask(), weights)(same_draws(deep, inputs), y, weight).loss
    torch.testing.assert_close(loss, expected)


def test_omib_without_branches_weights_and_attention_is_deep_ib():
    omib, deep = make_network(OMIBNetwork, fusion="concat"), make_network()
    copy_shared(deep, omib)
    inputs, (y, weight) = make_batch(), labels()
    objective = OMIBObjective(CategoricalTask(), 3, 0.1, "fixed", branch_weight=0.0)
    loss = objective(same_draws(omib, inputs), y, weight).loss
    deep_objective = Objective(CategoricalTask(), {"kl": 0.1})
    torch.testing.assert_close(loss, deep_objective(same_draws(deep, inputs), y, weight).loss)


def test_deep_ib_without_noise_and_penalty_is_concat():
    deep, concat = make_network(), make_network(code="plain")
    copy_shared(concat, deep)
    for own, plain in zip(deep.bottlenecks, concat.bottlenecks, strict=True):
        quieten(own)
        with torch.no_grad():
            own.heads.weight[:K], own.heads.bias[:K] = plain.heads.weight, plain.heads.bias
    inputs, (y, weight) = make_batch(), labels()
    output, expected = deep(inputs), concat(inputs)
    torch.testing.assert_close(output.prediction, expected.prediction, atol=1e-4, rtol=1e-4)
    loss = Objective(CategoricalTask(), {"kl": 0.0})(output, y, weight).loss
    plain_loss = Objective(CategoricalTask())(expected, y, weight).loss
    torch.testing.assert_close(loss, plain_loss, atol=1e-4, rtol=1e-4)


def test_dmib_without_its_extra_terms_learns_from_the_bottleneck_alone():
    network, (y, weight) = make_network(DMIBNetwork), labels()
    objective = DMIBObjective(CategoricalTask(), {"sufficiency": 0.0}, branch_weight=0.0)
    terms = objective(network(make_batch()), y, weight)
    torch.testing.assert_close(terms.loss, terms["task_loss"] + terms["observed_loss"])
    assert terms["branch_loss"].shape == (3,)


# -- parts ----------------------------------------------------------------------------------------
def test_the_observation_learns_nothing_from_sufficiency():
    network, (y, weight) = make_network(DMIBNetwork), labels()
    objective = DMIBObjective(CategoricalTask(), {"sufficiency": 1.0}, branch_weight=0.0)
    objective(network(make_batch()), y, weight)["sufficiency"].backward()
    assert all(p.grad is None for p in network.observed.parameters())
    assert any(p.grad.abs().sum() > 0 for p in network.head.parameters())


def test_moment_discrepancy_is_zero_of_equal_samples_and_grows_with_the_shift():
    a = torch.rand(50, K)
    assert central_moment_discrepancy(a, a.flip(0)) < 1e-4
    near, far = (central_moment_discrepancy(a, a + shift) for shift in (0.1, 0.3))
    # a shift moves the mean alone
    torch.testing.assert_close(near, torch.tensor(0.1 * K**0.5), atol=1e-4, rtol=0)
    torch.testing.assert_close(far, torch.tensor(0.3 * K**0.5), atol=1e-4, rtol=0)


def test_moment_discrepancy_has_a_finite_gradient_where_it_is_zero():
    a = torch.rand(20, K, requires_grad=True)
    central_moment_discrepancy(a, a.detach().clone()).backward()
    assert a.grad.isfinite().all()


def test_orthogonality_does_not_depend_on_the_number_of_rows():
    a, b = torch.randn(2, 40, K)
    once, twice = soft_orthogonality(a, b), soft_orthogonality(a.repeat(2, 1), b.repeat(2, 1))
    torch.testing.assert_close(once, twice)
    assert soft_orthogonality(a, a) > 3 * once
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert soft_orthogonality(signs[:, :1], signs[:, 1:]) == 0  # uncorrelated columns


def test_pair_information_is_at_most_the_logarithm_of_the_batch():
    n, pairs = 64, PairInformation(2, K)
    code = torch.randn(n, K)
    aligned = -pairs(torch.stack([code, code], 1))["missing_pair_information"]
    apart = -pairs(torch.stack([code, torch.randn(n, K)], 1))["missing_pair_information"]
    assert log(n) - 0.5 < aligned.mean() <= log(n) and apart.mean() < 0.1
    swapped = -pairs(torch.stack([code, code], 1).flip(1))["missing_pair_information"]
    torch.testing.assert_close(aligned, swapped)


def test_alignment_learns_what_belongs_together():
    code = torch.randn(200, K)
    zeta = torch.stack([code, code @ torch.randn(K, K)], 1)
    alignment = Alignment(2, K)
    optimiser = torch.optim.Adam(alignment.parameters(), 0.02)
    for _ in range(200):
        optimiser.zero_grad()
        loss = alignment(zeta)["alignment"].mean()
        loss.backward()
        optimiser.step()
    assert loss < 0.5 < 2 * log(2) < alignment(torch.randn(200, 2, K))["alignment"].mean() + 0.1


@pytest.mark.parametrize("part", [Alignment, PairInformation])
def test_pairs_are_missing_from_single_modalities_and_rows(part):
    assert all(v.eq(0).all() for v in part(1, K)(torch.randn(5, 1, K)).values())
    assert all(v.abs().max() < 1e-6 for v in part(3, K)(torch.randn(1, 3, K)).values())


def test_parts_of_misa_with_one_modality():
    fused = SharedPrivateFusion(1, K)(torch.randn(6, 1, K))
    assert fused.penalties["similarity"] == 0 and fused.penalties["difference"] > 0
    with pytest.raises(ValueError, match="latent_dim must be even"):
        SharedPrivateFusion(2, 7)


# -- estimators -----------------------------------------------------------------------------------
def target_of(estimator, y, score):
    tags = estimator.__sklearn_tags__()
    return {"classifier": y, "regressor": score}.get(tags.estimator_type)


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_every_parameter_learns_and_every_term_is_logged(kind, tables):
    X, y, score = tables
    model = kind(**FAST, weight_decay=0.0, dropout=0.0, input_dropout=0.0)
    before, after_warm_up = {}, model._after_warm_up

    def note_weights(data):
        before.update({n: p.detach().clone() for n, p in model.net_.module_.named_parameters()})
        after_warm_up(data)

    model._after_warm_up = note_weights
    model.fit(X, target_of(model, y, score))
    moved = {
        name: not torch.equal(before[name], p.detach())
        for name, p in model.net_.module_.named_parameters()
    }
    assert all(moved.values()), [name for name, ok in moved.items() if not ok]
    weights = getattr(model.net_.criterion_, "objective", model.net_.criterion_).penalty_weights
    columns = model.history_.columns
    for name in weights:
        assert [c for c in columns if c.startswith(f"train_{name}")], (name, list(columns))
    assert np.isfinite(model.history_.train_loss).all()


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_one_and_three_modalities_sparse_and_sequences(kind, mixed):
    X, y, score = mixed
    for names in (["table"], ["table", "words", "sequence"]):
        part = ModalityDict({name: X[name] for name in names})
        model = kind(**FAST).fit(part, target_of(kind(), y, score))
        assert model.transform(part).shape == (len(y), K)
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict(part), model.predict(part))


@pytest.mark.parametrize("method", METHODS)
def test_both_modalities_are_learned_from(method, tables):
    X, y, score = tables
    # an epoch is a single step here, and a bottleneck of several layers begins slowly
    options = {"random_state": 0, "max_epochs": 150, "n_iter_no_change": 50}
    classifier = getattr(baselines, f"{method}Classifier")(**options).fit(X, y)
    assert classifier.score(X, y) > 0.85  # .75 is what one modality tells
    regressor = getattr(baselines, f"{method}Regressor")(**options).fit(X, score)
    assert regressor.score(X, score) > 0.7


@pytest.mark.parametrize("method", METHODS)
def test_detectors_find_a_shift_and_the_modality_it_is_in(method, rng):
    def sample(n):
        return {"a": rng.normal(size=(n, 6)), "b": rng.normal(size=(n, 6))}

    detector = getattr(baselines, f"{method}AnomalyDetector")(random_state=0).fit(sample(400))
    new = sample(100)
    new["b"][:50] += 4
    y = np.r_[-np.ones(50), np.ones(50)]
    assert detector.score(new, y) > 0.9
    scores = detector.score_samples_by_modality(new)
    assert scores.columns.tolist() == ["a", "b"] and (scores.b < scores.a)[:50].mean() > 0.8


@pytest.mark.parametrize("method", METHODS)
def test_regressors_tell_how_certain_they_are(method, tables):
    X, _, score = tables
    mean, std = getattr(baselines, f"{method}Regressor")(**FAST).fit(X, score).predict(X, True)
    assert mean.shape == std.shape == score.shape and (std > 0).all()


@pytest.mark.parametrize("method", ["DeepIB", "DMIB"])
def test_chunks_and_warm_starts(method, tables):
    X, y, _ = tables
    kind = getattr(baselines, f"{method}Classifier")
    model = kind(**FAST).partial_fit(X, y, classes=[0, 1]).partial_fit(X, y)
    assert model.n_iter_ == 2
    weight = {"DeepIB": "beta", "DMIB": "sufficiency"}[method]
    model = kind(**FAST, warm_start=True).fit(X, y).set_params(**{weight: 0.5}).fit(X, y)
    assert 0.5 in model.net_.criterion_.penalty_weights.values()


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_parameters_are_stored_checked_and_shared(kind, tables):
    X, y, score = tables
    model = clone(kind())
    shared = {field.name for field in fields(BaseMultimodal)}
    assert shared <= set(model.get_params())
    assert not {"trb_weight", "weighting", "beta_scale", "entropy_estimator"} & set(
        model.get_params()
    )
    with pytest.raises(ValueError, match="'hidden_dim' parameter"):
        kind(hidden_dim=0).fit(X, target_of(kind(), y, score))
    own = [n for n in ("beta", "sufficiency", "difference") if n in model.get_params()]
    for name in own:
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            kind(**{name: -1.0}).fit(X, target_of(kind(), y, score))


def test_gaussian_targets_diverge_by_their_squared_distance():
    """What DMIB's sufficiency is for numbers: the KL of two normal distributions."""
    task = GaussianTask(1)
    p, q = torch.tensor([[1.0]]), torch.tensor([[3.0]])
    torch.testing.assert_close(task.divergence(p, q), torch.tensor([2.0]))


def test_a_method_of_ones_own_is_a_class_and_a_task(tables):
    """What the benchmark of a new method needs: a network, an objective and nothing else."""

    class Doubled(baselines._base.BaseBaseline):
        """Two penalties for one.

        Parameters
        ----------
        strength : float, default=0.5
            Weight of the codes' KL.
        """

        strength: float = 0.5

        def _objective_settings(self):
            return {"penalty_weights": {"kl": 2 * self.strength}}

    class DoubledClassifier(MultimodalClassifier, Doubled):
        """Classifier with two penalties for one."""

    class Renamed(DoubledClassifier):
        """With a constructor of its own."""

        def __init__(self, strength=0.1):
            super().__init__(strength=strength, **FAST)

    X, y, _ = tables
    model = clone(DoubledClassifier(strength=0.2, **FAST)).fit(X, y)
    assert model.net_.criterion_.penalty_weights == {"kl": 0.4}
    assert model.get_params()["n_iter_no_change"] == 25
    assert "strength : float, default=0.5" in DoubledClassifier.__doc__
    assert Renamed().get_params() == {"strength": 0.1}
    assert Renamed().fit(X, y).predict(X).shape == y.shape
