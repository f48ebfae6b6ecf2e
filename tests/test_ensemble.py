"""Several networks behind one estimator: what is averaged, and when there is only one."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import special
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback

from sklearn_omib import (
    ModalityDict,
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
)
from sklearn_omib.baselines import BaselineClassifier, Concat
from sklearn_omib.methods import OMIB
from sklearn_omib.training.net import PREDICTION

FAST = {"max_epochs": 8, "warmup_epochs": 2, "hidden_dim": 16, "latent_dim": 8, "random_state": 0}


@pytest.fixture
def fitted(tables):
    X, y, _ = tables
    return OMIBClassifier(n_members=3, **FAST).fit(X, y)


def each(model, X):
    """Class scores or numbers of each network."""
    return model._outputs(X, PREDICTION)[0]


def fused(model, X):
    """The same of their fusions alone, whatever weight branches have got on rows of all."""
    weights, model.net_.module_.head_weights = model.net_.module_.head_weights, None
    try:
        return each(model, X)
    finally:
        model.net_.module_.head_weights = weights


@pytest.mark.parametrize(
    "options",
    [{}, {"fusion": "gated", "encoders": {"a": torch.nn.Linear(4, 6)}}, {"early_stopping": False}],
)
def test_the_first_member_is_the_one_that_is_trained_alone(tables, options):
    X, y, _ = tables
    fitted = OMIBClassifier(n_members=3, **FAST, **options).fit(X, y)
    apart = OMIBClassifier(n_members=1, **FAST, **options).fit(X, y)
    scores = fused(fitted, X)
    np.testing.assert_allclose(scores[0], fused(apart, X)[0], atol=1e-4)
    assert not np.allclose(scores[0], scores[1], atol=1e-3)  # they differ
    np.testing.assert_allclose(fitted.transform(X), apart.transform(X), atol=1e-4)
    columns = fitted.history_.columns.drop(["phase", "seconds"])
    np.testing.assert_allclose(fitted.history_[columns], apart.history_[columns], atol=1e-4)


def test_members_do_not_depend_on_how_many_there_are(tables):
    X, y, _ = tables
    fits = [OMIBClassifier(n_members=n, **FAST).fit(X, y) for n in (2, 4)]
    np.testing.assert_allclose(fused(fits[1], X)[:2], fused(fits[0], X), atol=1e-4)


def test_members_stop_on_their_own(tables):
    X, y, _ = tables
    options = {**FAST, "max_epochs": 60, "n_iter_no_change": 2, "learning_rate": 0.02}
    fitted = OMIBClassifier(n_members=4, **options).fit(X, y)
    last = [fitted.net_.n_epochs(k) for k in range(4)]
    assert len(set(last)) > 1 and max(last) < 60
    apart = OMIBClassifier(n_members=1, **options).fit(X, y)
    assert apart.n_iter_ == fitted.n_iter_ == last[0]
    np.testing.assert_allclose(fused(fitted, X)[0], fused(apart, X)[0], atol=1e-3)


@pytest.mark.parametrize("kind", [OMIBRegressor, OMIBAnomalyDetector])
def test_groups_leave_members_different_numbers_of_rows(tables, kind):
    X, _, score = tables
    groups = np.sqrt(np.arange(len(score))).astype(int)
    options = {**FAST, "early_stopping": True}
    fitted = kind(n_members=3, **options).fit(X, score, groups=groups)
    apart = kind(n_members=1, **options).fit(X, score, groups=groups)
    np.testing.assert_allclose(fused(fitted, X)[0], fused(apart, X)[0], atol=1e-3)


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
    p = special.expit(each(model, X).astype(float))
    np.testing.assert_allclose(model.predict_proba(X), p.mean(0), rtol=1e-6)
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X) > 0.5)


def test_numbers_are_those_of_a_mixture_of_normal_distributions(tables):
    X, _, score = tables
    model = OMIBRegressor(n_members=3, **FAST).fit(X, score)
    networks = [copy.copy(model) for _ in range(3)]
    for k, one in enumerate(networks):
        one.net_ = model.net_.taken([k])
    means, stds = zip(*(one.predict(X, return_std=True) for one in networks), strict=True)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, np.mean(means, axis=0), atol=1e-5)
    variance = np.mean(np.square(stds), axis=0) + np.var(means, axis=0)
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-4)


def test_a_number_of_members_that_cannot_be_is_an_error(tables):
    X, y, _ = tables
    for n_members in (0, 101, 10**6):
        with pytest.raises(ValueError, match="'n_members' parameter"):
            OMIBClassifier(n_members=n_members, **FAST).fit(X, y)


def test_by_itself_the_number_goes_by_the_rows(tables, monkeypatch):
    X, y, _ = tables
    model = OMIBClassifier(**FAST).fit(X, y)
    assert model.n_members_ == 5
    p = OMIBClassifier(n_members=5, **FAST).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), p)
    assert OMIBClassifier(**FAST).partial_fit(X, y, classes=[0, 1]).n_members_ == 1
    monkeypatch.setattr("sklearn_omib.training.plan.MEMBER_ROWS", 2 * len(y))
    assert model.fit(X, y).n_members_ == 2


def test_by_itself_fewer_codes_are_hidden_among_many_rows(tables, monkeypatch):
    X, y, _ = tables
    one = {"n_members": 1, "early_stopping": False, **FAST}
    model = OMIBClassifier(**one).fit(X, y)
    assert model.modality_dropout_ == model.net_.module_.modality_dropout.p == 0.1
    assert OMIBRegressor(**one).fit(X, y).modality_dropout_ == 0
    monkeypatch.setattr("sklearn_omib.methods.omib.ROWS_HIDDEN", 6)
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
    before = each(fitted, X)
    fitted.partial_fit(X, y)
    assert fitted.n_members_ == 3
    assert all(
        not np.allclose(a, b, atol=1e-4) for a, b in zip(before, each(fitted, X), strict=True)
    )
    chunked = OMIBClassifier(n_members=4, **FAST).partial_fit(X, y, classes=[0, 1])
    assert chunked.partial_fit(X, y).n_members_ == 4 and chunked.n_iter_ == 2
    assert len(chunked.net_.moments.state[0][0]) == 4
    one = OMIBClassifier(n_members=1, **FAST).partial_fit(X, y, classes=[0, 1]).partial_fit(X, y)
    np.testing.assert_allclose(each(chunked, X)[0], each(one, X)[0], atol=1e-4)


def test_a_member_that_diverges_leaves_nothing_fitted(tables):
    X, y, _ = tables
    model = OMIBClassifier(n_members=2, **FAST).set_params(learning_rate=1e30)
    with pytest.raises(ValueError, match="Training diverged"):
        model.fit(X, y)
    assert not hasattr(model, "net_")


# -- encoders of the user -------------------------------------------------------------------------
class Tied(torch.nn.Module):
    """Frozen, tied, lazy, in place and with buffers, all at once."""

    def __init__(self):
        super().__init__()
        self.first, self.again = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
        self.again.weight = self.first.weight
        self.frozen = torch.nn.Linear(4, 4).requires_grad_(False)
        self.lazy, self.norm = torch.nn.LazyLinear(5), torch.nn.BatchNorm1d(4)

    def forward(self, x):
        x.mul_(2)
        return self.lazy(self.again(torch.tanh(self.first(self.frozen(self.norm(x))))))


def test_whatever_a_module_is_made_of_it_behaves_as_in_a_network_alone(tables):
    X, y, _ = tables
    torch.manual_seed(0)
    encoder = Tied()
    state = copy.deepcopy(encoder.frozen.state_dict()), encoder.first.weight.detach().clone()
    fitted = OMIBClassifier(n_members=3, encoders={"a": encoder}, **FAST).fit(X, y)
    apart = OMIBClassifier(n_members=1, encoders={"a": encoder}, **FAST).fit(X, y)
    np.testing.assert_allclose(fused(fitted, X)[0], fused(apart, X)[0], atol=1e-4)
    networks = fitted.net_.module_.encoders[0].networks
    for one in networks:
        assert one.again.weight is one.first.weight and one is not encoder
        assert not torch.equal(one.first.weight, state[1])
        torch.testing.assert_close(one.frozen.state_dict(), state[0], rtol=0, atol=0)
    assert networks[0].frozen.weight is networks[1].frozen.weight  # held once
    assert not torch.equal(networks[0].norm.running_mean, networks[1].norm.running_mean)
    torch.testing.assert_close(encoder.first.weight, state[1], rtol=0, atol=0)
    p = fitted.predict_proba(X)  # of data that a module working in place has not spoilt
    np.testing.assert_array_equal(fitted.predict_proba(X), p)


def test_a_factory_that_returns_one_module_neither_trains_nor_shares_it(tables):
    X, y, _ = tables
    module = torch.nn.Linear(4, 6)
    before = module.weight.detach().clone()
    model = OMIBClassifier(n_members=3, encoders={"a": lambda shape: module}, **FAST).fit(X, y)
    assert torch.equal(module.weight, before)
    own = [one.weight for one in model.net_.module_.encoders[0].networks]
    assert not any(torch.equal(own[i], other) for i in range(3) for other in own[i + 1 :])
    noise = np.random.default_rng(0).integers(0, 2, len(y))
    scores = cross_val_score(model, ModalityDict(X), noise, cv=5)
    assert abs(scores.mean() - 0.5) < 3 * 0.5 / len(y) ** 0.5  # nothing is remembered of a fold


def test_an_encoder_that_fails_at_its_second_call_leaves_nothing_fitted(tables):
    X, y, _ = tables
    made = []

    def factory(shape):
        made.append(shape)
        if len(made) == 2:
            raise RuntimeError("no more")
        return torch.nn.Linear(4, 6)

    model = OMIBClassifier(n_members=3, encoders={"a": factory}, **FAST)
    with pytest.raises(ValueError, match="factory of modality 'a' failed"):
        model.fit(X, y)
    assert not [name for name in vars(model) if name.endswith("_")]
    widths = iter((3, 4, 5))
    with pytest.raises(ValueError, match=r"several widths, \[3, 4, 5\]"):
        model.set_params(encoders={"a": lambda shape: torch.nn.Linear(4, next(widths))}).fit(X, y)


# -- all or nothing -------------------------------------------------------------------------------
class Interrupt(Callback):
    """Ctrl-C at one of the moments a callback hears of."""

    def __init__(self, moment, phase):
        self.moment, self.phase = moment, phase

    def _maybe(self, moment, net):
        if (moment, net.phase) == (self.moment, self.phase):
            raise KeyboardInterrupt

    def on_train_begin(self, net, **kwargs):
        self._maybe("begin", net)

    def on_epoch_end(self, net, **kwargs):
        self._maybe("epoch", net)

    def on_train_end(self, net, **kwargs):
        self._maybe("end", net)


@pytest.mark.parametrize("moment", ["begin", "epoch", "end"])
@pytest.mark.parametrize("phase", ["warm-up", "main"])
@pytest.mark.parametrize("method", ["fit", "warm_start", "partial_fit"])
def test_an_interrupt_leaves_what_was_there_before(fitted, tables, moment, phase, method):
    if method != "fit" and phase == "warm-up":
        return  # what goes on is warm
    if method == "fit" and (moment, phase) == ("end", "main"):
        return  # there is a model to be kept, see test_interrupts
    X, y, _ = tables
    before = fitted.predict_proba(X)
    names = set(vars(fitted))
    fitted._watchers = (("interrupt", Interrupt(moment, phase)),)
    fitted.set_params(warm_start=method == "warm_start")
    with pytest.raises(KeyboardInterrupt):
        (fitted.partial_fit if method == "partial_fit" else fitted.fit)(X, y)
    del fitted._watchers
    assert set(vars(fitted)) == names
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    if moment == "end":
        return
    again = clone(fitted)
    again._watchers = (("interrupt", Interrupt(moment, phase)),)
    with pytest.raises(KeyboardInterrupt):
        again.fit(X, y)
    assert not [name for name in vars(again) if name.endswith("_")]


def test_chunks_keep_the_moments_that_a_warm_start_leaves(tables):
    X, y, _ = tables
    model = OMIBClassifier(n_members=1, warm_start=True, **FAST)
    model.partial_fit(X, y, classes=[0, 1])
    without = copy.deepcopy(model)  # as of a pickle: no moments
    assert model.net_.moments is not None and without.net_.moments is None
    again = [each(one.partial_fit(X, y), X) for one in (copy.copy(model), copy.copy(without))]
    assert not np.allclose(*again, atol=1e-6)
    np.testing.assert_array_equal(*(each(one.fit(X, y), X) for one in (model, without)))


def test_a_chunk_that_was_interrupted_leaves_no_trace(tables):
    X, y, _ = tables
    chunks = [OMIBClassifier(n_members=1, **FAST).partial_fit(X, y, classes=[0, 1]) for _ in "ab"]
    chunks[0]._watchers = (("interrupt", Interrupt("epoch", "main")),)
    with pytest.raises(KeyboardInterrupt):
        chunks[0].partial_fit(X, y)
    del chunks[0]._watchers
    np.testing.assert_array_equal(*(each(one.partial_fit(X, y), X) for one in chunks))


def test_nothing_is_left_of_another_method(tables):
    X, y, _ = tables
    model = BaselineClassifier(OMIB(), n_members=1, max_epochs=1).fit(X, y)
    assert model.beta_ > 0
    model.set_params(method=Concat()).fit(X, y)
    assert not [n for n in ("beta_", "beta_bounds_", "modality_weights_") if hasattr(model, n)]


def test_a_chunk_that_fails_changes_nothing(fitted, tables):
    X, y, _ = tables
    before = each(fitted, X)
    fitted.partial_fit(X, y)
    after = each(fitted, X)
    spoilt = {"a": X["a"], "b": np.full_like(X["b"], np.inf)}
    with pytest.raises(ValueError, match="infinity"):
        fitted.partial_fit(spoilt, y)
    with pytest.raises(ValueError, match="diverged"):
        fitted.set_params(learning_rate=1e39).partial_fit(X, y)
    np.testing.assert_array_equal(each(fitted, X), after)
    assert not np.array_equal(before, after)


def test_a_pickle_holds_the_weights_once_and_no_optimiser(tables):
    X, y, _ = tables
    for fit in ("fit", "partial_fit"):
        model = OMIBClassifier(n_members=2, random_state=0, max_epochs=2)
        getattr(model, fit)(X, y, **({"classes": [0, 1]} if fit == "partial_fit" else {}))
        weights = sum(p.numel() * 4 for p in model.net_.module_.parameters())
        assert weights > 5e5
        assert len(pickle.dumps(model)) < 1.1 * weights
        assert not hasattr(model.net_, "optimizer_")
        again = pickle.loads(pickle.dumps(model)).partial_fit(X, y)
        assert again.n_iter_ == model.n_iter_ + 1


def test_a_fit_starts_no_pool_of_threads(tables):
    """Where torch's pool was started, a fork hangs."""
    code = """
import os, numpy as np, torch
torch.set_num_threads(2)
from sklearn_omib import OMIBClassifier
rng = np.random.default_rng(0)
X, y = {"a": rng.normal(size=(3000, 200)), "b": rng.normal(size=(3000, 20))}, np.arange(3000) % 2
model = OMIBClassifier(n_members=2, max_epochs=1, warmup_epochs=1, random_state=0).fit(X, y)
model.predict(X)
child = os.fork()
if child == 0:
    torch.ones(4_000_000).add_(1)
    model.predict(X)
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert shown.stdout.strip() == "0", shown.stderr
