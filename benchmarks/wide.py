"""Evidence for the encoder of tables that spread over many directions.

    python benchmarks/wide.py        # some twenty minutes on one core

One network of "mlp", "linear_mlp" and "linear" on both modalities of data with wide tables, fitted
to few rows (about one or two per column of both together) and to many, and scored on 6000 others;
on her2st fitted to three of sections E1 to H1 and scored on the fourth. No row of the comparison's
generated data is used. Writes ``results/wide.csv``, to which an interrupted run adds, and
``results/wide.md``.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from defaults import is_regression, predicted, rate, told

from sklearn_omib import OMIBClassifier, OMIBRegressor
from sklearn_omib.datasets import (
    load_her2st,
    make_multimodal_classification,
    make_multimodal_regression,
    make_sim,
)
from sklearn_omib.information._capacity import effective_dimension

RESULTS = Path(__file__).parent / "results"
SEEDS = (0, 1)
ENCODERS = ("mlp", "linear_mlp", "linear")
OTHERS = {"n_members": 1, "validation_fraction": 0.15}  # as they were when this was measured
N_DRAWN = 12_000
SECTIONS = ("E1", "F1", "G2", "H1")
KEYS = ["data", "metric", "rows", "columns"]


def sim(case, seed, n_rows, noise=None):
    data = make_sim(case, N_DRAWN, random_state=2000 + seed)
    y = data.y
    if noise is not None:
        y = data.truth.decision + noise * np.random.default_rng(seed).normal(size=N_DRAWN)
    return data.X, y, *split(n_rows)


def low_rank(make, seed, n_rows, **options):
    data = make(N_DRAWN, n_features=400, random_state=50 + seed, **options)
    return data.X, np.asarray(data.y), *split(n_rows)


def split(n_rows):
    """Rows to fit, and the last half, to score."""
    return np.arange(n_rows), np.arange(N_DRAWN // 2, N_DRAWN)


def tissue(section, seed, n_rows):
    her2st = load_her2st(standardize=True)
    others = np.isin(her2st.section, [one for one in SECTIONS if one != section])
    rows = np.flatnonzero(others), np.flatnonzero(her2st.section == section)
    return her2st.X, her2st.anomalous.astype(int), *rows


BENT = {"mixing": "nonlinear"}
XOR = {"importance": {"synergy": 1.0}}
BENT_XOR = {**BENT, "importance": {"synergy": 2.0}}
classes, numbers = (
    partial(low_rank, make) for make in (make_multimodal_classification, make_multimodal_regression)
)
DATA = {  # how they are drawn, and how many rows are fitted
    "SIM-I": (partial(sim, "I"), (3200, 6000)),
    "SIM-III": (partial(sim, "III"), (3200, 6000)),
    "low rank": (classes, (1600, 6000)),
    "low rank, nonlinear": (partial(classes, **BENT), (1600, 6000)),
    "low rank, synergy": (partial(classes, **XOR), (1600, 6000)),
    "low rank, nonlinear, synergy": (partial(classes, **BENT_XOR), (1600, 6000)),
    **{f"her2st, {s}": (partial(tissue, s), (0,)) for s in SECTIONS},
    "SIM-III, regression": (partial(sim, "III", noise=0.3), (1600, 6000)),
    "low rank, regression": (numbers, (1600, 6000)),
    "low rank, nonlinear, regression": (partial(numbers, **BENT), (1600, 6000)),
    "low rank, nonlinear, synergy, regression": (partial(numbers, **BENT_XOR), (1600, 6000)),
}


def evaluate(name, n_rows, encoder, seed):
    """Score and loss of an encoder on the rows that were left out."""
    X, y, fitted, held_out = DATA[name][0](seed, n_rows)
    number = is_regression(y)
    model = OMIBRegressor() if number else OMIBClassifier(modality_dropout=0.1)
    model.set_params(**OTHERS, encoders=encoder, random_state=seed).fit(X[fitted], y[fitted])
    score, loss = rate(held_out, predicted(model, X[held_out]), y)
    dimension = np.mean([effective_dimension(block[fitted]) for block in X.values()])
    return {
        "data": name,
        "metric": "R2" if number else "accuracy",
        "rows": len(fitted),
        "columns": X.shape[1] // len(X.sample_shapes),
        "effective dimension": round(dimension),
        "encoder": encoder,
        "seed": seed,
        "asked": n_rows,
        "score": score,
        "loss": loss,
    }


def write_table(results):
    """Means over seeds, and the gain of "linear" over the others by run."""
    by = {what: results.pivot_table(what, [*KEYS, "seed"], "encoder") for what in ("score", "loss")}
    table = by["score"][list(ENCODERS)].groupby(KEYS, sort=False).mean()
    table.insert(0, "effective dimension", results.groupby(KEYS)["effective dimension"].mean())
    table = table.reset_index()
    lines = [f"{__doc__.splitlines()[0]}\n", table.round(3).to_markdown(index=False), ""]
    for other in ENCODERS[:-1]:
        gains = (
            by["score"]["linear"] - by["score"][other],
            by["loss"][other] - by["loss"]["linear"],
        )
        for metric in ("accuracy", "R2"):
            score, loss = (gain.xs(metric, level="metric").dropna() for gain in gains)
            words = f"{told('score', score)}; {told('loss', loss)}"
            lines.append(f"linear over {other}, {metric}: {words}\n")
    text = "\n".join(lines)
    (RESULTS / "wide.md").write_text(text)
    print(text)


def main():
    path = RESULTS / "wide.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["data"])
    keys = set(zip(*(done.get(k, []) for k in ("data", "asked", "encoder", "seed")), strict=True))
    for seed in SEEDS:
        for name, (_, sizes) in DATA.items():
            for n_rows in sizes:
                for encoder in ENCODERS:
                    if (name, n_rows, encoder, seed) in keys:
                        continue
                    run = pd.DataFrame([evaluate(name, n_rows, encoder, seed)])
                    run.to_csv(path, mode="a", header=not path.exists(), index=False)
                    print(*run.iloc[0], flush=True)
    write_table(pd.read_csv(path))


if __name__ == "__main__":
    main()
