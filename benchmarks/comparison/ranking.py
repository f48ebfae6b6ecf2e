"""Scores side by side, and the ranks of those who compete with each other."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from comparison.data import CLASSIFICATION, DATA
from comparison.methods import METHODS, ONE_NETWORK, PAPER, SEARCHING, SKLEARN
from comparison.runs import DEFAULTS, TUNED
from scipy.stats import studentized_range

OURS = "OMIB"  # with its defaults, what all is compared with
AFTER_TUNING = ", tuned"  # appended to a method's name where its defaults are an entrant too


class Contest(NamedTuple):
    """Entrants that are ranked against each other.

    Parameters
    ----------
    title : str
    family : one of FAMILIES
        Whose methods stand beside ``ours``.
    setting : DEFAULTS or TUNED
        Of these.
    ours : str, default=OURS
        What stands for OMIB.
    """

    title: str
    family: str
    setting: str
    ours: str = OURS


CONTESTS = (
    Contest("the paper's methods, all with their defaults", PAPER, DEFAULTS),
    Contest("the same with one network of OMIB", PAPER, DEFAULTS, ONE_NETWORK),
    Contest("OMIB-CV, the others with their defaults", PAPER, DEFAULTS, SEARCHING),
    Contest("the paper's methods tuned, OMIB with its defaults", PAPER, TUNED),
    Contest("the paper's methods tuned, and OMIB-CV", PAPER, TUNED, SEARCHING),
    Contest("the paper's methods and OMIB, all tuned", PAPER, TUNED, OURS + AFTER_TUNING),
    Contest("scikit-learn's models tuned, OMIB with its defaults", SKLEARN, TUNED),
)


def prepared(rows):
    """Rows of the largest budget, with the name under which each stands in tables."""
    rows = rows[rows.budget.isin([1, rows.budget.max()])]
    largest = rows.groupby(["data", "method", "seed", "setting"]).budget.transform("max")
    rows = rows[rows.budget == largest]
    for name, known in (("data", DATA), ("method", METHODS)):
        order = list(dict.fromkeys([*known, *rows[name]]))  # data may be the user's own
        rows = rows.assign(**{name: pd.Categorical(rows[name], order)})
    rows = rows.sort_values(["data", "method", "seed"]).astype({"data": str, "method": str})
    also_defaults = rows.groupby("method").setting.transform("nunique") > 1
    entrant = rows.method.where(
        ~also_defaults | (rows.setting == DEFAULTS), rows.method + AFTER_TUNING
    )
    return rows.assign(entrant=entrant).reset_index(drop=True)


def scores(rows, measure="score"):
    """Table of data set and seed by entrant."""
    return rows.pivot_table(index=["data", "seed"], columns="entrant", values=measure, sort=False)


def intervals(rows):
    """data set -> what :func:`paper.common.half_width` has to know of differences on it."""
    found = {}
    for data, some in rows.groupby("data", sort=False):
        # what one test part could be else, the seeds do not tell
        fixed = data in DATA and DATA[data].fixed_test
        accuracies = (some.task == CLASSIFICATION).all() and not fixed
        n_rows = some.n_test.mean() if accuracies else None
        found[data] = {"overlap": some.overlap.mean(), "n_rows": n_rows}
    return found


def picked(rows, family):
    """Scores by seed of one data set, each of what the training part's cross-validation prefers."""
    some = rows[(rows.family == family) & (rows.setting == TUNED)].dropna(subset="inner_score")
    chosen = some.groupby("seed").inner_score.idxmax()
    return some.loc[chosen].set_index("seed").score


def ranks(rows, contest):
    """Rank of each entrant on each data set, by its mean score over the seeds that all share."""
    others = (rows.family == contest.family) & (rows.setting == contest.setting)
    shared = scores(rows[(rows.entrant == contest.ours) | others]).dropna()
    return (-shared.groupby("data", sort=False).mean()).rank(axis=1)


def critical_difference(n_entrants, n_data, level=0.05):
    """Difference of mean ranks beyond which Nemenyi's test tells two entrants apart."""
    q = studentized_range.ppf(1 - level, n_entrants, np.inf) / np.sqrt(2)
    return q * np.sqrt(n_entrants * (n_entrants + 1) / (6 * n_data))
