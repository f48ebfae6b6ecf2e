"""Estimates of mutual information against the truth, and against other packages.

    python benchmarks/information.py           # everything, some ten minutes on one core
    python benchmarks/information.py --quick   # one seed of 500 samples, without MINE: a minute

Measured cells are kept in results/information.csv and not measured again; delete the file, or rows
of it, to repeat them. docs/information.rst is written from it. With infomeasure installed its KSG
stands beside ours.

What is not run, and why: nearest neighbours beyond 16 columns (they find a tenth of the truth
there) and infomeasure's beyond 2000 samples (slow); MINE only at 2000 and 10,000 samples and 2 or 5
nats (seconds each); scikit-learn's where one column meets one.
"""

import argparse
import os
import time
import warnings
from itertools import product
from math import inf, log
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from scipy import stats
from scipy.special import digamma, gammaln
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from sklearn_omib.information import KSG, MINE, GaussianCopulaMI, mutual_information

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "information.csv"
PAGE = HERE.parent / "docs" / "information.rst"
KEY = ["case", "d", "mi", "n", "seed", "estimator"]
SIZES, SEEDS, WIDTHS = (500, 2000, 10_000), (0, 1, 2), (1, 4, 16, 64)


# -- samplers: (x, y) and the truth in nats -------------------------------------------------------
# A map of x alone or of y alone that can be undone leaves I(x; y) as it is, so most truths are
# those of Gaussians (Czyz et al., "Beyond Normal", NeurIPS 2023).
def gaussian(rng, n, d, mi):
    """d pairs of correlation rho: I = -d/2 ln(1 - rho^2)."""
    rho = np.sqrt(-np.expm1(-2 * mi / d))
    x, e = rng.normal(size=(2, n, d))
    return x, rho * x + np.sqrt(1 - rho**2) * e, mi


def cubic(rng, n, d, mi):
    x, y, mi = gaussian(rng, n, d, mi)
    return x**3, y**3, mi


def asinh(rng, n, d, mi):
    x, y, mi = gaussian(rng, n, d, mi)
    return np.arcsinh(5 * x), np.arcsinh(5 * y), mi


def independent(rng, n, d, mi):
    return *rng.normal(size=(2, n, d)), 0.0


def swiss_roll(rng, n, d, mi):
    x, y, mi = gaussian(rng, n, 1, mi)
    t = 1.5 * np.pi * (1 + 2 * stats.norm.cdf(x))
    return np.c_[t * np.cos(t), t * np.sin(t)], stats.norm.cdf(y), mi


def bimodal(rng, n, d, mi):
    """Marginals of two bumps, by a monotone map."""
    grid = np.linspace(-12, 8, 4001)
    mixture = 0.3 * stats.norm.cdf(grid, -5) + 0.7 * stats.norm.cdf(grid, 0, 0.5)
    x, y, mi = gaussian(rng, n, 1, mi)
    return *(np.interp(stats.norm.cdf(v), mixture, grid) for v in (x, y)), mi


def spiral(rng, n, d, mi):
    """Each x turned by an angle that grows with its distance from 0."""
    x, y, mi = gaussian(rng, n, d, mi)
    angle = (x**2).sum(1) / 2
    turned = x.copy()
    turned[:, 0] = np.cos(angle) * x[:, 0] - np.sin(angle) * x[:, 1]
    turned[:, 1] = np.sin(angle) * x[:, 0] + np.cos(angle) * x[:, 1]
    return turned, y, mi


def student_t(rng, n, d, mi, df=2):
    """Of uncorrelated columns that share their scale; Czyz et al., section 2.2."""

    def f(k):
        return gammaln(k / 2) - k / 2 * digamma(k / 2)

    z = rng.normal(size=(n, 2 * d)) / np.sqrt(rng.chisquare(df, size=(n, 1)) / df)
    return z[:, :d], z[:, d:], float(f(df) + f(df + 2 * d) - 2 * f(df + d))


def parabola(rng, n, d, mi):
    """y = x^2 + e with x and 4 e uniform on (-1, 1): I = h(y) - h(e)."""
    x, e = rng.uniform(-1, 1, size=(2, n))
    y = np.linspace(-0.5, 1.5, 400_001)
    cdf = np.sqrt(np.clip([y - 0.25, y + 0.25], 0, 1))
    density = (cdf[1] - cdf[0]) / 0.5
    return x, x**2 + e / 4, float(entropy_of(density, y) - log(0.5))


def entropy_of(density, at):
    return -np.trapezoid(density * np.log(np.where(density > 0, density, 1)), at)


def sign_product(rng, n, d, mi):
    """The sign of y is that of x_1 x_2, and its size is chance: I = ln 2."""
    x = rng.normal(size=(n, 2))
    return x, np.sign(x[:, 0] * x[:, 1]) * np.abs(rng.normal(size=n)), log(2)


def low_rank(rng, n, d, mi):
    """Five factors in 300 + 300 columns with noise."""
    rank, width, noise = 5, 300, 3.0
    a, b = rng.normal(size=(2, rank, width))
    z = rng.normal(size=(n, rank))
    x, y = (z @ m + noise * rng.normal(size=(n, width)) for m in (a, b))
    # given the factors x and y are independent, so det of the joint is that of a small matrix
    small_x, small_y = a @ a.T / noise**2, b @ b.T / noise**2
    log_det = [np.linalg.slogdet(np.eye(rank) + m)[1] for m in (small_x, small_y)]
    return x, y, (sum(log_det) - np.linalg.slogdet(np.eye(rank) + small_x + small_y)[1]) / 2


def classes(rng, n, d, mi):
    """Two Gaussian classes three standard deviations apart, in the first of d columns."""
    y = rng.integers(2, size=n)
    x = rng.normal(size=(n, d))
    x[:, 0] += 3 * y
    at = np.linspace(-10, 13, 100_001)
    density = (stats.norm.pdf(at) + stats.norm.pdf(at, 3)) / 2
    return x, y, float(entropy_of(density, at) - stats.norm.entropy())


RHO = -log(1 - 0.75**2) / 2  # .413 nats, of the correlation .75
CASES = [
    *product((gaussian, cubic, asinh), WIDTHS, (0.5, 2, 5, 10)),
    *product((independent,), WIDTHS, (0,)),
    (swiss_roll, 1, RHO), (bimodal, 1, RHO), (parabola, 1, 0), (sign_product, 1, 0),
    (spiral, 5, 1.0), (student_t, 5, 0), (low_rank, 300, 0), (classes, 1, 0), (classes, 16, 0),
]  # fmt: skip


# -- contestants ----------------------------------------------------------------------------------
def infomeasure_ksg(x, y, seed):
    import infomeasure

    return infomeasure.mutual_information(x, y, approach="metric", k=4, base="e"), inf, ""


def scikit_learn(x, y, seed):
    function = mutual_info_classif if y.dtype.kind == "i" else mutual_info_regression
    return function(x.reshape(len(x), 1), y.ravel(), n_neighbors=4, random_state=seed)[0], inf, ""


def ours(estimator):
    def run(x, y, seed):
        if "random_state" in estimator.get_params():
            estimator.set_params(random_state=seed)
        estimator.estimate(x, y)
        return estimator.result_.value, estimator.result_.std_error, ""

    return run


def default(x, y, seed):
    result = mutual_information(x, y, random_state=seed)
    return result.value, result.std_error, result.method


ESTIMATORS = {
    "default": default, "copula": ours(GaussianCopulaMI()), "ksg": ours(KSG()),
    "mine": ours(MINE()), "infomeasure": infomeasure_ksg, "scikit-learn": scikit_learn,
}  # fmt: skip


def contestants(case, d, mi, n):
    yield from ("default", "copula")
    if case in ("cubic", "asinh"):
        return  # ranks make no difference of them
    if case != "low_rank" and d <= 16 and (d <= 5 or n <= 2000):
        yield "ksg"
        if case != "classes" and d <= 5 and n <= 2000:
            yield "infomeasure"
    if d == 1 and case not in ("swiss_roll", "sign_product"):
        yield "scikit-learn"
    chosen = mi == 2 or (mi == 5 and d == 16)
    if (n == 2000 and (chosen or case != "gaussian")) or (n == 10_000 and chosen):
        yield "mine"


def measure(sizes, seeds, skip):
    results = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=KEY)
    done = set(results[KEY].itertuples(index=False, name=None))
    rows = []
    for (function, d, mi), n, seed in ((c, n, s) for n in sizes for c in CASES for s in seeds):
        case = function.__name__
        todo = [
            name for name in contestants(case, d, mi, n)
            if name not in skip and (case, d, round(mi, 3), n, seed, name) not in done
        ]  # fmt: skip
        if not todo:
            continue
        x, y, truth = function(np.random.default_rng([seed, n, d]), n, d, mi)
        for name in todo:
            start = time.process_time()
            try:
                value, std_error, method = ESTIMATORS[name](x, y, seed)
            except ImportError:
                continue
            seconds = time.process_time() - start
            rows.append({
                "case": case, "d": d, "mi": round(mi, 3), "n": n, "seed": seed, "estimator": name,
                "truth": truth, "value": value, "std_error": std_error, "method": method,
                "seconds": seconds,
            })  # fmt: skip
        last = rows[-1]
        print(
            f"{case:12} {d:3} {n:6} {seed} {truth:7.3f} {last['estimator']:12} {last['value']:7.3f}"
        )
        pd.concat([results, pd.DataFrame(rows)]).to_csv(RESULTS, index=False, float_format="%.5g")
    return pd.read_csv(RESULTS)


# -- page -----------------------------------------------------------------------------------------
def write_page(results):
    order = list(dict.fromkeys(function.__name__ for function, *_ in CASES))
    results = results.sort_values(
        ["case", "d", "mi", "n"], key=lambda v: v.map(order.index) if v.name == "case" else v
    )
    sections = {
        "Correlated Gaussians": results.case == "gaussian",
        "Independent columns": results.case == "independent",
        "Other dependence": ~results.case.isin(["gaussian", "independent", "cubic", "asinh"]),
    }
    lines = INTRODUCTION.splitlines()
    lines += ["", *targets(results), "", *LIMITS.splitlines(), ""]
    for title, rows in sections.items():
        lines += [title, "-" * len(title), "", *table(results[rows]), ""]
    lines += [marginals(results), "", "Time", "----", "", *timing(results), "",
              "Standard errors", "---------------", "", spread(results), ""]  # fmt: skip
    PAGE.write_text("\n".join(lines))


INTRODUCTION = """\
Estimates of mutual information
===============================

Written by ``python benchmarks/information.py``. Nats; mean of three seeds and, after it, their
standard deviation. Seconds are of one core. *Default* is
:func:`~sklearn_omib.information.mutual_information` with its ``method="auto"``, and what it took
is in brackets. An empty cell was not run: the file says why.

Targets
-------
"""

LIMITS = """\
What limits them: with 64 + 64 columns and 500 samples chance alone has a standard error of a
tenth of a nat, whatever the truth; principal components would lower it and lose what such columns
share. Nearest neighbours read sharp curves low until there are a few thousand samples. The
spiral, Student's t and the sign that only a product tells are read far too low with 2000 samples
by everything here. The default sets values below zero to zero; the column of the copula, which does
not, shows what chance does to independent columns."""


def targets(results):
    """What was asked of the default, and what came out, as lines of a list."""
    table = results.assign(off=results.value - results.truth)
    table["share"] = table.off.abs() / table.truth.where(table.truth > 0)
    auto = table[table.estimator == "default"]
    gaussian = auto[(auto.case == "gaussian") & (auto.n >= 2000) & (auto.mi <= 5)]
    null = auto[auto.case == "independent"]
    warm = table[(table.estimator == "mine") & (table.n == 10_000) & (table.d == 16)]
    warm = warm[warm.mi == 2]
    found = auto[auto.case.isin(["swiss_roll", "parabola"])]
    low = auto[(auto.case == "low_rank") & (auto.n == 500)]
    mean = ["case", "d", "mi", "n"]
    asked = [
        ("Gaussians, n >= 2000, up to 5 nats: within 10 %", gaussian, "share", 0.1),
        ("the same, in less than 10 s", gaussian, "seconds", 10),
        ("independent columns: within .1 nat of 0", null, "off", 0.1),
        ("low rank in 300 + 300 columns, n = 500: within 5 %", low, "share", 0.05),
        ("MINE, 16 + 16 columns, 2 nats, n = 10,000: within 10 %", warm, "share", 0.1),
        ("the same, in less than 6 s", warm, "seconds", 6),
        ("swiss roll and parabola, n >= 2000: within 10 %", found[found.n >= 2000], "share", 0.1),
        ("swiss roll and parabola, n = 500: within 10 %", found[found.n == 500], "share", 0.1),
    ]
    for what, rows, column, limit in asked:
        worst = rows[column].abs().max()
        if column == "seconds":
            shown = f"largest {worst:.2g} s"
        else:
            means = rows.groupby(mean)[["off", "truth"]].mean()
            off = means.off.abs() / (means.truth if column == "share" else 1)
            form = ".1%" if column == "share" else ".3f"
            shown = f"largest mean of seeds {off.max():{form}}, largest of all {worst:{form}}"
        yield f"* {what}: {shown}, {(rows[column].abs() <= limit).mean():.0%} of {len(rows)} runs."


def table(rows):
    names = [name for name in ESTIMATORS if (rows.estimator == name).any()]
    yield from [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - data",
        "     - n",
        "     - truth",
    ]
    yield from (f"     - {name}" for name in names)
    for (case, d, _, n), cell in rows.groupby(["case", "d", "mi", "n"], sort=False):
        yield f"   * - {case.replace('_', ' ')}, d = {d}"
        yield f"     - {n}"
        yield f"     - {cell.truth.mean():.3f}"
        for name in names:
            one = cell[cell.estimator == name]
            if not len(one):
                yield "     -"
                continue
            took = f" ({', '.join(sorted(set(one.method)))})" if name == "default" else ""
            yield f"     - {one.value.mean():.3f} {one.value.std(ddof=0):.3f}{took}"


def marginals(results):
    index = ["d", "mi", "n", "seed", "estimator"]
    parts = {case: rows.set_index(index).value for case, rows in results.groupby("case")}
    most = max((parts[case] - parts["gaussian"]).abs().max() for case in ("cubic", "asinh"))
    return (
        "After x^3 or asinh(5 x) of every column the default and the copula gave the values of the "
        f"Gaussians above; the largest difference was {most:.1g}."
    )


def timing(results):
    rows = results[results.case.isin(["gaussian", "independent"])]
    table = rows.pivot_table(
        index=["n", "d"], columns="estimator", values="seconds", aggfunc="median"
    )
    names = [name for name in ESTIMATORS if name in table]
    yield from ["Median seconds on Gaussian columns.", ""]
    yield from [".. list-table::", "   :header-rows: 1", "", "   * - n", "     - d"]
    yield from (f"     - {name}" for name in names)
    for (n, d), row in table.iterrows():
        yield from [f"   * - {n}", f"     - {d}"]
        yield from (
            "     -" if np.isnan(row[name]) else f"     - {row[name]:.2g}" for name in names
        )


def spread(results):
    rows = results[np.isfinite(results.std_error) & (results.std_error > 0)]
    rows = rows[~rows.case.isin(["cubic", "asinh"])]
    cells = rows.groupby(["estimator", "case", "d", "mi", "n"])
    ratio = (cells.value.std(ddof=1) ** 2 / cells.std_error.mean() ** 2).groupby("estimator").mean()
    shown = ", ".join(f"{name} {np.sqrt(value):.2f}" for name, value in ratio.items())
    return (
        "Standard deviation over seeds as a multiple of the reported standard error, root mean "
        f"square over all cells: {shown}."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="500 samples, one seed, no MINE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    if arguments.quick:
        measure(SIZES[:1], SEEDS[:1], skip=("mine",))
    else:
        write_page(measure(SIZES, SEEDS, skip=()))


if __name__ == "__main__":
    main()
