import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.model_selection import cross_val_score
from skorch.helper import SliceDict

from sklearn_omib import ModalityDict, OMIBClassifier, check_modalities


def test_looks_like_an_array_of_all_columns(mixed):
    X, _, _ = mixed
    flat = np.asarray(X)
    assert X.shape == flat.shape == (120, 5 + 4 + 120 + 18 + 32)
    assert X.ndim == 2 and len(X) == 120
    assert not hasattr(X, "iloc")
    for name, (columns, shape) in X.layout.items():
        block = X[name].toarray() if sparse.issparse(X[name]) else np.asarray(X[name])
        np.testing.assert_array_equal(flat[:, columns].reshape(-1, *shape), block)
    assert len(X.feature_names) == X.shape[1]
    assert list(X.feature_names[5:7]) == ["frame__a", "frame__b"]


@pytest.mark.parametrize(
    "rows",
    [slice(3, 9), [4, 1, 4], np.array([7, 0]), np.arange(120) % 5 == 0, []],
    ids=["slice", "list", "array", "mask", "empty"],
)
def test_rows_of_every_kind_of_block(mixed, rows):
    X, _, _ = mixed
    index = np.arange(120)[np.array(rows, dtype=int) if isinstance(rows, list) else rows]
    for part in (X[rows], X[rows, ...], X[rows, :]):
        assert isinstance(part, ModalityDict)
        assert [type(block) for block in part.values()] == [type(b) for b in X.values()]
        np.testing.assert_array_equal(np.asarray(part), np.asarray(X)[index])


def test_columns_and_single_rows_come_flat(mixed):
    X, _, _ = mixed
    np.testing.assert_array_equal(X[:, [0, 6]], np.asarray(X)[:, [0, 6]])
    np.testing.assert_array_equal(X[[1, 2], 5:9], np.asarray(X)[[1, 2], 5:9])
    np.testing.assert_array_equal(X[3], np.asarray(X)[3])


def test_is_a_dict_to_those_who_want_one(mixed):
    X, _, _ = mixed
    assert list(X) == list(X.keys()) == list(dict(X))
    assert "words" in X and "text" not in X
    assert list(X.select(["image", "table"])) == ["image", "table"]
    with pytest.raises(KeyError, match=r"No modality 'text'; there are \['table'"):
        X["text"]


def test_copies_and_pickles(mixed):
    X, _, _ = mixed
    for other in (copy.deepcopy(X), pickle.loads(pickle.dumps(X)), ModalityDict(X)):
        np.testing.assert_array_equal(np.asarray(other), np.asarray(X))
    assert "table: (5,) float64" in repr(X) and "<table" in X._repr_html_()


def test_every_accepted_form_gives_the_same_container(rng):
    a, b = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    table = np.hstack([a, b])
    frame = pd.DataFrame(table, columns=["a0", "a1", "a2", "b0", "b1"])

    class Annotated:
        def __init__(self, X):
            self.X = X

    class Mu:
        mod = {"a": Annotated(a), "b": Annotated(b)}

    forms = [
        ({"a": a, "b": b}, None),
        (SliceDict(a=a, b=b), None),
        (Mu(), None),
        ({"a": a.tolist(), "b": torch.from_numpy(b)}, None),
        (table, {"a": slice(0, 3), "b": [3, 4]}),
        (sparse.csr_array(table), {"a": slice(0, 3), "b": [3, 4]}),
        (frame, {"a": ["a0", "a1", "a2"], "b": slice("b0", "b1")}),
        (frame, {"a": lambda X: X.columns.str.startswith("a"), "b": [False] * 3 + [True] * 2}),
    ]
    for form, modalities in forms:
        X = check_modalities(form, modalities)
        assert list(X) == ["a", "b"]
        np.testing.assert_allclose(np.asarray(X), table)
    assert list(check_modalities([a, b])) == ["modality_0", "modality_1"]
    assert list(check_modalities(table)) == ["X"]
    image = check_modalities(table[:, :4], {"image": (slice(0, 4), (1, 2, 2))})
    assert image["image"].shape == (10, 1, 2, 2)


def test_read_only_memory_map(tmp_path, tables):
    X, y, _ = tables
    for name, block in X.items():
        np.save(tmp_path / f"{name}.npy", block)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in X}
    assert np.shares_memory(ModalityDict(mapped)["a"], mapped["a"])
    fit = {"max_epochs": 2, "warmup_epochs": 1, "random_state": 0}
    from_map = OMIBClassifier(**fit).fit(mapped, y).predict_proba(mapped)
    np.testing.assert_array_equal(from_map, OMIBClassifier(**fit).fit(X, y).predict_proba(X))


@pytest.mark.parametrize(
    "modalities, error, message",
    [
        ({}, ValueError, "At least one modality"),
        ({1: np.zeros((2, 2))}, TypeError, "names must be strings, got 1 of type int"),
        ({"a": None}, ValueError, "Modality 'a' is None"),
        ({"a": np.zeros(3)}, ValueError, r"'a' must have at least two dimensions.*\(3,\)"),
        (
            {"a": np.zeros((3, 1)), "b": np.zeros((4, 1))},
            ValueError,
            "same number of samples, got 'a': 3, 'b': 4",
        ),
        ("audio", TypeError, "Expected a dict, list of arrays, MuData or ModalityDict"),
    ],
)
def test_bad_containers(modalities, error, message):
    with pytest.raises(error, match=message):
        ModalityDict(modalities)


@pytest.mark.parametrize(
    "modalities, message",
    [
        ({"a": [7]}, "Columns of modality 'a'"),
        ({"a": ["pitch"]}, "Columns of modality 'a'.*strings"),
        ({"a": slice(2, 2)}, "Modality 'a' has no columns"),
        ({"a": (slice(0, 3), (2, 2))}, r"has 3 columns, which cannot take the shape \(2, 2\)"),
    ],
)
def test_bad_column_specifications(modalities, message):
    with pytest.raises(ValueError, match=message):
        check_modalities(np.zeros((4, 3)), modalities)


# -- polars ---------------------------------------------------------------------------------------
def test_polars_is_read_as_pandas_is(rng):
    polars = pytest.importorskip("polars")
    a, b, y = rng.normal(size=(90, 3)), rng.normal(size=(90, 2)), np.arange(90) % 2
    a[5], a[7, 1] = np.nan, np.nan
    audio = polars.DataFrame(a, schema=["a0", "a1", "a2"]).fill_nan(None)
    video = polars.DataFrame(b, schema=["b0", "b1"])
    table = polars.concat([audio, video], how="horizontal")
    cut = {"audio": ["a0", "a1", "a2"], "video": slice("b0", "b1")}
    options = {"max_epochs": 2, "n_members": 1, "n_jobs": 1, "random_state": 0}
    blocks = {"audio": audio, "video": video}
    clf = OMIBClassifier(**options).fit(blocks, polars.Series(y))
    cutting = OMIBClassifier(modalities=cut, **options).fit(table, y)
    X = {"audio": a, "video": b}
    expected = OMIBClassifier(**options).fit(X, y).predict_proba(X)
    for found in (
        clf.predict_proba(blocks),
        clf.predict_proba(table),
        cutting.predict_proba(table),
    ):
        np.testing.assert_array_equal(found, expected)
    assert list(clf.feature_names_in_)[2:4] == ["audio__a2", "video__b0"]
    assert list(cutting.feature_names_in_) == table.columns
    with pytest.raises(ValueError, match="got 'other' in the place of 'a0'"):
        clf.predict({**blocks, "audio": audio.rename({"a0": "other"})})
    with pytest.raises(ValueError, match="feature names"):
        cutting.predict(table.rename({"a0": "other"}))
    one, other = cross_val_score(clf, ModalityDict(blocks), y), cross_val_score(cutting, table, y)
    np.testing.assert_array_equal(one, other)


def test_columns_of_polars_of_any_type_are_read_or_named(rng):
    polars = pytest.importorskip("polars")
    numbers, y = range(90), np.arange(90) % 2
    mixed = polars.DataFrame({
        "whole": [None if i == 3 else i for i in numbers],
        "truth": [None if i == 4 else i % 3 == 0 for i in numbers],
        "money": polars.Series(numbers).cast(polars.Decimal(9, 2)),
    })  # fmt: skip
    X = ModalityDict({"mixed": mixed, "plain": rng.normal(size=(90, 2))})
    assert len(X[np.arange(90) < 7]["mixed"]) == len(X[3:10]["mixed"]) == 7
    clf = OMIBClassifier(max_epochs=2, n_members=1, random_state=0).fit(X, y)
    asked = {"mixed": mixed.to_dict(as_series=False), "plain": X["plain"]}
    asked["mixed"] = pd.DataFrame(asked["mixed"]).astype(float)
    np.testing.assert_array_equal(clf.predict_proba(X), clf.predict_proba(asked))
    named = mixed.with_columns(polars.lit("red").alias("colour"))
    clf.fit({"mixed": named, "plain": X["plain"]}, y)
    assert "colour_red" in clf.encoders_["mixed"].get_feature_names_out()
    with pytest.raises(TypeError, match=r"LazyFrame .*collect\(\)"):
        clf.fit({"mixed": mixed.lazy(), "plain": X["plain"]}, y)
