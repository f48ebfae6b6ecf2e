"""Training that fails: the message names epoch, term, modality and shapes; memory that runs out."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from sklearn_omib import (
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
)
from sklearn_omib.training import devices
from sklearn_omib.training.net import StackedNet

FAST = {"max_epochs": 3, "warmup_epochs": 1, "hidden_dim": 16, "latent_dim": 8, "random_state": 0}


class Encoder(torch.nn.Module):
    """One that fails in training mode alone."""

    def __init__(self, shape):
        super().__init__()
        self.layer = torch.nn.Linear(shape[0], 6)

    def forward(self, v):
        z = self.layer(v)
        return self.trained(z) if self.training else z


def fails(z):
    raise IndexError("no such token")


def infinite(z):
    return torch.where(z > 0, z / 0, z)


def kind(how):
    return type("Its", (Encoder,), {"trained": staticmethod(how)})


# -- encoders -------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("estimator", [OMIBClassifier, OMIBRegressor, OMIBAnomalyDetector])
@pytest.mark.parametrize("how, message", [
    (fails, r"failed in training mode on a batch of shape \(32, 4\): no such token"),
    (lambda z: (z, z), "it returned tuple"),
    (lambda z: z[1:], r"of shape \(batch, 6\).*\(32, 4\) it returned shape \(31, 6\) in training"),
    (lambda z: z.repeat(1, 2), r"\(batch, 6\), as when it was built.*returned shape \(32, 12\)"),
    (lambda z: z.sum(), r"it returned shape \(\)"),
])  # fmt: skip
def test_an_encoder_that_fails_in_training_is_named(tables, estimator, n_members, how, message):
    X, y, _ = tables
    options = {"early_stopping": False, "batch_size": 32, "n_members": n_members, **FAST}
    X = {name: block[:32] for name, block in X.items()}
    with pytest.raises(ValueError, match=rf"The encoder of modality 'b' .*{message}"):
        estimator(encoders={"b": kind(how)}, **options).fit(X, y[:32])


def test_an_encoder_that_fails_for_some_rows_is_named_in_predict(tables):
    X, y, _ = tables

    class Picky(Encoder):
        def forward(self, v):
            assert v.abs().max() < 50, "too loud"
            return self.layer(v)

    clf = OMIBClassifier(encoders={"a": Picky}, n_members=2, **FAST).fit(X, y)
    with pytest.raises(ValueError, match=r"'a' failed on a batch of shape \(\d+, 4\): too loud"):
        clf.predict(X | {"a": 1e3 * X["a"]})


def test_members_whose_encoders_return_other_shapes(tables):
    X, y, _ = tables
    calls = []

    def wider(z):
        calls.append(1)
        return z.repeat(1, 1 + len(calls) % 2)

    with pytest.raises(ValueError, match=r"'a' failed .*: it returned shape .* and shape .*"):
        OMIBClassifier(encoders={"a": kind(wider)}, n_members=2, **FAST).fit(X, y)


# -- divergence -----------------------------------------------------------------------------------
@pytest.mark.parametrize("n_members", [1, 5])
def test_divergence_names_epoch_terms_and_the_encoder_at_fault(tables, n_members):
    X, y, _ = tables
    clf = OMIBClassifier(encoders={"b": kind(infinite)}, n_members=n_members, **FAST)
    with pytest.raises(ValueError, match="Training diverged") as raised:
        clf.fit(X, y)
    said = str(raised.value)
    assert "in epoch 1 (warm-up), and so is branch_loss_b." in said
    assert "The encoder of modality 'b' returns what is not finite, though its weights" in said
    assert "Nothing of this training is kept: the estimator is as it was before." in said
    with pytest.raises(NotFittedError):
        clf.predict(X)


def test_an_encoder_that_is_fine_at_first_is_told_from_a_learning_rate(tables):
    X, y, _ = tables
    with pytest.raises(ValueError, match="Training diverged") as raised:
        OMIBClassifier(learning_rate=1e30, **FAST).fit(X, y)
    assert "with the weights it had come to. Lower learning_rate" in str(raised.value)

    class Tires(Encoder):
        """Fails after so many steps, whatever its weights are."""

        steps = 0

        def forward(self, v):
            Tires.steps += self.training
            return self.layer(v) * (torch.nan if Tires.steps > 10 else 1)

    options = FAST | {"max_epochs": 30, "batch_size": 32}
    with pytest.raises(ValueError, match=r"diverged.* in epoch \d+ \(main\).*task_loss.*kl_a"):
        OMIBClassifier(encoders={"a": Tires}, n_members=1, **options).fit(X, y)


def test_rows_to_stop_by_are_told_from_rows_to_train_on(tables):
    X, y, _ = tables

    class Untrained(Encoder):
        def forward(self, v):
            return self.layer(v) if self.training else self.layer(v) / (len(v) == 2)

    with pytest.raises(ValueError, match=r"in epoch 1 \(warm-up\) on the rows to stop by, and so"):
        OMIBClassifier(encoders={"a": Untrained}, **FAST).fit(X, y)


def test_looking_for_the_fault_draws_nothing_from_the_global_generator(tables):
    X, y, _ = tables
    before = torch.random.get_rng_state()
    with pytest.raises(ValueError, match="Training diverged"):
        OMIBClassifier(learning_rate=1e30, **FAST).fit(X, y)
    assert torch.equal(torch.random.get_rng_state(), before)


# -- memory ---------------------------------------------------------------------------------------
@pytest.fixture
def memory(monkeypatch):
    """A device on which batches of at most so many rows have room."""

    def arrange(n_rows, error=torch.cuda.OutOfMemoryError, text="CUDA out of memory. Tried"):
        step = StackedNet.train_step

        def bounded(net, batch):
            if batch[2].shape[1] > n_rows and net.phase == "main":
                raise error(text)
            return step(net, batch)

        monkeypatch.setattr(StackedNet, "train_step", bounded)
        return lambda: monkeypatch.setattr(StackedNet, "train_step", step)

    return arrange


@pytest.mark.parametrize("seed", [0, "instance"])
@pytest.mark.parametrize("error, text", [
    (torch.cuda.OutOfMemoryError, "CUDA out of memory."),
    (RuntimeError, "MPS backend out of memory"),
    (RuntimeError, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
])  # fmt: skip
def test_out_of_memory_the_fit_begins_anew_with_half_the_batch(tables, memory, error, text, seed):
    X, y, _ = tables

    def model(batch_size):
        own = np.random.RandomState(3) if seed == "instance" else seed
        return OMIBClassifier(batch_size=batch_size, n_members=2, **FAST | {"random_state": own})

    memory(20, error, text)
    with pytest.warns(UserWarning, match="batch_size=32: the fit begins anew with batch_size=16"):
        halved = model(32).fit(X, y)
    assert halved.batch_size == 32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = model(16).fit(X, y)
    np.testing.assert_array_equal(halved.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("make", [
    lambda: OMIBClassifier(batch_size=32, **FAST),
    lambda: OMIBClassifierCV(betas=2, cv=2, batch_size=32, **FAST),
])  # fmt: skip
def test_out_of_memory_twice_is_an_error(tables, memory, make):
    X, y, _ = tables
    model = make().fit(X, y)
    before = dict(vars(model))
    memory(10)
    with (
        pytest.warns(UserWarning, match="begins anew") as given,
        pytest.raises(devices.OutOfMemoryError, match=r"batch_size=32, and again with 16\. Lower"),
    ):
        model.fit(X, y)
    assert len([one for one in given if "anew" in str(one.message)]) == 1
    assert vars(model) == before
    memory(0)
    with pytest.raises(RuntimeError, match=r"Out of memory on device 'auto' with batch_size=1\."):
        model.set_params(batch_size=1).fit(X, y)


def test_out_of_memory_in_an_encoder_and_in_what_goes_on(tables):
    X, y, _ = tables

    class Large(Encoder):
        most = 16

        def forward(self, v):
            if self.training and len(v) > Large.most:
                raise torch.cuda.OutOfMemoryError("out of memory")
            return self.layer(v)

    clf = OMIBClassifier(encoders={"a": Large}, batch_size=32, warm_start=True, **FAST)
    for fit in (clf.fit, clf.fit, clf.partial_fit):
        with pytest.warns(UserWarning, match="begins anew with batch_size=16"):
            fit(X, y)
    assert clf.batch_size == 32 and clf.net_.n_epochs() == 3 + 3 + 1
    assert clf.net_.batch_size == 16


def test_other_errors_are_not_tried_again(tables, memory):
    X, y, _ = tables
    memory(0, RuntimeError, "no luck")
    with pytest.raises(RuntimeError, match="no luck"), warnings.catch_warnings():
        warnings.simplefilter("error")
        OMIBClassifier(**FAST).fit(X, y)
