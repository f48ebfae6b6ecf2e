"""Batches, phases, stopping."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sklearn_omib import OMIBClassifier, OMIBRegressor
from sklearn_omib.data.batches import Batches, TensorData
from sklearn_omib.training.devices import resolve_device
from sklearn_omib.training.plan import count_members, validation_split

CPU = torch.device("cpu")


def counting_data(n):
    blocks = {
        "dense": np.arange(n, dtype=np.float32)[:, None],
        "sparse": sparse.csr_matrix(np.arange(1, n + 1, dtype=np.float32)[:, None]),
    }
    return TensorData.of(blocks, np.arange(n), None, CPU)


@pytest.mark.parametrize("n, batch_size", [(1, 4), (7, 7), (10, 3), (129, 128)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_pass_reads_every_row_once_in_batches_of_like_size(n, batch_size, shuffle):
    generator = torch.Generator().manual_seed(0) if shuffle else None
    seen, sizes = [], []
    for inputs, y, weight in counting_data(n).batches(batch_size, generator):
        assert inputs["dense"][:, 0].tolist() == y.tolist()
        assert inputs["sparse"].values.tolist() == (y + 1).tolist()
        assert len(weight) == len(y) == len(inputs["sparse"].offsets)
        seen += y.tolist()
        sizes.append(len(y))
    assert sorted(seen) == list(range(n))
    assert (seen == list(range(n))) is (not shuffle or n == 1)
    assert max(sizes) - min(sizes) <= 1 and max(sizes) <= batch_size


def test_networks_read_rows_of_their_own_side_by_side():
    data, apart = counting_data(20), counting_data(20)
    for parts in ([data.part(range(10)), data.part(range(5, 15))],
                  [data.part(range(10)), apart.part(range(5, 15))]):  # fmt: skip
        seen: list = [[], [], []]
        for inputs, y, weight in Batches(parts, [0, 1, 0], 4):
            assert inputs["dense"].shape == (*y.shape, 1) and weight.shape == y.shape
            for k, own in enumerate(y.tolist()):
                assert inputs["dense"][k, :, 0].tolist() == own
                assert (inputs["sparse"][k].values - 1).tolist() == own
                seen[k] += own
        assert seen == [list(range(10)), list(range(5, 15)), list(range(10))]
    ((inputs, y, _),) = Batches([data.part([3, 1])], [0, 0], 4)
    assert y.tolist() == [[3, 1], [3, 1]] and len(inputs["sparse"]) == 2


def test_history_has_every_term_of_both_phases(tables):
    X, y, _ = tables
    clf = OMIBClassifier(warmup_epochs=3, max_epochs=5, random_state=0).fit(X, y)
    history = clf.history_
    assert history.phase.tolist() == ["warm-up"] * 3 + ["main"] * 5 and clf.n_iter_ == 5
    main = history[history.phase == "main"]
    for part in ("train", "valid"):
        kl = sum(main[f"weight_{m}"] * main[f"{part}_kl_{m}"] for m in X)
        branches = sum(main[f"{part}_branch_loss_{m}"] for m in X)
        total = main[f"{part}_task_loss"] + clf.beta_ * kl + branches
        # the weights of a row are those it was trained with
        np.testing.assert_allclose(main[f"{part}_loss"], total, rtol=1e-4)
    warm = history[history.phase == "warm-up"]
    np.testing.assert_allclose(
        warm.train_loss, sum(warm[f"train_branch_loss_{m}"] for m in X), rtol=1e-5
    )
    assert warm.train_task_loss.isna().all() and (warm.seconds > 0).all()
    assert (main.weight_a == 1).all()
    assert main.weight_b.iloc[0] == 1 and main.weight_b.iloc[-1] != 1
    assert clf.modality_weights_ == {"a": 1.0, "b": pytest.approx(main.weight_b.iloc[-1])}


def test_history_keeps_a_modality_whatever_its_name(tables):
    X, y, _ = tables
    named = {"variance": X["a"], "loss": X["b"]}
    history = OMIBClassifier(max_epochs=1, warmup_epochs=0).fit(named, y).history_
    assert {"train_kl_variance", "train_kl_loss"} <= set(history)
    assert "train_variance_loss" not in history


def test_history_of_a_regressor_explains_its_loss(tables):
    X, _, score = tables
    reg = OMIBRegressor(warmup_epochs=1, max_epochs=3, random_state=0).fit(X, score)
    main = reg.history_[reg.history_.phase == "main"]
    for part in ("train", "valid"):
        total = main[f"{part}_task_loss"] + main[f"{part}_variance_loss"]
        total += reg.beta_ * sum(main[f"weight_{m}"] * main[f"{part}_kl_{m}"] for m in X)
        total += sum(main[f"{part}_branch_loss_{m}"] for m in X)
        np.testing.assert_allclose(main[f"{part}_loss"], total, rtol=1e-4)


def test_the_best_epoch_is_kept(tables):
    X, y, _ = tables
    fit = {"max_epochs": 60, "n_iter_no_change": 5, "learning_rate": 0.02, "random_state": 0,
           "n_members": 1}  # fmt: skip
    clf = OMIBClassifier(**fit).fit(X, y)
    losses = clf.history_.valid_task_loss
    best = losses.idxmin()
    assert clf.n_iter_ < 60 and best < len(losses) - 1
    stopped_there = OMIBClassifier(**{**fit, "max_epochs": int(best) + 1 - 10}).fit(X, y)
    np.testing.assert_array_equal(stopped_there.predict_proba(X), clf.predict_proba(X))


def test_without_early_stopping_every_epoch_runs_on_all_rows(tables):
    X, y, _ = tables
    clf = OMIBClassifier(early_stopping=False, max_epochs=7, random_state=0).fit(X, y)
    assert clf.n_iter_ == 7 and "valid_loss" not in clf.history_
    assert clf.beta_bounds_.n_samples == len(y)


@pytest.mark.parametrize("stratified", [True, False])
def test_groups_stay_on_one_side_of_the_validation_split(tables, stratified):
    labels = tables[1] if stratified else None
    groups = np.repeat(np.arange(12), 10)
    train, valid = validation_split(120, labels, groups, 0)
    assert len(train) + len(valid) == 120 and len(valid) > 0
    assert not set(groups[train]) & set(groups[valid])


def test_validation_split_is_stratified_where_it_can_be():
    y = np.repeat([0, 1], [90, 10])
    train, valid = validation_split(100, y, None, 0, fraction=0.2)
    assert y[valid].sum() == 2 and len(valid) == 20 and len(train) == 80
    rare = np.r_[np.zeros(50, int), 1]  # one sample of a class: no error, a plain split
    assert len(validation_split(51, rare, None, 0)[1]) == 8
    assert validation_split(9, y[:9], None, 0)[1] is None


@pytest.mark.parametrize("n, held_out", [(100, 15), (3000, 450), (8000, 500), (200_000, 2000)])
def test_by_itself_a_smaller_share_of_many_rows_is_held_out(n, held_out):
    y = np.arange(n) % 2
    for labels in (y, None):
        train, valid = validation_split(n, labels, None, 0)
        assert len(valid) in (held_out, held_out + 1) and len(train) + len(valid) == n
    groups = np.arange(n) // (n // 20)  # 20 of them: three say more than one
    for labels in (y, None):
        valid = validation_split(n, labels, groups, 0)[1]
        assert len(valid) == pytest.approx(0.15 * n, rel=0.1)


def test_warm_start_goes_on_and_a_plain_fit_begins_anew(tables):
    X, y, _ = tables
    clf = OMIBClassifier(max_epochs=3, warmup_epochs=2, random_state=0)
    first = clf.fit(X, y).history_
    again = clf.fit(X, y).history_
    assert again.drop(columns="seconds").equals(first.drop(columns="seconds"))
    clf.set_params(warm_start=True).fit(X, y)
    assert clf.history_.phase.tolist() == ["warm-up"] * 2 + ["main"] * 6 and clf.n_iter_ == 3
    later = clf.history_.train_task_loss
    assert later.iloc[-1] < later.iloc[2]
    before = clf.beta_
    clf.set_params(beta_scale=0.1, learning_rate=1e-9, batch_size=7).fit(X, y)
    assert clf.beta_ == pytest.approx(0.1 * before) == clf.net_.criterion_.beta[0].item()
    last = clf.history_[clf.history_.phase == "main"].iloc[-1]
    kl = sum(last[f"weight_{m}"] * last[f"train_kl_{m}"] for m in X)
    branches = sum(last[f"train_branch_loss_{m}"] for m in X)
    assert last.train_loss == pytest.approx(last.train_task_loss + clf.beta_ * kl + branches)
    weights = [p.detach().clone() for p in clf.net_.module_.parameters()]
    for before, after in zip(weights, clf.fit(X, y).net_.module_.parameters(), strict=True):
        torch.testing.assert_close(before, after, atol=1e-6, rtol=0)  # the rate is 1e-9


def test_members_go_on_too(tables):
    X, y, _ = tables
    options = {"max_epochs": 2, "warmup_epochs": 1, "random_state": 0, "warm_start": True}
    clf = OMIBClassifier(**options).fit(X, y)
    assert clf.n_members_ == 5
    assert clf.fit(X, y).n_members_ == 5 and len(clf.history_) == 5
    five = clf.net_.module_.head[0].weight
    assert len({tuple(own.flatten().tolist()) for own in five}) == 5
    with pytest.raises(ValueError, match=r"goes on with the fitted network, but \['n_members'\]"):
        clf.set_params(n_members=2).fit(X, y)


def test_a_smaller_number_of_members_of_many_rows_without_a_cliff():
    counts = np.array([count_members("auto", n) for n in range(1, 60_000)])
    assert counts[0] == counts[11_000] == 5 and counts[-1] == 1
    assert set(np.diff(counts)) == {0, -1}  # a network fewer at a time
    assert count_members(7, 200_000) == 7


def test_partial_fit_learns_over_chunks(tables):
    X, y, score = tables
    clf = OMIBClassifier(warmup_epochs=2, learning_rate=3e-3, dropout=0.0, random_state=0)
    reg = OMIBRegressor(warmup_epochs=2, learning_rate=3e-3, dropout=0.0, random_state=0)
    for _ in range(25):
        for rows in (slice(0, 60), slice(60, 120)):
            chunk = {name: block[rows] for name, block in X.items()}
            clf.partial_fit(chunk, y[rows], classes=[0, 1])
            reg.partial_fit(chunk, score[rows])
    assert clf.history_.phase.tolist() == ["warm-up"] * 2 + ["main"] * 50
    assert clf.score(X, y) > 0.9 and reg.score(X, score) > 0.8
    clf.fit(X, y).partial_fit(X, y)
    assert clf.history_.phase.iloc[-1] == "main"


def test_verbose_shows_progress(tables, capsys):
    X, y, _ = tables
    OMIBClassifier(n_members=1, max_epochs=2, warmup_epochs=1, verbose=1).fit(X, y)
    shown = capsys.readouterr().err
    assert "warm-up" in shown and "main" in shown and "train_loss" in shown
    OMIBClassifier(n_members=2, max_epochs=2, warmup_epochs=1, verbose=1).fit(X, y)
    shown = capsys.readouterr().err
    assert "networks=2" in shown and "2/2" in shown
    OMIBClassifier(max_epochs=2, warmup_epochs=1).fit(X, y)
    assert capsys.readouterr().err == ""


def test_device():
    auto = resolve_device("auto")
    assert auto.type == ("cuda" if torch.cuda.is_available() else auto.type)
    assert resolve_device("cpu") == CPU
    with pytest.raises(ValueError, match="device='cuda:99' cannot be used"):
        resolve_device("cuda:99")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_gpu_agrees_with_cpu(mixed):
    X, y, _ = mixed
    fit = {"max_epochs": 20, "dropout": 0.0, "input_dropout": 0.0, "random_state": 0}
    on_gpu = OMIBClassifier(device="cuda", **fit).fit(X, y)
    assert next(on_gpu.net_.module_.parameters()).device.type == "cuda"
    on_cpu = OMIBClassifier(device="cpu", **fit).fit(X, y)
    assert abs(on_gpu.score(X, y) - on_cpu.score(X, y)) < 0.1


def test_bfloat16_trains_to_the_same_within_its_rounding(tables):
    X, y, score = tables
    settings = {"max_epochs": 20, "warmup_epochs": 2, "dropout": 0.0, "input_dropout": 0.0,
                "random_state": 0}  # fmt: skip
    full = OMIBClassifier(**settings).fit(X, y)
    low = OMIBClassifier(precision="bfloat16", **settings).fit(X, y)
    loss = "valid_task_loss"
    assert not low.history_[loss].equals(full.history_[loss])
    np.testing.assert_allclose(low.history_[loss].iloc[2:], full.history_[loss].iloc[2:], rtol=0.05)
    assert {parameter.dtype for parameter in low.net_.module_.parameters()} == {torch.float32}
    assert low.transform(X).dtype == np.float32
    reg = OMIBRegressor(precision="bfloat16", **settings).fit(X, score)
    assert np.isfinite(reg.predict(X, return_std=True)).all()
