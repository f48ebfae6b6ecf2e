import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_omib import ModalityDict
from sklearn_omib.preprocessing import ModalityConcatenator, ModalitySplitter, ModalityTransformer


# -- ModalityTransformer --------------------------------------------------------------------------
def test_each_modality_meets_its_transformer(mixed):
    X, y, _ = mixed
    transformer = ModalityTransformer(
        {"table": make_pipeline(StandardScaler(), PCA(2)), "frame": StandardScaler(),
         "image": "drop"},
    )  # fmt: skip
    Z = transformer.fit_transform(X, y)
    assert isinstance(Z, ModalityDict) and list(Z) == ["table", "frame", "words", "sequence"]
    np.testing.assert_allclose(Z["frame"], StandardScaler().fit_transform(X["frame"]))
    assert Z["table"].shape == (120, 2) and Z["words"] is X["words"]
    again = transformer.transform(X)
    np.testing.assert_allclose(np.asarray(again), np.asarray(Z))
    names = transformer.get_feature_names_out()
    assert len(names) == Z.shape[1]
    assert list(names[:4]) == ["table__pca0", "table__pca1", "frame__a", "frame__b"]


def test_remainder_is_dropped_or_transformed(tables):
    X, _, _ = tables
    assert list(ModalityTransformer({"a": PCA(2)}, remainder="drop").fit_transform(X)) == ["a"]
    both = ModalityTransformer({}, remainder=StandardScaler()).fit(X)
    assert both.transformers_["a"] is not both.transformers_["b"]
    np.testing.assert_allclose(both.transform(X)["b"].std(0), 1)


def test_nested_parameters_by_name():
    transformer = ModalityTransformer({"a": PCA(2), "b": "passthrough"})
    transformer.set_params(a__n_components=3, b=StandardScaler())
    params = transformer.get_params()
    assert params["a__n_components"] == 3 and params["b__with_mean"] is True
    assert clone(transformer).get_params()["a__n_components"] == 3
    with pytest.raises(ValueError, match="Invalid parameter 'c'"):
        transformer.set_params(c__n_components=1)


def test_strings_and_missing_values_reach_the_transformers():
    frame = pd.DataFrame({"colour": ["red", "blue", "red"], "kind": ["x", "y", "y"]})
    X = {"words": frame, "numbers": np.array([[1.0], [np.nan], [3.0]])}
    Z = ModalityTransformer(
        {"words": OneHotEncoder(sparse_output=False), "numbers": SimpleImputer()}
    ).fit_transform(X)
    assert Z["words"].shape == (3, 4) and Z["numbers"][1, 0] == 2


def test_parallel_is_the_same(mixed):
    X, _, _ = mixed
    transformers = {"table": PCA(2, random_state=0), "frame": StandardScaler()}
    one, two = (ModalityTransformer(transformers, n_jobs=n).fit_transform(X) for n in (1, 2))
    np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


@pytest.mark.parametrize(
    "transformers, error, message",
    [
        ({"text": PCA()}, ValueError, r"unknown modalities \['text'\]; X has \['a', 'b'\]"),
        ({"a": "scale"}, TypeError, "transformer of modality 'a' must be a transformer"),
        ({"a": PCA(9)}, ValueError, "Modality 'a': n_components=9 must be between"),
        ({"a": "drop", "b": "drop"}, ValueError, "All modalities are dropped"),
        ({"n_jobs": PCA()}, ValueError, "conflict with constructor arguments"),
    ],
)
def test_bad_transformers(tables, transformers, error, message):
    with pytest.raises(error, match=message):
        ModalityTransformer(transformers).fit(tables[0])


# -- ModalitySplitter and ModalityConcatenator ----------------------------------------------------
@pytest.fixture
def frame(rng):
    return pd.DataFrame(
        rng.normal(size=(6, 4)), columns=["audio__f0", "audio__f1", "video__x", "audio__f2"]
    )


def test_split_by_name_prefix_slice_selector_and_level(frame):
    expected = {"audio": frame.iloc[:, [0, 1, 3]], "video": frame.iloc[:, [2]]}
    levels = frame.set_axis(
        pd.MultiIndex.from_tuples([tuple(c.split("__")) for c in frame]), axis=1
    )
    ways = [
        (ModalitySplitter(), frame),
        (ModalitySplitter({"audio": [0, 1, 3], "video": slice(2, 3)}), frame.to_numpy()),
        (ModalitySplitter({"audio": list(expected["audio"]), "video": ["video__x"]}), frame),
        (ModalitySplitter({"audio": make_column_selector("^audio"), "video": "video__x"}), frame),
        (ModalitySplitter(), levels),
        (ModalitySplitter(separator="_"), frame.rename(columns=lambda c: c.replace("__", "_"))),
        (ModalitySplitter({"audio": [0, 1, 3], "video": [2]}), sparse.csr_array(frame)),
    ]
    for splitter, table in ways:
        X = splitter.fit(table).transform(table)
        assert list(X) == ["audio", "video"]
        np.testing.assert_array_equal(np.asarray(X), np.hstack([*expected.values()]))


def test_there_and_back_again(mixed):
    X, _, _ = mixed
    concatenator = ModalityConcatenator().set_output(transform="pandas")
    table = concatenator.fit_transform(X)
    assert list(table.columns) == list(X.feature_names)
    back = ModalitySplitter(X.layout).fit_transform(table.to_numpy())
    assert back.sample_shapes == X.sample_shapes
    np.testing.assert_array_equal(np.asarray(back), np.asarray(X))
    by_name = ModalitySplitter().fit_transform(table)
    assert list(by_name) == list(X)


def test_concatenation_stays_sparse_where_it_pays(mixed):
    X, _, _ = mixed
    sparse_only = X.select("words")
    assert sparse.issparse(ModalityConcatenator().fit_transform(sparse_only))
    assert not sparse.issparse(
        ModalityConcatenator(sparse_threshold=0.01).fit_transform(sparse_only)
    )
    assert not sparse.issparse(ModalityConcatenator().fit_transform(X))
    mixed_up = ModalityConcatenator(sparse_threshold=1.0).fit_transform(X)
    assert sparse.issparse(mixed_up)
    np.testing.assert_array_equal(mixed_up.toarray(), np.asarray(X))


def test_any_model_is_a_baseline_in_one_line(mixed):
    X, y, _ = mixed
    model = make_pipeline(ModalityConcatenator(), StandardScaler(), LogisticRegression())
    assert model.fit(X, y).score(X, y) > 0.8


def test_bad_tables(frame, tables):
    with pytest.raises(ValueError, match="Column 'pitch' does not name its modality"):
        ModalitySplitter().fit(frame.rename(columns={"audio__f0": "pitch"}))
    with pytest.raises(ValueError, match="Columns of modality 'audio'"):
        ModalitySplitter({"audio": [9]}).fit(frame.to_numpy())
    with pytest.raises(ValueError, match=r"split already: it holds the modalities \['a', 'b'\]"):
        ModalitySplitter().fit(tables[0])
    with pytest.raises(ValueError, match="X has 3 features, but ModalitySplitter is expecting 4"):
        ModalitySplitter({"audio": [0]}).fit(frame.to_numpy()).transform(np.zeros((2, 3)))
