"""The methods OMIB is compared with: laws of their parts, which method is which other's limit."""

import pickle
from math import log

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_omib import ModalityDict, OMIBAnomalyDetector, OMIBClassifier, OMIBRegressor, baselines
from sklearn_omib._estimator import BaseMultimodal
from sklearn_omib.baselines import (
    CMIB,
    DMIB,
    EMIB,
    LMIB,
    MISA,
    BaselineAnomalyDetector,
    BaselineClassifier,
    BaselineRegressor,
    BiGated,
    Concat,
    DeepIB,
    Method,
    MMIBCui,
    MMIBZhang,
)
from sklearn_omib.methods import OMIB
from sklearn_omib.methods.dmib import DMIBNetwork, DMIBObjective
from sklearn_omib.methods.misa import (
    SharedPrivateFusion,
    central_moment_discrepancy,
    soft_orthogonality,
)
from sklearn_omib.methods.mmib_cui import Alignment
from sklearn_omib.methods.mmib_zhang import PairInformation
from sklearn_omib.nn import (
    CategoricalTask,
    FusionNetwork,
    GaussianTask,
    GeneratorStack,
    Objective,
    OMIBNetwork,
    OMIBObjective,
    StackedLinear,
    select,
    set_generator,
)
from sklearn_omib.tasks import AnomalyDetection, Classification, Regression
from sklearn_omib.training.stopping import Snapshots

K = 8
SHAPES = {"a": (5,), "b": (3,), "c": (4,)}
FAST = {"max_epochs": 5, "hidden_dim": 16, "latent_dim": K, "random_state": 0}
METHODS = [BiGated, CMIB, Concat, DMIB, DeepIB, EMIB, LMIB, MISA, MMIBCui, MMIBZhang]
ESTIMATORS = [BaselineClassifier, BaselineRegressor, BaselineAnomalyDetector]
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda kind: kind.__name__)
every_estimator = pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)


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
def test_all_ten_methods_are_there():
    public = {getattr(baselines, name) for name in baselines.__all__}
    assert public == {*METHODS, *ESTIMATORS, Method}
    assert all(issubclass(method, Method) for method in METHODS)


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


def test_gaussian_targets_diverge_by_their_squared_distance():
    """What DMIB's sufficiency is for numbers: the KL of two normal distributions."""
    task = GaussianTask(1)
    p, q = torch.tensor([[1.0]]), torch.tensor([[3.0]])
    torch.testing.assert_close(task.divergence(p, q), torch.tensor([2.0]))


# -- networks side by side ------------------------------------------------------------------------
def task_of(name):
    """A task that knows its target, and targets of six samples for three networks."""
    if name == "one class":
        task = AnomalyDetection("auto", 3.0, None, 1.0, 6)
        return task, torch.tensor([1.0, -1, 1, 1, -1, 1]).repeat(3, 1)
    task = Regression() if name == "numbers" else Classification()
    y = {"classes": [0, 1, 2, 0, 1, 2], "labels": [[0, 1], [1, 1]] * 3,
         "numbers": np.arange(12.0).reshape(6, 2) ** 2}[name]  # fmt: skip
    task.learn(y)
    target = torch.from_numpy(task.encode(y))
    return task, torch.stack([target.roll(k, 0) for k in range(3)])


def side_by_side(method, task, stack):
    """Network and objective of a method for a task."""
    loss, n_outputs = task.loss(stack)
    shared = {
        "sample_shapes": SHAPES,
        "encoders": {"a": "mlp", "b": "linear_mlp", "c": torch.nn.Linear(4, 7)},
        "sparse": frozenset(),
        "n_outputs": n_outputs,
        "hidden_dim": 16,
        "latent_dim": K,
        "n_layers": 2,
        "dropout": 0.3,
        "input_dropout": 0.2,
        "head_layers": 2,
        "variance_head": hasattr(loss, "variance_loss"),
        "stack": stack,
    }
    method = method()
    if isinstance(method, OMIB):
        method.beta_, method.modality_dropout_ = 0.1, 0.2
    network = task.network(method.network(**shared), shared)
    return network, task.objective(method.objective(loss, len(SHAPES), stack))


@torch.no_grad()
def take_over(alone, stacked):
    """Give a network alone all that the only one of a stack has learned."""
    parts = [
        [part for part in module.modules() if part._parameters or part._buffers]
        for module in (alone, stacked)
    ]
    for to, of in zip(*parts, strict=True):
        for name, tensor in [*to.named_parameters(recurse=False), *to.named_buffers(recurse=False)]:
            own = getattr(of, name)
            own = own[0] if own.ndim > tensor.ndim else own  # a copy has no such dimension
            tensor.copy_(own.t() if isinstance(of, StackedLinear) else own)


def first_steps(network, objective, inputs, y, weight):
    """All that is said of a batch in warm-up, in an epoch and after it."""
    said = {}
    if hasattr(network, "warm_up"):
        said["warm-up"] = objective.warm_up(network.warm_up(inputs), y, weight)
    for epoch in ("first", "second"):
        output = network(inputs)
        said[epoch] = objective(output, y, weight)
        objective.update(output, y, weight, said[epoch])
        objective.reweight()
    outputs = [part for part in network.predict(inputs) if part is not None]
    return said, outputs


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("task_name", ["classes", "labels", "numbers", "one class"])
@pytest.mark.parametrize("method", [*METHODS, OMIB], ids=lambda kind: kind.__name__)
def test_each_of_several_networks_is_one_alone(method, task_name, training):
    """Predictions and every term, with the same draws: as part of a stack, and without one."""
    task, y = task_of(task_name)
    network, objective = side_by_side(method, task, 3)
    inputs = {name: torch.randn(3, 6, *shape) for name, shape in SHAPES.items()}
    weight = torch.rand(3, 6) + 0.5
    if task_name == "one class":
        network.centre.normal_()
    rivals = []
    for k in range(3):
        only, its = select(network, [k]), select(objective, [k])
        alone, own = side_by_side(method, task, None)
        take_over(alone, only), take_over(own, its)
        row = {name: block[k : k + 1] for name, block in inputs.items()}
        set_generator(only, GeneratorStack([torch.Generator().manual_seed(k)], [0]))
        set_generator(alone, torch.Generator().manual_seed(k))
        rivals.append((
            first_steps(only.train(training), its, row, y[k : k + 1], weight[k : k + 1]),
            first_steps(alone.train(training), own, {name: block[0] for name, block in row.items()},
                        y[k], weight[k]),
        ))  # fmt: skip
    generators = [torch.Generator().manual_seed(k) for k in range(3)]
    set_generator(network, GeneratorStack(generators, range(3)))
    said, outputs = first_steps(network.train(training), objective, inputs, y, weight)
    close = {"rtol": 1e-4, "atol": 1e-5}
    for k, ((of_only, out_of_only), (of_alone, out_of_alone)) in enumerate(rivals):
        for stage, terms in said.items():
            assert [*terms] == [*of_only[stage]] == [*of_alone[stage]]
            for name, term in terms.items():
                torch.testing.assert_close(of_only[stage][name][0], term[k], **close)
                torch.testing.assert_close(of_alone[stage][name], term[k], **close)
        for together, one, bare in zip(outputs, out_of_only, out_of_alone, strict=True):
            torch.testing.assert_close(one[0], together[k], **close)
            torch.testing.assert_close(bare, together[k], **close)


# -- estimators -----------------------------------------------------------------------------------
def target_of(kind, y, score):
    return {BaselineClassifier: y, BaselineRegressor: score}.get(kind)


@every_estimator
@every_method
def test_every_parameter_learns_and_every_term_is_logged(method, kind, tables):
    X, y, score = tables
    model = kind(method(), **FAST, n_members=2, weight_decay=0.0, dropout=0.0, input_dropout=0.0)
    seen = []
    look = Snapshots([0], lambda epoch, net: seen.append(select(net.live.module, [0, 1])))
    model._watchers = (("look", look),)
    model.fit(X, target_of(kind, y, score))
    for k in range(2):
        before, after = (select(module, [k]) for module in (*seen, model.net_.module_))
        learned = zip(before.named_parameters(), after.parameters(), strict=True)
        still = [name for (name, old), new in learned if torch.equal(old, new)]
        assert not still, still
    weights = getattr(model.net_.criterion_, "objective", model.net_.criterion_).penalty_weights
    columns = model.history_.columns
    for name in weights:
        assert [c for c in columns if c.startswith(f"train_{name}")], (name, list(columns))
    assert np.isfinite(model.history_.train_loss).all()


@every_estimator
@every_method
def test_the_first_of_several_networks_is_the_one_trained_alone(method, kind, tables):
    X, y, score = tables
    several, one = (
        kind(method(), **FAST, n_members=n).fit(X, target_of(kind, y, score)) for n in (3, 1)
    )
    assert several.n_members_ == 3 and one.n_members_ == 1
    np.testing.assert_allclose(several.transform(X), one.transform(X), atol=1e-4)
    columns = one.history_.columns.drop(["phase", "seconds"])
    np.testing.assert_allclose(several.history_[columns], one.history_[columns], atol=1e-4)


@every_estimator
@every_method
def test_one_and_three_modalities_sparse_and_sequences(method, kind, mixed):
    X, y, score = mixed
    for names in (["table"], ["table", "words", "sequence"]):
        part = ModalityDict({name: X[name] for name in names})
        model = kind(method(), **FAST, n_members=2).fit(part, target_of(kind, y, score))
        assert model.transform(part).shape == (len(y), K)
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict(part), model.predict(part))


@every_method
def test_both_modalities_are_learned_from(method, tables):
    X, y, score = tables
    # an epoch is a single step here, and a bottleneck of several layers begins slowly
    options = {"random_state": 0, "n_members": 1, "max_epochs": 150, "n_iter_no_change": 50}
    classifier = BaselineClassifier(method(), **options).fit(X, y)
    assert classifier.score(X, y) > 0.85  # .75 is what one modality tells
    regressor = BaselineRegressor(method(), **options).fit(X, score)
    assert regressor.score(X, score) > 0.7


@every_method
def test_detectors_find_a_shift_and_the_modality_it_is_in(method, rng):
    def sample(n):
        return {"a": rng.normal(size=(n, 6)), "b": rng.normal(size=(n, 6))}

    detector = BaselineAnomalyDetector(method(), random_state=0).fit(sample(400))
    new = sample(100)
    new["b"][:50] += 4
    y = np.r_[-np.ones(50), np.ones(50)]
    assert detector.score(new, y) > 0.9
    scores = detector.score_samples_by_modality(new)
    assert scores.columns.tolist() == ["a", "b"] and (scores.b < scores.a)[:50].mean() > 0.8


@every_method
def test_regressors_tell_how_certain_they_are(method, tables):
    X, _, score = tables
    mean, std = BaselineRegressor(method(), **FAST).fit(X, score).predict(X, True)
    assert mean.shape == std.shape == score.shape and (std > 0).all()


@pytest.mark.parametrize("method, weight", [(DeepIB, "beta"), (DMIB, "sufficiency")])
def test_chunks_and_warm_starts(method, weight, tables):
    X, y, _ = tables
    model = BaselineClassifier(method(), **FAST)
    model.partial_fit(X, y, classes=[0, 1]).partial_fit(X, y)
    assert model.n_iter_ == 2 and model.n_members_ == 1
    model = BaselineClassifier(method(), **FAST, n_members=2, warm_start=True).fit(X, y)
    model.set_params(**{f"method__{weight}": 0.5}).fit(X, y)
    assert 0.5 in model.net_.criterion_.penalty_weights.values() and model.n_members_ == 2


@pytest.mark.parametrize("method, other", [(DMIB, Concat), (Concat, DMIB), (CMIB, EMIB)])
def test_a_warm_start_cannot_change_the_method(method, other, tables):
    X, y, _ = tables
    model = BaselineClassifier(method(), **FAST, warm_start=True).fit(X, y)
    before, epochs = model.predict_proba(X), len(model.history_)
    with pytest.raises(ValueError, match=r"'method'\] changed"):
        model.set_params(method=other()).fit(X, y)
    assert len(model.history_) == epochs
    np.testing.assert_array_equal(model.predict_proba(X), before)


@every_estimator
def test_parameters_of_estimators_are_stored_checked_and_shared(kind, tables):
    X, y, score = tables
    model = clone(kind())
    assert set(BaseMultimodal._parameter_constraints) <= set(model.get_params())
    assert not (set(OMIB().get_params()) - {"warmup_epochs"}) & set(model.get_params())
    with pytest.raises(ValueError, match="'hidden_dim' parameter"):
        kind(hidden_dim=0).fit(X, target_of(kind, y, score))


# -- methods as parameters ------------------------------------------------------------------------
@every_estimator
@every_method
def test_parameters_of_methods_are_stored_and_checked(method, kind, tables):
    X, y, score = tables
    own = method().get_params()
    model = clone(kind(method()))
    assert {name: model.get_params()[f"method__{name}"] for name in own} == own
    for name in own:
        nonsense = "nonsense" if isinstance(own[name], str) else -1.0
        wrong = kind(method(**{name: nonsense}), **FAST)
        with pytest.raises(ValueError, match=f"'{name}' parameter of {method.__name__}"):
            wrong.fit(X, target_of(kind, y, score))
        assert not hasattr(wrong, "net_")


@every_estimator
def test_no_method_is_concat(kind, tables):
    X, y, score = tables
    fits = [kind(method, **FAST).fit(X, target_of(kind, y, score)) for method in (None, Concat())]
    np.testing.assert_array_equal(fits[0].transform(X), fits[1].transform(X))
    assert fits[0].method is None


@every_estimator
@pytest.mark.parametrize(
    "wrong", ["CMIB", CMIB, OMIBClassifier()], ids=["name", "class", "estimator"]
)
def test_what_is_no_method_is_refused(kind, wrong, tables):
    X, y, score = tables
    with pytest.raises(ValueError, match=f"'method' parameter of {kind.__name__}"):
        kind(wrong, **FAST).fit(X, target_of(kind, y, score))


def test_a_fit_leaves_the_method_as_it_was_given(tables):
    X, y, _ = tables
    method = OMIB()
    before = dict(vars(method))
    BaselineClassifier(method, **FAST).fit(X, y)
    assert vars(method) == before


@pytest.mark.parametrize("kind, omib", [
    (BaselineClassifier, OMIBClassifier),
    (BaselineRegressor, OMIBRegressor),
    (BaselineAnomalyDetector, OMIBAnomalyDetector),
])  # fmt: skip
def test_omib_as_a_method_is_omib(kind, omib, tables):
    """Two ways to one fit: a method is what predicts from the fusion alone."""
    X, y, score = tables
    expected = omib(**FAST)
    if "combine" in expected.get_params():
        expected.set_params(combine="fused")
    shared = {n: v for n, v in expected.get_params().items() if n in kind().get_params()}
    method = OMIB(**{n: v for n, v in expected.get_params().items() if n in OMIB().get_params()})
    model = kind(method, **shared)
    for one in (model, expected):
        one.fit(X, target_of(kind, y, score))
    np.testing.assert_array_equal(model.transform(X), expected.transform(X))
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    assert model.beta_ == expected.beta_


def test_a_search_over_a_parameter_of_the_method(tables):
    X, y, _ = tables
    grid = {"method__beta": [1e-4, 10.0], "method__fusion": ["sum"]}
    search = GridSearchCV(BaselineClassifier(CMIB(), **FAST), grid, cv=2).fit(ModalityDict(X), y)
    assert search.best_estimator_.method.fusion == "sum"
    weights = search.best_estimator_.net_.criterion_.penalty_weights
    assert set(weights.values()) == {search.best_params_["method__beta"]}
    methods = {"method": [Concat(), DMIB()]}
    search = GridSearchCV(BaselineClassifier(**FAST), methods, cv=2).fit(ModalityDict(X), y)
    assert isinstance(search.best_estimator_.method, (Concat, DMIB))


class Doubled(Method):
    """Two penalties for one: what the benchmark of a new method needs, and nothing else."""

    def __init__(self, strength=0.5):
        self.strength = strength

    def settings(self):
        return {"penalty_weights": {"kl": 2 * self.strength}}


@every_estimator
def test_a_method_of_ones_own(kind, tables):
    X, y, score = tables
    model = clone(kind(Doubled(strength=0.2), **FAST)).fit(X, target_of(kind, y, score))
    objective = getattr(model.net_.criterion_, "objective", model.net_.criterion_)
    assert objective.penalty_weights == {"kl": 0.4}
    assert model.get_params()["method__strength"] == 0.2
    twin = kind(DeepIB(beta=0.4), **FAST).fit(X, target_of(kind, y, score))
    np.testing.assert_array_equal(model.transform(X), twin.transform(X))


class ShortBaseline(BaselineClassifier):
    """With a constructor of its own."""

    def __init__(self, strength=0.1):
        super().__init__(Doubled(strength), **FAST)
        self.strength = strength


class ShortOMIB(OMIBClassifier):
    """With a constructor of its own."""

    def __init__(self, strength=0.1):
        super().__init__(beta=strength, **FAST)
        self.strength = strength


@pytest.mark.parametrize("kind", [ShortBaseline, ShortOMIB])
def test_an_estimator_may_have_a_shorter_constructor(kind, tables):
    X, y, _ = tables
    model = clone(kind(strength=0.2))
    assert model.get_params(deep=False) == {"strength": 0.2}
    assert model.fit(X, y).predict(X).shape == y.shape
    again = pickle.loads(pickle.dumps(clone(model).fit(X, y)))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
