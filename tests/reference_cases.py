"""Fits that a redesign may not change: ``python reference_cases.py FILE`` writes predictions."""

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from sklearn_omib import (
    ModalityDict,
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
    OMIBRegressorCV,
    baselines,
)

METHODS = [
    "Concat", "BiGated", "MISA", "DeepIB", "MMIBZhang", "MMIBCui", "DMIB", "EMIB", "LMIB", "CMIB",
]  # fmt: skip
FAST = {"max_epochs": 5, "hidden_dim": 16, "latent_dim": 8, "batch_size": 32, "random_state": 0}
DETECTOR = {**FAST, "warmup_epochs": 2}
OMIB = {**DETECTOR, "combine": "fused"}


def baseline(method, task, **options):
    """An estimator of another method."""
    if hasattr(baselines, f"{method}{task}"):
        return getattr(baselines, f"{method}{task}")(**options)
    return getattr(baselines, f"Baseline{task}")(
        getattr(baselines, method)(), n_members=1, **options
    )


def tables(n=150):
    rng = np.random.default_rng(1)
    a, b, c = rng.normal(size=(3, n, 4))
    score = a[:, 0] + b[:, 0] * c[:, 1] + 0.3 * rng.normal(size=n)
    return {"a": a, "b": b, "c": c[:, :3]}, score


def mixed(n=120):
    rng = np.random.default_rng(0)
    sequence = rng.normal(size=(n, 6, 3))
    X = {
        "table": rng.normal(size=(n, 5)),
        "words": sparse.random(n, 120, density=0.05, random_state=0, format="csr"),
        "sequence": sequence,
        "image": rng.normal(size=(n, 2, 4, 4)).astype(np.float32),
        "wide": rng.normal(size=(n, 60)),
    }
    return X, X["table"][:, 0] + sequence[:, :, 0].mean(1)


class Encoder(torch.nn.Module):
    """With torch's dropout, which the package replaces, and buffers."""

    def __init__(self, shape):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(*shape, 12), torch.nn.BatchNorm1d(12), torch.nn.ReLU(),
            torch.nn.Dropout(0.2), torch.nn.Linear(12, 7),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)


def classifier(members, **options):
    X, score = tables()
    y = np.digitize(score, [-0.5, 0.5])
    model = OMIBClassifier(n_members=members, **{**OMIB, **options}).fit(X, y)
    history = model.history_[["train_loss", "train_task_loss", "valid_task_loss"]]
    return model.predict_proba(X), model.transform(X), history.to_numpy()


def weighted(members):
    X, score = tables()
    weight = np.arange(len(score)) % 4
    model = OMIBClassifier(n_members=members, class_weight="balanced", **OMIB)
    return (model.fit(X, score > 0.8, sample_weight=weight).predict_proba(X),)


def multilabel(members):
    X, score = tables()
    y = np.column_stack([score > 0, score > 1])
    return (OMIBClassifier(n_members=members, **OMIB).fit(X, y).predict_proba(X),)


def grouped(members):
    X, score = tables(151)
    model = OMIBClassifier(n_members=members, **OMIB)
    return (model.fit(X, score > 0, groups=np.arange(151) // 7).predict_proba(X),)


def grouped_numbers(members):
    X, score = tables(151)
    groups = np.sqrt(np.arange(151)).astype(int)
    model = OMIBRegressor(n_members=members, **OMIB).fit(X, score, groups=groups)
    return (model.predict(X),)


def every_block(members):
    X, score = mixed()
    model = OMIBClassifier(n_members=members, **OMIB).fit(X, score > 0)
    return model.predict_proba(X), model.transform(X)


def encoders(members):
    X, score = tables()
    torch.manual_seed(0)
    own = {"a": Encoder, "b": Encoder((4,)), "c": "linear_mlp"}
    model = OMIBRegressor(n_members=members, encoders=own, **OMIB).fit(X, score)
    return (model.predict(X),)


def regressor(members, **options):
    X, score = tables()
    y = np.column_stack([score, 100 * score + X["a"][:, 1]])
    model = OMIBRegressor(n_members=members, **{**OMIB, **options}).fit(X, y)
    return *model.predict(X, return_std=True), model.transform(X)


def detector(**options):
    X, score = tables()
    model = OMIBAnomalyDetector(**{**DETECTOR, **options}).fit(X, np.where(score > 2, -1, 1))
    return model.score_samples(X), model.score_samples_by_modality(X).to_numpy()


def detector_of_every_block():
    X, _ = mixed()
    return (OMIBAnomalyDetector(nu=0.1, **DETECTOR).fit(X).decision_function(X),)


def other(method, task):
    X, score = tables()
    model = baseline(method, task, **FAST).fit(X, score > 0 if task == "Classifier" else score)
    name = {"Classifier": "predict_proba", "Regressor": "predict"}.get(task, "score_samples")
    return getattr(model, name)(X), model.transform(X)


def streamed(kind):
    _lazy = sys.modules.get("sklearn_omib._lazy") or sys.modules["sklearn_omib.data.lazy"]
    before = _lazy.MEMORY_BUDGET, _lazy.BUFFER_BYTES, _lazy.CHUNK_BYTES
    _lazy.MEMORY_BUDGET, _lazy.BUFFER_BYTES, _lazy.CHUNK_BYTES = 0, 64 * 4 * 11, 8 * 4 * 11
    try:
        X, score = tables(300)
        with tempfile.TemporaryDirectory() as folder:
            for name, block in X.items():
                np.save(f"{folder}/{name}.npy", block)
            lazy = {name: np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in X}
            model = kind(n_members=1, **OMIB).fit(ModalityDict(lazy), (score > 0).astype(float))
            return (model.transform(lazy),)
    finally:
        _lazy.MEMORY_BUDGET, _lazy.BUFFER_BYTES, _lazy.CHUNK_BYTES = before


def warm_start():
    X, score = tables()
    model = OMIBClassifier(n_members=1, warm_start=True, **OMIB).fit(X, score > 0)
    model.set_params(learning_rate=1e-3, beta_scale=0.5).fit(X, score > 0)
    return (model.predict_proba(X),)


def chunks():
    X, score = tables()
    model = OMIBClassifier(n_members=1, **OMIB)
    for rows in (slice(0, 60), slice(60, 100), slice(100, None)):
        chunk = {name: block[rows] for name, block in X.items()}
        model.partial_fit(chunk, score[rows] > 0, classes=[False, True])
    return (model.predict_proba(X),)


def search(refit):
    X, score = tables(152)
    model = OMIBClassifierCV(betas=[1e-3, 0.1, 1], cv=3, n_members=2, refit=refit, **OMIB)
    model.fit(X, score > 0)
    return model.scores_, model.predict_proba(X)


def search_of_numbers():
    X, score = tables(152)
    model = OMIBRegressorCV(betas=3, cv=2, n_members=1, **OMIB).fit(X, score)
    return model.scores_, *model.predict(X, return_std=True)


CASES = {
    **{f"{case.__name__}, {n} networks": (case, n)
       for case in (classifier, weighted, multilabel, grouped, grouped_numbers, every_block,
                    encoders, regressor) for n in (1, 5)},
    "classifier with symmetric weights": (lambda: classifier(1, weighting="symmetric"),),
    "classifier without warm-up": (lambda: classifier(5, warmup_epochs=0, fusion="film"),),
    "regressor with gates": (lambda: regressor(5, fusion="gated", early_stopping=False),),
    "regressor of low rank": (lambda: regressor(1, fusion="low_rank", standardize=False),),
    "detector": (detector,),
    "detector with early stopping": (lambda: detector(early_stopping=True, eta=0),),
    "detector of every block": (detector_of_every_block,),
    **{f"{method}, {task}": (other, method, task)
       for method in METHODS for task in ("Classifier", "Regressor", "AnomalyDetector")},
    "streamed classifier": (streamed, OMIBClassifier),
    "streamed regressor": (streamed, OMIBRegressor),
    "warm start": (warm_start,),
    "chunks": (chunks,),
    "search": (search, True),
    "search without refit": (search, False),
    "search of numbers": (search_of_numbers,),
}  # fmt: skip


def outcome(name):
    """The arrays of a case."""
    case, *arguments = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [np.asarray(part, dtype=np.float64) for part in case(*arguments)]


if __name__ == "__main__":
    arrays = {f"{name}|{i}": part.astype(np.float32)
              for name in CASES for i, part in enumerate(outcome(name))}  # fmt: skip
    np.savez_compressed(Path(sys.argv[1]), **arrays)
    print(len(arrays), "arrays")
