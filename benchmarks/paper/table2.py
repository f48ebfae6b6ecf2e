"""Table 2: accuracy on SIM from single parts, single modalities and OMIB, beside the limits.

    python benchmarks/paper/table2.py --jobs 2

A seed is another data set and another network. "VIB" is OMIBClassifier with one modality, the
variational information bottleneck; logistic regression takes C from cross-validation on the
training part.
"""

import numpy as np
import pandas as pd
from common import (
    OF_SIM,
    SIM_OPTIONS,
    TEST_SHARE,
    Study,
    difference,
    direction,
    listed,
    probe_r2,
    pyplot,
    split_rows,
    spread,
    table,
)
from resumable import arguments
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sklearn_omib import OMIBClassifier
from sklearn_omib.datasets import make_sim

INPUTS = {  # parts side by side; the last one, None, is both modalities
    "a0": ("a0",),
    "a1, a2": ("a1", "a2"),
    "x1": ("b0", "b1", "a0", "a1"),
    "x2": ("b0", "b2", "a0", "a2"),
    "a0, a1, a2": ("a0", "a1", "a2"),
    "all columns": ("b0", "b1", "b2", "a0", "a1", "a2"),
    "x1 and x2": None,
}
METHODS = ("logistic regression", "VIB", "OMIB")
# the paper prints no values for II; which of its "unimodal" values is x1 is taken from the order
PAPER = {
    case: dict(zip(INPUTS, values, strict=True))
    for case, values in {
        "I": (0.707, 0.737, 0.748, 0.820, 0.909, 0.858, 0.892),
        "III": (0.686, 0.744, 0.792, 0.780, 0.908, 0.866, 0.890),
    }.items()
}
N_STANDARD_ERRORS = 3  # above its limit before a number counts as out of reach
NOTES = """\
*Limit* is the accuracy of the Bayes rule on that input, from the direction that was drawn. R2 is
what ridge regression reads off xi in test rows, of the direction that decides the class and of the
nuisance columns (mean). The paper does not say how many columns b1 and b2 have (here 100 each) nor
whether the first of its unimodal accuracies is x1's.

""".splitlines()


def limit(sim, parts):
    """Best accuracy from some parts: 1 - arccos(rho) / pi, rho^2 their share of <delta, a>."""
    widths = [sim.truth.parts[name].shape[1] for name in ("a0", "a1", "a2")]
    energy = [np.sum(part**2) for part in np.split(sim.truth.coef, np.cumsum(widths)[:-1])]
    seen = sum(e for name, e in zip(("a0", "a1", "a2"), energy, strict=True) if name in parts)
    return 1 - np.arccos(np.sqrt(min(seen / sum(energy), 1.0))) / np.pi


def evaluate(case, seed, inputs, method, n_samples):
    """The row of one fit."""
    sim = make_sim(case, n_samples, random_state=seed)
    parts = INPUTS[inputs]
    X = sim.X if parts is None else np.hstack([sim.truth.parts[name] for name in parts])
    train, test = split_rows(n_samples)
    row = {"case": case, "seed": seed, "inputs": inputs, "method": method, "n_samples": n_samples,
           "limit": limit(sim, INPUTS["all columns"] if parts is None else parts),
           "r2_nuisance": np.nan, "r2_decision": np.nan}  # fmt: skip
    if method == "logistic regression":
        logistic = LogisticRegression(max_iter=1000)
        model = GridSearchCV(logistic, {"C": np.geomspace(1e-4, 1, 5)}, cv=5)
        model.fit(X[train], sim.y[train])
    else:
        model = OMIBClassifier(**OF_SIM, random_state=seed).fit(X[train], sim.y[train])
        xi = model.transform(X[test])
        for name in ("nuisance", "decision"):
            row[f"r2_{name}"] = probe_r2(xi, sim.truth[name][test])
    return [row | {"accuracy": model.score(X[test], sim.y[test])}]


def run(study, cases, seeds, n_samples, n_jobs):
    jobs = [
        {"case": case, "seed": seed, "inputs": name, "method": method, "n_samples": n_samples}
        for seed in range(seeds) for case in cases for name, parts in INPUTS.items()
        for method in (METHODS[:2] if parts else METHODS[2:])
    ]  # fmt: skip
    study.run(evaluate, study.missing(jobs), n_jobs)


def comparisons(case, rows):
    """OMIB against each other input by the same means, and what the paper says of them."""
    by_input = dict(list(rows.groupby(["inputs", "method"], sort=False)))
    accuracy = {key: some.set_index("seed").accuracy for key, some in by_input.items()}
    ours = accuracy.pop(("x1 and x2", "OMIB"), pd.Series(dtype=float))
    for (name, method), theirs in accuracy.items():
        gain = (ours - theirs).dropna()
        if gain.empty:
            continue
        claim = ""
        if method == "VIB" and case in PAPER:
            claim = f"; in the paper {PAPER[case]['x1 and x2'] - PAPER[case][name]:+.3f}"
        yield f"- OMIB minus {method} on {name}: {difference(gain)} ({direction(gain)}){claim}."


def out_of_reach(case, rows):
    """Inputs of which the paper's accuracy is above what any method can reach on such data."""
    limits, n_test = rows.groupby("inputs").limit, TEST_SHARE * rows.n_samples.max()
    for name, printed in PAPER.get(case, {}).items():
        if name in limits.groups:
            bayes = limits.get_group(name)
            error = np.hypot(bayes.std(ddof=0), np.sqrt(printed * (1 - printed) / n_test))
            if printed > bayes.mean() + N_STANDARD_ERRORS * error:
                yield name


def accuracies(case, rows):
    """Cells of the table of one case."""
    for (name, method), some in rows.groupby(["inputs", "method"], sort=False):
        printed = PAPER.get(case, {}).get(name)
        r2 = [some[f"r2_{what}"] for what in ("decision", "nuisance")]
        yield [
            name, method, spread(some.accuracy), f"{printed:.3f}" if printed else "",
            spread(some.limit), *("" if values.isna().all() else spread(values) for values in r2),
        ]  # fmt: skip


def report(study):
    rows = study.rows()
    order = [list(INPUTS).index(name) for name in rows.inputs]
    rows = rows.assign(order=order).sort_values(["order", "method"])
    lines = [
        f"{rows.n_samples.max():,} rows (a tenth for testing); seeds: {rows.seed.nunique()}.",
        *NOTES,
    ]
    header = ["input", "method", "accuracy", "paper", "limit", "R2 decision", "R2 nuisance"]
    for case, some in rows.groupby("case"):
        lines += [f"**SIM-{case}**", "", *table(header, accuracies(case, some))]
        lines += [*comparisons(case, some), ""]
        if case in PAPER:
            above = [f"[{name}]" for name in out_of_reach(case, some)]
            lines += [
                f"Inputs for which the paper's number is more than {N_STANDARD_ERRORS} standard",
                f"errors above the limit of data drawn as it describes: {listed(above)}.", "",
            ]  # fmt: skip
    picture(study, rows)
    study.write("Table 2: SIM, parts and modalities", lines)


def picture(study, rows):
    cases = sorted(set(rows.case))
    figure, axes = pyplot().subplots(
        1, len(cases), figsize=(4.2 * len(cases), 3.4), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    at = {name: i for i, name in enumerate(INPUTS)}
    for ax, case in zip(axes[0], cases, strict=True):
        some = rows[rows.case == case]
        for method in METHODS:
            accuracy = some[some.method == method].groupby("inputs").accuracy
            places = [at[name] for name in accuracy.groups]
            ax.errorbar(
                accuracy.mean(), places, xerr=accuracy.std().fillna(0), fmt="o", ms=4, label=method
            )
        limits = some.groupby("inputs").limit.mean()
        ax.plot(limits, [at[name] for name in limits.index], "k|", ms=14, label="limit")
        printed = PAPER.get(case, {})
        ax.plot(list(printed.values()), [at[name] for name in printed], "kx", label="paper")
        ax.set(title=f"SIM-{case}", xlabel="test accuracy", yticks=list(at.values()),
               yticklabels=list(at))  # fmt: skip
    axes[0, 0].invert_yaxis()
    axes[0, 0].legend(fontsize=7, frameon=False)
    study.save(figure)


if __name__ == "__main__":
    chosen = arguments(__doc__, seeds=5, more=SIM_OPTIONS)
    table2 = Study("table2", chosen.out)
    run(table2, chosen.cases, chosen.seeds, chosen.samples, chosen.jobs)
    report(table2)
