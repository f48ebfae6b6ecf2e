import csv
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sklearn_omib import ModalityDict

N_SAMPLES = 120
FIGURES = Path(__file__).parents[1] / "docs" / "reliability.csv"


# -- figures that docs/reliability.rst shows ------------------------------------------------------
def pytest_addoption(parser):
    parser.addoption(
        "--write-figures", action="store_true", help=f"write what tests measure to {FIGURES.name}"
    )


@pytest.fixture
def figure(record_property, request):
    """Notes a number that a test has measured, in words: what, how much, and what is promised."""
    test = f"``{request.path.stem}::{request.node.originalname}``"

    def note(what, found, promised):
        record_property("figure", [what, str(found), promised, test])

    return note


class Figures:
    """Writes the figures of tests that passed; rows of tests that did not run stay as they are.

    They come with the reports, so that under xdist one process alone writes.
    """

    header = ["what", "measured", "promised", "by", "where"]

    def __init__(self):
        self.rows = []
        self.where = f"{joblib.cpu_count()} cores, torch {torch.__version__}"

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.passed:
            noted = [value for name, value in report.user_properties if name == "figure"]
            self.rows += [[*row, self.where] for row in noted]

    def pytest_sessionfinish(self):
        new = {(test, what) for what, _, _, test, _ in self.rows}
        with FIGURES.open(newline="") as file:
            old = [row for row in list(csv.reader(file))[1:] if (row[3], row[0]) not in new]
        with FIGURES.open("w", newline="") as file:
            rows = sorted(old + self.rows, key=lambda row: (row[3], row[0]))
            csv.writer(file, lineterminator="\n").writerows([self.header, *rows])


def pytest_configure(config):
    if config.getoption("--write-figures") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Figures())


# -- data -----------------------------------------------------------------------------------------


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def mixed():
    """Every kind of block, and a target that the table and the sequence tell together."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(N_SAMPLES, 5))
    sequence = rng.normal(size=(N_SAMPLES, 6, 3))
    words = sparse.random(N_SAMPLES, 120, density=0.05, random_state=0, format="csr")
    X = ModalityDict(
        {
            "table": table,
            "frame": pd.DataFrame(rng.normal(size=(N_SAMPLES, 4)), columns=list("abcd")),
            "words": words,
            "sequence": sequence,
            "image": rng.normal(size=(N_SAMPLES, 2, 4, 4)).astype(np.float32),
        }
    )
    score = table[:, 0] + sequence[:, :, 0].mean(1)
    return X, np.where(score > np.median(score), "yes", "no"), score


@pytest.fixture
def tables():
    """Two plain tables with shared and own information on two classes."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, N_SAMPLES, 4))
    score = a[:, 0] + b[:, 0] + 0.3 * rng.normal(size=N_SAMPLES)
    return {"a": a, "b": b}, (score > 0).astype(int), score
