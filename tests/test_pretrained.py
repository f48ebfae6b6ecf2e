"""Layers that were trained before, trained further with the network."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_omib import ModalityDict, OMIBClassifier, OMIBClassifierCV, OMIBRegressor, load
from sklearn_omib.encoders import SequenceEncoder, TextEncoder
from sklearn_omib.training.optimizer import StackedAdamW
from sklearn_omib.training.plan import USUAL, Recipe, count_members

N = 48
Y = np.arange(N) % 2
SMALL = {"hidden_dim": 8, "latent_dim": 4, "random_state": 0}
WORDS = ["calm", "rough", "sea", "wind", "storm", "good", "bad", "the"]
TEXTS = [f"the {'good' if label else 'bad'} sea {WORDS[i % 5]}" for i, label in enumerate(Y)]


class Head(nn.Module):
    """Means of sequences through a layer that was trained before and one that was not."""

    def __init__(self, n_channels):
        super().__init__()
        self.before = nn.Linear(n_channels, 4)
        self.before.learning_rate, self.before.weight_decay = 1e-9, 0.0
        self.after = nn.Linear(4, 4)

    def forward(self, batch):
        means = batch.values.sum(1) / batch.mask.sum(1, keepdim=True)
        return self.after(torch.tanh(self.before(means)))


class Tuned(SequenceEncoder):
    """Sequences read by :class:`Head`."""

    trainable_layers = 1

    def module(self, shape, hidden_dim):
        head, generator = Head(shape[1]), torch.Generator().manual_seed(0)
        for weight in head.before.parameters():
            nn.init.uniform_(weight, -0.5, 0.5, generator)
        return head


@pytest.fixture
def walks(rng):
    return {"walk": [rng.normal(size=(rng.integers(2, 9), 3)) + label for label in Y]}


def head_of(estimator):
    return estimator.net_.module_.encoders[0].networks[0]


def test_what_was_trained_before_has_a_rate_of_its_own(walks):
    clf = OMIBClassifier(encoders={"walk": Tuned()}, max_epochs=4, **SMALL).fit(walks, Y)
    begun, ended = Tuned().module((0, 3), 8), head_of(clf)
    torch.testing.assert_close(ended.before.weight, begun.before.weight, atol=1e-6, rtol=0)
    assert (ended.after.weight - begun.after.weight).abs().max() > 1e-4


def test_parameters_that_are_auto_suit_it(walks):
    clf = OMIBClassifier(encoders={"walk": Tuned()}, **SMALL).fit(walks, Y)
    main = clf.history_[clf.history_.phase == "main"]
    assert (clf.n_members_, clf.net_.batch_size) == (1, 32)
    assert len(main) <= clf.recipe_.max_epochs == 60
    assert (clf.history_.phase == "warm-up").sum() == 1
    given = {"max_epochs": 2, "warmup_epochs": 3, "batch_size": 16, "n_members": 2}
    clf = OMIBClassifier(encoders={"walk": Tuned()}, **SMALL, **given).fit(walks, Y)
    main = clf.history_[clf.history_.phase == "main"]
    assert (clf.n_members_, len(main), clf.net_.batch_size) == (2, 2, 16)
    other = OMIBClassifier(max_epochs=2, **SMALL).fit(walks, Y)
    assert other.recipe_ == (10, 2, 128, 5e-4)


@pytest.mark.parametrize(("n_rows", "epochs"), [(20, 60), (320, 6), (960, 2), (50_000, 2)])
def test_epochs_of_fine_tuning_are_two_or_sixty_steps(n_rows, epochs):
    assert Recipe.of(OMIBClassifier(), USUAL, n_rows, True).max_epochs == epochs


@pytest.mark.parametrize(("n_rows", "epochs"), [(20, 50), (750, 20), (1500, 10), (50_000, 10)])
def test_networks_that_train_slowly_are_few_and_their_epochs_go_by_the_rows(n_rows, epochs):
    assert count_members("auto", n_rows, trains_slowly=True) == (1 if n_rows == 50_000 else 3)
    recipe = Recipe.of(OMIBClassifier(), USUAL, n_rows, False, True)
    assert (recipe.max_epochs, recipe.batch_size) == (epochs, 32)
    assert Recipe.of(OMIBClassifier(max_epochs=7), USUAL, n_rows, False, True).max_epochs == 7


def test_rates_rise_and_fall():
    module = nn.Module()
    module.own = nn.Linear(2, 1)  # of networks side by side, as far as the optimiser knows
    optimizer = StackedAdamW(module, lr=0.1, weight_decay=0.0)
    optimizer.steps = torch.zeros(())
    assert optimizer._factor() == 1
    optimizer.n_steps = 20
    factors = []
    for _ in range(20):
        optimizer.steps += 1
        factors.append(optimizer._factor())
    assert factors[0] == 0.5 and max(factors) <= 1 and factors.index(max(factors)) in (1, 2)
    assert np.all(np.diff(factors[2:]) < 0) and 0 < factors[-1] < 0.1


def test_parts_of_other_rates_move_as_in_optimisers_of_their_own():
    torch.manual_seed(0)
    head, alone = Head(3), Head(3)
    alone.load_state_dict(head.state_dict())
    head.before.learning_rate, head.before.weight_decay = 0.02, 0.5
    optimizer = StackedAdamW(head, lr=0.1, weight_decay=0.01)
    groups = [
        {"params": alone.before.parameters(), "lr": 0.02, "weight_decay": 0.5},
        {"params": alone.after.parameters(), "lr": 0.1, "weight_decay": 0.01},
    ]
    known = torch.optim.AdamW(groups)
    x = torch.randn(5, 3)
    for _ in range(3):
        optimizer.descend(head.after(torch.tanh(head.before(x))).square().mean()[None] * 1e-3)
        known.zero_grad()
        (alone.after(torch.tanh(alone.before(x))).square().mean() * 1e-3).backward()
        known.step()
    for one, other in zip(head.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one, other)


# -- a small transformer ----------------------------------------------------------------------
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None,
    reason="needs transformers: pip install 'sklearn-omib[text]'",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a BERT of random weights."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


def weights_of(estimator):
    return {k: v.clone() for k, v in head_of(estimator).named_parameters()}


@needs_transformers
@pytest.mark.slow
def test_the_last_layers_learn_with_the_network(model, tmp_path):
    X = ModalityDict({"text": TEXTS, "table": np.arange(2.0 * N).reshape(N, 2)})
    encoder = TextEncoder(model, trainable_layers=2, learning_rate=1e-3)
    clf = OMIBClassifier(encoders={"text": encoder}, **SMALL).fit(X, Y)
    assert clf.recipe_.max_epochs == 60  # of one step
    begun = TextEncoder(model, trainable_layers=2).fit(TEXTS).module((9, 16), 8)
    moved = {name: not torch.equal(value, dict(begun.named_parameters())[name])
             for name, value in weights_of(clf).items()}  # fmt: skip
    assert sum(moved.values()) >= 2 * 12  # weights and biases of two layers
    assert clf.score(X, Y) > 0.9
    clf.save(tmp_path / "clf.omib")
    again = load(tmp_path / "clf.omib")
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    again = OMIBClassifier(encoders={"text": encoder}, **SMALL).fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


@needs_transformers
@pytest.mark.slow
def test_other_estimators_train_them(model):
    X = ModalityDict({"text": [None, *TEXTS[1:]]})
    encoders = {"text": TextEncoder(model, trainable_layers=1)}
    search = OMIBClassifierCV(betas=2, cv=2, encoders=encoders, **SMALL).fit(X, Y)
    assert search.predict_proba(X).shape == (N, 2)
    reg = OMIBRegressor(encoders=encoders, **SMALL).fit(X, Y * 1.0)
    assert np.isfinite(reg.predict(X)).all()
    frozen = OMIBClassifier(encoders={"text": TextEncoder(model)}, max_epochs=2, **SMALL)
    assert frozen.fit(X, Y).recipe_.batch_size == 128
