"""Evidence for what the defaults make of the number of rows: codes hidden, rows to stop by.

    python benchmarks/evidence/rows.py --jobs 2    # some forty minutes on two cores

Five networks fitted to 2000 and 8000 rows of generated data and scored on 8000 others. "150 rows"
is a share of all rows, before some are held out; the package divides by those to train on, a
little fewer. None of the comparison's generated data is used.
"""

from functools import partial
from itertools import product

import numpy as np
from framework import BENT, answer, estimator, gains, halves, rated, told
from sklearn.datasets import make_friedman1

from sklearn_omib import ModalityDict
from sklearn_omib.datasets import (
    make_multimodal_classification,
    make_multimodal_regression,
    make_sim,
)

SIZES = (2000, 8000)
N_TEST = 8000
N_DRAWN = SIZES[-1] + N_TEST
HIDDEN = {  # share of codes hidden, of a number of rows
    ".1": lambda n: 0.1,
    "150 rows": lambda n: min(0.1, 150 / n),
    "0": lambda n: 0.0,
}
HELD_OUT = {"15 %": lambda n: 0.15, "500": lambda n: 500 / n}  # share of rows to stop by


# -- data: seed -> X, y ---------------------------------------------------------------------------
def factors(make, seed, **options):
    data = make(N_DRAWN, n_modalities=3, n_pairwise=1, random_state=700 + seed, **options)
    return data.X, np.asarray(data.y)


def sim(case, seed):
    data = make_sim(case, N_DRAWN, random_state=3000 + seed)
    return data.X, data.y


def friedman(seed):
    table, y = make_friedman1(N_DRAWN, noise=1.0, random_state=700 + seed)
    return ModalityDict(halves(table)), y


NUMBERS = {
    "linear target": partial(factors, make_multimodal_regression),
    "nonlinear target": partial(factors, make_multimodal_regression, **BENT),
    "friedman": friedman,
}
DATA = {
    "SIM-I": partial(sim, "I"),
    "SIM-III": partial(sim, "III"),
    "linear": partial(factors, make_multimodal_classification),
    "linear, 6 classes": partial(factors, make_multimodal_classification, n_classes=6),
    "nonlinear": partial(factors, make_multimodal_classification, **BENT),
    **NUMBERS,
}
PAIRS = (  # of "codes hidden, rows to stop by"
    *((".1, 15 %", f"{hidden}, 15 %") for hidden in ("150 rows", "0")),
    *((f"{hidden}, 15 %", f"{hidden}, 500") for hidden in HIDDEN),
)


# -- runs and table -------------------------------------------------------------------------------
def settings():
    """What is compared on each data set; regressors hide no codes."""
    for data, n_rows in product(DATA, SIZES):
        for hidden in ("0",) if data in NUMBERS else HIDDEN:
            for held_out in HELD_OUT if n_rows == SIZES[-1] else ("15 %",):
                yield {"data": data, "n_rows": n_rows, "hidden": hidden, "held_out": held_out}


def evaluate(data, n_rows, hidden, held_out, seed):
    """Score and loss of one setting on rows it was not fitted to."""
    X, y = DATA[data](seed)
    share = HELD_OUT[held_out](n_rows)
    model = estimator(y, validation_fraction=share, random_state=seed)
    if data not in NUMBERS:
        model.set_params(modality_dropout=HIDDEN[hidden](n_rows))
    score, loss = rated(model, X, y, np.arange(n_rows), np.arange(SIZES[-1], N_DRAWN))
    return {"score": score, "loss": loss}


def sections(runs):
    """Means over seeds, and what paired runs gain."""
    column = runs.hidden + " hidden, " + runs.held_out + " held out"
    lines = []
    for what in ("score", "loss"):
        means = runs.pivot_table(what, ["data", "n_rows"], column, sort=False).round(4)
        lines += [f"Mean {what}:", means.reset_index().to_markdown(index=False)]
    runs = runs.assign(setting=runs.hidden + ", " + runs.held_out)
    number = runs.data.isin(NUMBERS)
    for (kind, some), n_rows in product((("accuracy", runs[~number]), ("R2", runs[number])), SIZES):
        for base, other in PAIRS:
            pairs = gains(some[some.n_rows == n_rows], {"setting": base})
            pairs = pairs[pairs.setting == other]
            if len(pairs):
                lines.append(f"{other} over {base}, {n_rows} rows, {kind}: {told(pairs)}")
    return lines


if __name__ == "__main__":
    answer("rows", __doc__, 2, settings(), evaluate, sections)
