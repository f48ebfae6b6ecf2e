"""The two pictures of the page."""

from itertools import pairwise

import numpy as np
from comparison.ranking import OURS, critical_difference, intervals, scores
from comparison.runs import TUNED
from paper.common import half_width, pyplot


def panels(n_panels, n_columns, **options):
    """A figure and so many axes, row by row."""
    figure, axes = pyplot().subplots(
        -(-n_panels // n_columns), n_columns, squeeze=False, layout="constrained", **options
    )
    for ax in axes.flat[n_panels:]:
        ax.remove()
    return figure, axes.flat[:n_panels]


def ranks(tables, path):
    """Mean ranks of each contest; bars join entrants that Nemenyi's test does not tell apart."""
    heights = [0.9 + 0.22 * (some.shape[1] + 1) for some in tables.values()]
    n_columns = min(2, len(tables))
    heights = [max(heights[i : i + n_columns]) for i in range(0, len(heights), n_columns)]
    figure, axes = panels(
        len(tables), n_columns, figsize=(6.5 * n_columns, sum(heights)), height_ratios=heights
    )
    for ax, (contest, some) in zip(axes, tables.items(), strict=True):
        n_data, n_entrants = some.shape
        reach = critical_difference(n_entrants, n_data)
        _draw_ranks(ax, some.mean().sort_values(), reach, contest.ours)
        ax.set_title(f"{contest.title} ({len(some)} data sets)", fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot().close(figure)


def _draw_ranks(ax, mean, reach, ours):
    at = np.arange(len(mean))
    ax.hlines(at, 1, mean, color="lightgrey", lw=1, zorder=0)
    ax.scatter(mean, at, color=["tab:red" if name == ours else "tab:blue" for name in mean.index])
    ax.set(yticks=at, yticklabels=mean.index, xlim=(1, None), xlabel="mean rank")
    ax.tick_params(labelsize=8)
    ax.invert_yaxis()
    ends = [np.flatnonzero(mean <= value + reach)[-1] for value in mean]
    # a group that lies inside another one says nothing new
    longest = [0, *(i for i, (before, end) in enumerate(pairwise(ends), start=1) if end > before)]
    step = 0.03 * (mean.iloc[-1] - 1)
    for column, first in enumerate(longest, start=1):
        right = mean.iloc[-1] + column * step
        ax.vlines(right, first - 0.25, ends[first] + 0.25, color="black", lw=3)


def differences(rows, path):
    """One panel per data set: each method minus OMIB, with its interval; False if it has none."""
    names = rows[rows.entrant == OURS].data.unique()
    if not len(names):
        return False
    n_columns = min(4, len(names))
    height = -(-len(names) // n_columns) * (
        0.9 + 0.19 * rows.groupby("data").method.nunique().max()
    )
    figure, axes = panels(len(names), n_columns, figsize=(3.6 * n_columns, height))
    for ax, name in zip(axes, names, strict=True):
        _draw_differences(ax, rows[rows.data == name])
        ax.set_title(name, fontsize=9)
    figure.savefig(path, dpi=90)
    pyplot().close(figure)
    return True


def _draw_differences(ax, rows):
    by_seed, (interval,) = scores(rows), intervals(rows).values()
    methods = list(rows.method.unique())
    entrants = rows.drop_duplicates("entrant")
    for entrant, method, setting in zip(
        entrants.entrant, entrants.method, entrants.setting, strict=True
    ):
        gain = (by_seed[entrant] - by_seed[OURS]).dropna()
        if len(gain) and entrant != OURS:
            tuned = setting == TUNED
            ax.errorbar(gain.mean(), methods.index(method) + (0.15 if tuned else -0.15),
                        xerr=np.nan_to_num(half_width(gain, **interval)), fmt="o", ms=4, lw=1,
                        color="tab:blue" if tuned else "tab:grey",
                        mfc="tab:blue" if tuned else "white")  # fmt: skip
    ax.axvline(0, color="tab:red", lw=0.8)
    ax.set(yticks=range(len(methods)), yticklabels=methods)
    ax.tick_params(labelsize=7)
    ax.invert_yaxis()
