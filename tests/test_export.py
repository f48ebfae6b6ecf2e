"""What an estimator has become elsewhere says what the estimator says."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_omib import (
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
    OMIBRegressorCV,
)
from sklearn_omib.baselines import (
    CMIB,
    DMIB,
    MISA,
    BaselineAnomalyDetector,
    BaselineClassifier,
    BaselineRegressor,
    BiGated,
    MMIBCui,
)
from sklearn_omib.export import to_onnx, to_torch_export
from sklearn_omib.nn.fusion import FUSIONS

SMALL = {"max_epochs": 2, "hidden_dim": 16, "latent_dim": 8, "random_state": 0}
OMIB = {**SMALL, "warmup_epochs": 1}
SEARCH = {**OMIB, "betas": 2, "cv": 2}
MODELS = {
    "classifier": OMIBClassifier(n_members=2, **OMIB),
    "regressor": OMIBRegressor(n_members=2, **OMIB),
    "detector": OMIBAnomalyDetector(n_members=2, **OMIB),
    "not scaled": OMIBClassifier(n_members=1, standardize=False, **OMIB),
    "search": OMIBClassifierCV(**SEARCH),
    "search of folds": OMIBClassifierCV(refit=False, **SEARCH),
    "search of folds of numbers": OMIBRegressorCV(refit=False, **SEARCH),
    "baseline": BaselineClassifier(MISA(), n_members=2, **SMALL),
    "baseline of numbers": BaselineRegressor(DMIB(), n_members=1, **SMALL),
    "baseline of anomalies": BaselineAnomalyDetector(CMIB(), **SMALL),
    "gates": BaselineRegressor(BiGated(), n_members=2, **SMALL),
    "alignment": BaselineClassifier(MMIBCui(), n_members=2, **SMALL),
}


class Encoder(torch.nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(*shape, 12), torch.nn.BatchNorm1d(12), torch.nn.Dropout(0.2)
        )

    def forward(self, x):
        return self.layers(x)


class Branching(torch.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.fixture(scope="module")
def data():
    """Two tables, float32 as exported programs read them."""
    rng = np.random.default_rng(0)
    X = {
        "video": 5 + 3 * rng.normal(size=(90, 4)),  # not in the order of the alphabet
        "a.b c": rng.normal(size=(90, 3)),
    }
    X = {name: block.astype(np.float32) for name, block in X.items()}
    return X, X["video"][:, 0] + X["a.b c"][:, 0]


def target(model, score):
    if hasattr(model, "predict_proba"):
        return np.array(["sad", "glad"])[(score > 5).astype(int)]
    return None if hasattr(model, "nu") else 100 * score


def expected(model, X):
    """What the methods return, by the names of outputs."""
    names = "predict", "predict_proba", "score_samples", "decision_function", "transform"
    said = {name: getattr(model, name)(X) for name in names if hasattr(model, name)}
    if isinstance(model, (OMIBRegressor, OMIBRegressorCV, BaselineRegressor)):
        said["predict_std"] = model.predict(X, return_std=True)[1]
    return said


def agree(found, model, X):
    wanted = expected(model, X)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        if values.dtype.kind in "iUOb":
            np.testing.assert_array_equal(found[name], values)
        else:
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


def session_of(model, path):
    to_onnx(model, path)
    session = onnxruntime.InferenceSession(path)
    assert [one.name for one in session.get_inputs()] == list(model.modalities_)
    return session


def run(session, X):
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(X)), strict=True))


def said_by(program, model, X):
    with torch.no_grad():
        said = program({name: torch.tensor(block) for name, block in X.items()})
    said = {name: tensor.numpy() for name, tensor in said.items()}
    if getattr(model, "classes_", said["predict"]).dtype.kind in "UO":
        said["predict"] = model.classes_[said["predict"]]
    return said


def by_torch(model, X):
    return said_by(to_torch_export(model).module(), model, X)


def by_onnx(model, X, path):
    return run(session_of(model, path), X)


def slow_but(*quick):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow)
            for name in MODELS]  # fmt: skip


# torch traces a model in a second and makes an ONNX model of it in some
@pytest.mark.parametrize("name", slow_but("classifier", "regressor", "detector", "search of folds"))
def test_a_torch_program_says_what_the_estimator_says(name, data):
    X, score = data
    model = MODELS[name].fit(X, target(MODELS[name], score))
    program = to_torch_export(model).module()
    for n_rows in (90, 1, 17):
        part = {m: block[:n_rows] for m, block in X.items()}
        agree(said_by(program, model, part), model, part)


@pytest.mark.parametrize("name", slow_but("classifier"))
def test_an_onnx_model_says_what_the_estimator_says(name, data, tmp_path):
    X, score = data
    model = MODELS[name].fit(X, target(MODELS[name], score))
    session = session_of(model, tmp_path / "model.onnx")
    for n_rows in (90, 1, 17):
        part = {m: block[:n_rows] for m, block in X.items()}
        agree(run(session, part), model, part)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["classifier", "not scaled", "detector", "baseline"])
def test_missing_modalities_and_values_are_masked_inside(name, data, tmp_path):
    X, score = data
    X = {m: np.array(block, np.float32) for m, block in X.items()}
    for i, block in enumerate(X.values()):
        block[i::5] = np.nan
        block[3, 0] = np.nan
    model = clone(MODELS[name]).fit(X, target(MODELS[name], score))
    assert np.isfinite(by_torch(model, X)["transform"]).all()
    agree(by_torch(model, X), model, X)
    agree(by_onnx(model, X, tmp_path / "model.onnx"), model, X)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_is_one_that_onnx_has(fusion, data, tmp_path):
    X, score = data
    model = OMIBRegressor(n_members=2, fusion=fusion, **OMIB).fit(X, np.c_[score, score**2])
    agree(by_onnx(model, X, tmp_path / "model.onnx"), model, X)


@pytest.fixture(scope="module")
def blocks():
    """Every kind of dense block, and encoders that read them."""
    rng = np.random.default_rng(0)
    shapes = {"sequence": (6, 3), "gru": (6, 3), "image": (2, 4, 4), "table": (5,), "own": (4,)}
    X = {name: 2 + 3 * rng.normal(size=(60, *shape)) for name, shape in shapes.items()}
    X = {name: block.astype(np.float32) for name, block in X.items()}
    return X, {"gru": "gru", "own": Encoder, "table": "linear_mlp"}


@pytest.mark.slow
def test_every_dense_block_is_exported(blocks, tmp_path, recwarn):
    X, encoders = blocks
    models = [
        OMIBRegressor(n_members=2, encoders=encoders, **OMIB).fit(X, X["table"][:, 0]),
        OMIBAnomalyDetector(encoders=encoders, **OMIB).fit(X),
    ]
    recwarn.clear()
    for model in models:
        agree(by_torch(model, X), model, X)
    model = models[1]  # of one network: torch writes out each step of a recurrent layer
    agree(by_onnx(model, X, tmp_path / "model.onnx"), model, X)
    assert not recwarn.list


@pytest.mark.slow
@pytest.mark.parametrize("labels", [[3, 7, 9], [False, True], [0.0, 2.0], ["ü", "b"]])
def test_labels_of_every_kind(labels, data, tmp_path):
    X, _ = data
    y = np.array(labels)[np.arange(90) % len(labels)]
    for own in (y, y.astype(object)) if y.dtype.kind == "U" else (y,):
        model = OMIBClassifier(n_members=1, **OMIB).fit(X, own)
        agree(by_onnx(model, X, tmp_path / "model.onnx"), model, X)
        props = {one.key: one.value for one in onnx.load(tmp_path / "model.onnx").metadata_props}
        assert (
            json.loads(props["classes"]) == sorted(labels)
            and props["estimator"] == "OMIBClassifier"
        )


def test_multilabel_and_one_table(data):
    X, score = data
    y = np.c_[score > 5, score > 6].astype(int)
    model = OMIBClassifier(n_members=2, **OMIB).fit(X["video"], y)
    agree(by_torch(model, {"X": X["video"]}), model, X["video"])


def test_a_shift_that_float32_hardly_holds(data):
    X, score = data
    X = {"time": (1e6 + X["video"]).astype(np.float32), "b": X["a.b c"]}
    model = OMIBRegressor(n_members=1, **OMIB).fit(X, score)
    agree(by_torch(model, X), model, X)


def test_the_estimator_stays_as_it_is(data):
    X, score = data
    model = OMIBRegressor(n_members=2, **OMIB).fit(X, score)
    before = model.predict(X)
    to_torch_export(model)
    assert all(p.requires_grad for p in model.net_.module_.parameters())
    assert torch.backends.mha.get_fastpath_enabled()
    np.testing.assert_array_equal(model.predict(X), before)
    model.partial_fit(X, score)


def test_sparse_blocks_are_not_exported_but_what_was_made_dense_is(mixed):
    X, y, _ = mixed
    X = X[["table", "words"]]
    model = OMIBClassifier(n_members=1, **OMIB).fit(X, y)
    with pytest.raises(ValueError, match=r"'words' is a sparse .*encoders=\{'words': 'mlp'\}"):
        to_torch_export(model)
    model.set_params(encoders={"words": "mlp"}).fit(X, y)
    dense = {"table": X["table"], "words": X["words"].toarray()}
    dense = {name: block.astype(np.float32) for name, block in dense.items()}
    agree(by_torch(model, dense), model, dense)


def test_what_cannot_be_exported_is_named(data, tmp_path, monkeypatch):
    X, score = data
    model = OMIBRegressor(n_members=1, encoders={"video": Branching()}, **OMIB).fit(X, score)
    with pytest.raises(ValueError, match=r"torch\.export cannot trace .*OMIBRegressor"):
        to_torch_export(model)
    with pytest.raises(NotFittedError):
        to_torch_export(OMIBClassifier())
    with pytest.raises(NotFittedError):
        to_torch_export(OMIBClassifierCV())
    with pytest.raises(TypeError, match=r"got Pipeline.*pipeline\[-1\]"):
        to_onnx(make_pipeline(FunctionTransformer(), model), tmp_path / "model.onnx")
    named = OMIBRegressor(n_members=1, **OMIB).fit({"predict": X["video"]}, score)
    with pytest.raises(ValueError, match=r"\['predict'\] bear names of the model's outputs"):
        to_onnx(named, tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"sklearn-omib\[export\]"):
        to_onnx(named, tmp_path / "model.onnx")
