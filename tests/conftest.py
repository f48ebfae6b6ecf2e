import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sklearn_omib import ModalityDict

N_SAMPLES = 120


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def mixed():
    """Every kind of block, and a target that the table and the sequence tell together."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(N_SAMPLES, 5))
    sequence = rng.normal(size=(N_SAMPLES, 6, 3))
    words = sparse.random(N_SAMPLES, 30, density=0.2, random_state=0, format="csr")
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
