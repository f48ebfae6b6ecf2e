"""Thousands of hostile inputs: each gives a finite result, or an error that names the cause.

``python test_hostile.py 300 7`` runs 300 cases from seed 7 and prints what was neither.
"""

import sys
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
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
    check_modalities,
    datasets,
    information,
    inspection,
    preprocessing,
)

N_CASES = 5000
TINY = {"max_epochs": 1, "hidden_dim": 4, "latent_dim": 4, "n_jobs": 1}
METHODS = [
    "Concat", "BiGated", "MISA", "DeepIB", "MMIBZhang", "MMIBCui", "DMIB", "EMIB", "LMIB", "CMIB",
]  # fmt: skip
# what a message that names no cause looks like: those of torch, numpy, Python
RAW = (
    "mat1 and mat2", "size mismatch", "'NoneType'", "not subscriptable", "unexpected keyword",
    "has no attribute", "index out of range", "out of bounds", "enforce fail", "inhomogeneous",
    "could not be broadcast", "cannot be broadcast", "unsupported operand", "not callable",
    "invalid combination of arguments", "unhashable", "zero-size array", "invalid literal",
    "truth value of", "division by zero", "must be tuple of ints", "only length-1", "only 0-dim",
    "positional argument", "not iterable", "is not in list", "dimension mismatch",
    "Length mismatch", "storage has been", "cannot be interpreted", "incompatible", "must match",
    "Expected sequence or array-like", "Input should have at least 1", "this test cannot",
    "not supported between", "reduction operation",
)  # fmt: skip

BARE = ("could not convert", "Complex data", "setting an array element", "cannot convert")


# -- blocks ---------------------------------------------------------------------------------------
def block(rng, n):
    """A block of a good kind."""
    shape = [(3,), (1,), (5,), (4, 2), (2, 4, 4)][rng.integers(5)]
    values = rng.normal(size=(n, *shape))
    if len(shape) > 1:
        return values
    kind = rng.integers(6)
    if kind == 0:
        return pd.DataFrame(values, columns=[f"c{i}" for i in range(shape[0])])
    if kind == 1:
        return sparse.csr_matrix(values * (values > 0))
    if kind == 2:
        return torch.from_numpy(values)
    return values.astype([np.float64, np.float32, np.int32][kind - 3])


def dense(values):
    return values.toarray() if sparse.issparse(values) else np.array(values)


def set_value(value):
    def change(rng, values):
        values = dense(values).astype(np.result_type(np.float64, type(value)))
        if values.size:
            values[(*(rng.integers(size) for size in values.shape),)] = value
        return values

    return change


def flat(values):
    values = dense(values)
    return values.reshape(len(values), int(np.prod(values.shape[1:]))) if values.ndim else values


FORMATS = ["coo", "dia", "bsr", "lil", "dok", "csc"]
DTYPES = ["int8", "uint64", "bool", "float16", "longdouble", "object", "str", "complex64", "M8[s]",
          "m8[s]", "S3"]  # fmt: skip
SPOIL_BLOCK = {
    "nan": set_value(np.nan),
    "inf": set_value(-np.inf),
    "huge": set_value(1e300),
    "far": lambda rng, b: dense(b) + 10.0 ** rng.integers(5, 30),
    "large": lambda rng, b: dense(b) * 10.0 ** rng.integers(10, 300),
    "small": lambda rng, b: dense(b) * 10.0 ** -rng.integers(10, 310).astype(float),
    "constant": lambda rng, b: np.ones_like(dense(b)),
    "zeros": lambda rng, b: sparse.csr_matrix(np.shape(flat(b))),
    "one value": lambda rng, b: (np.arange(dense(b).size) == 0).reshape(np.shape(b)) * 1.0,
    "duplicates": lambda rng, b: np.repeat(dense(b)[:1], len(dense(b)), 0),
    "same columns": lambda rng, b: np.hstack([flat(b)] * 3),
    "dtype": lambda rng, b: (flat(b) * 3).astype("f8").round().astype("i8").astype(
        DTYPES[rng.integers(len(DTYPES))]),
    "missing object": lambda rng, b: np.where(flat(b) > 1, None, flat(b)),
    "strings": lambda rng, b: np.where(flat(b) > 0, "loud", "1.5"),
    "dict inside": lambda rng, b: np.array([[{"a": 1}]] * len(dense(b)), dtype=object),
    "vector": lambda rng, b: dense(b).ravel(),
    "transposed": lambda rng, b: flat(b).T,
    "more rows": lambda rng, b: np.concatenate([dense(b)] * 2),
    "fewer rows": lambda rng, b: dense(b)[1:],
    "no rows": lambda rng, b: dense(b)[:0],
    "no columns": lambda rng, b: flat(b)[:, :0],
    "empty axis": lambda rng, b: np.zeros((len(dense(b)), 0, 2)),
    "many axes": lambda rng, b: dense(b)[(..., *[None] * rng.integers(1, 5))],
    "wider": lambda rng, b: np.hstack([flat(b), flat(b)[:, :1]]),
    "list": lambda rng, b: dense(b).tolist(),
    "ragged": lambda rng, b: [[1.0] * (1 + i % 2) for i in range(len(dense(b)))],
    "tuple": lambda rng, b: tuple(map(tuple, flat(b))),
    "frame": lambda rng, b: pd.DataFrame(flat(b)),
    "frame with one name": lambda rng, b: pd.DataFrame(flat(b), columns=["c"] * flat(b).shape[1]),
    "mixed frame": lambda rng, b: pd.DataFrame(flat(b)).assign(kind="x"),
    "categories": lambda rng, b: pd.DataFrame(flat(b)).round().astype(str).astype("category"),
    "nullable": lambda rng, b: pd.DataFrame(flat(b)).astype("Float64").mask(flat(b) > 1),
    "dates": lambda rng, b: pd.DataFrame({"t": pd.date_range("2020", periods=len(dense(b)))}),
    "other index": lambda rng, b: pd.DataFrame(flat(b)).iloc[::-1],
    "series": lambda rng, b: pd.Series(dense(b).ravel()),
    "format": lambda rng, b: sparse.csr_matrix(flat(b)).asformat(FORMATS[rng.integers(6)]),
    "sparse array": lambda rng, b: sparse.coo_array(flat(b)),
    "matrix": lambda rng, b: np.matrix(flat(b)) if flat(b).ndim == 2 else b,
    "masked": lambda rng, b: np.ma.masked_greater(dense(b), 1),
    "record": lambda rng, b: np.zeros(len(dense(b)), dtype=[("x", float), ("y", int)]),
    "bfloat16": lambda rng, b: torch.from_numpy(dense(b).astype("f4")).bfloat16(),
    "gradient": lambda rng, b: torch.from_numpy(dense(b).astype("f8")).requires_grad_(),
    "sparse tensor": lambda rng, b: torch.from_numpy(flat(b).astype("f4")).to_sparse(),
    "complex tensor": lambda rng, b: torch.from_numpy(flat(b).astype("c8")),
    "read-only": lambda rng, b: np.broadcast_to(dense(b)[:1], np.shape(dense(b))),
    "reversed": lambda rng, b: dense(b)[..., ::-1],
    "other endian": lambda rng, b: dense(b).astype(">f8"),
    "None": lambda rng, b: None,
    "scalar": lambda rng, b: np.float64(3),
    "text": lambda rng, b: ["a word"] * len(dense(b)),
    "path": lambda rng, b: "data.npy",
    "function": lambda rng, b: len,
    "generator": lambda rng, b: (row for row in dense(b)),
    "dict": lambda rng, b: {"x": dense(b)},
    "set": lambda rng, b: {1, 2},
}  # fmt: skip

# -- the whole of X -------------------------------------------------------------------------------
SPOIL_X = {
    "list": lambda rng, X: list(X.values()),
    "container": lambda rng, X: ModalityDict(X),
    "table": lambda rng, X: np.hstack([flat(b) for b in X.values()]),
    "frame": lambda rng, X: pd.DataFrame(np.hstack([flat(b) for b in X.values()])),
    "levels": lambda rng, X: pd.concat({k: pd.DataFrame(flat(b)) for k, b in X.items()}, axis=1),
    "sparse": lambda rng, X: sparse.csr_matrix(np.hstack([flat(b) for b in X.values()])),
    "lists": lambda rng, X: np.hstack([flat(b) for b in X.values()]).tolist(),
    "vectors": lambda rng, X: [dense(b).ravel() for b in X.values()],
    "empty dict": lambda rng, X: {},
    "empty list": lambda rng, X: [],
    "None": lambda rng, X: None,
    "number": lambda rng, X: 3,
    "string": lambda rng, X: "audio",
    "series": lambda rng, X: pd.Series(dense(next(iter(X.values()))).ravel()),
    "numbered": lambda rng, X: dict(enumerate(X.values())),
    "odd names": lambda rng, X: {name: b for name, b in
                                 zip(["", "a.b", "type", "$x^$", "a__b", "x"], X.values(),
                                     strict=False)},
    "twice": lambda rng, X: X | {f"{k} again": b for k, b in X.items()},
    "one": lambda rng, X: dict([next(iter(X.items()))]),
    "renamed": lambda rng, X: {f"{name}!": b for name, b in X.items()},
    "reordered": lambda rng, X: dict(reversed(X.items())),
    "nested": lambda rng, X: {"a": X},
    "tuple": lambda rng, X: tuple(X.values()),
    "cube": lambda rng, X: np.zeros((4, 4, 4)),
}  # fmt: skip

# -- what comes with the samples ------------------------------------------------------------------
SPOIL_Y = {
    "none": lambda rng, y: None,
    "strings": lambda rng, y: np.where(np.asarray(y) > 0, "yes", "no"),
    "objects": lambda rng, y: np.array(["yes" if i % 2 else "no" for i in range(len(y))], object),
    "mixed": lambda rng, y: [1 if i % 2 else "a" for i in range(len(y))],
    "mixed objects": lambda rng, y: np.array([1 if i % 2 else "a" for i in range(len(y))], object),
    "nan": lambda rng, y: np.where(np.arange(len(y)) == 0, np.nan, y),
    "None inside": lambda rng, y: [None, *list(y)[1:]],
    "inf": lambda rng, y: np.where(np.arange(len(y)) == 0, np.inf, y),
    "one class": lambda rng, y: np.zeros(len(y)),
    "one class of strings": lambda rng, y: ["a"] * len(y),
    "as many classes as samples": lambda rng, y: np.arange(len(y)),
    "short": lambda rng, y: y[1:],
    "long": lambda rng, y: np.r_[y, y],
    "empty": lambda rng, y: [],
    "two columns": lambda rng, y: np.column_stack([y, y]),
    "indicator": lambda rng, y: 1 * np.column_stack([np.asarray(y) > 0, np.asarray(y) <= 0]),
    "signs": lambda rng, y: np.where(np.column_stack([np.asarray(y) > 0] * 2), 1, -1),
    "sparse": lambda rng, y: sparse.csr_matrix(1 * np.column_stack([np.asarray(y) > 0] * 2)),
    "column": lambda rng, y: np.asarray(y)[:, None],
    "cube": lambda rng, y: np.zeros((len(y), 2, 2)),
    "ragged": lambda rng, y: [[1] * (1 + i % 2) for i in range(len(y))],
    "dict": lambda rng, y: {"y": y},
    "number": lambda rng, y: 3,
    "string": lambda rng, y: "label",
    "series": lambda rng, y: pd.Series(y, index=np.arange(len(y))[::-1]),
    "frame": lambda rng, y: pd.DataFrame({"y": y}),
    "category": lambda rng, y: pd.Categorical(np.where(np.asarray(y) > 0, "yes", "no")),
    "boolean": lambda rng, y: np.asarray(y) > 0,
    "nullable": lambda rng, y: pd.array(np.asarray(y) > 0, dtype="boolean"),
    "complex": lambda rng, y: np.asarray(y) + 1j,
    "dates": lambda rng, y: pd.date_range("2020", periods=len(y)),
    "tensor": lambda rng, y: torch.tensor(np.asarray(y, dtype="f4"), requires_grad=True),
    "huge": lambda rng, y: np.asarray(y) * 1e300,
    "large": lambda rng, y: np.asarray(y) + 1e12,
    "small": lambda rng, y: np.asarray(y) * 1e-300,
    "generator": lambda rng, y: (value for value in y),
    "set": lambda rng, y: set(np.asarray(y).tolist()),
    "minus ones": lambda rng, y: -np.ones(len(y)),
    "bytes": lambda rng, y: np.where(np.asarray(y) > 0, b"yes", b"no"),
}  # fmt: skip
WEIGHTS = [
    lambda rng, n: np.ones(n), lambda rng, n: rng.uniform(size=n), lambda rng, n: np.zeros(n),
    lambda rng, n: -np.ones(n), lambda rng, n: np.full(n, np.nan), lambda rng, n: np.full(n, 1e308),
    lambda rng, n: np.full(n, 1e-320), lambda rng, n: "balanced", lambda rng, n: {0: 1},
    lambda rng, n: ["a"] * n, lambda rng, n: 2.0, lambda rng, n: np.ones((n, 1)),
    lambda rng, n: np.ones(n + 1), lambda rng, n: [None] * n, lambda rng, n: np.ones(n) * 1j,
    lambda rng, n: pd.Series(np.ones(n)), lambda rng, n: np.arange(n) == 0, lambda rng, n: True,
    lambda rng, n: torch.ones(n), lambda rng, n: np.geomspace(1e-300, 1e300, n) if n else [],
    lambda rng, n: np.full(n, np.inf), lambda rng, n: [[1]] * n, lambda rng, n: len,
]  # fmt: skip
GROUPS = [
    lambda rng, n: np.arange(n) // 2, lambda rng, n: np.zeros(n),
    lambda rng, n: ["a", "b"] * (n // 2),
    lambda rng, n: np.zeros((n, 2)), lambda rng, n: 3, lambda rng, n: "site", lambda rng, n: {},
    lambda rng, n: [None] * n, lambda rng, n: np.full(n, np.nan), lambda rng, n: np.arange(n + 1),
    lambda rng, n: pd.Series(range(n)), lambda rng, n: [[1]] * n, lambda rng, n: len,
    lambda rng, n: np.array([1, "a"] * n, dtype=object)[:n],
    lambda rng, n: pd.Categorical(range(n)),
    lambda rng, n: [(i,) for i in range(n)], lambda rng, n: rng.normal(size=n) + 1j,
]  # fmt: skip
ODD = [
    True, False, None, -1, 0, 1, 2, 3.0, 0.5, 1.0, 1e300, -1e300, 1e-300, np.nan, np.inf, 10**9,
    10**30, "auto", "", "nonsense", b"auto", [], {}, (), {"a": 1}, ["a"], np.int64(2),
    np.float32(0.1), np.array([1, 2]), len, object, 1j, "mlp", {"m0": "mlp"}, {"m0": None},
    {"m0": "conv2d"},
    {"zzz": "mlp"}, torch.nn.Linear(3, 2), torch.nn.Identity(), lambda shape: None,
    {"m0": torch.nn.Identity()}, {"m0": slice(0, 1)}, {"m0": [0], "m1": [1, 2]}, {"m0": [99]},
    {"m0": ["c0"]}, {0: 1.0, 1: 2.0}, {0: "a"}, {5: 1}, "balanced", "cpu", "cuda:7", "meta",
    torch.device("meta"), pd.Series([1.0]), np.random.default_rng(0), np.random.RandomState(0),
]  # fmt: skip


def pick(rng, options):
    return options[rng.integers(len(options))]


def estimator(rng):
    own = {**TINY, "n_members": int(rng.integers(1, 3)), "random_state": int(rng.integers(3))}
    kind = rng.integers(8)
    if kind < 3:
        return pick(rng, [OMIBClassifier, OMIBRegressor, OMIBAnomalyDetector])(
            warmup_epochs=int(rng.integers(2)), **own
        )
    if kind == 3:
        search = pick(rng, [OMIBClassifierCV, OMIBRegressorCV])
        return search(betas=2, cv=2, warmup_epochs=0, refit=bool(rng.integers(2)), **own)
    task = pick(rng, ["Classifier", "Regressor", "AnomalyDetector"])
    method = getattr(baselines, pick(rng, METHODS))()
    return getattr(baselines, f"Baseline{task}")(method, **own)


def finite(result):
    """Whether all numbers of a result are finite; what holds no numbers is."""
    if isinstance(result, dict):
        return all(map(finite, result.values()))
    if isinstance(result, (tuple, list)):
        return all(map(finite, result))
    if isinstance(result, pd.DataFrame) or sparse.issparse(result):
        return True
    values = np.asarray(result)
    return values.dtype.kind not in "fc" or bool(np.isfinite(values).all())


def some(rng, spoil, value, trace, chance=1.0):
    if rng.random() > chance:
        return value
    name = pick(rng, list(spoil))
    trace.append(name)
    try:
        return spoil[name](rng, value)
    except Exception as error:
        raise NotImplementedError(f"this test cannot make {name!r}") from error


def modalities(rng, n, trace, spoiled):
    X = {f"m{i}": block(rng, n) for i in range(rng.integers(1, 4))}
    if spoiled:
        name = pick(rng, list(X))
        if rng.random() < 0.7:
            X[name] = some(rng, SPOIL_BLOCK, X[name], trace)
        else:
            X = some(rng, SPOIL_X, X, trace)
    return X


def fit_and_predict(rng, trace):
    """An estimator, spoiled in one or two places."""
    n = int(pick(rng, [0, 1, 2, 3, 5, 12, 20, 30]))
    model = estimator(rng)
    trace += [type(model).__name__, f"n={n}"]
    where = set(rng.choice(["X", "y", "weight", "groups", "parameter", "predict"],
                           rng.integers(1, 3), replace=False).tolist())  # fmt: skip
    trace.append("/".join(sorted(where)))
    seed = rng.integers(1000)
    X = modalities(np.random.default_rng(seed), n, trace, False)
    given = modalities(np.random.default_rng(seed), n, trace, True) if "X" in where else X
    y = np.arange(n) % 2 if "Regressor" not in type(model).__name__ else rng.normal(size=n)
    if "AnomalyDetector" in type(model).__name__:
        y = np.where(np.arange(n) % 7 == 3, -1, 1)
    y = some(rng, SPOIL_Y, y, trace) if "y" in where else y
    options = {}
    if "weight" in where:
        options["sample_weight"] = pick(rng, WEIGHTS)(rng, n)
        trace.append(f"weight {str(options['sample_weight'])[:40]}")
    if "groups" in where:
        options["groups"] = pick(rng, GROUPS)(rng, n)
        trace.append(f"groups {str(options['groups'])[:40]}")
    if "parameter" in where:
        name, value = pick(rng, sorted(model.get_params(deep=False))), pick(rng, ODD)
        if not (name == "max_epochs" and isinstance(value, int) and value > 2):
            trace.append(f"{name}={str(value)[:40]}")
            model.set_params(**{name: value})
    model.fit(given, y, **options)
    asked = modalities(np.random.default_rng(seed), n, trace, True) if "predict" in where else given
    methods = ["predict", "predict_proba", "transform", "score_samples", "decision_function"]
    return [getattr(model, name)(asked) for name in methods if hasattr(model, name)]


def chunks(rng, trace):
    model = OMIBClassifier(**TINY, n_members=1, random_state=0)
    seed = rng.integers(1000)
    X = modalities(np.random.default_rng(seed), 12, trace, False)
    model.partial_fit(X, np.arange(12) % 2, classes=[0, 1])
    n = int(pick(rng, [0, 1, 2, 12]))
    trace.append(f"chunks of {n}")
    chunk = modalities(np.random.default_rng(seed), n, trace, rng.random() < 0.6)
    y = some(rng, SPOIL_Y, np.arange(n) % 2, trace, 0.5)
    weight = pick(rng, WEIGHTS)(rng, n) if rng.random() < 0.3 else None
    return model.partial_fit(chunk, y, sample_weight=weight).predict_proba(X)


def measure(rng, trace):
    """Functions and estimators of information."""
    n = int(pick(rng, [0, 1, 2, 5, 12, 40]))
    a, b = block(rng, n), block(rng, n)
    a = some(rng, SPOIL_BLOCK, a, trace, 0.6)
    b = some(rng, {**SPOIL_BLOCK, **SPOIL_Y}, rng.normal(size=n), trace, 0.6)
    option = pick(rng, ["auto", "copula", "ksg", *map(str, range(2)), None, 3])
    kind = rng.integers(8)
    trace.append(f"measure {kind} n={n} {option}")
    if kind == 0:
        return information.mutual_information(a, b, method=option, random_state=0).value
    if kind == 1:
        return information.entropy(a, kind=pick(rng, ["auto", "discrete", "continuous", 3]))
    if kind == 2:
        return information.total_correlation({"a": a, "b": block(rng, n)})
    if kind == 3:
        return information.information_capacity(a, noise=pick(rng, [0.1, 0, -1, "a", np.nan]))
    if kind == 4:
        return information.estimate_beta_bounds({"a": a, "b": block(rng, n)}).upper
    if kind == 5:
        return information.KSG(pick(rng, [3, 0, "a", 1000])).estimate(a, b)
    if kind == 6:
        return information.MINE(n_steps=pick(rng, [2, 0, "a"]), random_state=0).estimate(a, b)
    return information.GaussianCopulaMI(pca=pick(rng, ["auto", 1, 0, "a", None])).estimate(a, b)


def rearrange(rng, trace):
    """Containers and their transformers."""
    n = int(pick(rng, [0, 1, 2, 12]))
    X = modalities(rng, n, trace, True)
    kind = rng.integers(5)
    trace.append(f"rearrange {kind} n={n}")
    if kind == 0:
        cut = pick(rng, [None, {"a": slice(0, 1)}, {"a": [0, 99]}, {"a": "c0"}, {}, 3, {"a": len}])
        return len(check_modalities(X, cut))
    if kind == 1:
        return np.shape(ModalityDict(X)[pick(rng, [[], slice(0, 1), slice(None, None, -1)])])
    if kind == 2:
        inner = pick(rng, ["passthrough", "drop", "nonsense", None, len])
        transformer = preprocessing.ModalityTransformer(
            pick(rng, [{"m0": inner}, {"z": inner}, {}])
        )
        return len(transformer.fit_transform(X))
    if kind == 3:
        return np.shape(preprocessing.ModalityConcatenator().fit_transform(X))
    splitter = preprocessing.ModalitySplitter(
        pick(rng, [None, {"a": [0]}, {"a": "x"}]), level=pick(rng, [0, 9, "z"])
    )
    return len(splitter.fit_transform(X))


def inspect(rng, trace):
    n, seed = int(pick(rng, [2, 12, 80])), rng.integers(1000)
    X = modalities(np.random.default_rng(seed), n, trace, False)
    y = np.arange(n) % 2
    clf = OMIBClassifier(**TINY, n_members=1, warmup_epochs=0, random_state=0).fit(X, y)
    n = int(pick(rng, [0, 1, 3, n, n]))
    X = modalities(np.random.default_rng(seed), n, trace, rng.random() < 0.6)
    y = some(rng, SPOIL_Y, np.arange(n) % 2, trace, 0.5)
    kind = rng.integers(5)
    trace.append(f"inspect {kind} n={n}")
    if kind == 0:
        return inspection.modality_importance(clf, X, y, n_repeats=2, random_state=0)
    if kind == 1:
        return inspection.modality_ablation(clf, X, y, method="mask", cv=2, random_state=0)
    if kind == 2:
        return inspection.bottleneck_probe(clf, X, {"y": y}, cv=2, random_state=0)
    if kind == 3:
        return inspection.information_plane(clf, X, y, epochs=[1], random_state=0)
    return inspection.check_assumptions(
        X, y, cv=2, n_permutations=2, n_resamples=2, random_state=0
    ).table


def make(rng, trace):
    function = pick(
        rng, ["make_multimodal_classification", "make_multimodal_regression", "make_sim"]
    )
    names = {
        "make_sim": ["n_samples", "random_state"],
    }.get(function, ["n_samples", "n_modalities", "n_features", "n_shared", "n_specific", "missing",
                     "importance", "mixing", "modality_noise", "random_state"])  # fmt: skip
    name, value = pick(rng, names), pick(rng, ODD)
    trace.append(f"{function}({name}={str(value)[:40]})")
    if isinstance(value, int) and value > 1000:
        value = -value
    options = {"n_samples": 12, "random_state": 0} if function != "make_sim" else {}
    return getattr(datasets, function)(**{**options, name: value}).X.shape


KINDS = [fit_and_predict] * 12 + [chunks, measure, measure, rearrange, rearrange, inspect, make]


def judge(case, seed):
    """What a case came to: "result", "refused" or "fault", and what was done and said."""
    rng, trace = np.random.default_rng([case, seed]), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = pick(rng, KINDS)(rng, trace)
        except (ValueError, TypeError) as error:
            said = str(error)
            first = said.splitlines()[0] if said else ""
            raw = len(said) < 20 or any(part in first for part in RAW) or first.startswith(BARE)
            return "fault" if raw else "refused", trace, f"{type(error).__name__}: {said}"
        except Exception as error:
            return "fault", trace, f"{type(error).__name__}: {error}"
    if not finite(result):
        return "fault", trace, "not finite"
    return "result", trace, ""


def run(n_cases, seed=0):
    """Counts of outcomes, and the faults."""
    counts, faults = Counter(), []
    for case in range(n_cases):
        outcome, trace, said = judge(case, seed)
        counts[outcome] += 1
        if outcome == "fault":
            faults.append(f"{case}: {', '.join(map(str, trace))}\n    {said[:300]}")
    return counts, faults


@pytest.mark.slow
def test_every_hostile_input_is_answered(figure):
    counts, faults = run(N_CASES)
    print(dict(counts))
    figure(
        "hostile inputs neither refused with their cause named nor answered with finite numbers",
        f"{len(faults)} of {N_CASES}", "0",
    )  # fmt: skip
    assert counts["result"] > N_CASES / 20 and counts["refused"] > N_CASES / 20
    assert not faults, "\n".join(faults)


if __name__ == "__main__":
    counted, found = run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print("\n".join(found))
    print(dict(counted))
