"""Laws of the torch modules."""

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, Normal, kl_divergence

from sklearn_omib.nn import (
    BernoulliTask,
    CategoricalTask,
    Conv1dEncoder,
    Conv2dEncoder,
    CrossAttentionFusion,
    Dropout,
    FiLMFusion,
    GatedFusion,
    GaussianTask,
    GeneratorStack,
    GRUEncoder,
    LinearEncoder,
    LinearMLPEncoder,
    LowRankFusion,
    MLPEncoder,
    OMIBNetwork,
    OMIBObjective,
    SequenceBatch,
    SparseBatch,
    SparseEncoder,
    VariationalBottleneck,
    build_encoder,
    dynamic_weights,
    gaussian_kl,
    seeded_initialisation,
    select,
    set_generator,
)
from sklearn_omib.nn.fusion import FUSIONS, make_fusion
from sklearn_omib.nn.layers import bilinear, layer_norm, linear, mlp
from sklearn_omib.nn.stacking import copies, keep, owners, put

K = 8
SHAPES = {"a": (5,), "b": (3,), "c": (4,)}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def make_network(names="abc", n_outputs=2, **options):
    shapes = {name: SHAPES[name] for name in names}
    parameters = {"hidden_dim": 16, "latent_dim": K, "n_layers": 2, "n_heads": 2, "dropout": 0.0,
                  "fusion": "cross_attention", **options}  # fmt: skip
    return OMIBNetwork(shapes, dict.fromkeys(names, "mlp"), frozenset(), n_outputs, **parameters)


def make_batch(names="abc", n=6):
    return {name: torch.randn(n, *SHAPES[name]) for name in names}


# -- bottleneck -----------------------------------------------------------------------------------
def test_kl_is_that_of_torch_distributions():
    mu, sigma = torch.randn(4, 3, K), torch.rand(4, 3, K) + 0.1
    code = Independent(Normal(mu, sigma), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(sigma)), 1)
    torch.testing.assert_close(gaussian_kl(mu, sigma), kl_divergence(code, prior))


def test_code_is_drawn_in_training_and_the_mean_otherwise():
    bottleneck = VariationalBottleneck(5, K)
    z = torch.randn(1, 5).repeat(20000, 1)
    code = bottleneck(z)
    # standard error of a mean of 20000 draws: sigma / 141; of a standard deviation: sigma / 200
    torch.testing.assert_close(code.zeta.mean(0), code.mu[0], atol=0.05, rtol=0)
    torch.testing.assert_close(code.zeta.std(0), code.sigma[0], atol=0.05, rtol=0)
    assert torch.equal(bottleneck.eval()(z).zeta, code.mu)


def test_codes_are_hidden_from_the_fusion_in_training():
    network, batch = make_network("ab", modality_dropout=0.25), make_batch("ab", n=4000)
    codes = network.compress(network.encode(batch))
    hidden = network.seen_by_fusion(codes, None) == 0
    # standard error of a share of 8000: .005
    assert abs(hidden.float().mean() - 0.25) < 0.02
    assert 0.1 < (hidden[:, 0] & ~hidden[:, 1]).float().mean() < 0.28  # not both or none
    assert not (codes.mu == 0).any() and not (codes.sigma == 0).any()  # their KL counts
    codes = network.eval().compress(network.encode(batch))
    assert torch.equal(codes.zeta, codes.mu) and network.seen_by_fusion(codes, None) is None
    alone, batch = make_network("a", modality_dropout=0.25), make_batch("a", n=100)
    codes = alone.compress(alone.encode(batch))
    assert alone.seen_by_fusion(codes, None) is None  # nothing else to rely on


# -- fusion ---------------------------------------------------------------------------------------
def test_attention_weights_sum_to_one():
    fused = CrossAttentionFusion(3, K, 2, 0.0)(torch.randn(6, 3, K))
    assert fused.attention.shape == (6, 2, 3, 3)
    torch.testing.assert_close(fused.attention.sum(-1), torch.ones(6, 2, 3))


def test_permuting_modalities_permutes_the_fused_tokens():
    fusion, zeta, order = CrossAttentionFusion(3, K, 2, 0.0), torch.randn(6, 3, K), [2, 0, 1]
    tokens = fusion(zeta).tokens
    with torch.no_grad():
        fusion.embedding.copy_(fusion.embedding[order])
    torch.testing.assert_close(fusion(zeta[:, order]).tokens, tokens[:, order])


def test_attention_is_torch_multihead_attention():
    fusion, tokens = CrossAttentionFusion(3, K, 2, 0.0), torch.randn(6, 3, K)
    reference = torch.nn.MultiheadAttention(K, 2, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(fusion.in_proj.weight)
        reference.in_proj_bias.copy_(fusion.in_proj.bias)
        reference.out_proj.load_state_dict(fusion.out_proj.state_dict())
    expected, weights = reference(tokens, tokens, tokens, average_attn_weights=False)
    values, attention = fusion.attend(tokens.transpose(0, 1))
    torch.testing.assert_close(values.transpose(0, 1), expected)
    torch.testing.assert_close(attention, weights)


@pytest.mark.parametrize("name", FUSIONS)
@pytest.mark.parametrize("n_modalities", [1, 2, 4])
def test_every_fusion_takes_any_number_of_modalities(name, n_modalities):
    fusion = make_fusion(name, n_modalities, K, 2, 0.0)
    zeta = torch.randn(6, n_modalities, K, requires_grad=True)
    xi = fusion(zeta).xi
    assert xi.shape == (6, K)
    xi.square().sum().backward()
    learned = [zeta, *fusion.parameters()]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learned)


@pytest.mark.parametrize("name", ["sum", "mean"])
def test_sum_and_mean_do_not_know_the_order(name):
    fusion, zeta = make_fusion(name, 3, K, 2, 0.0), torch.randn(6, 3, K)
    torch.testing.assert_close(fusion(zeta).xi, fusion(zeta[:, [2, 0, 1]]).xi)
    share = {"sum": 1, "mean": 1 / 3}[name]
    torch.testing.assert_close(fusion(zeta).xi, share * zeta.sum(1))


def test_low_rank_fusion_is_a_contraction_of_the_outer_product():
    """W sum_r of a tensor of rank RANK with the outer product of [zeta_1, 1] and [zeta_2, 1]."""
    fusion, zeta = LowRankFusion(2, K), torch.randn(6, 2, K)
    a, b = (torch.cat([part, torch.ones(6, 1)], 1) for part in zeta.unbind(1))
    outer = torch.einsum("na,nb->nab", a, b)
    maps = [torch.cat([f.weight, f.bias[:, None]], 1) for f in fusion.factors]
    product = torch.einsum("nab,ra,rb->nr", outer, *maps)
    torch.testing.assert_close(fusion(zeta).xi, fusion.project(product), atol=1e-5, rtol=1e-5)


def test_gates_lie_between_nothing_and_everything():
    fusion, zeta = GatedFusion(2, K), torch.randn(6, 2, K)
    tokens = fusion(zeta).tokens
    open_wide = torch.stack([v(z) for v, z in zip(fusion.values, zeta.unbind(1), strict=True)], 1)
    assert (tokens.abs() < open_wide.abs()).all()
    with torch.no_grad():
        for gate in fusion.gates:
            gate.bias.fill_(50)
    torch.testing.assert_close(fusion(zeta).tokens, open_wide)


def test_film_that_does_not_modulate_is_linear_in_the_first_modality():
    fusion, zeta = FiLMFusion(3, K), torch.randn(6, 3, K)
    with torch.no_grad():
        fusion.modulate.weight.zero_(), fusion.modulate.bias.zero_()
    torch.testing.assert_close(fusion(zeta).xi, fusion.project(zeta[:, 0]))


# -- encoders -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "encoder, shape",
    [(MLPEncoder, (7,)), (MLPEncoder, (2, 3)), (LinearEncoder, (4, 10)),
     (LinearMLPEncoder, (40,)), (Conv1dEncoder, (9, 3)), (GRUEncoder, (9, 3)),
     (Conv2dEncoder, (3, 8, 6)), (Conv2dEncoder, (1, 2, 2))],
)  # fmt: skip
def test_every_parameter_of_an_encoder_receives_gradient(encoder, shape):
    module = encoder(shape, 16, 2, 0.1)
    module(torch.randn(5, *shape)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_sparse_encoder_equals_the_dense_one():
    dense = torch.randn(4, 7) * (torch.rand(4, 7) < 0.3)
    dense[2] = 0  # a row without entries
    rows, columns = dense.nonzero(as_tuple=True)
    offsets = torch.searchsorted(rows, torch.arange(4))
    batch = SparseBatch(columns, offsets, dense[rows, columns])
    sparse_encoder, dense_encoder = SparseEncoder((7,), 16, 2, 0.0), MLPEncoder((7,), 16, 2, 0.0)
    first, linear = sparse_encoder.layers[0], dense_encoder.layers[0]
    with torch.no_grad():
        linear.weight.copy_(first.weight.T)
        linear.bias.copy_(first.bias)
    dense_encoder.layers[1:].load_state_dict(sparse_encoder.layers[1:].state_dict())
    torch.testing.assert_close(sparse_encoder(batch), dense_encoder(dense))


def test_a_step_of_sign_descent_moves_a_wide_encoder_no_farther_than_a_narrow_one():
    moved = {}
    for n_columns in (16, 1600):
        torch.manual_seed(0)
        encoder, v = LinearEncoder((n_columns,), 16), torch.ones(1, n_columns)
        assert encoder(torch.randn(500, n_columns)).std() < 1  # whatever the width
        before = encoder(v)
        with torch.no_grad():
            encoder.map.weight += 1e-3  # as far as Adam's first step moves every weight
        moved[n_columns] = (encoder(v) - before).mean().item()
    assert moved[16] == pytest.approx(moved[1600], rel=1e-3) == pytest.approx(16e-3, rel=1e-3)


def test_a_linear_encoder_is_linear():
    encoder, v, w = LinearEncoder((3, 10), 16), torch.randn(4, 3, 10), torch.randn(4, 3, 10)
    torch.testing.assert_close(encoder(2 * v - w), 2 * encoder(v) - encoder(w))


def test_without_its_mlp_a_linear_mlp_is_linear_and_drops_no_input():
    encoder = LinearMLPEncoder((30,), 16, 2, 0.5, input_dropout=0.9).train()
    torch.nn.init.zeros_(encoder.layers[-1].weight)
    v = torch.randn(4, 30)
    torch.testing.assert_close(encoder(v), encoder.linear(v) + encoder.layers[-1].bias)


def test_a_given_module_is_copied_never_used():
    module = torch.nn.Linear(5, 3)
    options = {"hidden_dim": 4, "n_layers": 1, "dropout": 0.0}
    encoder, width = build_encoder("a", module, (5,), False, **options)
    assert encoder is not module and width == 3
    made, width = build_encoder(
        "a", lambda shape: torch.nn.Linear(*shape, 9), (5,), False, **options
    )
    assert width == 9 and isinstance(made, torch.nn.Linear)


@pytest.mark.parametrize(
    "encoder, shape, is_sparse, message",
    [
        ("cnn", (5,), False, "Unknown encoder 'cnn' for modality 'a'"),
        ("gru", (5,), False, "'gru' reads sequences.*'a' is a dense block with samples of shape"),
        ("sparse", (5,), False, "'sparse' reads sparse matrices, but modality 'a' is a dense"),
        (torch.nn.Linear(4, 3), (5,), False, "encoder of modality 'a' failed on samples"),
        (torch.nn.Identity(), (5, 2), False, r"must return a tensor of shape \(batch, width\)"),
        (lambda shape: "mlp", (5,), False, "factory of modality 'a' must return a torch.nn.Module"),
        (3, (5,), False, "must be a name, a torch module or a factory, got int"),
    ],
)
def test_bad_encoders(encoder, shape, is_sparse, message):
    with pytest.raises(ValueError, match=message):
        build_encoder("a", encoder, shape, is_sparse, hidden_dim=4, n_layers=1, dropout=0.0)


def test_dropout_keeps_the_mean_and_draws_from_its_own_generator():
    dropout, x = Dropout(0.3), torch.ones(100_000)
    set_generator(dropout, torch.Generator().manual_seed(1))
    state = torch.get_rng_state()
    first = dropout(x)
    assert torch.equal(torch.get_rng_state(), state)
    # standard error of the mean: sqrt(.3 / .7 / 1e5) = .002
    assert abs(first.mean() - 1) < 0.01
    assert abs((first == 0).float().mean() - 0.3) < 0.01
    set_generator(dropout, torch.Generator().manual_seed(1))
    assert torch.equal(dropout(x), first)
    assert torch.equal(dropout.eval()(x), x)


# -- networks side by side ------------------------------------------------------------------------
def alone_and_stacked(make, n_networks=3):
    """Networks of several seeds, each by itself and all side by side."""
    alone = []
    for seed in range(n_networks):
        with seeded_initialisation(seed):
            alone.append(make(None))
    with seeded_initialisation(*range(n_networks)):
        return alone, make(n_networks)


PARTS = {
    "linear": (lambda stack: linear(5, 3, stack), (6, 5)),
    "without bias": (lambda stack: linear(5, 3, stack, bias=False), (4, 6, 5)),
    "norm": (lambda stack: layer_norm(5, stack), (6, 5)),
    "mlp": (lambda stack: mlp(5, 8, 2, 3, 0.0, stack), (6, 5)),
    "bottleneck": (lambda stack: VariationalBottleneck(5, K, stack).eval(), (6, 5)),
    "linear encoder": (lambda stack: LinearEncoder((40,), 16, stack=stack), (6, 40)),
    "linear mlp": (lambda stack: LinearMLPEncoder((40,), 16, 2, 0.0, stack=stack), (6, 40)),
    "flattened": (lambda stack: MLPEncoder((2, 3), 16, 2, 0.0, stack=stack), (6, 2, 3)),
    **{
        name: (lambda stack, name=name: make_fusion(name, 3, K, 2, 0.0, stack), (6, 3, K))
        for name in FUSIONS
    },
}


@pytest.mark.parametrize("part", PARTS)
def test_parts_side_by_side_are_what_they_are_alone(part):
    make, shape = PARTS[part]
    alone, stacked = alone_and_stacked(make)
    x = torch.randn(3, *shape)
    values = stacked(x)
    for k, one in enumerate(alone):
        expected = one(x[k])
        first, other = (v if torch.is_tensor(v) else v[0] for v in (values, expected))
        torch.testing.assert_close(first[k], other)
    n_weights = sum(p.numel() for p in alone[0].parameters())
    assert sum(p.numel() for p in stacked.parameters()) == 3 * n_weights


def test_bilinear_forms_side_by_side():
    alone, stacked = alone_and_stacked(lambda stack: bilinear(K, 2, stack))
    a, b = torch.randn(2, 3, 6, K)
    expected = torch.stack([form(*pair) for form, *pair in zip(alone, a, b, strict=True)])
    torch.testing.assert_close(stacked(a, b), expected)


@pytest.mark.parametrize(
    "encoder, shape",
    [("conv1d", (9, 3)), ("gru", (9, 3)), ("conv2d", (3, 8, 6)), (torch.nn.Flatten(), (2, 3)),
     (lambda shape: torch.nn.Linear(*shape, 4), (5,))],
)  # fmt: skip
def test_encoders_of_any_kind_side_by_side(encoder, shape):
    sizes = {"hidden_dim": 16, "n_layers": 2, "dropout": 0.0}

    def make(stack):
        return build_encoder("a", encoder, shape, False, **sizes, stack=stack)[0]

    alone, stacked = alone_and_stacked(make)
    x = torch.randn(3, 4, *shape)
    expected = torch.stack([one(v) for one, v in zip(alone, x, strict=True)])
    torch.testing.assert_close(stacked(x), expected)


def stacked_network(n_networks=3):
    torch.manual_seed(0)
    encoders = {
        "a": "mlp",
        "b": torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)),
    }
    shapes = {name: SHAPES[name] for name in encoders}
    sizes = {"hidden_dim": 16, "latent_dim": K, "n_layers": 2, "n_heads": 2, "dropout": 0.0}
    network = OMIBNetwork(shapes, encoders, frozenset(), 2, **sizes, stack=n_networks)
    for one in network.encoders[1].networks:
        torch.nn.init.normal_(one[0].weight)
    return network


def test_selected_networks_predict_as_before():
    network = stacked_network(4).eval()
    inputs = {name: torch.randn(4, 6, *SHAPES[name]) for name in "ab"}
    expected = network.predict(inputs)
    for rows in ([2], [3, 0], [1, 1, 2]):
        chosen = select(network, rows)
        found = chosen.predict({name: v[rows] for name, v in inputs.items()})
        for part, all_of_it in zip(found[:2], expected[:2], strict=True):
            torch.testing.assert_close(part, all_of_it[rows])
    twins = select(network, [1, 1]).encoders[1].networks
    assert twins[0] is not twins[1] and twins[0][0].weight is not twins[1][0].weight


def test_what_is_put_back_is_where_it_was_taken():
    network = stacked_network(4)
    before = select(network, range(4))
    part = select(network, [3, 1])
    with torch.no_grad():
        for parameter in part.parameters():
            parameter += 1
    put(network, part, [1], [1])
    changed = [one for one in range(4) if not same(select(network, [one]), select(before, [one]))]
    assert changed == [1] and same(select(network, [1]), select(part, [1]))
    keep(part, [1])
    assert same(part, select(network, [1]))
    assert {type(o).__name__ for o in owners(network)} >= {"StackedLinear", "StackedLayerNorm"}
    assert len(copies(network)) == 1


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_twins_share_their_draws_and_others_do_not():
    network = stacked_network(3).train()
    inputs = {name: torch.randn(1, 6, *SHAPES[name]).expand(3, -1, *SHAPES[name]) for name in "ab"}
    keep(network, [0, 0, 1])
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    set_generator(network, GeneratorStack(generators, [0, 0, 1]))
    first, twin, other = network(inputs).xi
    torch.testing.assert_close(first, twin)
    keep(network, [0, 0, 0])
    set_generator(network, GeneratorStack(generators, [0, 0, 1]))
    first, twin, other = network(inputs).xi
    torch.testing.assert_close(first, twin)
    assert not torch.allclose(first, other)


# -- network and objective ------------------------------------------------------------------------
def phase_gradients(network, phase):
    """Names of the parts that receive gradient in a phase."""
    objective = OMIBObjective(CategoricalTask(), 3, 0.1, "reference")
    inputs, y, weight = make_batch(), torch.tensor([0, 1] * 3), torch.ones(6)
    network.zero_grad()
    if phase == "warm-up":
        terms = objective.warm_up(network.warm_up(inputs), y, weight)
    else:
        terms = objective(network(inputs), y, weight)
    terms.loss.backward()
    moved = {n for n, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    still = {n for n, p in network.named_parameters()} - moved
    return parts_of(moved), parts_of(still)


def parts_of(names):
    return {name.split(".")[0] for name in names}


def test_each_phase_gives_gradient_to_exactly_its_parameters():
    network = make_network()
    moved, still = phase_gradients(network, "warm-up")
    assert moved == {"encoders", "branches"}
    assert still == {"bottlenecks", "fusion", "head"}
    moved, still = phase_gradients(network, "main")
    assert moved == {"encoders", "branches", "bottlenecks", "fusion", "head"}
    assert still == set()


def test_beta_zero_removes_the_gradient_of_the_kl():
    network, inputs = make_network().eval(), make_batch()
    y, weight = torch.tensor([0, 1] * 3), torch.ones(6)

    def gradient(beta):
        network.zero_grad()
        terms = OMIBObjective(CategoricalTask(), 3, beta, "fixed")(network(inputs), y, weight)
        terms.loss.backward()
        return network.bottlenecks[0].heads.weight.grad.clone(), terms

    without, terms = gradient(0.0)
    task_only = terms["task_loss"] + terms["branch_loss"].sum()
    torch.testing.assert_close(terms.loss, task_only)
    # in eval mode zeta = mu: sigma reaches the loss through the KL alone
    assert (without[K:] == 0).all() and (gradient(0.5)[0][K:] != 0).any()


def test_variance_reaches_the_representation_but_not_the_prediction():
    network, inputs = make_network(n_outputs=1, variance_head=True), make_batch()
    task = GaussianTask(1)
    output = network(inputs)
    task.variance_loss(output.prediction, output.log_variance, torch.randn(6, 1)).sum().backward()
    moved = {n for n, p in network.named_parameters() if p.grad is not None}
    assert parts_of(moved) == {"variance_head", "encoders", "bottlenecks", "fusion"}


def test_predict_agrees_with_forward():
    network, inputs = make_network().eval(), make_batch()
    prediction, xi, log_variance = network.predict(inputs)
    output = network(inputs)
    assert torch.equal(prediction, output.prediction) and torch.equal(xi, output.xi)
    assert log_variance is None


def test_one_modality_attends_to_itself_alone():
    output = make_network("a")(make_batch("a"))
    assert torch.equal(output.attention, torch.ones(6, 2, 1, 1))


# -- tasks ----------------------------------------------------------------------------------------
def test_divergences_are_those_of_torch_distributions():
    p, q = torch.randn(2, 9, 4)
    torch.testing.assert_close(
        CategoricalTask().divergence(p, q),
        kl_divergence(Categorical(logits=p), Categorical(logits=q)),
    )
    bernoulli = kl_divergence(Bernoulli(logits=p), Bernoulli(logits=q)).sum(1)
    torch.testing.assert_close(BernoulliTask().divergence(p, q), bernoulli)
    gaussian = GaussianTask(4)
    gaussian.variance = torch.tensor([0.5, 1.0, 2.0, 4.0])
    normal = kl_divergence(Normal(p, gaussian.variance.sqrt()), Normal(q, gaussian.variance.sqrt()))
    torch.testing.assert_close(gaussian.divergence(p, q), normal.sum(1))


def test_losses_are_negative_log_likelihoods():
    output = torch.randn(9, 4)
    labels, hits, y = torch.arange(9) % 4, (torch.randn(9, 4) > 0).float(), torch.randn(9, 4)
    torch.testing.assert_close(
        CategoricalTask()(output, labels), -Categorical(logits=output).log_prob(labels)
    )
    torch.testing.assert_close(
        BernoulliTask()(output, hits), -Bernoulli(logits=output).log_prob(hits).sum(1)
    )
    gaussian = GaussianTask(4)
    gaussian.variance = torch.tensor([0.5, 1.0, 2.0, 4.0])
    normal = Normal(output, gaussian.variance.sqrt())
    torch.testing.assert_close(gaussian(output, y), -normal.log_prob(y).sum(1))


def test_residual_variance_converges_to_the_mean_squared_error():
    task, y = GaussianTask(1, decay=0.5), torch.randn(1000, 1)
    weight = torch.ones(1000)
    for _ in range(40):
        task.update(torch.zeros(1000, 1), y, weight)
    torch.testing.assert_close(task.variance, y.square().mean(0))


# -- dynamic weights ------------------------------------------------------------------------------
def test_closed_form_is_the_paper_formula():
    k = torch.tensor([0.3, 0.7, 0.1], dtype=torch.float64)
    paper = 1 - torch.tanh(torch.log(k[1:] / k[0]))  # eq. 11 and 67
    torch.testing.assert_close(dynamic_weights(k, "reference")[1:], paper)


@pytest.mark.parametrize("weighting", ["reference", "symmetric", "fixed"])
@pytest.mark.parametrize("value", [0.0, 1e-3, 5.0])
def test_weights_are_one_at_equal_divergences(weighting, value):
    weights = dynamic_weights(torch.full((3,), value), weighting)
    torch.testing.assert_close(weights, torch.ones(3))


def test_limits_of_the_weights():
    far, none = torch.tensor([1.0, 1e3]), torch.tensor([1.0, 0.0])
    assert dynamic_weights(far, "reference").tolist() == pytest.approx([1, 0.01])
    assert dynamic_weights(none, "reference").tolist() == pytest.approx([1, 1.99])
    assert dynamic_weights(far, "symmetric").tolist() == pytest.approx([2, 0], abs=1e-5)
    assert dynamic_weights(torch.tensor([5.0]), "reference").tolist() == [1]


def test_symmetric_weights_have_the_papers_r_and_a_constant_sum():
    k = torch.tensor([0.3, 0.7])
    reference, symmetric = (dynamic_weights(k, kind) for kind in ("reference", "symmetric"))
    torch.testing.assert_close(symmetric[1], reference[1])
    torch.testing.assert_close(symmetric.sum(), torch.tensor(2.0))
    swapped = dynamic_weights(k.flip(0), "symmetric")
    torch.testing.assert_close(swapped, symmetric.flip(0))


def test_weights_carry_no_gradient_and_survive_nan():
    objective = OMIBObjective(CategoricalTask(), 2, 0.1, "reference")
    objective.reweight()
    assert objective.weights.tolist() == [1, 1]  # nothing seen yet
    network, y, weight = make_network("ab"), torch.tensor([0, 1] * 3), torch.ones(6)
    output = network(make_batch("ab"))
    objective.update(output, y, weight, {"divergence": torch.tensor([0.2, 0.4])})
    objective.reweight()
    before = objective.weights.clone()
    assert not objective.weights.requires_grad and before[1] == pytest.approx(0.4)
    objective.update(output, y, weight, {"divergence": torch.tensor([torch.nan] * 2)})
    objective.reweight()
    assert torch.equal(objective.weights, before)
    assert not objective(output, y, weight)["divergence"].requires_grad


@pytest.mark.parametrize(
    "task, y",
    [
        (CategoricalTask(), torch.tensor([0, 0, 1, 2, 2, 2])),
        (BernoulliTask(), torch.tensor([[0.0, 1], [0, 0], [1, 0], [1, 1], [0, 1], [0, 1]])),
        (GaussianTask(2), torch.randn(6, 2, generator=torch.Generator().manual_seed(0))),
    ],
)
def test_prior_loss_is_the_loss_of_the_best_constant(task, y):
    weight = torch.tensor([1.5, 0.5, 1, 1, 0.5, 1.5], dtype=torch.float64)
    constant = torch.zeros(1, 3 if y.ndim == 1 else 2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([constant], max_iter=100, line_search_fn="strong_wolfe")
    if isinstance(task, GaussianTask):  # the variance is the task's own
        mean = (weight[:, None] * y).mean(0)
        task.variance = (weight[:, None] * (y - mean) ** 2).mean(0)

    def loss():
        optimiser.zero_grad()
        value = (weight * task(constant.expand(6, -1), y.double() if y.ndim > 1 else y)).mean()
        value.backward()
        return value

    optimiser.step(loss)
    torch.testing.assert_close(
        task.prior_loss(y, weight), loss().detach(), check_dtype=False, rtol=1e-5, atol=1e-5
    )


def test_the_residual_variance_of_a_constant_output_does_not_fall():
    task, weight = GaussianTask(2, stack=3), torch.ones(3, 6)
    y = torch.stack([torch.arange(-2.5, 3), torch.zeros(6)], -1).expand(3, 6, 2)
    for _ in range(400):
        task.update(y + 0.1, y, weight)
    torch.testing.assert_close(task.variance, torch.tensor([0.01, 1.0]).expand(3, 2))


def padded(sequences, more=0):
    """A SequenceBatch, filled up with so many steps more than its longest needs."""
    longest = max(map(len, sequences)) + more
    values = torch.zeros(len(sequences), longest, sequences[0].shape[1])
    mask = torch.zeros(len(sequences), longest, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        values[row, : len(sequence)], mask[row, : len(sequence)] = sequence, True
    return SequenceBatch(values, mask)


def sequences_of(lengths, n_channels=5):
    torch.manual_seed(0)
    return [torch.randn(length, n_channels) for length in lengths]


def perturbed(module):
    """A module whose norms are none that leave zeros as they are."""
    torch.manual_seed(1)
    for p in module.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return module.eval()


READERS = {"conv1d": Conv1dEncoder, "gru": GRUEncoder}


@pytest.mark.parametrize("name", READERS)
def test_sequences_count_without_padding_and_others_of_the_batch(name):
    encoder = perturbed(READERS[name]((20, 5), 8, 2, 0.1))
    sequences = sequences_of([20, 1, 7, 2])
    together = encoder(padded(sequences))
    torch.testing.assert_close(encoder(padded(sequences, more=9)), together, rtol=0, atol=1e-5)
    alone = torch.cat([encoder(sequence[None]) for sequence in sequences])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", READERS)
def test_gradients_of_sequences_know_no_padding(name):
    encoder = perturbed(READERS[name]((20, 5), 8, 2, 0.0)).train()
    batch = padded(sequences_of([6, 3]), more=4)
    values = batch.values.clone().requires_grad_()
    encoder(batch._replace(values=values)).square().sum().backward()
    assert values.grad[batch.mask].abs().sum(-1).min() > 0
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("name", ["conv1d", "gru"])
def test_an_encoder_of_sequences_is_built_for_both_forms(name):
    options = dict(hidden_dim=8, n_layers=2, dropout=0.0)
    encoder, width = build_encoder("a", name, (9, 5), False, is_ragged=True, **options)
    assert encoder(padded(sequences_of([9, 4]))).shape == (2, width)
    side, _ = build_encoder("a", name, (9, 5), False, is_ragged=True, stack=2, **options)
    assert side([padded(sequences_of([9, 4]))] * 2).shape == (2, 2, width)


def test_encoders_that_read_no_sequences_of_different_length_say_so():
    options = dict(hidden_dim=8, n_layers=2, dropout=0.0, is_ragged=True)
    with pytest.raises(ValueError, match=r"'mlp' reads dense blocks.*sequences of different"):
        build_encoder("a", "mlp", (9, 5), False, **options)
    with pytest.raises(ValueError, match="come as a SequenceBatch"):
        build_encoder("a", torch.nn.Flatten(), (9, 5), False, **options)
