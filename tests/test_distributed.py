"""Several processes, started for real: one fit shared between them, searches, lost processes."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import joblib
import numpy as np
import pytest
from distributed_script import TIMEOUT
from sklearn.model_selection import GridSearchCV

from sklearn_omib import ModalityDict, OMIBClassifier
from sklearn_omib.training.processes import ProcessGroup, _takes_part, current_group, fit_alone

SCRIPT = Path(__file__).with_name("distributed_script.py")
DEADLINE = 150  # seconds, for machines that are busy


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def started_twice(folder, *arguments):
    """What two processes under torchrun found, and what they showed."""
    pytest.importorskip("accelerate")
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port"]
    command = [sys.executable, *torchrun, str(free_port()), str(SCRIPT), arguments[0], str(folder)]
    done = subprocess.run(
        [*command, *arguments[1:]], capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 0, done.stderr
    return [pickle.loads((folder / f"{r}.pkl").read_bytes()) for r in range(2)], done.stderr


def started_by_hand(folder, ranks, *arguments):
    """Processes that nobody watches, in a group of two."""
    pytest.importorskip("accelerate")
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, str(SCRIPT), arguments[0], str(folder), *arguments[1:]]
    environments = [{**os.environ, **group, "RANK": str(r), "LOCAL_RANK": str(r)} for r in ranks]
    return [subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) for env in environments]


def assert_same(one, other):
    (tensors, history), (tensors_other, history_other) = one, other
    assert tensors.keys() == tensors_other.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, tensors_other[name], err_msg=name)
    assert history.equals(history_other)


# -- a fit shared ---------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("edges", [[0, 1, 2], [0, 7, 15], [4, 9]])
def test_shares_of_a_batch_make_up_the_batch(size, edges):
    for start, stop in pairwise(edges):
        rows, fractions = [], []
        for rank in range(size):
            group = ProcessGroup.__new__(ProcessGroup)
            group.rank, group.size = rank, size
            first, last = group.share(start, stop)
            assert start <= first < last <= stop  # never empty: a mean over nothing is NaN
            rows += range(first, first + group.n_rows)
            fractions.append(group._fraction)
        assert rows == list(range(start, stop)) and sum(fractions) == pytest.approx(1)


def rows_by_epoch(steps):
    epochs = defaultdict(list)
    for epoch, rows in steps:
        epochs[epoch] += rows
    return epochs


def test_two_processes_fit_one_model(tmp_path):
    (first, second), shown = started_twice(tmp_path, "shared")
    check_that_two_train_as_one_with_the_doubled_batch(first["exact"], second["exact"])
    check_that_processes_end_alike_though_their_noise_differs(first["noisy"], second["noisy"])
    assert first["alone"] == 2  # what only the first one fitted
    # one process shows its progress; a bar begins without losses
    assert shown.count(" 0/10 [00:00<?, ?epoch/s]") == 1


def check_that_two_train_as_one_with_the_doubled_batch(found, found_other):
    (first, one), (second, _) = found, found_other
    for name in ("clf", "reg"):
        assert_same(first[name], second[name])
        # sums in another order: rounding of float32, carried through eleven epochs
        (_, history), (_, expected) = first[name], one[name]
        assert history.phase.equals(expected.phase)
        numbers = expected.drop(columns="phase")
        np.testing.assert_allclose(history[numbers.columns], numbers, rtol=5e-3, atol=5e-4)
    np.testing.assert_array_equal(first["proba"], second["proba"])
    epochs = [rows_by_epoch(found["seen"]) for found in (first, second, one)]
    for epoch, rows in epochs[2].items():
        assert len(set(rows)) == len(rows) == 213  # of 251, without the validation part
        assert sorted(epochs[0][epoch] + epochs[1][epoch]) == sorted(rows)
    steps = [len(found["seen"]) for found in (first, second, one)]
    assert len(set(steps)) == 1 and epochs[0][1] != epochs[0][2]


def check_that_processes_end_alike_though_their_noise_differs(first, second):
    for name in ("clf", "again", "reg", "partial", "tiny"):
        assert_same(first[name], second[name])
    for (order, noise), (order_other, noise_other) in zip(
        first["seeds"], second["seeds"], strict=True
    ):
        assert order == order_other and noise != noise_other
    assert len(first["clf"][1]) < 50  # stopped early, together


def test_searches_in_a_script_that_runs_twice(tmp_path):
    (first, second), _ = started_twice(tmp_path, "search")
    for n_jobs in (1, 2):
        np.testing.assert_array_equal(first[n_jobs][0], second[n_jobs][0])
        assert_same(first[n_jobs][1], second[n_jobs][1])
    np.testing.assert_array_equal(first["cv"][0], second["cv"][0])  # though of no seed
    assert_same(first["cv"][1], second["cv"][1])
    assert "The 2 processes of one fit differ in {'values'" in first["differing"]


# -- processes that fail --------------------------------------------------------------------------
def test_a_failure_of_one_process_reaches_the_other_and_harms_no_later_fit(tmp_path):
    processes = started_by_hand(tmp_path, (0, 1), "failures")
    assert [process.wait(DEADLINE) for process in processes] == [0, 0]
    first, second = (pickle.loads((tmp_path / f"{r}.pkl").read_bytes()) for r in range(2))
    assert second["input"].startswith("ValueError: Modality 'a': Input contains infinity")
    assert "ProcessLostError" in first["input"] and second["input"] in first["input"]
    for found in (first, second):
        assert "differ in {'batch_size': [32, 33]}" in found["parameters"]
        assert "differ in {'values'" in found["order"]
        assert found["diverged"].startswith("ValueError: Training diverged")
    assert second["training"] == "MemoryError: no memory left"
    assert "lost the others in epoch 11 (main)" in first["training"]
    assert "Process 1 says 'MemoryError: no memory left'" in first["training"]
    assert_same(first["afterwards"], second["afterwards"])


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_with_a_clear_error(tmp_path, victim):
    processes = started_by_hand(tmp_path, (0, 1), "killed", str(victim))
    assert processes[victim].wait(DEADLINE) == -signal.SIGKILL
    died = time.monotonic()
    survivor = processes[1 - victim]
    assert survivor.wait(DEADLINE) == 0 and time.monotonic() - died < TIMEOUT
    found = pickle.loads((tmp_path / f"{1 - victim}.pkl").read_bytes())
    assert "another process stopped or failed" in found["first"]
    assert "in epoch 5 (main)" in found["first"]
    assert "Start all of them again" in found["second"]


def test_nobody_waits_forever_for_a_process_that_does_not_come(tmp_path):
    (process,) = started_by_hand(tmp_path, (0,), "awaited")
    assert process.wait(DEADLINE) == 0
    (found,) = [pickle.loads(path.read_bytes()) for path in tmp_path.iterdir()]
    assert "did not come within 2 seconds" in found["first"]
    assert "fit_alone()" in found["first"]


# -- who takes part -------------------------------------------------------------------------------
@pytest.fixture
def launched(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")


def test_only_the_main_thread_of_a_started_process_takes_part(launched, monkeypatch):
    assert _takes_part()
    with fit_alone():
        assert not _takes_part()
    for backend in ("threading", "multiprocessing"):  # loky: in the searches above
        parallel = joblib.Parallel(n_jobs=2, backend=backend)
        assert parallel(joblib.delayed(_takes_part)() for _ in range(2)) == [False, False]
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not _takes_part()


def test_without_accelerate_the_extra_is_named(launched, monkeypatch, tables):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    X, y, _ = tables
    with pytest.raises(ImportError, match=r"sklearn-omib\[distributed\]"):
        OMIBClassifier().fit(X, y)
    with fit_alone():
        OMIBClassifier(max_epochs=1).fit(X, y)
    assert current_group() is None


# -- dask -----------------------------------------------------------------------------------------
def test_a_search_on_dask_workers_scores_as_one_in_this_process(tmp_path, tables):
    dask = pytest.importorskip("dask.distributed")
    X, y, _ = tables
    np.save(tmp_path / "b.npy", X["b"])
    X = ModalityDict({"a": X["a"], "b": np.load(tmp_path / "b.npy", mmap_mode="r")})
    clf = OMIBClassifier(max_epochs=15, learning_rate=5e-3, random_state=0)

    def searched():
        grid = GridSearchCV(clf, {"beta_scale": [0.1, 1]}, cv=2, error_score="raise")
        return grid.fit(X, y).cv_results_["mean_test_score"]

    expected = searched()
    workers = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        dask.LocalCluster(**workers) as cluster,
        dask.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        np.testing.assert_array_equal(searched(), expected)
    assert len(set(expected)) == 2 and min(expected) > 0.6


def test_dask_sees_how_much_a_container_holds():
    sizeof = pytest.importorskip("dask.sizeof").sizeof
    X = ModalityDict({"a": np.zeros((1000, 10)), "b": np.zeros((1000, 2, 5), np.float32)})
    assert 120_000 <= sizeof(X) < 121_000  # below a kB it would be sent with every task
