"""Fits that were killed go on to the model they would have been, to the last bit."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from sklearn_omib import (
    ModalityDict,
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBRegressor,
)
from sklearn_omib.baselines import CMIB, BaselineClassifier, BaselineRegressor
from sklearn_omib.data import lazy
from sklearn_omib.training.checkpoints import CheckpointError, PartCheckpoint
from sklearn_omib.training.net import StackedNet

FAST = {"max_epochs": 12, "hidden_dim": 16, "latent_dim": 8, "random_state": 0, "batch_size": 32,
        "n_iter_no_change": 9, "learning_rate": 5e-3, "checkpoint_every": 3}  # fmt: skip


class Crash(Exception):
    """The end of a process, as far as the disk can tell."""


@pytest.fixture
def crash(monkeypatch):
    """Lets a fit end in the middle of an epoch, or in the middle of writing a checkpoint."""

    def arrange(epoch, while_saving=False):
        step, save = StackedNet.train_step, PartCheckpoint.save

        def stepping(net, batch):
            if len(net.history) == epoch and not while_saving and net.n_networks:
                raise Crash
            return step(net, batch)

        def saving(self, net, stopping):
            if while_saving and len(net.history) >= epoch:
                self.path.with_name(f"{self.path.name}.1").write_bytes(b"half of it")
                raise Crash
            save(self, net, stopping)

        monkeypatch.setattr(StackedNet, "train_step", stepping)
        monkeypatch.setattr(PartCheckpoint, "save", saving)

        def restore():
            monkeypatch.setattr(StackedNet, "train_step", step)
            monkeypatch.setattr(PartCheckpoint, "save", save)

        return restore

    return arrange


def weights(model):
    net = model.net_
    return [t.detach() for part in (net.module_, net.criterion_)
            for t in (*part.parameters(), *part.buffers())]  # fmt: skip


def assert_same(one, other, X):
    for a, b in zip(weights(one), weights(other), strict=True):
        assert torch.equal(a, b)
    assert one.history_.drop(columns="seconds").equals(other.history_.drop(columns="seconds"))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    np.testing.assert_array_equal(one._rng.randint(9, size=9), other._rng.randint(9, size=9))


def killed(crash, model, X, y, epoch, **options):
    restore = crash(epoch, **options)
    with pytest.raises(Crash):
        model.fit(X, y)
    restore()
    assert not hasattr(model, "net_")


# -- what goes on ---------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [
    lambda **o: OMIBClassifier(warmup_epochs=4, **FAST, **o),
    lambda **o: OMIBRegressor(warmup_epochs=4, **FAST, **o),
    lambda **o: OMIBAnomalyDetector(warmup_epochs=4, **FAST, **o),
    lambda **o: BaselineClassifier(CMIB(), **FAST, **o),
    lambda **o: BaselineRegressor(early_stopping=False, **FAST, **o),
])  # fmt: skip
@pytest.mark.parametrize("n_members", [1, 5])
def test_a_fit_that_was_killed_ends_as_if_nothing_had_been(
    tables, tmp_path, crash, make, n_members
):
    X, y, score = tables
    y = score if "Regressor" in type(make()).__name__ else y
    whole = make(n_members=n_members).fit(X, y)
    model = make(n_members=n_members, checkpoint_dir=tmp_path / "new")
    for epoch, while_saving in ((5, False), (6, True), (8, False)):  # again and again
        restore = crash(epoch, while_saving)
        with pytest.raises(Crash):
            model.fit(X, y, resume=epoch > 5)
        restore()
    assert_same(model.fit(X, y, resume=True), whole, X)
    assert not list((tmp_path / "new").iterdir())  # it has ended


def test_it_goes_on_and_does_not_begin_anew(tables, tmp_path, crash, monkeypatch):
    X, y, _ = tables
    model = OMIBClassifier(n_members=2, warmup_epochs=5, checkpoint_dir=tmp_path, **FAST)
    killed(crash, model, X, y, 11)
    begun, epoch = [], StackedNet.run_single_epoch

    def counted(net, *args, **kwargs):
        begun.append(len(net.history))
        epoch(net, *args, **kwargs)

    monkeypatch.setattr(StackedNet, "run_single_epoch", counted)
    model.fit(X, y, resume=True)
    assert min(begun) == 10  # behind nine epochs


@pytest.mark.parametrize("seed", [None, "instance"])
def test_without_a_seed_the_plan_is_that_of_the_checkpoint(tables, tmp_path, crash, seed):
    X, y, _ = tables
    options = FAST | {"n_members": 2, "checkpoint_every": 1}

    def model(folder):
        rng = np.random.RandomState(5) if seed else None
        return OMIBClassifier(checkpoint_dir=folder, **options | {"random_state": rng})

    killed(crash, model(tmp_path / "a"), X, y, 14)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    np.random.mtrand._rand.random_sample(17)  # the generator of a process is never twice the same
    one, other = (model(tmp_path / name).fit(X, y, resume=True) for name in "ab")
    assert_same(one, other, X)
    with pytest.raises(AssertionError):
        assert_same(one, OMIBClassifier(**options | {"random_state": 77}).fit(X, y), X)


def test_every_kind_of_block_and_encoder(mixed, tmp_path, crash):
    X, y, _ = mixed

    class Normalised(torch.nn.Module):
        def __init__(self, shape):
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Linear(*shape, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.2)
            )
            self.layers[0].bias.requires_grad_(False)

        def forward(self, v):
            return self.layers(v)

    options = FAST | {"encoders": {"table": Normalised}, "n_members": 2, "max_epochs": 6}
    whole = OMIBClassifier(**options).fit(X, y)
    model = OMIBClassifier(checkpoint_dir=str(tmp_path), **options)
    killed(crash, model, X, y, 14)
    assert_same(model.fit(X, y, resume=True), whole, X)


def test_streamed_fits(tables, tmp_path, crash, monkeypatch):
    X, y, _ = tables
    monkeypatch.setattr(lazy, "MEMORY_BUDGET", 0)
    monkeypatch.setattr(lazy, "BUFFER_BYTES", 1024)
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 128)
    np.save(tmp_path / "a.npy", X["a"])
    X = {"a": np.load(tmp_path / "a.npy", mmap_mode="r"), "b": X["b"]}
    options = FAST | {"n_members": 2, "batch_size": 16}
    whole = OMIBClassifier(**options).fit(X, y)
    model = OMIBClassifier(checkpoint_dir=tmp_path / "c", **options)
    killed(crash, model, X, y, 14)
    assert_same(model.fit(X, y, resume=True), whole, X)


def test_after_ctrl_c_the_model_is_usable_and_the_fit_can_go_on(tables, tmp_path, monkeypatch):
    X, y, _ = tables
    whole = OMIBClassifier(n_members=2, **FAST).fit(X, y)
    step = StackedNet.train_step

    def stepping(net, batch):
        if net.n_epochs() == 6:
            raise KeyboardInterrupt
        return step(net, batch)

    model = OMIBClassifier(n_members=2, checkpoint_dir=tmp_path, **FAST)
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="after epoch 5 of 12"):
        patch.setattr(StackedNet, "train_step", stepping)
        assert model.fit(X, y).n_iter_ == 5
    assert_same(model.fit(X, y, resume=True), whole, X)


# -- what does not --------------------------------------------------------------------------------
@pytest.fixture
def left(tables, tmp_path, crash):
    """A checkpoint."""
    X, y, _ = tables
    model = OMIBClassifier(n_members=2, checkpoint_dir=tmp_path / "left", **FAST)
    killed(crash, model, X, y, 8)
    return model


@pytest.mark.parametrize("options, message", [
    ({"max_epochs": 50}, r"max_epochs was 12, is 50\. Give the same .* with resume=False"),
    ({"learning_rate": 0.1, "dropout": 0}, r"dropout was 0\.5, is 0; learning_rate was 0\.005"),
    ({"random_state": 1}, "random_state was 0, is 1"),
    ({"encoders": {"a": torch.nn.Linear(4, 3)}}, "encoders"),
    ({"modalities": {"a": [0]}}, "differs in|names"),
])  # fmt: skip
def test_other_parameters_are_refused(left, tables, options, message):
    X, y, _ = tables
    with pytest.raises(ValueError, match=message):
        left.set_params(**options).fit(X, y, resume=True)
    left.set_params(**options | {"modalities": None}).fit(X, y)  # anew


@pytest.mark.parametrize("what", ["a", "y", "weight", "order"])
def test_other_data_are_refused(left, tables, what):
    X, y, _ = tables
    X, y, weight = dict(X), y.copy(), None
    if what == "a":
        X["a"] = X["a"].copy()
        X["a"][77, 1] += 1e-9
    elif what == "y":
        y[5] = 1 - y[5]
    elif what == "weight":
        weight = np.linspace(1, 2, len(y))
    else:
        X, y = {name: block[::-1] for name, block in X.items()}, y[::-1]
    named = {"weight": "sample_weight", "y": "y"}.get(what, "modality 'a'")
    with pytest.raises(CheckpointError, match=rf"of another fit, which differs in: .*{named}"):
        left.fit(X, y, weight, resume=True)


def test_initial_weights_that_nobody_seeded_are_refused(tables, tmp_path, crash):
    X, y, _ = tables

    def model():  # as another process would make it
        encoders = {"a": torch.nn.Linear(4, 3)}
        return OMIBClassifier(n_members=2, encoders=encoders, checkpoint_dir=tmp_path, **FAST)

    killed(crash, model(), X, y, 8)
    with pytest.raises(CheckpointError, match=r"initial weights .*seeded, where you make them"):
        model().fit(X, y, resume=True)


def test_what_may_differ(left, tables):
    X, y, _ = tables
    whole = OMIBClassifier(n_members=2, **FAST).fit(X, y)
    left.set_params(n_jobs=1, verbose=1, checkpoint_every=1)
    assert_same(left.fit(ModalityDict(X), y, resume=True), whole, X)


def test_a_damaged_file_is_named(left, tables):
    X, y, _ = tables
    (file,) = left.checkpoint_dir.glob("part-*.pt")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"part-0\.pt' cannot be read: .*resume=False"):
        left.fit(X, y, resume=True)


def test_files_hold_no_code(left):
    for file in left.checkpoint_dir.iterdir():
        torch.load(file, weights_only=True)


def test_parts_of_an_older_fit_are_no_part_of_a_newer(left, tables, tmp_path, crash):
    X, y, _ = tables
    (file,) = left.checkpoint_dir.glob("part-*.pt")
    shutil.copy(file, tmp_path / "old")
    killed(crash, left, X, 1 - y, 2)  # before its first checkpoint
    shutil.copy(tmp_path / "old", file)
    expected = OMIBClassifier(n_members=2, **FAST).fit(X, 1 - y)
    assert_same(left.fit(X, 1 - y, resume=True), expected, X)


def test_where_there_is_nothing_to_resume(tables, tmp_path, monkeypatch):
    X, y, _ = tables
    fresh = OMIBClassifier(n_members=1, checkpoint_dir=tmp_path / "none", **FAST)
    expected = OMIBClassifier(n_members=1, **FAST).fit(X, y)
    assert_same(fresh.fit(X, y, resume=True), expected, X)  # so a script may always ask for it
    with pytest.raises(ValueError, match=r"no checkpoint to resume: checkpoint_dir is None"):
        OMIBClassifier(**FAST).fit(X, y, resume=True)
    with pytest.raises(ValueError, match=r"no checkpoint to resume: a warm_start goes on"):
        fresh.set_params(warm_start=True).fit(X, y, resume=True)
    fresh.fit(X, y)
    monkeypatch.setattr("sklearn_omib._estimator.current_group", lambda: object())
    with pytest.raises(ValueError, match="checkpoint_dir must be None where several processes"):
        fresh.set_params(warm_start=False).fit(X, y)


# -- killed for real ------------------------------------------------------------------------------
SCRIPT = """
import sys
import numpy as np
from sklearn_omib import OMIBClassifier

folder, n_jobs, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rng = np.random.default_rng(0)
X = {"a": rng.normal(size=(600, 4)), "b": rng.normal(size=(600, 3))}
y = X["a"][:, 0] + X["b"][:, 0] > 0
clf = OMIBClassifier(n_members=5, max_epochs=60, n_iter_no_change=60, hidden_dim=32, n_jobs=n_jobs,
                     checkpoint_every=2, random_state=0,
                     checkpoint_dir=None if folder == "none" else folder)
print("begins", flush=True)
clf.fit(X, y, resume=folder != "none")
np.savez(out, clf.predict_proba(X), *[p.detach() for p in clf.net_.module_.parameters()])
"""


def run(script, folder, n_jobs, out, kill_after=None):
    """Seconds that a process took to fit, or None where it was killed."""
    command = [sys.executable, str(script), str(folder), str(n_jobs), str(out)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment, start_new_session=True
    )
    process.stdout.readline()
    begun = time.monotonic()
    try:
        process.wait(kill_after or 300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the processes it has forked
        process.wait()
    process.stdout.close()
    return time.monotonic() - begun if process.returncode == 0 else None


def test_killed_by_the_system(tmp_path):
    compare_after_kills(tmp_path, n_kills=1)


@pytest.mark.slow
def test_killed_again_and_again(tmp_path, figure):
    compare_after_kills(tmp_path, n_kills=20)
    figure("``SIGKILL`` at random moments of a fit that ended as one never killed", 20, "20")


def compare_after_kills(path, n_kills):
    """Kill fits at random moments, with one process or two, and see that they end as one."""
    if sys.platform != "linux":
        pytest.skip("processes are forked on Linux")
    script, rng = path / "script.py", np.random.default_rng(0)
    script.write_text(SCRIPT)
    seconds = run(script, "none", 2, path / "whole.npz")
    killed = 0
    while killed < n_kills:
        moment = rng.uniform(0.1, 0.7) * seconds
        if run(script, path / "c", 1 + killed % 2, path / "killed.npz", moment) is None:
            killed += 1
        else:  # it had been nearly done
            assert_same_files(path)
    assert run(script, path / "c", 2, path / "killed.npz") is not None
    assert_same_files(path)


def assert_same_files(path):
    with np.load(path / "whole.npz") as whole, np.load(path / "killed.npz") as resumed:
        for name in whole.files:
            np.testing.assert_array_equal(whole[name], resumed[name])
