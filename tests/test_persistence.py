"""Estimators in files, pickles and skops' files: the same again, and no stranger's code is run."""

import copy
import io
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import sklearn
import skops.io
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.feature_selection import VarianceThreshold
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

import sklearn_omib
from sklearn_omib import (
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
    OMIBRegressorCV,
    load,
)
from sklearn_omib.baselines import (
    CMIB,
    DMIB,
    MISA,
    BaselineAnomalyDetector,
    BaselineClassifier,
    BaselineRegressor,
)
from sklearn_omib.information import MINE
from sklearn_omib.nn import MLPEncoder
from sklearn_omib.persistence import file, plain
from sklearn_omib.persistence.known import known
from sklearn_omib.preprocessing import ModalityTransformer
from sklearn_omib.training.history import packed, unpacked

SMALL = {"max_epochs": 3, "hidden_dim": 16, "latent_dim": 8, "random_state": 0}
OMIB = {**SMALL, "warmup_epochs": 1}
SEARCH = {**OMIB, "betas": 2, "cv": 2}
MODELS = {
    "classifier": OMIBClassifier(n_members=2, **OMIB),
    "regressor": OMIBRegressor(n_members=2, **OMIB),
    "detector": OMIBAnomalyDetector(**OMIB),
    "search": OMIBClassifierCV(**SEARCH),
    "search of folds": OMIBRegressorCV(refit=False, method="path", **SEARCH),
    "baseline": BaselineClassifier(MISA(), n_members=2, **SMALL),
    "baseline of numbers": BaselineRegressor(DMIB(), n_members=1, **SMALL),
    "baseline of anomalies": BaselineAnomalyDetector(CMIB(), **SMALL),
}


class Encoder(torch.nn.Module):
    """With buffers, a tied and a frozen weight."""

    def __init__(self, shape, width=12):
        super().__init__()
        self.first = torch.nn.Linear(*shape, width)
        self.norm = torch.nn.BatchNorm1d(width)
        self.second = torch.nn.Linear(width, width)
        self.tied = self.second
        self.first.weight.requires_grad_(False)

    def forward(self, x):
        return self.tied(self.second(self.norm(self.first(x))))


def make_encoder(shape):
    return torch.nn.Sequential(torch.nn.Linear(*shape, 6), torch.nn.Dropout(0.1))


class TwoNats:
    """An estimator of mutual information."""

    nats = 2.0

    def estimate(self, x, y):
        return self.nats


class Bomb:
    def __reduce__(self):
        return os._exit, (1,)


def say(model, X):
    """All that an estimator says of X."""
    names = "predict_proba", "predict", "transform", "score_samples"
    found = [getattr(model, name)(X) for name in names if hasattr(model, name)]
    if isinstance(model, (OMIBRegressor, OMIBRegressorCV)):
        found.append(model.predict(X, return_std=True)[1])
    return found


def fit(model, tables):
    X, y, score = tables
    y = np.where(y, "glad", "sad") if hasattr(model, "class_weight") else score
    return model.fit(X, y if hasattr(model, "predict_proba") or not hasattr(model, "nu") else None)


@pytest.fixture(scope="module")
def fitted():
    """Each kind of estimator once, fitted, and what it was fitted on."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 90, 4))
    tables = {"a": a, "b": b}, (a[:, 0] > 0).astype(int), a[:, 0] + b[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: fit(clone(model), tables) for name, model in MODELS.items()}, tables


def same(one, other):
    """Whether two fitted attributes are the same, of whatever kind."""
    if isinstance(one, np.ma.MaskedArray):
        return same(one.data, other.data) and same(one.mask, other.mask)
    if isinstance(one, np.ndarray):
        kinds = type(one) is type(other) and one.dtype == other.dtype and one.shape == other.shape
        return kinds and all(map(same, one.ravel().tolist(), other.ravel().tolist()))
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
        return True
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, (list, tuple)):
        kinds = type(one) is type(other) and len(one) == len(other)
        return kinds and all(map(same, one, other))
    if hasattr(one, "net_"):
        return same(public(one), public(other))
    return one == other or (one != one and other != other)


def public(model):
    return {k: v for k, v in vars(model).items() if k.endswith("_") and k != "net_"}


def saved(model, folder, **options):
    model.save(folder / "model.omib")
    return load(folder / "model.omib", **options)


def by_skops(model):
    data = skops.io.dumps(model)
    untrusted = skops.io.get_untrusted_types(data=data)
    assert {name.partition(".")[0] for name in untrusted} == {"sklearn_omib"}
    return skops.io.loads(data, trusted=untrusted)


def by_joblib(model):
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


STORES = {
    "save": saved,
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "joblib": lambda model, folder: by_joblib(model),
    "skops": lambda model, folder: by_skops(model),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
}


# -- the same again -------------------------------------------------------------------------------
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", MODELS)
def test_what_was_stored_is_the_same_again(name, store, fitted, tmp_path):
    models, (X, _, _) = fitted
    again = STORES[store](models[name], tmp_path)
    for found, expected in zip(say(again, X), say(models[name], X), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert same(public(models[name]), public(again))
    assert vars(again).keys() == vars(models[name]).keys()
    assert repr(again) == repr(models[name]) and clone(again).get_params().keys()


@pytest.mark.parametrize("store", STORES)
def test_what_was_stored_goes_on_alike(store, fitted, tmp_path):
    models, (X, y, score) = fitted
    for name, target in (("classifier", np.where(y, "glad", "sad")), ("regressor", score)):
        warm, chunks = ([STORES[store](models[name], tmp_path) for _ in "ab"] for _ in "ab")
        for one in warm:
            one.set_params(warm_start=True, max_epochs=2).fit(X, target)
        for one in chunks:
            one.partial_fit(X, target)
        expected = copy.deepcopy(models[name]).partial_fit(X, target)  # without moments too
        np.testing.assert_array_equal(say(chunks[0], X)[0], say(expected, X)[0])
        np.testing.assert_array_equal(say(warm[0], X)[0], say(warm[1], X)[0])
        assert len(warm[0].history_) > len(models[name].history_)


def test_every_kind_of_block_is_stored(mixed, tmp_path):
    X, y, _ = mixed
    model = OMIBClassifier(n_members=2, encoders={"sequence": "gru"}, **OMIB).fit(X, y)
    for store in STORES.values():
        again = store(model, tmp_path)
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        again.partial_fit(X, y)


def test_parameters_of_every_kind(tables, tmp_path):
    X, y, _ = tables
    table = np.hstack(list(X.values()))
    mask = np.arange(8) < 3
    model = OMIBClassifierCV(
        modalities={"a": slice(0, 4), "b": mask, "c": (slice(4, 8), (2, 2))},
        cv=KFold(2, shuffle=True, random_state=0),
        betas=np.array([0.1, np.inf])[:1],
        scoring=make_scorer(f1_score, pos_label=np.int64(1)),
        class_weight={np.int64(0): 1.0, np.int64(1): np.float32(1.5)},
        device=torch.device("cpu"),
        entropy_estimator=MINE(random_state=np.random.RandomState(3)),
        encoders={"b": MLPEncoder((3,), 5, 1, 0.0), "c": partial(make_flat, width=3)},
        **SMALL,
    )
    again = saved(model, tmp_path, trusted=[make_flat])
    assert again.modalities["a"] == slice(0, 4) and again.modalities["c"] == (slice(4, 8), (2, 2))
    assert again.class_weight == {0: 1.0, 1: 1.5} and again.betas.tolist() == [0.1]
    assert again.device == torch.device("cpu") and type(again.cv) is KFold
    random_state = again.entropy_estimator.random_state
    assert random_state.randint(99) == np.random.RandomState(3).randint(99)
    again.set_params(entropy_estimator="gaussian", warmup_epochs=0).fit(table, y)
    np.testing.assert_array_equal(saved(again, tmp_path, trusted=[make_flat]).predict(table),
                                  again.predict(table))  # fmt: skip


def make_flat(shape, width):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(int(np.prod(shape)), width))


def test_encoders_of_ones_own_are_stored_by_all(tables, tmp_path):
    X, y, _ = tables
    torch.manual_seed(0)
    for encoders in ({"a": Encoder, "b": make_encoder}, {"a": Encoder((4,)), "b": "mlp"}):
        model = OMIBClassifier(n_members=2, encoders=encoders, warm_start=True, **OMIB).fit(X, y)
        stored = [
            saved(model, tmp_path, trusted=[Encoder, make_encoder]),
            pickle.loads(pickle.dumps(model)),
            skops.io.loads(
                skops.io.dumps(model),
                trusted=skops.io.get_untrusted_types(data=skops.io.dumps(model)),
            ),
        ]
        for again in stored:
            np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
            first, second = again.net_.module_.encoders[0].networks
            assert first.tied is first.second and not first.first.weight.requires_grad
            shared = first.first.weight is second.first.weight  # copies of one module share it
            assert shared is isinstance(encoders["a"], torch.nn.Module)
            again.fit(X, y)  # the network that it knows by its encoders


def test_names_and_frames_are_stored(tables, tmp_path):
    X, y, _ = tables
    frames = {name: pd.DataFrame(block, columns=list("wxyz")) for name, block in X.items()}
    model = OMIBClassifier(**OMIB).fit(frames, y).set_output(transform="pandas")
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight=True)
    for store in STORES.values():
        again = store(model, tmp_path)
        assert repr(again.get_metadata_routing()) == repr(model.get_metadata_routing())
        assert same(again.feature_names_in_, model.feature_names_in_)
        pd.testing.assert_frame_equal(again.transform(frames), model.transform(frames))
        with pytest.raises(ValueError, match="Column names"):
            again.predict({**frames, "a": frames["a"].set_axis(list("abcd"), axis=1)})


def test_labels_of_every_kind(tables, tmp_path):
    X, _, _ = tables
    numbers = np.arange(120) % 3
    kinds = numbers > 0, numbers * 2.0, np.array(["x", "yy", "zzz"])[numbers]
    for y in (*kinds, kinds[-1].astype(object), np.eye(3, dtype=int)[numbers]):
        model = OMIBClassifier(n_members=1, **OMIB).fit(X, y)
        again = saved(model, tmp_path)
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert same(model.classes_, again.classes_)


def test_an_estimator_that_is_not_fitted_is_stored(tmp_path, tables):
    X, y, _ = tables
    model = OMIBClassifier(**OMIB)
    for store in STORES.values():
        again = store(model, tmp_path)
        assert again.get_params() == model.get_params() and not hasattr(again, "net_")
    np.testing.assert_array_equal(again.fit(X, y).predict(X), model.fit(X, y).predict(X))


def test_a_pipeline_goes_by_skops(tables):
    X, y, _ = tables
    pipe = make_pipeline(
        ModalityTransformer({"a": make_pipeline(VarianceThreshold(), PCA(2))}), MODELS["classifier"]
    ).fit(X, y)
    np.testing.assert_array_equal(by_skops(pipe).predict_proba(X), pipe.predict_proba(X))


@pytest.mark.parametrize("how", ["default", "pickle"])
def test_mlflow_logs_an_estimator_that_another_process_loads(how, tables, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    mlflow_sklearn = pytest.importorskip("mlflow.sklearn")
    X, y, _ = tables
    model = OMIBClassifier(**OMIB).fit(X, y)
    trusted = skops.io.get_untrusted_types(data=skops.io.dumps(model))
    options = {"default": {"skops_trusted_types": trusted},
               "pickle": {"serialization_format": "pickle"}}  # fmt: skip
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # no database for a test
    monkeypatch.chdir(tmp_path)
    runs = (tmp_path / "runs").as_uri()
    mlflow.set_tracking_uri(runs)
    with mlflow.start_run():
        logged = mlflow_sklearn.log_model(model, name="model", **options[how])
    np.savez("X.npz", **X)
    script = (
        "import mlflow, numpy as np\n"
        f"mlflow.set_tracking_uri({runs!r})\n"
        f"model = mlflow.sklearn.load_model({logged.model_uri!r})\n"
        "np.save('p.npy', model.predict_proba(dict(np.load('X.npz'))))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    np.testing.assert_array_equal(np.load("p.npy"), model.predict_proba(X))


def test_copies_share_nothing_but_shallow_ones_all(fitted):
    model = fitted[0]["classifier"]
    assert copy.copy(model).net_ is model.net_
    state = model.__getstate__()
    again = clone(model)
    again.__setstate__(state)
    mine, theirs = ({p.data_ptr() for p in m.net_.module_.parameters()} for m in (model, again))
    assert not mine & theirs


# -- strangers ------------------------------------------------------------------------------------
def test_what_is_not_ours_is_refused_unless_it_is_passed(tables, tmp_path, monkeypatch):
    X, y, _ = tables
    path = tmp_path / "model.omib"
    encoders = {"a": Encoder((4,)), "b": make_encoder}
    OMIBClassifier(n_members=1, encoders=encoders, **OMIB).fit(X, y).save(path)
    called = []
    monkeypatch.setattr(Encoder, "__setstate__", lambda *args: called.append(1), raising=False)
    with pytest.raises(ValueError, match=r"needs .*test_persistence\.Encoder, .*make_encoder"):
        load(path)
    with pytest.raises(ValueError, match=r"needs \S*test_persistence\.make_encoder, which neither"):
        load(path, trusted=[Encoder])
    assert not called
    monkeypatch.undo()
    names = {f"{Encoder.__module__}.{one.__name__}": one for one in (Encoder, make_encoder)}
    for trusted in ([Encoder, make_encoder], names):
        load(path, trusted=trusted).predict(X)


def test_an_object_of_ones_own_is_stored_by_its_attributes(tables, tmp_path):
    X, y, _ = tables
    own = TwoNats()
    own.nats = 3.0
    model = OMIBClassifier(entropy_estimator=own, **OMIB).fit(X, y)
    with pytest.raises(ValueError, match="TwoNats"):
        saved(model, tmp_path)
    assert saved(model, tmp_path, trusted=[TwoNats]).entropy_estimator.nats == 3.0


def test_what_cannot_be_imported_is_refused_when_saving(tmp_path):
    class Local(torch.nn.Module):
        pass

    for value in (lambda shape: make_encoder(shape), Bomb(), Local, Local(), iter([1])):
        with pytest.raises(ValueError, match=r"encoders\['a'\] holds .* joblib.dump"):
            OMIBClassifier(encoders={"a": value}).save(tmp_path / "model.omib")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [
    "os.system", "builtins.eval", "subprocess.Popen", "sklearn_omib.plotting.plt", "torch.load",
    "sklearn_omib._search.BaseEstimator", "sklearn_omib.data.lazy.LazyBlock", "nowhere.Thing",
    "sklearn_omib.persistence.estimator.load", "torch.nn.functional.torch", "sklearn.metrics.np",
    "joblib.load", "sklearn.pipeline.Pipeline", "",
])  # fmt: skip
def test_a_name_is_known_or_an_error(name):
    before = set(sys.modules)
    with pytest.raises(ValueError, match="not among the classes"):
        known(name)
    assert set(sys.modules) == before


def crafted(path, **changes):
    """A file with another description and a checksum that fits."""
    described, arrays = file.from_bytes(Path(path).read_bytes(), "")
    kept = {key: described[key] for key in ("version", "estimator", "foreign", "state")}
    Path(path).write_bytes(file.to_bytes(kept | changes, arrays))


def test_a_forged_description_is_an_error_and_runs_nothing(fitted, tmp_path):
    path = tmp_path / "model.omib"
    fitted[0]["classifier"].save(path)
    forged = tmp_path / "forged"
    command = f"touch {forged}"
    nodes = [
        {"object": [{"known": "os.system"}, [command], None]},
        {"partial": [{"known": "os.system"}, [command], {}]},
        {"object": [{"known": "sklearn.metrics.f1_score"}, [], None]},
        {"object": [{"known": "sklearn_omib.methods.omib.OMIB"}, [1], {"dict": {}}]},
        {"object": [{"foreign": 0}, [], None]},
        {"call": [{"known": "os.system"}, [command]]},
        {"array": 10**6}, {"array": -(10**6)}, {"again": 7}, {"bytes": [0, "O", [1]]},
        {"dtype": "load"}, {"device": 7}, {"tensor": [0]}, {}, {"a": 1, "b": 2}, [1], "text",
        {"random_state": {"dict": {}}}, {"frame": [[], [], 1]},
    ]  # fmt: skip
    for state in (*map(json.dumps, nodes), "[" * 9999 + "]" * 9999, "{"):
        crafted(path, state=state)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            load(path)
    assert not forged.exists()


def test_every_bit_of_a_file_counts(tables, tmp_path):
    X, y, _ = tables
    path = tmp_path / "model.omib"
    OMIBClassifier(n_members=1, max_epochs=1, hidden_dim=4, latent_dim=4).fit(X, y).save(path)
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    rng = np.random.default_rng(0)
    spread = [*range(0, 9), *rng.integers(0, header, 60), *rng.integers(header, len(data), 30)]
    for place in [*spread, header - 1, header, len(data) - 1]:
        for bit in (0, 3, 7):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(ValueError, match=re.escape(str(path))):
                load(path)
    for length in (0, 1, 7, 8, 9, header // 2, header, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="damaged"):
            load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(ValueError, match="damaged"):
        load(path)
    path.write_bytes(data)
    load(path)


def test_foreign_files_are_not_read(tmp_path):
    path = tmp_path / "model.omib"
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer)
    others = [
        pickle.dumps(Bomb()), buffer.getvalue(), b"", b"text\n" * 9, os.urandom(999),
        safetensors.numpy.save({"a": np.ones(3)}), safetensors.numpy.save({}, {"format": "pt"}),
        (2).to_bytes(8, "little") + b"[]", (4).to_bytes(8, "little") + b"null",
    ]  # fmt: skip
    for data in others:
        path.write_bytes(data)
        with pytest.raises(ValueError, match="is not a file that save"):
            load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere")


def test_a_newer_format_is_named(fitted, tmp_path, monkeypatch):
    path = tmp_path / "model.omib"
    model = fitted[0]["regressor"]
    with monkeypatch.context() as newer:
        newer.setattr(file, "FORMAT", 2)
        newer.setattr("sklearn_omib.persistence.estimator.FORMAT", 2)
        model.save(path)
        pickled = pickle.dumps(model)
    with pytest.raises(ValueError, match=r"has format 2, and this version .* reads up to 1"):
        load(path)
    with pytest.raises(ValueError, match="in a form that this version"):
        pickle.loads(pickled)


# -- the file -------------------------------------------------------------------------------------
def test_an_older_file_survives_any_failure(fitted, tmp_path, monkeypatch):
    path = tmp_path / "model.omib"
    models, _ = fitted
    models["classifier"].save(path)
    before = path.read_bytes()
    for name in ("fsync", "replace"):
        with monkeypatch.context() as broken, pytest.raises(OSError, match="full"):
            broken.setattr(os, name, lambda *args: (_ for _ in ()).throw(OSError("disk is full")))
            models["regressor"].save(path)
        assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == [
            path.name
        ]
    link = tmp_path / "link.omib"
    link.symlink_to(path)
    models["regressor"].save(link)
    assert link.is_symlink() and type(load(path)) is OMIBRegressor
    with pytest.raises(FileNotFoundError):
        models["regressor"].save(tmp_path / "nowhere" / "model.omib")


def test_a_file_is_one_of_safetensors(fitted, tmp_path):
    path = tmp_path / "model.omib"
    model = fitted[0]["classifier"]
    model.save(path)
    arrays = [*safetensors.numpy.load_file(path).values()]
    shapes = [array.shape for array in arrays if array.dtype == np.float32]
    assert all(tuple(p.shape) in shapes for p in model.net_.module_.parameters())


# -- size, versions, devices ----------------------------------------------------------------------
def test_weights_are_stored_once_and_no_moments(tables, tmp_path):
    X, y, _ = tables
    models = [
        OMIBClassifier(n_members=2, random_state=0, max_epochs=2).fit(X, y),
        OMIBClassifier(n_members=2, random_state=0).partial_fit(X, y, classes=[0, 1]),
        OMIBClassifierCV(betas=2, cv=2, n_members=2, random_state=0, max_epochs=2).fit(X, y),
        OMIBAnomalyDetector(n_members=2, random_state=0, max_epochs=2).fit(X),
    ]
    for model in models:
        nets = [one.net_ for one in getattr(model, "estimators_", [model])]
        weights = sum(p.numel() * 4 for net in nets for p in net.module_.parameters())
        assert weights > 4e5
        model.save(tmp_path / "model.omib")
        joblib.dump(model, tmp_path / "model.joblib")
        sizes = len(pickle.dumps(model)), *(one.stat().st_size for one in tmp_path.iterdir())
        assert max(sizes) < weights + 50_000
        assert pickle.loads(pickle.dumps(nets[0])).moments is None


def test_a_history_does_not_outgrow_the_weights(tables):
    X, y, _ = tables
    model = OMIBClassifier(n_members=5, random_state=0, max_epochs=1, warmup_epochs=1).fit(X, y)
    before = len(pickle.dumps(model))
    terms = 2 * len(model.net_.history[-1])
    model.net_.history[:] = model.net_.history[:1] + 100 * [model.net_.history[-1]]
    assert len(pickle.dumps(model)) - before < 100 * 5 * 8 * terms


def test_history_is_packed_without_loss(fitted):
    for model in fitted[0].values():
        for one in getattr(model, "estimators_", [model]):
            rows = list(one.net_.history)
            assert unpacked(packed(rows)) == rows
    rows = [{"batches": [], "epoch": 1, "phase": "main", "networks": [2], "train_loss": [0.1]}]
    assert unpacked(packed(rows)) == rows  # an epoch that failed took no time


@pytest.mark.parametrize("name", ["classifier", "search", "baseline"])
def test_another_version_warns_once(name, fitted, tmp_path, monkeypatch):
    model = fitted[0][name]
    with monkeypatch.context() as older:
        older.setattr("sklearn_omib.persistence.estimator.__version__", "0.0.1")
        model.save(tmp_path / "model.omib")
        data, file_of_skops = pickle.dumps(model), skops.io.dumps(model)
    trusted = skops.io.get_untrusted_types(data=file_of_skops)
    for read in (
        lambda: load(tmp_path / "model.omib"),
        lambda: pickle.loads(data),
        lambda: skops.io.loads(file_of_skops, trusted=trusted),
    ):
        with pytest.warns(InconsistentVersionWarning) as caught:
            read()
        assert len(caught) == 1
        words = f"stored by sklearn-omib 0.0.1, and this is {sklearn_omib.__version__}"
        assert words in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(model))
        saved(model, tmp_path)


@pytest.mark.parametrize("store", STORES)
def test_a_model_of_a_gpu_is_read_where_there_is_none(store, fitted, tmp_path):
    models, (X, y, _) = fitted
    model = copy.deepcopy(models["classifier"])
    model.device = model.net_.device = "cuda:7"  # as it is called there
    again = STORES[store](model, tmp_path)
    assert torch.device(again.net_.device).type == "cpu" and again.device == "cuda:7"
    np.testing.assert_array_equal(again.predict_proba(X), models["classifier"].predict_proba(X))
    with pytest.raises(ValueError, match=r"device='cuda:7' cannot be used.*'auto'"):
        again.partial_fit(X, np.where(y, "glad", "sad"))
    again.set_params(device="auto").partial_fit(X, np.where(y, "glad", "sad"))


def test_a_numbered_cpu_is_the_cpu(tables, tmp_path):
    X, y, _ = tables
    model = OMIBClassifier(n_members=1, device="cpu:3", **OMIB).fit(X, y)
    for store in STORES.values():
        again = store(model, tmp_path)
        assert torch.device(again.net_.device) == torch.device("cpu")
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        again.partial_fit(X, y)


# -- plain data -----------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [
    None, True, 3, 10**30, 0.1, float("inf"), "ü\ud800\0", [1, (2, [3])], {"a": {1: "b", None: 2}},
    {1, 2}, frozenset({"a"}), slice(None, 3), range(0, 9, 2), np.float32(0.1), np.int8(-3),
    np.str_("a"), np.datetime64("2026-01-01"), np.arange(6.0).reshape(2, 3).T, np.zeros((0, 3)),
    np.array(3), np.array(["a", "bcd"]), np.array([None, "a", 2.5]), np.array([1 + 2j]),
    np.array(["2026"], "M8[D]"), np.arange(3, dtype=">i4").astype(">i4"), np.float16([1.5]),
    np.ma.array([1.0, 2.0], mask=[False, True]), torch.Size([2, 3]), torch.float16,
    pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.5, np.nan]}, index=[5, 7]),
], ids=repr)  # fmt: skip
def test_values_are_what_they_were(value):
    written = plain.to_plain(value)
    assert not written.foreign
    again = plain.from_plain(written.text, written.arrays, [])
    assert type(again) is type(value)
    if isinstance(value, np.ndarray) and not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    assert same(value, again)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_are_what_they_were(dtype):
    tensor = torch.arange(6).reshape(2, 3).to(dtype)
    parameter = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    written = plain.to_plain([tensor, tensor.T, parameter, parameter, torch.tensor(2.0)])
    one, turned, first, second, _ = plain.from_plain(written.text, written.arrays, [])
    assert torch.equal(one, tensor) and one.dtype == dtype and torch.equal(turned, tensor.T)
    assert first is second and type(first) is torch.nn.Parameter and not first.requires_grad
