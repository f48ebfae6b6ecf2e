"""Evidence for the encoder of tables that spread over many directions.

    python benchmarks/evidence/wide.py    # some twenty minutes on one core

One network of "mlp", "linear_mlp" and "linear" on both modalities of data with wide tables, fitted
to few rows (about one or two per column of both together) and to many, and scored on 6000 others;
on her2st fitted to three of sections E1 to H1 and scored on the fourth. No row of the comparison's
generated data is used.
"""

from functools import partial

import numpy as np
from framework import BENT, SECTIONS, answer, estimator, gains, is_regression, rated, told

from sklearn_omib.datasets import (
    load_her2st,
    make_multimodal_classification,
    make_multimodal_regression,
    make_sim,
)
from sklearn_omib.information._capacity import effective_dimension

ENCODERS = ("mlp", "linear_mlp", "linear")
OTHERS = {"n_members": 1, "validation_fraction": 0.15}  # as they were when this was measured
N_DRAWN = 12_000
SETTING = ["data", "metric", "rows", "columns"]


# -- data: seed, rows to fit -> X, y, rows to fit, rows to score -----------------------------------
def split(n_rows):
    """Rows to fit, and the last half, to score."""
    return np.arange(n_rows), np.arange(N_DRAWN // 2, N_DRAWN)


def sim(case, seed, n_rows, noise=None):
    data = make_sim(case, N_DRAWN, random_state=2000 + seed)
    y = data.y
    if noise is not None:
        y = data.truth.decision + noise * np.random.default_rng(seed).normal(size=N_DRAWN)
    return data.X, y, *split(n_rows)


def low_rank(make, seed, n_rows, **options):
    data = make(N_DRAWN, n_features=400, random_state=50 + seed, **options)
    return data.X, np.asarray(data.y), *split(n_rows)


def tissue(section, seed, n_rows):
    her2st = load_her2st(standardize=True)
    others = np.isin(her2st.section, [one for one in SECTIONS if one != section])
    rows = np.flatnonzero(others), np.flatnonzero(her2st.section == section)
    return her2st.X, her2st.anomalous.astype(int), *rows


NONLINEAR = {"mixing": "nonlinear"}
XOR = {"importance": {"synergy": 1.0}}
classes, numbers = (
    partial(low_rank, make) for make in (make_multimodal_classification, make_multimodal_regression)
)
DATA = {  # how they are drawn, and how many rows are fitted
    "SIM-I": (partial(sim, "I"), (3200, 6000)),
    "SIM-III": (partial(sim, "III"), (3200, 6000)),
    "low rank": (classes, (1600, 6000)),
    "low rank, nonlinear": (partial(classes, **NONLINEAR), (1600, 6000)),
    "low rank, synergy": (partial(classes, **XOR), (1600, 6000)),
    "low rank, nonlinear, synergy": (partial(classes, **BENT), (1600, 6000)),
    **{f"her2st, {section}": (partial(tissue, section), (0,)) for section in SECTIONS},
    "SIM-III, regression": (partial(sim, "III", noise=0.3), (1600, 6000)),
    "low rank, regression": (numbers, (1600, 6000)),
    "low rank, nonlinear, regression": (partial(numbers, **NONLINEAR), (1600, 6000)),
    "low rank, nonlinear, synergy, regression": (partial(numbers, **BENT), (1600, 6000)),
}


# -- runs and table -------------------------------------------------------------------------------
def evaluate(data, asked, encoder, seed):
    """Score and loss of an encoder on the rows that were left out."""
    X, y, fitted, held_out = DATA[data][0](seed, asked)
    model = estimator(y, **OTHERS, encoders=encoder, random_state=seed)
    if not is_regression(y):
        model.set_params(modality_dropout=0.1)
    score, loss = rated(model, X, y, fitted, held_out)
    dimension = np.mean([effective_dimension(block[fitted]) for block in X.values()])
    return {
        "metric": "R2" if is_regression(y) else "accuracy",
        "rows": len(fitted),
        "columns": X.shape[1] // len(X.sample_shapes),
        "effective dimension": round(dimension),
        "score": score,
        "loss": loss,
    }


def sections(runs):
    """Means over seeds, and the gain of "linear" over the others by run."""
    scores = runs.pivot_table("score", [*SETTING, "seed"], "encoder")[list(ENCODERS)]
    table = scores.groupby(SETTING, sort=False).mean()
    table.insert(0, "effective dimension", runs.groupby(SETTING)["effective dimension"].mean())
    lines = [table.reset_index().round(3).to_markdown(index=False)]
    for other in ENCODERS[:-1]:
        pairs = gains(runs, {"encoder": other}, [*SETTING, "seed"]).query("encoder == 'linear'")
        for metric in ("accuracy", "R2"):
            words = told(pairs[pairs.metric == metric])
            lines.append(f"linear over {other}, {metric}: {words}")
    return lines


if __name__ == "__main__":
    jobs = (
        {"data": data, "asked": n_rows, "encoder": encoder}
        for data, (_, sizes) in DATA.items() for n_rows in sizes for encoder in ENCODERS
    )  # fmt: skip
    answer("wide", __doc__, 2, jobs, evaluate, sections)
