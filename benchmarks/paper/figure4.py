"""Figure 4: seconds per epoch over the number of rows, and the exponent of their growth.

    python benchmarks/paper/figure4.py

Data are drawn as SIM with fewer columns (30 and 20), so that a million rows need little memory.
In each round every number of rows has a fit of three epochs; rounds take turns over the numbers of
rows. Run it alone on the machine. Peak memory is in benchmarks/engine.py.
"""

from functools import lru_cache

import numpy as np
from common import ONE_NETWORK, Study, pyplot, table
from resumable import DEVICE, arguments
from scipy.stats import linregress

from sklearn_omib import ModalityDict, OMIBClassifier

ROWS = (100_000, 200_000, 500_000, 1_000_000)
WIDTHS = {"a0": 5, "a1": 10, "a2": 5, "b0": 5, "b1": 10, "b2": 5}
EPOCHS, BATCH_SIZE = 3, 256
AIM = 1.05  # the exponent should not be above


@lru_cache(1)
def draw(n_samples):
    """Two modalities and a target as make_sim draws them, of WIDTHS columns."""
    rng = np.random.default_rng(0)
    parts = {
        name: rng.standard_normal((n_samples, width), dtype=np.float32)
        for name, width in WIDTHS.items()
    }
    score = sum(parts[a] @ rng.standard_normal(WIDTHS[a], np.float32) for a in ("a0", "a1", "a2"))
    blocks = {
        f"x{m}": np.hstack([parts[name] for name in ("b0", f"b{m}", "a0", f"a{m}")]) for m in "12"
    }
    return ModalityDict(blocks), (score > 0).astype(int)


def evaluate(seed, n_samples, largest):
    """The median epoch of one fit."""
    X, y = draw(largest)
    clf = OMIBClassifier(
        **ONE_NETWORK, warmup_epochs=0, max_epochs=EPOCHS, batch_size=BATCH_SIZE, random_state=seed
    ).fit(X[:n_samples], y[:n_samples])
    return [{"seed": seed, "n_samples": n_samples, "seconds": clf.history_.seconds.median()}]


def run(study, rounds, sizes):
    jobs = [{"seed": seed, "n_samples": n} for seed in range(rounds) for n in sizes]
    study.run(evaluate, [job | {"largest": max(sizes)} for job in study.missing(jobs)])


def growth(rows):
    """Least squares of log(seconds) on log(rows)."""
    return linregress(np.log(rows.n_samples), np.log(rows.seconds))


def report(study):
    rows = study.rows()
    fitted = growth(rows)
    medians = rows.groupby("n_samples").seconds.median()
    met = "met" if fitted.slope <= AIM else "missed"
    lines = [
        "Data as SIM of 30 + 20 columns, main phase with its validation pass, batches of "
        f"{BATCH_SIZE}; rounds: {rows.seed.nunique()}. Seconds grow as the {fitted.slope:.3f} ± "
        f"{fitted.stderr:.3f} (standard error) power of the number of rows, by least squares in "
        f"logarithms over {len(rows)} fits. The aim, at most {AIM}, is {met}. The paper shows a "
        "curve without numbers.", "",
    ]  # fmt: skip
    body = [
        [f"{n:,}", f"{seconds:.2f}", f"{1e6 * seconds / n:.1f}"] for n, seconds in medians.items()
    ]
    picture(study, rows, fitted)
    header = ["rows", "seconds per epoch", "microseconds per row"]
    study.write("Figure 4: time over rows", lines + table(header, body))


def picture(study, rows, fitted):
    figure, ax = pyplot().subplots(figsize=(4.6, 3.6), layout="constrained")
    ax.loglog(rows.n_samples, rows.seconds, "o", ms=4, alpha=0.6)
    n = np.array([rows.n_samples.min(), rows.n_samples.max()])
    ax.loglog(n, np.exp(fitted.intercept) * n**fitted.slope, label=f"exponent {fitted.slope:.3f}")
    ax.set(xlabel="rows", ylabel="seconds per epoch", title=DEVICE)
    ax.legend(frameon=False)
    study.save(figure)


if __name__ == "__main__":
    chosen = arguments(
        __doc__, seeds=5, jobs=False,
        more=[("--rows", {"type": int, "nargs": "+", "default": ROWS})],
    )  # fmt: skip
    figure4 = Study("figure4", chosen.out)
    run(figure4, chosen.seeds, chosen.rows)
    report(figure4)
