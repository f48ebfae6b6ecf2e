"""Evidence for how a search trains its networks: each beta by itself, or along a path.

    python benchmarks/evidence/search.py --jobs 2    # half an hour on two cores

A search over eight betas and five folds, and what it then predicts for rows it has not seen: 30 %
of the development sets' training parts, or 2000 rows of generated data, of which it sees 800.
"""

import time
from functools import partial

import numpy as np
from framework import BENT, WHOLE, answer, gains, is_regression, rated, told, training_part
from rows import factors, sim
from sklearn.model_selection import train_test_split

from sklearn_omib import OMIBClassifierCV, OMIBRegressorCV
from sklearn_omib.datasets import make_multimodal_classification, make_multimodal_regression

METHODS = {
    "independent": {},
    "path": {"method": "path", "refit": True},
    "path, its folds predict": {"method": "path", "refit": False},
}
GENERATED = {
    "SIM-I": partial(sim, "I"),
    "linear": partial(factors, make_multimodal_classification),
    "nonlinear": partial(factors, make_multimodal_classification, **BENT),
    "linear target": partial(factors, make_multimodal_regression),
    "nonlinear target": partial(factors, make_multimodal_regression, **BENT),
}
N_SEEN, N_TEST = 800, 2000


def split(data, seed):
    """X, y, rows to search on, and others."""
    if data in GENERATED:
        X, y = GENERATED[data](seed)
        return X, y, np.arange(N_SEEN), np.arange(N_SEEN, N_SEEN + N_TEST)
    X, y, _ = training_part(data)
    labels = None if is_regression(y) else y
    rows = train_test_split(np.arange(len(y)), test_size=0.3, stratify=labels, random_state=seed)
    return X, y, *rows


def evaluate(data, method, seed):
    X, y, seen, others = split(data, seed)
    kind = OMIBRegressorCV if is_regression(y) else OMIBClassifierCV
    search = kind(betas=8, n_jobs=1, random_state=seed, **METHODS[method])
    start = time.perf_counter()
    score, loss = rated(search, X, y, seen, others)
    seconds = time.perf_counter() - start
    share = search.beta_ / search.beta_bounds_.upper
    return {"score": score, "loss": loss, "seconds": seconds, "beta / M_u": share}


def sections(runs):
    """Means over seeds by data set, and what paths gain over independent fits."""
    columns = ["score", "loss", "beta / M_u"]
    means = runs.pivot_table(columns, ["data", "method"], sort=False)[columns].round(4)
    lines = [means.reset_index().to_markdown(index=False)]
    gained = gains(runs, {"method": "independent"})
    for method in list(METHODS)[1:]:
        pairs = gained[gained.method == method]
        by_data = pairs.groupby("data", as_index=False)[["score gain", "loss gain"]].mean()
        lines.append(
            f"{method.capitalize()}, over independent fits, all {len(pairs)} runs: {told(pairs)}. "
            f"Means of the {len(by_data)} data sets: {told(by_data)}."
        )
    return lines


if __name__ == "__main__":
    jobs = [{"data": data, "method": m} for data in (*WHOLE, *GENERATED) for m in METHODS]
    answer("search", __doc__, 2, jobs, evaluate, sections)
