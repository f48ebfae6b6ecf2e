"""Evidence for choosing an encoder by the effective dimension of a table.

    python benchmarks/wide.py        # some ten minutes on one core

Five-fold cross-validation of "mlp" and "linear_mlp" on both modalities of data with wide tables,
on training parts only (sections E1 to H1 of her2st, folds of sections; the rest is generated).
Writes ``results/wide.csv``, to which an interrupted run adds, and ``results/wide.md``.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from defaults import BASE
from sklearn.base import is_classifier
from sklearn.model_selection import GroupKFold, KFold

from sklearn_omib import OMIBClassifier, OMIBRegressor
from sklearn_omib.datasets import (
    load_her2st,
    make_multimodal_classification,
    make_multimodal_regression,
    make_sim,
)
from sklearn_omib.information._capacity import effective_dimension

RESULTS = Path(__file__).parent / "results"
SEEDS = (0, 1, 2)
ENCODERS = ("mlp", "linear_mlp")


def sim(case):
    data = make_sim(case, 4000, random_state=0)
    return OMIBClassifier, data.X, data.y, None


def sim_regression():
    data = make_sim("III", 4000, random_state=0)
    noise = np.random.default_rng(0).normal(size=4000)
    return OMIBRegressor, data.X, data.truth.decision + 0.3 * noise, None


def low_rank(make, model, **options):
    data = make(2000, n_features=400, random_state=0, **options)
    return model, data.X, data.y, None


def tissue():
    her2st = load_her2st(standardize=True)
    rows = np.isin(her2st.section, ["E1", "F1", "G2", "H1"])
    return OMIBClassifier, her2st.X[rows], her2st.anomalous[rows], her2st.section[rows]


DATA = {
    "SIM-I": lambda: sim("I"),
    "SIM-III": lambda: sim("III"),
    "SIM-III, regression": sim_regression,
    "low rank": lambda: low_rank(make_multimodal_classification, OMIBClassifier),
    "low rank, nonlinear": lambda: low_rank(
        make_multimodal_classification, OMIBClassifier, mixing="nonlinear"
    ),
    "low rank, synergy": lambda: low_rank(
        make_multimodal_classification, OMIBClassifier, importance={"synergy": 1.0}
    ),
    "low rank, regression": lambda: low_rank(
        make_multimodal_regression, OMIBRegressor, mixing="nonlinear"
    ),
    "her2st, E to H": tissue,
}


def evaluate(name, encoder, seed):
    """Score of an encoder on a data set, averaged over the folds."""
    model, X, y, groups = DATA[name]()
    model = model(random_state=seed, **{**BASE, "encoders": encoder})
    folds = GroupKFold(4) if groups is not None else KFold(5, shuffle=True, random_state=seed)
    scores = [
        model.fit(X[train], y[train]).score(X[test], y[test])
        for train, test in folds.split(np.zeros(len(y)), y, groups)
    ]
    dimension = np.mean([effective_dimension(block) for block in X.values()])
    return {
        "data": name,
        "metric": "accuracy" if is_classifier(model) else "R2",
        "columns": X.shape[1] // len(X.sample_shapes),
        "effective dimension": round(dimension),
        "encoder": encoder,
        "seed": seed,
        "score": np.mean(scores),
    }


def main():
    path = RESULTS / "wide.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["data"])
    keys = set(zip(done.data, done.get("encoder", []), done.get("seed", []), strict=True))
    for seed in SEEDS:
        for name in DATA:
            for encoder in ENCODERS:
                if (name, encoder, seed) in keys:
                    continue
                run = pd.DataFrame([evaluate(name, encoder, seed)])
                run.to_csv(path, mode="a", header=not path.exists(), index=False)
                print(*run.iloc[0], flush=True)
    results = pd.read_csv(path)
    columns = ["data", "metric", "columns", "effective dimension"]
    table = results.pivot_table("score", columns, "encoder", sort=False)[list(ENCODERS)]
    pairs = results.pivot_table("score", ["data", "seed"], "encoder", sort=False)
    gain = (pairs["linear_mlp"] - pairs["mlp"]).groupby("data").agg(["mean", "sem"])
    table = table.reset_index().join(gain.add_prefix("gain, "), on="data")
    text = table.round(3).to_markdown(index=False)
    (RESULTS / "wide.md").write_text(f"{__doc__.splitlines()[0]}\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    main()
