"""The page of speed and memory, written from its rows alone."""

from paper.common import pyplot

PAGE = """\
Speed and memory
================

Written by ``python benchmarks/engine.py`` from measured rows, ``benchmarks/results/engine.csv``.
Things are measured in turns, A, B, A, B, ..., and compared within each round, so that what else the
machine does meets both. A value is the median over rounds, with the lowest and the highest behind
it. Each process has one thread. Below 1 a ratio means that what stands first took less.
""".splitlines()
TITLES = {
    "fit": (
        "A default fit",
        "No parameter is changed. Each round draws other rows (ten directions that all modalities "
        "share, and noise), the same for all contestants. scikit-learn's have their defaults too, "
        "and see the columns of all modalities side by side, MLPClassifier standardised.",
    ),
    "start": (
        "The first fit",
        "Each round is a fresh process: what its first fit takes more than a later one (the median "
        "of three), and what the import takes where torch and scikit-learn are imported. Garbage "
        "is collected before the first fit: Python's collection among all that was imported takes "
        "some .14 s more, and falls into whatever comes first.",
    ),
    "predict": (
        "Prediction",
        "``predict_proba`` of fits that average five networks and of one; each round is the median "
        "of many calls. Five networks are five times the arithmetic, and of many rows that is most "
        "of the time: two cores that share it can at best make 2.5 times the time of one of it.",
    ),
    "search": (
        "The search over beta",
        "``OMIBClassifierCV`` beside ``GridSearchCV`` over the same betas and folds, beside one "
        "fit of one network and beside a default fit. The search ends with a default fit, the grid "
        "with one of one network.",
    ),
    "rows": (
        "Time over rows",
        "Fits of a few epochs. A default fit has five networks up to 10,000 rows, and fewer "
        "of more.",
    ),
    "large": (
        "Many rows",
        "Default fits, each in a fresh process. Memory is the peak of the process during the fit "
        "above what it held before, data and imports among it.",
    ),
    "step": (
        "Against a loop written by hand",
        "Training alone, without what comes before it, by step, beside plain torch for the same "
        "networks (``benchmarks/handwritten.py``) one after the other: the same parts, weights, "
        "rows and random draws, and the same losses.",
    ),
    "gpu": (
        "On a GPU",
        "Epochs of training without a validation part. Each row is read by all networks, and "
        "counts once.",
    ),
}  # fmt: skip
UNITS = ("s", "ms", "MiB", "1/s")
TABLE = [".. list-table::", "   :header-rows: 1", ""]


def write(rows, folder):
    """Write page and picture to a folder."""
    aims = rows[rows.target.notna()]
    lines = [*PAGE, ""]
    if len(aims):
        lines += _targets(aims)
        _picture(aims, folder / "engine.png")
    for part, some in rows.groupby("part", sort=False):
        title, text = TITLES[part]
        machine = some.iloc[0]
        where = (f"{machine.rounds} rounds on {machine.device}, {machine.n_cores} cores, torch "
                 f"{machine.torch}.")  # fmt: skip
        lines += [title, "-" * len(title), "", text, "", where, ""]
        lines += _table(
            ["setting", "what", "median", "lowest to highest"],
            [[row.setting, row.what, number(row.value, row.unit), _range(row)]
             for row in some.itertuples()],
        )  # fmt: skip
    (folder / "engine.rst").write_text("\n".join(lines))


def reached(rows):
    """Whether medians are not above their targets, as they are printed."""
    return rows.value <= rows.target


def number(value, unit="ratio"):
    """A value of three digits, with its unit where it has one."""
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{digits} {unit}" if unit in UNITS else digits


def _range(row):
    return "" if row.low == row.high else f"{number(row.low)} to {number(row.high)}"


def _table(heads, rows):
    def listed(cells):
        return [f"   {'* ' if i == 0 else '  '}- {cell}".rstrip() for i, cell in enumerate(cells)]

    return [*TABLE, *listed(heads), *(line for row in rows for line in listed(row)), ""]


def _targets(aims):
    yes = reached(aims)
    lines = [f"{yes.sum()} of {len(aims)} targets are reached."]
    if not yes.all():
        missed = [_missed(row) for row in aims[~yes].itertuples()]
        lines.append(f"Missed: {'; '.join(missed)}.")
    title = "Targets"
    table = _table(
        ["what", "setting", "target", "measured", "lowest to highest", "reached"],
        [[row.what, row.setting, f"at most {number(row.target, row.unit)}",
          number(row.value, row.unit), _range(row), "yes" if good else "no"]
         for row, good in zip(aims.itertuples(), yes, strict=True)],
    )  # fmt: skip
    return [title, "-" * len(title), "", *lines, "", *table, ".. image:: engine.png", ""]


def _missed(row):
    measured, wanted = number(row.value, row.unit), number(row.target, row.unit)
    return f"{row.what} ({_where(row)}), {measured} where {wanted} was wanted"


def _where(row):
    return row.setting.partition(":")[0]


def _picture(aims, path):
    """Measured over target, with the range over rounds."""
    figure, ax = pyplot().subplots(figsize=(9, 1 + 0.3 * len(aims)), layout="constrained")
    at = range(len(aims))[::-1]
    ax.hlines(at, aims.low / aims.target, aims.high / aims.target, color="grey")
    ax.scatter(aims.value / aims.target, at, c=["C0" if good else "C3" for good in reached(aims)])
    ax.axvline(1, color="black", lw=0.8)
    ax.axvline(0, color="lightgrey", lw=0.8)
    names = [f"{row.what} ({_where(row)})" for row in aims.itertuples()]
    ax.set_yticks(at, names, fontsize=7)
    ax.set(xlabel="measured / target: what is right of the line is missed")
    figure.savefig(path, dpi=110)
    pyplot().close(figure)
