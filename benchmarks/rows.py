"""Evidence for what the defaults make of the number of rows: codes hidden, rows to stop by.

    python benchmarks/rows.py --jobs 2    # some forty minutes on two cores

Five networks fitted to 2000 and 8000 rows of generated data and scored on 8000 others. "150 rows"
is a share of all rows, before some are held out; the package divides by those to train on, a
little fewer. None of the comparison's generated data is used. Writes ``results/rows.csv``, to which
an interrupted run adds, and ``results/rows.md``.
"""

from functools import partial
from itertools import product

import numpy as np
from defaults import BENT, halves, is_regression, predicted, rate, told
from paper.common import Rows, arguments
from sklearn.datasets import make_friedman1

from sklearn_omib import ModalityDict, OMIBClassifier, OMIBRegressor
from sklearn_omib.datasets import (
    make_multimodal_classification,
    make_multimodal_regression,
    make_sim,
)

SIZES = (2000, 8000)
N_TEST = 8000
HIDDEN = {  # share of codes hidden, of a number of rows
    ".1": lambda n: 0.1,
    "150 rows": lambda n: min(0.1, 150 / n),
    "0": lambda n: 0.0,
}


def factors(make, seed, **options):
    data = make(
        SIZES[-1] + N_TEST, n_modalities=3, n_pairwise=1, random_state=700 + seed, **options
    )
    return data.X, np.asarray(data.y)


def sim(case, seed):
    data = make_sim(case, SIZES[-1] + N_TEST, random_state=3000 + seed)
    return data.X, data.y


def friedman(seed):
    table, y = make_friedman1(SIZES[-1] + N_TEST, noise=1.0, random_state=700 + seed)
    return ModalityDict(halves(table)), y


DATA = {
    "SIM-I": partial(sim, "I"),
    "SIM-III": partial(sim, "III"),
    "linear": partial(factors, make_multimodal_classification),
    "linear, 6 classes": partial(factors, make_multimodal_classification, n_classes=6),
    "nonlinear": partial(factors, make_multimodal_classification, **BENT),
    "linear target": partial(factors, make_multimodal_regression),
    "nonlinear target": partial(factors, make_multimodal_regression, **BENT),
    "friedman": friedman,
}
NUMBERS = tuple(DATA)[-3:]
PAIRS = (  # of settings, (codes hidden, rows to stop by)
    *(((".1", "15 %"), (hidden, "15 %")) for hidden in ("150 rows", "0")),
    *(((hidden, "15 %"), (hidden, "500")) for hidden in HIDDEN),
)


def settings(name):
    """Those compared on a data set, as (rows fitted, codes hidden, rows to stop by)."""
    for n_rows in SIZES:
        for hidden in ("0",) if name in NUMBERS else HIDDEN:
            for held_out in ("15 %", "500")[: 1 + (n_rows == SIZES[-1])]:
                yield n_rows, hidden, held_out


def evaluate(data, n_rows, hidden, held_out, seed):
    """Score and loss of one setting on rows it was not fitted to."""
    X, y = DATA[data](seed)
    share = 0.15 if held_out == "15 %" else int(held_out) / n_rows
    model = OMIBRegressor() if is_regression(y) else OMIBClassifier()
    if not is_regression(y):  # regressors hide none
        model.set_params(modality_dropout=HIDDEN[hidden](n_rows))
    model.set_params(validation_fraction=share, random_state=seed)
    fitted, scored = np.arange(n_rows), np.arange(SIZES[-1], SIZES[-1] + N_TEST)
    model.fit(X[fitted], y[fitted])
    score, loss = rate(scored, predicted(model, X[scored]), y)
    setting = {"data": data, "n_rows": n_rows, "hidden": hidden, "held_out": held_out}
    return [{**setting, "seed": seed, "score": score, "loss": loss}]


def write_table(rows):
    """Means over seeds, and what paired runs gain."""
    runs = rows.rows()
    setting = runs.hidden + " hidden, " + runs.held_out + " held out"
    lines = [__doc__.splitlines()[0]]
    for what in ("score", "loss"):
        means = runs.pivot_table(what, ["data", "n_rows"], setting, sort=False).round(4)
        lines += [f"Mean {what}:", means.reset_index().to_markdown(index=False)]
    number = runs.data.isin(NUMBERS)
    for (kind, some), n_rows in product((("accuracy", runs[~number]), ("R2", runs[number])), SIZES):
        for base, other in PAIRS:
            gain = gains(some[some.n_rows == n_rows], base, other)
            if len(gain):
                words = f"{', '.join(other)} over {', '.join(base)}, {n_rows} rows, {kind}: "
                lines.append(words + "; ".join(told(name, gain[name]) for name in gain))
    text = "\n\n".join(lines) + "\n"
    (rows.results / "rows.md").write_text(text)
    print(text)


def gains(runs, base, other):
    """Score and loss that a setting gains over another, by data and seed."""
    both = (runs[(runs.hidden == codes) & (runs.held_out == rows)] for codes, rows in (base, other))
    before, after = (some.set_index(["data", "seed"])[["score", "loss"]] for some in both)
    return (after - before).dropna() * [1, -1]


if __name__ == "__main__":
    chosen = arguments(__doc__, 2)
    rows = Rows("rows", chosen.out)
    jobs = [
        {"data": name, "n_rows": n, "hidden": hidden, "held_out": held_out, "seed": seed}
        for seed in range(chosen.seeds)
        for name in DATA
        for n, hidden, held_out in settings(name)
    ]
    rows.run(evaluate, rows.missing(jobs), chosen.jobs)
    write_table(rows)
