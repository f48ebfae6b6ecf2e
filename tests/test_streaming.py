"""Data larger than memory: lazy blocks of every format, the shuffle buffer, fits within bounds."""

import os
import pickle
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split

from sklearn_omib import ModalityDict, OMIBClassifier, OMIBRegressor
from sklearn_omib.data import lazy
from sklearn_omib.data.batches import TensorData
from sklearn_omib.data.lazy import LazyBlock, as_lazy
from sklearn_omib.data.streams import StreamData
from sklearn_omib.information import estimate_beta_bounds
from sklearn_omib.training.net import PREDICTION
from sklearn_omib.training.plan import validation_split

N, WIDTH = 600, 8
FAST = {"warmup_epochs": 0, "max_epochs": 2, "random_state": 0}


@pytest.fixture
def small_budget(monkeypatch):
    """Everything is streamed: chunks of about 16 rows of 8 columns, buffers of about 128."""
    monkeypatch.setattr(lazy, "MEMORY_BUDGET", 0)
    monkeypatch.setattr(lazy, "BUFFER_BYTES", 128 * 4 * WIDTH)
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 16 * 4 * WIDTH)


@pytest.fixture
def no_loading(monkeypatch):
    for kind in (LazyBlock, lazy.MemoryMapBlock):
        load = kind._whole

        def few(self, load=load):
            assert len(self) < N / 3, "a lazy block was loaded"
            return load(self)

        monkeypatch.setattr(kind, "_whole", few)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(N, WIDTH)).astype(np.float32)
    score = table[:, 0] + table[:, 5]
    return table, (score > 0).astype(int), score


def save(table, path, mode="r"):
    mapped = np.lib.format.open_memmap(path, "w+", table.dtype, table.shape)
    mapped[:] = table
    mapped.flush()
    return np.load(path, mmap_mode=mode)


def halves(table):
    return {"a": table[:, :5], "b": table[:, 5:]}


# -- formats --------------------------------------------------------------------------------------
def memory_map(table, path):
    return save(table, path / "x.npy")


def strided_map(table, path):
    wide = np.pad(np.repeat(np.repeat(table, 2, axis=0), 3, axis=1), ((4, 0), (0, 0)))
    return save(wide, path / "x.npy")[4:, 1:][::2, ::3]


def reversed_map(table, path):
    return save(table[::-1, ::-1], path / "x.npy")[::-1, ::-1]


def fortran_map(table, path):
    return save(table.T, path / "x.npy").T


def raw_map(table, path):
    (path / "x.raw").write_bytes(bytes(5000) + table.tobytes())
    return np.memmap(path / "x.raw", np.float32, "r", 5000, table.shape)


def zarr_array(table, path):
    zarr = pytest.importorskip("zarr")
    array = zarr.open_array(
        str(path / "x.zarr"), mode="w", shape=table.shape, chunks=(70, 3), dtype=table.dtype
    )
    array[:] = table
    return array


def h5py_dataset(table, path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path / "x.h5", "w") as file:
        file.create_dataset("group/x", data=table, chunks=(50, 2), compression="gzip")
    return h5py.File(path / "x.h5", "r")["group/x"]


def dask_array(table, path):
    dask_array = pytest.importorskip("dask.array")
    return dask_array.from_array(table, chunks=(90, 4))


def parquet_file(table, path):
    parquet = pytest.importorskip("pyarrow.parquet")
    frame = pd.DataFrame(table, columns=list("abcdefgh"), index=np.arange(len(table)) + 5)
    frame.to_parquet(path / "x.parquet", row_group_size=13)
    return parquet.ParquetFile(path / "x.parquet")


def parquet_dataset(table, path):
    dataset = pytest.importorskip("pyarrow.dataset")
    for i, part in enumerate(np.array_split(table, 3)):
        frame = pd.DataFrame(part, columns=list("abcdefgh"))
        frame = frame if i else frame[list("hgfedcba")]  # by name, not by place
        frame.to_parquet(path / f"{i}.parquet", row_group_size=50)
    return dataset.dataset([str(path / f"{i}.parquet") for i in (1, 0, 2)]), [1, 0, 2]


FORMATS = [
    memory_map, strided_map, reversed_map, fortran_map, raw_map, zarr_array, h5py_dataset,
    dask_array, parquet_file, parquet_dataset,
]  # fmt: skip


def stored(form, table, path):
    source = form(table, path)
    if isinstance(source, tuple):  # files in another order than they were cut
        source, order = source
        parts = np.array_split(table, 3)
        table = np.concatenate([parts[i] for i in order])
        columns = as_lazy(source).columns
        table = table[:, ["abcdefgh".index(column) for column in columns]]
    return source, table


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_reads_rows_as_an_array_does(form, data, tmp_path, small_budget):
    source, table = stored(form, data[0], tmp_path)
    block = ModalityDict({"x": source})["x"]
    assert isinstance(block, LazyBlock)
    assert block.shape == table.shape and block.dtype == np.float32
    assert block.ndim == 2 and len(block) == N
    for start, stop in [(0, N), (0, 1), (12, 14), (199, 401), (N - 3, N), (5, 5)]:
        np.testing.assert_array_equal(block.read(start, stop), table[start:stop])
    rng = np.random.default_rng(0)
    some = rng.integers(0, N, 200)  # in any order, some twice
    for rows in (some, np.sort(some), slice(3, 500, 7), rng.random(N) < 0.3, [-1, 0], []):
        rows = np.asarray(rows, dtype=int) if isinstance(rows, list) else rows
        view = block[rows]
        assert isinstance(view, LazyBlock) and view.shape == table[rows].shape
        np.testing.assert_array_equal(np.asarray(view), table[rows])
        np.testing.assert_array_equal(np.asarray(view[1:][::-1]), table[rows][1:][::-1])
    np.testing.assert_array_equal(block[7], table[7])
    np.testing.assert_array_equal(np.asarray(block[:, [1, 3]][some]), table[some][:, [1, 3]])
    np.testing.assert_array_equal(np.asarray(ModalityDict({"x": source})), table)
    if form is not parquet_file:
        again = pickle.loads(pickle.dumps(block[some]))
        np.testing.assert_array_equal(np.asarray(again), table[some])


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_streamed_with_the_predictions_of_arrays(
    form, data, tmp_path, small_budget, no_loading
):
    _, y, _ = data
    source, table = stored(form, data[0], tmp_path)
    clf = OMIBClassifier(**FAST).fit({"x": source}, y)
    proba = clf.predict_proba({"x": source})
    np.testing.assert_array_equal(proba, clf.predict_proba({"x": table}))
    np.testing.assert_array_equal(clf.transform({"x": source}), clf.transform({"x": table}))
    order = np.random.default_rng(1).permutation(N)[:250]
    view = ModalityDict({"x": source})[order]
    np.testing.assert_array_equal(clf.predict_proba(view), proba[order])
    assert clf.score({"x": source}, y) == clf.score({"x": table}, y)


def test_parquet_columns_are_feature_names(data, tmp_path, small_budget):
    table, y, _ = data
    source = parquet_file(table, tmp_path)
    clf = OMIBClassifier(**FAST).fit({"x": source}, y)
    assert clf.feature_names_in_.tolist() == [f"x__{column}" for column in "abcdefgh"]
    frame = pd.DataFrame(table, columns=list("hgfedcba"))
    with pytest.raises(ValueError, match="got 'h' in the place of 'a'"):
        clf.predict({"x": frame})
    with pytest.raises(ValueError, match=r"(?s)feature names should match.*same order"):
        OMIBClassifier(**FAST).fit(source, y).predict(frame)
    by_name = OMIBClassifier({"u": list("hcb"), "v": ["a", "e"]}, **FAST).fit(source, y)
    in_order = pd.DataFrame(table, columns=list("abcdefgh"))
    np.testing.assert_array_equal(by_name.transform(source), by_name.transform(in_order))


def test_small_lazy_blocks_are_loaded_with_the_same_result(data, tmp_path):
    table, y, _ = data
    stored = ModalityDict(halves(save(table, tmp_path / "x.npy")))
    assert "a: (5,) lazy float32" in repr(stored)
    expected = OMIBClassifier(**FAST).fit(halves(table), y).predict_proba(halves(table))
    got = OMIBClassifier(**FAST).fit(stored, y).predict_proba(stored)
    np.testing.assert_array_equal(got, expected)


def test_a_private_map_is_not_read_from_its_file(tmp_path, small_budget):
    private = save(np.zeros((9, 2)), tmp_path / "x.npy", "c")
    private[:] = 1
    assert np.asarray(ModalityDict({"x": private})).min() == 1
    assert not isinstance(as_lazy(private), LazyBlock)


# -- files that fail ------------------------------------------------------------------------------
def cut(path, size=0.5):
    os.truncate(path, int(size * path.stat().st_size))


def corrupt(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle - 400 : middle + 400] = bytes(800)
    path.write_bytes(content)


def damage(form, path, source):
    """Spoil what a format is stored in; returns the name that a message is to have in it."""
    if form in (memory_map, strided_map, reversed_map, fortran_map):
        cut(path / "x.npy", 0.9)
        return "x.npy"
    if form is raw_map:
        cut(path / "x.raw", 0.99)
        return "x.raw"
    if form is zarr_array:
        for chunk in (path / "x.zarr").rglob("*"):
            if chunk.is_file() and "json" not in chunk.name and not chunk.name.startswith(".z"):
                chunk.write_bytes(b"nothing that decodes")
        return "x.zarr"
    if form is h5py_dataset:
        source.file.close()  # what it has read it keeps, whatever becomes of the file
        return "x.h5"
    if form is parquet_file:
        corrupt(path / "x.parquet")
        return "ParquetFile"
    cut(path / "1.parquet")
    return "1.parquet"


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("form", [form for form in FORMATS if form is not dask_array])
def test_a_file_that_fails_is_named_with_its_modality(data, tmp_path, request, form, streams):
    if streams:
        request.getfixturevalue("small_budget")
    source, table = stored(form, data[0], tmp_path)
    X, y = ModalityDict({"whole": table, "spoilt": source}), data[1]
    clf = OMIBClassifier(n_members=1, **FAST).fit(X, y)
    name = damage(form, tmp_path, source)
    before = vars(clf).copy()
    for use in (lambda: clf.fit(X, y), lambda: clf.predict(X), lambda: np.asarray(X)):
        with pytest.raises(OSError, match=rf"Modality 'spoilt': .*{name}") as raised:
            use()
        assert "rows end at byte" in str(raised.value) or "cannot be read" in str(raised.value)
    assert vars(clf) == before


def test_a_computation_of_dask_that_fails_is_named_with_its_modality(data, small_budget):
    dask_array = pytest.importorskip("dask.array")

    def fail(block):
        raise OSError("no such share")

    lost = dask_array.from_array(data[0], chunks=(90, 8)).map_blocks(fail, dtype="f4", meta=data[0])
    with pytest.raises(OSError, match=r"Modality 'far': The dask array 'fail-.*no such share"):
        OMIBClassifier(**FAST).fit({"far": lost}, data[1])


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_a_map_of_a_file_that_became_shorter_does_not_kill_the_process(tmp_path, mode):
    mapped = save(np.ones((4000, 4)), tmp_path / "x.npy", mode)
    held = ModalityDict({"a": mapped[1000:2000]})
    os.truncate(tmp_path / "x.npy", 128 + 2000 * 32)  # to the end of these rows
    assert np.asarray(held).sum() == 4000
    os.truncate(tmp_path / "x.npy", 128 + 2000 * 32 - 1)
    with pytest.raises(
        OSError, match=r"Modality 'a': .*x.npy' has 64127 bytes.* byte 64128: it has"
    ):
        np.asarray(ModalityDict({"a": mapped[1000:2000]}))
    assert np.asarray(ModalityDict({"a": mapped[1000:1999]})).sum() == 3996


def test_a_file_that_is_gone_is_named(tmp_path, small_budget, data):
    X = {"a": save(data[0], tmp_path / "x.npy")}
    X = ModalityDict(X)
    os.remove(tmp_path / "x.npy")
    with pytest.raises(OSError, match=r"Modality 'a': The memory-mapped file .*FileNotFoundError"):
        OMIBClassifier(**FAST).fit(X, data[1])


# -- batches --------------------------------------------------------------------------------------
def counting(n, path, rows=None):
    X = {"id": save(np.arange(n, dtype=np.float32)[:, None], path / f"{n}.npy")}
    X["in_memory"] = sparse.csr_matrix(np.arange(1, n + 1, dtype=np.float32)[:, None])
    X, y = ModalityDict(X), np.arange(n)
    if rows is not None:
        X, y = X[rows], y[rows]

    def to_float(blocks):
        return {name: block.astype(np.float32) for name, block in blocks.items()}

    return StreamData(X, to_float, y, None, torch.device("cpu"))


def one_pass(data, batch_size, generator=None):
    seen, sizes = [], []
    for inputs, y, weight in data.batches(batch_size, generator):
        assert inputs["id"][:, 0].tolist() == y.tolist()
        assert inputs["in_memory"].values.tolist() == (y + 1).tolist()
        assert len(weight) == len(y) == len(inputs["in_memory"].offsets)
        seen += y.tolist()
        sizes.append(len(y))
    assert max(sizes) - min(sizes) <= 1 and max(sizes) <= batch_size
    return seen


@pytest.mark.parametrize("n, batch_size", [(1, 4), (33, 33), (1000, 7), (1001, 128), (997, 3000)])
def test_an_epoch_sees_every_row_once_in_an_order_of_its_own(n, batch_size, tmp_path, small_budget):
    data = counting(n, tmp_path)
    assert one_pass(data, batch_size) == list(range(n))
    generator = torch.Generator().manual_seed(0)
    epochs = [one_pass(data, batch_size, generator) for _ in range(3)]
    assert all(sorted(epoch) == list(range(n)) for epoch in epochs)
    if n > 1:
        assert epochs[0] != epochs[1] != epochs[2] != list(range(n))
    again = torch.Generator().manual_seed(0)
    assert [one_pass(data, batch_size, again) for _ in range(3)] == epochs


def test_rows_of_a_view_come_once_too(tmp_path, small_budget):
    rows = np.flatnonzero(np.random.default_rng(0).random(1000) < 0.7)
    data = counting(1000, tmp_path, rows)
    assert one_pass(data, 64) == rows.tolist()
    assert sorted(one_pass(data, 64, torch.Generator())) == rows.tolist()
    inputs, y, _ = data.take(torch.tensor([4, 2, 2]))
    assert inputs["id"][:, 0].tolist() == y.tolist() == rows[[4, 2, 2]].tolist()


def test_a_batch_mixes_rows_from_far_apart(tmp_path, small_budget):
    data = counting(20_000, tmp_path)
    spread = [np.std(y.numpy()) for _, y, _ in data.batches(64, torch.Generator().manual_seed(0))]
    uniform = 20_000 / np.sqrt(12)  # of all rows; a buffer holds eight chunks
    assert np.mean(spread) > 0.8 * uniform


def test_memory_holds_two_buffers_and_a_chunk(monkeypatch, tmp_path, small_budget, data):
    reads, alive, most = [], weakref.WeakSet(), []

    class Watched(TensorData):
        def __init__(self, *args):
            super().__init__(*args)
            alive.add(self)
            most.append(sum(len(buffer) for buffer in alive))

    def counted(method):
        def count(*args):
            reads.append(len(method(*args)))
            return method(*args)

        return count

    monkeypatch.setattr("sklearn_omib.data.streams.TensorData", Watched)
    for name in ("read", "_pick"):
        method = getattr(lazy.MemoryMapBlock, name)
        monkeypatch.setattr(lazy.MemoryMapBlock, name, counted(method))
    rng = np.random.default_rng(0)
    X = halves(save(rng.normal(size=(5000, WIDTH)), tmp_path / "x.npy"))
    y = rng.integers(0, 2, 5000)
    clf = OMIBClassifier(**FAST, batch_size=32).fit(X, y)
    # validation, the buffer in use, the one just read; its predecessor goes in that moment
    assert max(most) <= 128 * 4 and max(reads) <= 26  # rows of 20 bytes
    most.clear()
    alive.clear()
    clf.transform(X)
    assert max(most) <= 128 * 3


# -- fits -----------------------------------------------------------------------------------------
def test_scale_and_bound_agree_with_memory(data, tmp_path, small_budget, monkeypatch):
    table, y, _ = data
    table = table * [1e-3, 1, 1, 1, 1, 1, 1, 1e3] + [0, 0, 0, 0, 0, 1e4, 1e6, 0]
    table[:, 4] = 3.25  # constant
    X = halves(save(table, tmp_path / "x.npy"))
    quick = {**FAST, "early_stopping": False}
    streamed = OMIBClassifier(**quick).fit(X, y)
    loaded = OMIBClassifier(**quick).fit(halves(table), y)
    for name in X:
        got, expected = streamed._scaler.scalers_[name], loaded._scaler.scalers_[name]
        np.testing.assert_allclose(got.mean_, expected.mean_, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(got.scale_, expected.scale_, rtol=1e-7)
    assert streamed.beta_bounds_.n_samples == 128  # what a buffer holds
    assert streamed.beta_bounds_.upper == pytest.approx(loaded.beta_bounds_.upper, rel=0.1)
    assert str(estimate_beta_bounds(X)) == str(estimate_beta_bounds(halves(table)))


def test_streamed_training_learns_as_well(data, tmp_path, small_budget):
    table, y, score = data
    X = halves(save(table, tmp_path / "x.npy"))
    order = np.argsort(y, kind="stable")  # stored class by class
    by_class = ModalityDict(halves(save(table[order], tmp_path / "by_class.npy")))
    fit = {"max_epochs": 15, "warmup_epochs": 2, "random_state": 0, "learning_rate": 2e-3}
    assert OMIBClassifier(**fit).fit(by_class, y[order]).score(by_class, y[order]) > 0.9
    again = [OMIBClassifier(**FAST).fit(X, y).history_.train_loss for _ in range(2)]
    np.testing.assert_array_equal(*again)
    reg = OMIBRegressor(n_members=1, **fit).fit(X, score)
    mean, std = reg.predict(X, return_std=True)
    in_memory = reg.predict(halves(table), return_std=True)
    np.testing.assert_array_equal([mean, std], in_memory)
    assert reg.score(X, score) > 0.9
    assert 0.5 < np.mean(((mean - score) / std) ** 2) < 2


def test_members_read_the_same_rows_and_differ_otherwise(data, tmp_path, small_budget):
    table, y, _ = data
    X = halves(save(table, tmp_path / "x.npy"))
    three = OMIBClassifier(n_members=3, combine="fused", **FAST).fit(X, y)
    one = OMIBClassifier(n_members=1, combine="fused", **FAST).fit(X, y)
    scores = three._outputs(X, PREDICTION)[0]
    np.testing.assert_allclose(scores[0], one._outputs(X, PREDICTION)[0][0], atol=1e-4)
    assert not np.allclose(scores[0], scores[1], atol=1e-3)
    assert OMIBClassifier(**FAST).fit(X, y).n_members_ == 5


def test_blocks_of_every_kind_beside_a_lazy_one(mixed, tmp_path, small_budget):
    X, y, _ = mixed
    stored = ModalityDict({**X, "image": save(X["image"], tmp_path / "image.npy"),
                         "sequence": save(X["sequence"], tmp_path / "seq.npy")})  # fmt: skip
    clf = OMIBClassifier(**FAST, batch_size=32).fit(stored, y)
    np.testing.assert_array_equal(clf.predict_proba(stored), clf.predict_proba(X))
    np.testing.assert_array_equal(clf.transform(stored[:5]), clf.transform(X)[:5])


def test_weights_and_groups(data, tmp_path, small_budget):
    table, y, _ = data
    kept = np.random.default_rng(0).random(N) < 0.6
    X = ModalityDict(halves(save(np.where(kept[:, None], table, np.nan), tmp_path / "x.npy")))
    groups = np.arange(N) // 10
    clf = OMIBClassifier(missing_values="error", **FAST)
    clf.fit(X, y, sample_weight=kept, groups=groups)  # no NaN is read
    only = OMIBClassifier(**FAST).fit(X[kept], y[kept], groups=groups[kept])
    np.testing.assert_array_equal(clf.predict_proba(X[kept]), only.predict_proba(X[kept]))
    OMIBRegressor(**FAST).fit(X[kept], table[kept, 0], groups=groups[kept])


def test_rows_to_stop_by_are_no_more_than_a_buffer(small_budget):
    half = {"fraction": 0.5, "limit": 100}
    y = np.repeat([0, 1], [4000, 1000])
    train, valid = validation_split(5000, y, None, 0, **half)
    assert len(valid) == 100 and y[valid].mean() == 0.2 and len(train) == 4900
    groups = np.arange(5000) // 50
    for labels in (y, None):
        train, valid = validation_split(5000, labels, groups, 0, **half)
        assert len(valid) <= 100 and not set(groups[train]) & set(groups[valid])


def test_scikit_learn_splits_without_loading(data, tmp_path, small_budget, no_loading):
    table, y, _ = data
    X = ModalityDict(halves(save(table, tmp_path / "x.npy")))
    clf = OMIBClassifier(**FAST)
    assert cross_val_score(clf, X, y, cv=3).shape == (3,)
    copied = pickle.loads(pickle.dumps(X))  # as sent to another process
    np.testing.assert_array_equal(
        cross_val_score(clf, copied, y, cv=2), cross_val_score(clf, X, y, cv=2)
    )
    X_train, X_test, y_train, _ = train_test_split(X, y, random_state=0)  # rows shuffled
    pred = clf.fit(X_train, y_train).predict(X_test)
    rows = train_test_split(np.arange(N), random_state=0)[1]
    np.testing.assert_array_equal(pred, clf.predict(halves(table[rows])))


@pytest.mark.slow
def test_a_search_is_the_same_in_several_processes(data, tmp_path):
    table, y, _ = data
    X = ModalityDict({"h5py": h5py_dataset(table, tmp_path), "map": memory_map(table, tmp_path)})
    scores = [
        GridSearchCV(OMIBClassifier(**FAST), {"beta_scale": [0.1, 1]}, cv=2, n_jobs=n_jobs)
        .fit(X, y)
        .cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(*scores)


def test_one_table_outside_memory(data, tmp_path, small_budget, no_loading):
    table, y, _ = data
    for source in (memory_map(table, tmp_path), zarr_array(table, tmp_path)):
        clf = OMIBClassifier(**FAST).fit(source, y)
        assert clf.modalities_ == {"X": (WIDTH,)}
        clf = OMIBClassifier({"a": slice(0, 5), "b": [7, 5]}, **FAST).fit(source, y)
        np.testing.assert_array_equal(clf.predict(source), clf.predict(table))
        by_dict = OMIBClassifier(**FAST).fit(halves(table), y)
        np.testing.assert_array_equal(by_dict.predict(source), by_dict.predict(halves(table)))


@pytest.mark.parametrize("form", [zarr_array, h5py_dataset])
@pytest.mark.parametrize("streamed", [False, True])
def test_partial_fit_over_chunks(form, streamed, data, tmp_path, request):
    if streamed:
        request.getfixturevalue("small_budget")
    table, y, _ = data
    X = ModalityDict({"x": form(table, tmp_path)})
    clf = OMIBClassifier(warmup_epochs=2, random_state=0)
    for _ in range(5):
        for start in range(0, N, 150):
            rows = slice(start, start + 150)
            clf.partial_fit(X[rows], y[rows], classes=[0, 1])
    assert clf.n_iter_ == 20 and clf.score(X, y) > 0.85


def test_bars_over_rows(data, tmp_path, small_budget, capsys):
    table, y, _ = data
    X = halves(save(table, tmp_path / "x.npy"))
    clf = OMIBClassifier(**FAST, verbose=1).fit(X, y)
    assert "row/s" in capsys.readouterr().err
    clf.predict(X)
    assert f"/{N}" in capsys.readouterr().err


# -- bad input ------------------------------------------------------------------------------------
def test_values_are_checked_as_they_are_read(data, tmp_path, small_budget):
    table, y, _ = data
    strict = {**FAST, "missing_values": "error"}
    clf = OMIBClassifier(**strict).fit(halves(table), y)
    for value, message in [(np.nan, " contains NaN"), (np.inf, ": Input.* contains infinity")]:
        table[N - 1, 6] = value
        X = halves(save(table, tmp_path / "x.npy"))
        for standardize in (True, False):
            with pytest.raises(ValueError, match=f"Modality 'b'{message}"):
                OMIBClassifier(**strict, standardize=standardize, early_stopping=False).fit(X, y)
        with pytest.raises(ValueError, match=f"Modality 'b'{message}"):
            clf.predict(X)


def test_bad_lazy_blocks(data, tmp_path, small_budget):
    table, y, _ = data
    X = halves(save(table, tmp_path / "x.npy"))
    for name, block, message in [
        ("flat", save(np.zeros(N), tmp_path / "flat.npy"), "at least two dimensions.*reshape"),
        ("short", save(table[1:], tmp_path / "short.npy"), "number of samples.*'short': 599"),
        ("word", save(np.full((N, 2), "loud"), tmp_path / "w.npy"), "dtype <U4 is not numeric"),
        ("complex", save(table * 1j, tmp_path / "c.npy"), "Complex data not supported"),
        ("none", save(table, tmp_path / "n.npy")[:, :0], r"0 feature\(s\)"),
    ]:
        with pytest.raises(ValueError, match=f"(?s)'{name}'.*{message}|{message}"):
            OMIBClassifier(**FAST).fit({**X, name: block}, y)
    with pytest.raises(TypeError, match=r"'a' is 'x\.zarr'.*sklearn-omib\[streaming\]"):
        ModalityDict({"a": "x.zarr"})
    clf = OMIBClassifier(**FAST).fit(X, y)
    with pytest.raises(ValueError, match=r"'b' has samples of shape \(2,\)"):
        clf.predict({**X, "b": X["b"][:, :2]})
    with pytest.raises(ValueError, match=r"outside memory cannot be given the shape \(2, 4\)"):
        OMIBClassifier({"a": (slice(0, 8), (2, 4))}, **FAST).fit(as_lazy(X["a"].base), y)


def test_bad_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    pd.DataFrame({"n": [1.0, 2.0], "word": ["a", "b"]}).to_parquet(path)
    with pytest.raises(ValueError, match=r"Modality 'x': column 'word' of type .* is not numeric"):
        ModalityDict({"x": parquet.ParquetFile(path)})
    pd.DataFrame({"n": pd.array([1, None, 3], "Int8"), "b": [True, False, True]}).to_parquet(path)
    X = ModalityDict({"x": parquet.ParquetFile(path)})
    np.testing.assert_array_equal(np.asarray(X), [[1, 1], [np.nan, 0], [3, 1]])
    with pytest.raises(TypeError, match=r"cannot be sent to another process; give pyarrow.dataset"):
        pickle.dumps(X)


def test_dask_of_unknown_length():
    dask_array = pytest.importorskip("dask.array")
    table = dask_array.from_array(np.arange(20.0).reshape(10, 2), chunks=(5, 2))
    with pytest.raises(ValueError, match=r"Modality 'x': .*compute_chunk_sizes"):
        ModalityDict({"x": table[table[:, 0] > 3]})
