"""What the four reproductions share: the page of the docs, and statistics.

The comparison (``benchmarks/comparison``) shares the statistics.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script here finds its own folder alone

import numpy as np
from resumable import Rows
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_omib.inspection._ablation import corrected_half_width

CASES = ("I", "II", "III")
N_SAMPLES, TEST_SHARE = 10_000, 0.1  # of the paper's SIM data
STUDIES = ("figure3", "table2", "figure4", "table6")  # in the order of the page
SIM_OPTIONS = (
    ("--cases", {"nargs": "+", "choices": CASES, "default": CASES}),
    ("--samples", {"type": int, "default": N_SAMPLES}),
)
PAGE = """\
The paper's experiments
=======================

Four experiments of the ICML 2025 paper, run again with this package by ``make paper``
(``benchmarks/paper``). Settings are the package's defaults, but for ``n_members=1``,
``modality_dropout=0`` and ``combine="fused"``, one network that sees all codes and predicts from
their fusion, as in the paper, and for what were the
defaults when this was measured: the encoders ``"linear_mlp"`` on SIM and ``"mlp"`` elsewhere (now
``"linear"`` on SIM of figure 3 and table 2 and for gene expression) and 15 % of the rows to stop by
(now less, of more than 3333). They are not the paper's: other encoders, another optimiser, early
stopping, and a bound on beta from a Gaussian channel in place of MINE. The paper prints single
values without a spread and does not state all sizes of its synthetic data, so what can be compared
is the direction and size of effects, not the third digit. A "±" behind a mean is the standard
deviation over seeds, one behind a difference half the width of its 95 % interval (paired by seed,
Student's t). Sentences with numbers are written from the measured rows,
``benchmarks/results/paper_*.csv``.
"""


# one network that sees all codes, as the paper's, with the encoders and rows to stop by of when
# these were measured
ONE_NETWORK = {
    "n_members": 1, "modality_dropout": 0, "combine": "fused", "encoders": "mlp",
    "validation_fraction": 0.15,
}  # fmt: skip
OF_SIM = {**ONE_NETWORK, "encoders": "linear_mlp"}


class Study(Rows):
    """The rows of one reproduction, and its section of the page.

    Parameters
    ----------
    name : str
        One of STUDIES.
    out : path-like or None
    """

    def __init__(self, name, out=None):
        super().__init__(f"paper_{name}", out)

    def save(self, figure):
        figure.savefig(self.docs / f"{self.name}.png", dpi=110)

    def write(self, title, lines):
        """Write this section, and the page from all sections there are."""
        machine = self.rows().iloc[-1]
        where = f"Last run on {machine.device}, {machine.n_cores} cores, torch {machine.torch}."
        image = f".. image:: {self.name}.png"
        section = "\n".join([title, "-" * len(title), "", *lines, where, "", image, ""])
        (self.results / f"{self.name}.rst").write_text(section)
        files = [self.results / f"paper_{name}.rst" for name in STUDIES]
        parts = [PAGE] + [file.read_text() for file in files if file.exists()]
        (self.docs / "paper.rst").write_text("\n".join(parts))


def pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def split_rows(n_samples):
    """Training and test rows of SIM data, whose rows are exchangeable."""
    return np.split(np.arange(n_samples), [n_samples - round(TEST_SHARE * n_samples)])


# -- measures -------------------------------------------------------------------------------------
def probe_r2(xi, target):
    """Share of a target's variance that ridge regression reads off xi, in rows not fitted to.

    Parameters
    ----------
    xi : ndarray of shape (n_samples, latent_dim)
    target : ndarray of shape (n_samples,) or (n_samples, n_targets)

    Returns
    -------
    float
        Mean over the targets; a little below 0 where there is nothing to read.
    """
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.geomspace(1e-2, 1e5, 15)))
    return r2_score(target, cross_val_predict(ridge, xi, target, cv=5))


# -- words and tables -----------------------------------------------------------------------------
def spread(values):
    """Mean and standard deviation as text."""
    text = f"{np.mean(values):.3f}"
    return text if len(values) < 2 else f"{text} ± {np.std(values, ddof=1):.3f}"


def half_width(differences, overlap=0.0, n_rows=None):
    """Of the 95 % interval of a mean; nan for a single value.

    With ``n_rows`` they are differences of accuracies on so many rows each. |d| n_rows of these or
    more are right by one method alone, so that d varies by (|d| - d^2) / n_rows at least, however
    alike it is from seed to seed: one error of 50 is one error.
    """
    values = np.asarray(differences, float)
    if len(values) < 2:
        return np.nan
    least = 0.0 if n_rows is None else np.mean(np.abs(values) - values**2) / n_rows
    return corrected_half_width(values, overlap, least=least)


def difference(values, **interval):
    """Mean of paired differences as text, with its interval (see :func:`half_width`)."""
    text, half = f"{np.mean(values):+.3f}", half_width(values, **interval)
    return text if np.isnan(half) else f"{text} ± {half:.3f}"


def direction(values, **interval):
    """What paired differences show: "higher", "lower" or "not told apart"."""
    mean, half = np.mean(values), half_width(values, **interval)
    if np.isnan(half):
        return "of one seed only"
    return "not told apart" if abs(mean) <= half else ("higher" if mean > 0 else "lower")


def listed(names):
    """Names as words: "a, b and c", or "none"."""
    *most, last = list(names) or ["none"]
    return f"{', '.join(most)} and {last}" if most else last


def table(header, rows):
    """Lines of a list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for cells in [header, *rows]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}".rstrip() for i, cell in enumerate(cells)]
    return [*lines, ""]
