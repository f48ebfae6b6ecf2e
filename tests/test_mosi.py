"""CMU-MOSI: defaults reach .76 on new speakers, and more than any single modality."""

import numpy as np
import pytest

from sklearn_omib import OMIBClassifier
from sklearn_omib.datasets import load_mosi

SEEDS = range(5)


@pytest.fixture(scope="module")
def mosi():
    try:
        return load_mosi()
    except FileNotFoundError as error:
        pytest.skip(str(error))


def mean_test_accuracy(mosi, names):
    train, test = mosi.X_train.select(names), mosi.X_test.select(names)
    scores = []
    for seed in SEEDS:
        clf = OMIBClassifier(random_state=seed)
        clf.fit(train, mosi.y_train, groups=mosi.groups_train)
        scores.append(clf.score(test, mosi.y_test))
    return np.mean(scores)


@pytest.mark.slow
def test_defaults_on_unseen_speakers(mosi):
    together = mean_test_accuracy(mosi, ["text", "audio", "video"])
    alone = {name: mean_test_accuracy(mosi, [name]) for name in mosi.X_train}
    # .7644, and .7670 when each member had a scale of its own: what five seeds differ by anyway
    assert together >= 0.76
    assert together > max(alone.values())


def test_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"not at .*mosi.npz.*SKLEARN_OMIB_DATA"):
        load_mosi(tmp_path)


def test_loader_reads_parts_and_groups(tmp_path):
    arrays = {f"{name}_{part}": np.ones((3, 2)) for name in ("text", "audio", "video")
              for part in ("train", "test")}  # fmt: skip
    for part in ("train", "test"):
        arrays |= {f"y_{part}": np.arange(3) % 2, f"id_{part}": np.array(["a_b_1", "a_b_2", "c_1"])}
    np.savez(tmp_path / "mosi.npz", **arrays)
    mosi = load_mosi(tmp_path)
    assert mosi.X_train.sample_shapes == {"text": (2,), "audio": (2,), "video": (2,)}
    assert mosi.groups_test.tolist() == ["a_b", "a_b", "c"] and mosi.y_train.tolist() == [0, 1, 0]
