"""Texts, pictures, recordings, sequences and tables as they come, in estimators."""

import mmap
import pickle
import tempfile

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from scipy.io import wavfile
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline

from sklearn_omib import (
    ModalityDict,
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
    load,
)
from sklearn_omib.baselines import CMIB, BaselineClassifier
from sklearn_omib.data import spill
from sklearn_omib.data.ragged import Ragged, joined
from sklearn_omib.data.raw import as_items
from sklearn_omib.encoders import (
    AudioEncoder,
    Encoder,
    ImageEncoder,
    NGramEncoder,
    SequenceEncoder,
    TableEncoder,
)
from sklearn_omib.export import to_torch_export
from sklearn_omib.information import estimate_beta_bounds
from sklearn_omib.inspection import bottleneck_probe, check_assumptions, modality_ablation
from sklearn_omib.nn.stacking import copies
from sklearn_omib.preprocessing import ModalitySplitter, ModalityTransformer

Image = pytest.importorskip("PIL.Image", reason="needs Pillow: pip install 'sklearn-omib[images]'")

N = 40
Y = np.arange(N) % 2
FAST = {
    "max_epochs": 2, "warmup_epochs": 1, "hidden_dim": 8, "latent_dim": 4, "n_members": 2,
    "random_state": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Every kind of block, each telling the class."""
    folder, rng = tmp_path_factory.mktemp("items"), np.random.default_rng(0)
    for i, label in enumerate(Y):
        pixels = rng.random((9, 8, 3)) * 120 + 100 * label
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
        wave = np.sin(np.arange(rng.integers(900, 1600)) * (0.1 + 0.3 * label))
        wavfile.write(folder / f"{i}.wav", 8000, (9000 * wave).astype(np.int16))
    words = ["a good film", "a bad film"]
    frame = pd.DataFrame({
        "text": [f"{words[label]} of {1980 + i}" for i, label in enumerate(Y)],
        "photo": [str(folder / f"{i}.png") for i in range(N)],
        "age": rng.integers(18, 80, N).astype(float),
        "city": rng.choice(["Rome", "Oslo", "Bern"], N),
        "visit": pd.date_range("2024-01-01", periods=N),
        "member": rng.random(N) < 0.5,
    })  # fmt: skip
    frame.loc[3, "age"], frame.loc[4, "city"] = np.nan, None
    return {
        "text": frame["text"],
        "photo": frame["photo"],
        "voice": [folder / f"{i}.wav" for i in range(N)],
        "walk": [rng.normal(size=(rng.integers(2, 7), 2)) + label for label in Y],
        "table": frame[["age", "city", "visit", "member"]],
    }


@pytest.fixture(scope="module")
def encoders():
    return {"photo": ImageEncoder(size=8), "voice": AudioEncoder(8000, n_mels=12)}


@pytest.fixture(scope="module")
def fitted(items, encoders):
    return OMIBClassifier(encoders=encoders, **FAST).fit(items, Y)


# -- the container --------------------------------------------------------------------------------
def test_a_container_tells_what_it_holds_and_is_cut_like_a_table(items):
    X = ModalityDict(items)
    shown = repr(X)
    for kind in ("text: () text", "photo: () image file", "voice: () sound file",
                 "walk: () sequence", "table: (4,) table"):  # fmt: skip
        assert kind in shown
    assert X.shape == (N, 8) and "image file" in X._repr_html_()
    part, rest = train_test_split(X, test_size=10, random_state=0)
    assert len(part) == 30 and len(rest) == 10
    assert list(X[[4, 2]]["text"]) == [items["text"][4], items["text"][2]]
    assert X[[4, 2]].samples.tolist() == [4, 2]


@pytest.mark.parametrize("make", [
    list, np.array, pd.Series, lambda texts: [np.str_(text) for text in texts], tuple,
    lambda texts: np.array(texts, dtype=object), lambda texts: pd.Series(texts, dtype="string"),
])  # fmt: skip
def test_texts_come_in_every_form(make):
    texts = [f"number {i}" for i in range(5)]
    block = ModalityDict({"text": make(texts)})["text"]
    assert block.dtype == object and list(block) == texts


def test_signs_of_a_missing_text_are_one(fitted, items):
    rows = [None, np.nan, pd.NA, "", "  \n"]
    first = ModalityDict({
        name: block if isinstance(block, list) else block.reset_index(drop=True)
        for name, block in items.items()
    })[np.zeros(5, dtype=int)]  # fmt: skip
    X = {name: block.reset_index(drop=True) if hasattr(block, "iloc") else block
         for name, block in first.items()}  # fmt: skip
    found = fitted.predict_proba({**X, "text": rows})
    np.testing.assert_allclose(found, np.tile(found[:1], (5, 1)), rtol=1e-5)
    without = fitted.predict_proba({name: X[name] for name in X if name != "text"})
    np.testing.assert_allclose(found, without, rtol=1e-5)


# -- estimators -----------------------------------------------------------------------------------
def test_every_kind_of_block_is_read_by_itself(items):
    walks = {name: items[name] for name in ("text", "walk", "table")}
    clf = OMIBClassifier(**FAST).fit(walks, Y)
    kinds = {name: type(encoder) for name, encoder in clf.encoders_.items()}
    assert kinds == {"text": NGramEncoder, "walk": SequenceEncoder, "table": TableEncoder}


def test_predictions_follow_their_rows(fitted, items):
    X, order = ModalityDict(items), np.random.default_rng(1).permutation(N)
    known = fitted.predict_proba(X)
    np.testing.assert_allclose(fitted.predict_proba(X[order]), known[order], atol=2e-5)
    one_by_one = np.vstack([fitted.predict_proba(X[[i]]) for i in range(4)])
    np.testing.assert_allclose(one_by_one, known[:4], atol=2e-5)


def test_files_and_pickles_predict_the_same(fitted, items, tmp_path):
    fitted.save(tmp_path / "clf.omib")
    known = fitted.predict_proba(items)
    for again in (load(tmp_path / "clf.omib"), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.predict_proba(items), known)


def test_what_is_learned_of_rows_is_learned_of_training_rows(items):
    X = ModalityDict(items).select(["text", "table"])
    clf = OMIBClassifier(**FAST).fit(X[:20], Y[:20])
    words = clf.encoders_["text"]
    assert not any("1999" in word for word in words.get_feature_names_out() if "2000" in word)
    assert all("2019" not in word for word in words.get_feature_names_out())


def test_initial_weights_are_drawn_by_each_network(items, encoders):
    X = ModalityDict(items).select(["photo", "voice"])
    state = torch.get_rng_state()
    nets = [OMIBClassifier(encoders=encoders, **FAST).fit(X, Y).net_.module_ for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    for one, again in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(one, again, rtol=0, atol=0)
    first, second = (dict(part.named_parameters()) for part in copies(nets[0])[0].networks)
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_name_for_all_encoders_is_for_sequences_too(items):
    X = ModalityDict(items).select(["text", "walk"])
    clf = OMIBClassifier(encoders="gru", **FAST).fit(X, Y)
    assert "GRUEncoder" in repr(clf.net_.module_) and "Conv1dEncoder" not in repr(clf.net_.module_)


def test_a_flattened_container_is_cut_again(items):
    X = ModalityDict(items).select(["text", "walk", "table"])
    clf = OMIBClassifier(**FAST).fit(X, Y)
    np.testing.assert_array_equal(clf.predict_proba(np.asarray(X)), clf.predict_proba(X))
    bagging = BaggingClassifier(OMIBClassifier(X.layout, **FAST), n_estimators=2, random_state=0)
    assert bagging.fit(X, Y).predict_proba(X[:3]).shape == (3, 2)
    kinds = {name: type(one) for name, one in bagging.estimators_[0].encoders_.items()}
    assert kinds == {"text": NGramEncoder, "walk": SequenceEncoder, "table": TableEncoder}


def test_tables_without_names_are_read_by_position(items):
    X = {"table": items["table"]}
    clf = OMIBClassifier(**FAST).fit(X, Y)
    found = clf.predict_proba({"table": items["table"].to_numpy()})
    np.testing.assert_array_equal(found, clf.predict_proba(X))


def test_sequences_come_in_every_form():
    walks = [None, [], np.empty((0, 2)), np.ones((3, 2)), [[1.0, 2.0]]]
    block = ModalityDict({"walk": walks})["walk"]
    assert [None if walk is None else len(walk) for walk in block] == [None, None, None, 3, 1]
    walks = [np.full((2 + i % 3, 2), i / N) for i in range(N)]
    clf = OMIBClassifier(**FAST).fit({"walk": walks}, Y)
    known = clf.predict_proba({"walk": walks[:1]})  # of one length
    np.testing.assert_allclose(clf.predict_proba({"walk": walks})[:1], known, rtol=1e-5)
    np.testing.assert_array_equal(clf.predict_proba({"walk": np.stack(walks[:1])}), known)


def test_pictures_beside_one_that_is_missing_keep_their_values():
    pictures = np.random.default_rng(0).integers(256, size=(N, 8, 8, 3), dtype=np.uint8)
    clf = OMIBClassifier(encoders={"photo": ImageEncoder(size=8)}, **FAST)
    known = clf.fit({"photo": pictures}, Y).predict_proba({"photo": pictures[:2]})
    found = clf.predict_proba({"photo": [None, *pictures[:2]]})
    np.testing.assert_allclose(found[1:], known, rtol=1e-5)


def test_polars_holds_tables_and_texts(items):
    polars = pytest.importorskip("polars")
    frame = items["table"].reset_index(drop=True)
    X = {"table": frame, "text": items["text"]}
    clf = OMIBClassifier(**FAST).fit(X, Y)
    other = {"table": polars.from_pandas(frame), "text": polars.Series(list(items["text"]))}
    np.testing.assert_allclose(
        OMIBClassifier(**FAST).fit(other, Y).predict_proba(other), clf.predict_proba(X), rtol=1e-5
    )


def test_meta_estimators_of_sklearn_take_them(items):
    X = ModalityDict(items).select(["text", "table"])
    scores = cross_val_score(OMIBClassifier(**FAST), X, Y, cv=2, n_jobs=2)
    np.testing.assert_array_equal(scores, cross_val_score(OMIBClassifier(**FAST), X, Y, cv=2))
    grid = GridSearchCV(
        OMIBClassifier(encoders={"text": NGramEncoder()}, **FAST),
        {"encoders__text__char_ngrams": [None, (2, 3)]}, cv=2,
    )  # fmt: skip
    grid.fit(X, Y)
    assert grid.best_estimator_.encoders_["text"].char_ngrams in (None, (2, 3))
    scaled = make_pipeline(
        ModalityTransformer({"text": TfidfVectorizer()}, remainder="drop"), OMIBClassifier(**FAST)
    )
    assert scaled.fit(X, Y).predict(X).shape == (N,)


def test_parameters_of_encoders_are_parameters():
    given = NGramEncoder(lowercase=False)
    clf = OMIBClassifier(encoders={"text": given, "other": "mlp"})
    assert clf.get_params()["encoders__text__lowercase"] is False
    clf.set_params(encoders__text__lowercase=True, max_epochs=3)
    assert clf.encoders["text"].lowercase and clf.max_epochs == 3
    assert given.lowercase is False  # what was given stays
    assert clone(clf).encoders["text"].lowercase
    clf.set_params(encoders__text=NGramEncoder(max_features=5), encoders__text__lowercase=False)
    assert clf.encoders["text"].max_features == 5 and not clf.encoders["text"].lowercase
    clf = OMIBClassifier(encoders={"a__b": NGramEncoder()})
    assert clf.set_params(**clf.get_params()).encoders["a__b"].lowercase
    assert not clf.set_params(encoders__a__b__lowercase=False).encoders["a__b"].lowercase
    with pytest.raises(ValueError, match="Invalid parameter"):
        clf.set_params(encoders__nothing__lowercase=True)


def test_one_encoder_is_for_all_that_is_no_numbers():
    X = {"text": [f"number {i % 3}" for i in range(N)], "table": np.arange(2.0 * N).reshape(N, 2)}
    clf = OMIBClassifier(encoders=NGramEncoder(lowercase=False), **FAST).fit(X, Y)
    assert list(clf.encoders_) == ["text"] and not clf.encoders_["text"].lowercase


def test_one_table_or_one_list_of_texts_is_a_modality(items):
    texts = list(items["text"])
    for X in (texts, np.array(texts), items["text"], items["table"]):
        clf = OMIBClassifier(**FAST).fit(X, Y)
        assert list(clf.encoders_) == ["X"] and clf.predict(X[:3]).shape == (3,)
    frame = items["table"].assign(text=texts)
    clf = OMIBClassifier({"text": "text", "table": ["age", "city"]}, **FAST)
    kinds = {name: type(one) for name, one in clf.fit(frame, Y).encoders_.items()}
    assert kinds == {"text": NGramEncoder, "table": TableEncoder}
    assert len(cross_val_score(clf, frame, Y, cv=2)) == 2


def test_a_column_by_name_is_a_modality_of_items_in_a_pipeline_too(items):
    frame = items["table"].assign(text=items["text"])
    splitter = ModalitySplitter({"text": "text", "age": "age", "rest": ["city", "visit"]})
    shapes = {"text": (), "age": (1,), "rest": (2,)}
    assert splitter.fit_transform(frame).sample_shapes == shapes
    pipe = make_pipeline(splitter, OMIBClassifier(**FAST)).fit(frame, Y)
    kinds = {name: type(one) for name, one in pipe[-1].encoders_.items()}
    assert kinds == {"text": NGramEncoder, "rest": TableEncoder}
    assert pipe.predict(frame[:1].assign(text=None)).shape == (1,)


def test_what_needs_numbers_tells_how_to_get_them(items):
    X = {"text": items["text"]}
    with pytest.raises(ValueError, match=r"Modality 'text' must be numeric.*encoders"):
        check_assumptions(X, Y, n_permutations=2, n_resamples=2)
    with pytest.raises(ValueError, match=r"Modality 'text': the block must be numeric.*encoders"):
        estimate_beta_bounds(X)


def test_other_estimators(items):
    X = ModalityDict(items).select(["text", "walk", "table"])
    search = OMIBClassifierCV(betas=2, cv=2, **FAST).fit(X, Y)
    assert search.predict_proba(X).shape == (N, 2)
    assert np.isfinite(OMIBRegressor(**FAST).fit(X, Y * 1.0).predict(X)).all()
    detector = OMIBAnomalyDetector(max_epochs=2, random_state=0).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()
    other = BaselineClassifier(CMIB(), max_epochs=2, random_state=0).fit(X, Y)
    assert other.predict(X).shape == (N,)
    chunks = OMIBClassifier(**FAST).partial_fit(X[:20], Y[:20], [0, 1]).partial_fit(X[20:], Y[20:])
    assert chunks.n_iter_ == 2


def test_a_search_encodes_once(items, monkeypatch):
    read = []
    monkeypatch.setattr(NGramEncoder, "_read", lambda self, items: read.append(len(items)) or items)
    X = ModalityDict(items).select(["text"])
    OMIBClassifierCV(betas=2, cv=3, **FAST).fit(X, Y)
    assert read == [N]


def test_a_checkpoint_and_a_warm_start_know_them(items, tmp_path):
    X = ModalityDict(items).select(["text", "walk"])
    OMIBClassifier(checkpoint_dir=tmp_path, **FAST).fit(X, Y)
    again = OMIBClassifier(warm_start=True, **FAST).fit(X, Y)
    encoder = again.encoders_["text"]
    assert again.fit(X, Y).encoders_["text"] is encoder


def test_features_that_are_many_are_in_a_file_without_a_name(monkeypatch, tmp_path, rng):
    walks = as_items([rng.normal(size=(n, 2)).astype(np.float32) for n in rng.integers(1, 9, 60)])
    pictures = rng.integers(256, size=(60, 16, 16, 3), dtype=np.uint8)
    X = {"walk": walks, "photo": pictures}
    y = np.arange(60) % 2
    options = {"encoders": {"photo": ImageEncoder(size=16)}, "max_epochs": 2, "warmup_epochs": 1,
               "n_members": 1, "hidden_dim": 8, "random_state": 0}  # fmt: skip
    expected = OMIBClassifier(**options).fit(X, y).predict_proba(X)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(spill, "IN_MEMORY", 200)
    block = Ragged.of(walks)
    assert isinstance(block.values.base.base.obj, mmap.mmap) and not list(tmp_path.iterdir())
    for i, walk in enumerate(walks):
        assert_array_equal(block.sequence(i), walk)
    some = block[[5, 5, 2]]
    doubled = some.mapped(lambda values: 2 * values)
    assert_array_equal(doubled.sequence(1), 2 * walks[5])
    assert_array_equal(joined([some, block[:1]]).sequence(3), walks[0])
    assert_array_equal(pickle.loads(pickle.dumps(block)).values, block.values)
    model = OMIBClassifier(**options).fit(X, y)
    assert_array_equal(model.predict_proba(X), expected)
    assert not list(tmp_path.iterdir())


def test_a_block_of_no_sequences_keeps_its_channels():
    block = Ragged.of([np.ones((3, 2), np.float32)])[:0]
    assert block.compact().shape == block.mapped(np.negative).shape == (0, 3, 2)
    assert Ragged.of([]).shape == (0, 1, 1)


def test_inspection_reads_them(fitted, items):
    X = ModalityDict(items)
    table = modality_ablation(fitted, X.select(["text", "walk"]), Y, method="refit", cv=2)
    assert len(table) == 3
    masked = modality_ablation(fitted, X, Y, method="mask")
    assert masked.index[-1] == "all"
    probe = bottleneck_probe(fitted, X, {"y": Y}, from_=["xi", "inputs"], cv=2)
    assert np.isfinite(probe[["xi", "inputs"]].to_numpy(dtype=float)).all()


def test_weights_of_nothing_leave_rows_out_unread(items):
    X = {"text": [*items["text"][:-1], 7]}  # the last is no text
    weight = np.ones(N)
    weight[-1] = 0
    assert OMIBClassifier(**FAST).fit(X, Y, sample_weight=weight).n_iter_ == 2


# -- messages -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("X", "message"),
    [
        ({"a": ["x", 3] * 20}, r"Modality 'a': holds 3 of type int \(sample 1"),
        ({"a": ["x", np.ones(3)] * 20}, r"mixes texts \(sample 0: 'x'\) and sequences"),
        ({"a": [None] * N}, "Modality 'a': is None in every sample"),
        ({"a": [np.ones((2, 2)), np.ones((3, 3))] * 20}, r"sequences of \[2, 3\] channels"),
        ({"a": pd.DataFrame({"t": [f"some words and then {i}" for i in range(N)]})}, "Column 't'"),
        ({"a": ["gone.png"] * N}, r"Modality 'a': row 0: 'gone\.png' is not there"),
        ({"a": [["x", "y"]] * N}, "Modality 'a'"),
        ({"a": [b"x"] * N}, r"Modality 'a': holds bytes, b'x' \(sample 0\); .*decode"),
        ({"a": np.array([b"x"] * N)}, r"Modality 'a': holds bytes"),
        ({"a": "x"}, r"Modality 'a' is 'x'.*\['x'\]"),
        ({"a": [None, np.ones(2), [np.inf] * 3] * 13 + [None]}, "Modality 'a': row 2: .*infinite"),
        (
            {"a": pd.DataFrame({"n": [1.0, -np.inf] * 20, "c": ["u", "v"] * 20})},
            r"Modality 'a': Column 'n' holds -inf in row 1; .*replace",
        ),
    ],
)
def test_messages_name_the_modality_and_the_sample(X, message):
    with pytest.raises((ValueError, TypeError, OSError), match=message):
        OMIBClassifier(**FAST).fit(X, Y)


def test_missing_values_may_be_refused(items):
    texts = [None, *items["text"][1:]]
    with pytest.raises(ValueError, match=r"Modality 'text' contains NaN.*missing_values"):
        OMIBClassifier(missing_values="error", **FAST).fit({"text": texts}, Y)
    walks = [None, *items["walk"][1:]]
    with pytest.raises(ValueError, match="Modality 'walk' contains NaN"):
        OMIBClassifier(missing_values="error", **FAST).fit({"walk": walks}, Y)


@pytest.mark.parametrize(
    ("name", "block", "message"),
    [
        ("text", np.ones((2, 3)), r"Modality 'text': is an array of shape \(2, 3\)"),
        (
            "table",
            lambda X: X["table"][["age", "city"]],
            r"2 columns, .*\['visit', 'member'\]",
        ),
        ("table", lambda X: X["table"].assign(new=1), r"5 columns, .* \['new'\] were not there"),
        ("table", lambda X: X["table"][["city", "age", "visit", "member"]], "got 'city' in the"),
    ],
)
def test_messages_of_what_differs_from_fit(items, name, block, message):
    X = ModalityDict(items).select(["text", "table"])
    clf = OMIBClassifier(**FAST).fit(X, Y)
    X = dict(X[:2].items())
    with pytest.raises((ValueError, TypeError), match=message):
        clf.predict({**X, name: block(X) if callable(block) else block})


def test_models_of_items_are_not_exported(items, tmp_path):
    clf = OMIBClassifier(**FAST).fit({"table": items["table"]}, Y)
    with pytest.raises(ValueError, match=r"Modality 'table' is read by TableEncoder before.*dense"):
        to_torch_export(clf)
    numbers = {"table": clf.encoders_["table"].transform(items["table"])}
    to_torch_export(OMIBClassifier(**FAST).fit(numbers, Y))


def test_an_encoder_is_an_instance():
    with pytest.raises(TypeError, match=r"modality 't' is a class; give an instance, NGramEncoder"):
        OMIBClassifier(encoders={"t": NGramEncoder}, **FAST).fit({"t": ["a", "b"] * 20}, Y)


# -- parts ----------------------------------------------------------------------------------------
def test_ragged_rows_are_sequences():
    parts = [np.full((n, 2), i, dtype=np.float32) for i, n in enumerate((3, 0, 2, 4))]
    block = Ragged.of(parts)
    assert block.shape == (4, 4, 2)
    taken = block[[3, 0, 1, 0]]
    for one, i in zip(range(4), (3, 0, 1, 0), strict=True):
        np.testing.assert_array_equal(taken.sequence(one), parts[i])
    assert len(taken[:1].compact().values) == 4
    both = joined([block[:2], taken])
    for one, i in zip(range(6), (0, 1, 3, 0, 1, 0), strict=True):
        np.testing.assert_array_equal(both.sequence(one), parts[i])
    np.testing.assert_array_equal(block.means()[:, 0], [0, np.nan, 2, 3])


class Counting(Encoder):
    """Lengths of texts, as sparse columns."""

    reads = ("text",)

    def _convert(self, features):
        return sparse.csr_matrix([[len(text), 1.0] for text in features])


def test_an_encoder_of_ones_own_has_its_missing_items_masked():
    encoder = Counting().fit(["ab", "c"])
    found = encoder.transform([None, "abc", ""]).toarray()
    np.testing.assert_array_equal(np.isnan(found[:, 0]), [True, False, True])
    assert found[1].tolist() == [3.0, 1.0]
    clf = OMIBClassifier(encoders={"t": Counting()}, **FAST).fit(
        {"t": ["ab", None, "c", "d"] * 10}, Y
    )
    assert np.isfinite(clf.predict_proba({"t": ["x", None]})).all()
