"""What a user has set for torch changes no result, and is as it was afterwards."""

import threading
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch

from sklearn_omib import OMIBAnomalyDetector, OMIBClassifier, OMIBClassifierCV, OMIBRegressor
from sklearn_omib.baselines import CMIB, BaselineClassifier
from sklearn_omib.information import MINE
from sklearn_omib.inspection import bottleneck_probe, information_plane

N = 60
FAST = {"max_epochs": 2, "warmup_epochs": 1, "hidden_dim": 8, "latent_dim": 4, "random_state": 0}


@contextmanager
def double():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def meta_by_default():
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


SETTINGS = {
    "float64": double,
    "default device": meta_by_default,
    "device context": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def data():
    rng = np.random.default_rng(0)
    X = {"table": rng.normal(size=(N, 3)), "sequence": rng.normal(size=(N, 5, 2))}
    return X, (X["table"][:, 0] > 0).astype(int)


class Encoder(torch.nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.map, self.norm = torch.nn.Linear(shape[0], 4), torch.nn.BatchNorm1d(4)
        self.register_buffer("shift", torch.ones(4))

    def forward(self, v):
        return self.norm(self.map(v)) + torch.ones(4) + self.shift


def outcome(kind, set_so=nullcontext):
    X, y = data()
    with set_so():
        if kind == "classifier":
            model = OMIBClassifier(encoders={"table": Encoder}, **FAST).fit(X, y)
            return model.predict_proba(X), model.transform(X)
        if kind == "regressor":
            model = OMIBRegressor(n_members=1, warm_start=True, **FAST).fit(X, 1.0 * y)
            return model.fit(X, 1.0 * y).predict(X, return_std=True)
        if kind == "chunks":
            model = OMIBClassifier(**FAST).partial_fit(X, y, classes=[0, 1])
            return (model.partial_fit(X, y).predict_proba(X),)
        if kind == "detector":
            model = OMIBAnomalyDetector(**FAST).fit(X)
            return model.score_samples(X), model.score_samples_by_modality(X)
        if kind == "search":
            search = OMIBClassifierCV(betas=2, cv=2, **FAST).fit(X, y)
            return search.scores_, search.predict_proba(X)
        if kind == "baseline":
            options = {name: value for name, value in FAST.items() if name != "warmup_epochs"}
            return (BaselineClassifier(CMIB(), **options).fit(X, y).predict_proba(X),)
        if kind == "mine":
            return (MINE(n_steps=40, random_state=0).estimate(X["table"], y),)
        model = OMIBClassifier(n_members=1, **FAST).fit(X, y)
        plane = information_plane(model, X, y, epochs=[1], test_size=0.5, random_state=0)
        probe = bottleneck_probe(model, X, {"y": y}, cv=2, random_state=0)
        return plane, probe[["noisy_xi", "xi"]]


KINDS = [
    "classifier", "regressor", "chunks", "detector", "search", "baseline", "mine", "inspection",
]  # fmt: skip


@pytest.fixture(scope="module")
def expected():
    return {kind: outcome(kind) for kind in KINDS}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_results_are_the_same_whatever_torch_is_set_to(kind, setting, expected):
    for found, known in zip(outcome(kind, SETTINGS[setting]), expected[kind], strict=True):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(known))


def settings():
    return (
        torch.get_default_dtype(), torch.get_default_device().type, torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"),
    )  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_model_fitted_there_goes_on_here_and_settings_are_given_back(setting):
    X, y = data()
    with SETTINGS[setting]():
        before = settings()
        clf = OMIBClassifier(n_members=1, warm_start=True, **FAST).fit(X, y)
        assert settings() == before
    here = OMIBClassifier(n_members=1, warm_start=True, **FAST).fit(X, y)
    np.testing.assert_array_equal(clf.fit(X, y).predict_proba(X), here.fit(X, y).predict_proba(X))


def test_an_encoder_made_in_double_precision_is_read_in_single():
    X, y = data()
    torch.manual_seed(0)
    with double():
        own = Encoder((3,))
    own.map.bias.requires_grad_(False)
    clf = OMIBClassifier(n_members=2, encoders={"table": own}, **FAST).fit(X, y)
    assert np.isfinite(clf.predict_proba(X)).all()
    assert {p.dtype for p in own.parameters()} == {torch.float64}  # what was given stays


def test_threads_that_set_another_dtype_disturb_no_fit():
    known = outcome("chunks")[0]
    with double():
        found: list = []
        threads = [threading.Thread(target=lambda: found.append(outcome("chunks")[0]))
                   for _ in range(3)]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert torch.get_default_dtype() == torch.float64
    assert len(found) == 3
    for one in found:
        np.testing.assert_array_equal(one, known)
