"""her2st: what the loader promises, on a small file of the same form and on the file itself."""

import numpy as np
import pytest

from sklearn_omib.datasets import load_her2st


@pytest.fixture
def folder(tmp_path, rng):
    section = np.repeat(["A1", "B1"], [6, 9])
    shift = np.where(section == "A1", 0.0, 5.0)[:, None]
    np.savez(
        tmp_path / "her2st.npz",
        expression=(shift + rng.normal(size=(15, 4))).astype(np.float16),
        neighbourhood=(shift + rng.normal(size=(15, 4))).astype(np.float16),
        section=section,
        label=np.resize(["invasive cancer", "adipose tissue", "cancer in situ"], 15),
        xy=np.zeros((15, 2), np.float32),
        genes=np.array(list("abcd")),
    )
    return tmp_path


def test_blocks_are_float32_and_cancer_is_anomalous(folder):
    spots = load_her2st(folder)
    assert {name: (b.shape, b.dtype) for name, b in spots.X.items()} == {
        name: ((15, 4), np.float32) for name in ("expression", "neighbourhood")
    }
    assert spots.anomalous.tolist() == [True, False, True] * 5
    assert spots.section.shape == spots.label.shape == (15,) and spots.genes.shape == (4,)


def test_standardised_sections_differ_in_no_mean_or_variance(folder):
    raw, spots = load_her2st(folder), load_her2st(folder, standardize=True)
    for name, block in spots.X.items():
        for section in ("A1", "B1"):
            rows = spots.section == section
            np.testing.assert_allclose(block[rows].mean(0), 0, atol=1e-5)
            np.testing.assert_allclose(block[rows].std(0), 1, rtol=1e-5)
            for column, before in zip(block[rows].T, raw.X[name][rows].T, strict=True):
                assert np.corrcoef(column, before)[0, 1] > 1 - 1e-5


def test_missing_file_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"not at .*her2st.npz.*SKLEARN_OMIB_DATA"):
        load_her2st(tmp_path)


def test_share_of_cancer_of_the_papers_sections():
    """The labels of A1 to D1 are those behind the paper's table 5 (it prints the complement)."""
    try:
        spots = load_her2st()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    cancer = [spots.anomalous[spots.section == name].sum() for name in ("A1", "B1", "C1", "D1")]
    healthy = 1 - np.divide(cancer, [346, 295, 176, 306])
    np.testing.assert_allclose(healthy, [0.1243, 0.7864, 0.2784, 0.5458], atol=1e-4)
