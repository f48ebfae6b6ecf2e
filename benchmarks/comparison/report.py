"""The page of the comparison, written from its rows alone."""

import numpy as np
from comparison import pictures
from comparison.data import CLASSIFICATION, DATA, REGRESSION, TASKS
from comparison.methods import METHODS, PAPER, SKLEARN
from comparison.ranking import (
    CONTESTS,
    OURS,
    critical_difference,
    intervals,
    picked,
    prepared,
    ranks,
    scores,
)
from comparison.runs import DEFAULTS, TUNED
from paper.common import difference, direction, half_width, listed, table
from scipy.stats import friedmanchisquare

SCORES = dict(zip(TASKS, ("Accuracy", "R2", "Area under the ROC curve"), strict=True))
PAGE = """\
One benchmark
=============

OMIB beside the methods the paper compares with, and beside what scikit-learn has, on the same
splits. Written by ``make bench`` (``benchmarks/compare.py``), each sentence with a number from the
measured rows, ``benchmarks/results/compare.csv``. ``make bench-quick`` runs a reduced form, and
``python benchmarks/compare.py --data FOLDER`` compares the methods on data of your own.

How it was done
---------------

* A seed is another split of the rows; of generated data, other rows; on mosi, whose test part is
  fixed, only another network, so that its intervals do not cover other speakers.
  Groups (videos, sections of tissue) are never split.
* Every method is fitted with its defaults. "Tuned" is the best of some configurations, as many for
  every method, the first of them its defaults and the rest drawn at random from its space, by
  cross-validation within the training part with the same folds for all. Test parts choose nothing.
  Detectors have no labels to be tuned by. OMIB-CV searches over beta alone, with as many values
  and the same folds.
* Measured when OMIB predicted from the fusion alone, which is ``combine="fused"`` now; the default
  has since come to weigh in the branches by rows held out.
* OMIB averages five networks on up to 10,000 training samples, as it does by itself; the paper's
  other methods are one network each. "OMIB, one network" tells what the averaging does.
* scikit-learn's models see the standardised columns of all modalities side by side. The kernel of
  the SVM is the mean of one Gaussian kernel per modality; stacking has a random forest for each.
* "±" is half the width of a 95 % interval: Student's t over seeds, widened where seeds share rows
  (Nadeau & Bengio, 2003). Differences are paired by seed; of accuracies on n rows, those that
  are e apart have a variance of e (1 - e) / n at least, however alike the seeds are (not on mosi).
* Seconds are those of one core, with other work on the machine. Memory is the peak of
  the process, in a fit or a search, above what it held before, data among it; rows that are older
  than this measure have none.
""".splitlines()
LOSSES = {
    CLASSIFICATION: "Log-loss",
    REGRESSION: "Negative log-likelihood of the target in units of its standard deviation",
}
COSTS = {"seconds": "Seconds", "mebibytes": "Mebibytes of memory"}
CAPTION = "Score of each method minus OMIB's. Hollow: with its defaults; filled: tuned."
NOTE_ON_BEST = (
    '"The best" is chosen by the test parts themselves, which favours it: among several methods '
    'that are equally good, one is ahead by chance. "The choice" is what one would take who '
    "tuned them all: on each split, that with the best cross-validation in the training part. "
    "Differences are OMIB's score minus theirs."
)


def write(rows, folder):
    """Write page and pictures to a folder."""
    rows = prepared(rows)
    lines = [*PAGE, *_protocol(rows)]
    lines += _heading("Ranks") + _ranks(rows, folder)
    lines += _heading("Against the best of the others") + _against_best(rows)
    for task, some in rows.groupby("task", sort=False):
        lines += _heading(task.capitalize()) + _task(task, some)
    if pictures.differences(rows, folder / "benchmark_differences.png"):
        lines += _heading("Differences to OMIB with its defaults")
        lines += [CAPTION, "", ".. image:: benchmark_differences.png", ""]
    for column, what in COSTS.items():
        if column in rows and rows[column].notna().any():
            lines += _heading(what) + _cost_table(rows, column)
    (folder / "benchmark.rst").write_text("\n".join(lines))


def _task(task, rows):
    lines = [f"{SCORES[task]}.", "", *score_table(rows, "score")]
    known = rows.dropna(subset="loss")
    if len(known):
        lines += [f"{LOSSES[task]}, in nats, of the methods that give probabilities.", ""]
        lines += score_table(known, "loss")
    return lines


def _heading(title):
    return ["", title, "-" * len(title), ""]


def _protocol(rows):
    seeds = rows.groupby("data").seed.nunique()
    span = str(seeds.min()) if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    machine = rows.iloc[-1]
    sizes = [
        [name, some.task.iloc[0], DATA[name].description if name in DATA else "",
         f"{some.n_train.median():.0f} + {some.n_test.median():.0f}",
         f"{some.n_modalities.iloc[0]}, {some.n_columns.iloc[0]}", seeds[name]]
        for name, some in rows.groupby("data", sort=False)
    ]  # fmt: skip
    return [
        f"* Configurations per tuned method: {rows.budget.max()}; seeds: {span}. Last run on "
        f"{machine.device}, {machine.n_cores} cores, torch {machine.torch}; all fits together took "
        f"{rows.seconds.sum() / 3600:.1f} hours of one core.",
        *_not_run(rows),
        "",
        *table(
            ["data", "task", "what", "rows, training + test", "modalities, columns", "seeds"], sizes
        ),
    ]


def _not_run(rows):
    """What this page would have besides, were the run whole."""
    absent = {"methods": [name for name in METHODS if name not in set(rows.method)]}
    if rows.data.isin(DATA).any():  # not the user's own
        absent["data sets"] = [name for name in DATA if name not in set(rows.data)]
    return [f"* {kind.capitalize()} without rows: {listed(names)}."
            for kind, names in absent.items() if names]  # fmt: skip


# -- ranks ----------------------------------------------------------------------------------------
def _ranks(rows, folder):
    tables = {contest: ranks(rows, contest) for contest in CONTESTS}
    tables = {contest: some for contest, some in tables.items()
              if min(some.shape) > 1 and contest.ours in some}  # fmt: skip
    if not tables:
        return ["Ranks need two methods and two data sets.", ""]
    pictures.ranks(tables, folder / "benchmark_ranks.png")
    lines = ["Mean ranks over data sets, 1 is best. Bars join what Nemenyi's test does not tell "
             "apart.", "", ".. image:: benchmark_ranks.png", ""]  # fmt: skip
    return lines + [_rank_sentence(contest, some) for contest, some in tables.items()]


def _rank_sentence(contest, table_of_ranks):
    n_data, n_entrants = table_of_ranks.shape
    mean = table_of_ranks.mean().sort_values()
    reach = critical_difference(n_entrants, n_data)
    ours = mean[contest.ours]
    better, worse = (listed(mean.index[far]) for far in (mean < ours - reach,
                                                         mean > ours + reach))  # fmt: skip
    text = (
        f"* {contest.title} ({n_data} data sets, {n_entrants} methods): {contest.ours} has mean "
        f"rank {ours:.1f}, the best is {mean.index[0]} with {mean.iloc[0]:.1f}. Critical "
        f"difference {reach:.1f}; by it better than {contest.ours}: {better}; worse: {worse}."
    )
    if n_entrants < 3:
        return text
    p = friedmanchisquare(*table_of_ranks.to_numpy().T).pvalue
    return f"{text} Friedman's test that all are equal: p = {p:.2g}."


# -- differences ----------------------------------------------------------------------------------
def best_of(rows, family):
    """Name and scores by seed of a family's best entrant on one data set, or nothing."""
    beside = scores(rows).droplevel("data")
    names = rows[rows.family == family].entrant.unique()
    if OURS not in beside or not len(names):
        return None, None
    shared = beside[beside[OURS].notna()].reindex(columns=names)
    # of those run on most seeds: the mean of fewer would be one of other splits
    runs = shared.notna().sum()
    complete = shared.loc[:, runs == runs.max()].dropna()
    if complete.empty:
        return None, None
    best = complete.mean().idxmax()
    return best, complete[best]


def _against_best(rows):
    interval = intervals(rows)
    lines = [NOTE_ON_BEST, ""]
    for family in (SKLEARN, PAPER):
        best, choice, details = {}, {}, []
        for data in rows.data.unique():
            here = rows[rows.data == data]
            ours = here[here.entrant == OURS].set_index("seed").score
            name, theirs = best_of(here, family)
            if name is None:
                continue
            ours = ours[theirs.index]
            best[data] = ours - theirs
            details.append(f"* {data}: OMIB {ours.mean():.3f}, {name} {theirs.mean():.3f}; "
                           f"{difference(best[data], **interval[data])}")  # fmt: skip
            found = (ours - picked(here, family)).dropna()
            if len(found):
                choice[data] = found
                to_choice = difference(found, **interval[data])
                details[-1] += f"; to the choice {to_choice}"
        if details:
            lines += [
                f"OMIB with its defaults against the best of {family}: "
                f"{_verdicts(best, interval)}.",
                f"Against the choice among them: {_verdicts(choice, interval)}.", "", *details, "",
            ]  # fmt: skip
    return lines


def _verdicts(gains, interval):
    """On which data sets differences are higher, lower, or neither."""
    found: dict = {}
    for data, gain in gains.items():
        found.setdefault(direction(gain, **interval[data]), []).append(data)
    return "; ".join(f"{way} on {listed(names)}" for way, names in found.items()) or "not run"


# -- tables ---------------------------------------------------------------------------------------
def score_table(rows, measure):
    """Lines of a table of all entrants by data set; the best mean of each is bold.

    Mean ranks are over the data sets on which all entrants were run.
    """
    by_seed = scores(rows, measure)
    sign = 1 if measure == "loss" else -1
    mean = by_seed.groupby("data", sort=False).mean()
    rank = (sign * mean).dropna().rank(axis=1).mean().sort_values()
    overlap = rows.groupby("data").overlap.mean()
    body = [
        [name, "" if np.isnan(rank[name]) else f"{rank[name]:.1f}",
         *(_cell(by_seed.loc[data, name].dropna(), overlap[data], sign, mean.loc[data])
           for data in mean.index)]
        for name in rank.index
    ]  # fmt: skip
    limits = rows.groupby("data").limit.mean()[mean.index]
    if measure == "score" and limits.notna().any():
        body.append(["best possible", "", *("" if np.isnan(v) else f"{v:.3f}" for v in limits)])
    return table(["method", "mean rank", *mean.index], body)


def _cell(values, overlap, sign, means):
    if values.empty:
        return ""
    text, half = f"{values.mean():.3f}", half_width(values, overlap)
    text = f"**{text}**" if sign * values.mean() <= (sign * means).min() + 1e-12 else text
    return text if np.isnan(half) else f"{text} ± {half:.3f}"


def _cost_table(rows, column):
    """Medians of what it takes to fit with defaults, and to tune and refit."""
    medians = rows.pivot_table(
        index="method", columns=["data", "setting"], values=column, aggfunc="median", sort=False
    )
    names = rows.data.unique()
    body = [
        [method, *(_cost([medians.at[method, (data, setting)] if (data, setting) in medians
                             else np.nan for setting in (DEFAULTS, TUNED)]) for data in names)]
        for method in medians.index
    ]  # fmt: skip
    words = "Medians: a fit with defaults / the search and the fit of what it found."
    return [words, "", *table(["method", *names], body)]


def _cost(pair):
    if np.isnan(pair).all():
        return ""
    return " / ".join("-" if np.isnan(value) else f"{value:.3g}" for value in pair)
