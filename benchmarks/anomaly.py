"""Cancer as an anomaly of breast tissue: table 5 of the paper on her2st, beside other detectors.

    python benchmarks/anomaly.py            # everything, about an hour on one core
    python benchmarks/anomaly.py --docs     # only table and picture, from the numbers there are

Each of the eight sections is left out once; detectors are trained on the normal spots of the other
seven and never see a label otherwise. The threshold is the 10 % quantile of the training scores.
Numbers go to results/anomaly.csv; table and picture to docs/.
"""

import argparse
import os
import sys
import warnings
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from sklearn_omib import ModalityDict, OMIBAnomalyDetector
from sklearn_omib.datasets import load_her2st

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "anomaly.csv"
DOCS = HERE.parent / "docs"
PAPER_SECTIONS = ["A1", "B1", "C1", "D1"]
FLAGGED = 0.1  # of the training spots
N_COMPONENTS = 30
SEEDS = range(5)
OMIB, MEAN = "OMIB", "distance from the mean"
BOTH = "expression + neighbourhood"


# -- data -----------------------------------------------------------------------------------------
def normal_scores(block):
    """Normal scores of the ranks of the genes within each spot: nothing is learned from others."""
    ranks = rankdata(block, axis=1)
    return norm.ppf((ranks - 0.5) / block.shape[1]).astype(np.float32)


def prepared():
    """Spots prepared in two ways, by name."""
    spots = load_her2st()
    ranked = {name: normal_scores(block) for name, block in spots.X.items()}
    by_section = load_her2st(standardize=True).X
    return spots, {"ranks": ModalityDict(ranked), "sections": by_section}


# -- detectors: training and test container -> scores of both, higher = more anomalous ------------
def omib(train, test, seed):
    detector = OMIBAnomalyDetector(random_state=seed).fit(train)
    return -detector.score_samples(train), -detector.score_samples(test)


def table_of(detector, n_components=None):
    """A detector of one table: standardised columns, or principal components of them."""

    def scores(train, test, seed):
        prepare = StandardScaler()
        if n_components is not None:
            prepare = make_pipeline(prepare, PCA(n_components, random_state=seed))
        train = prepare.fit_transform(np.asarray(train, float))
        return detector(train, prepare.transform(np.asarray(test, float)), seed)

    return scores


def distance_from_mean(train, test, seed):
    """The plainest detector there is, for scale."""
    return np.square(train).mean(1), np.square(test).mean(1)


def by_score_samples(make):
    def scores(train, test, seed):
        model = make(seed).fit(train)
        return -model.score_samples(train), -model.score_samples(test)

    return scores


def by_pyod(make):
    def scores(train, test, seed):
        model = make(seed, train.shape[1]).fit(train)
        return model.decision_function(train), model.decision_function(test)

    return scores


def from_pyod():
    """Detectors of pyod, or none where it is not installed."""
    try:
        from pyod.models.deep_svdd import DeepSVDD
        from pyod.models.ecod import ECOD
    except ImportError as error:
        print(f"Without pyod's detectors: {error}", file=sys.stderr)
        return {}
    return {
        "ECOD (pyod)": by_pyod(lambda seed, width: ECOD()),
        "DeepSVDD (pyod)": by_pyod(
            lambda seed, width: DeepSVDD(width, random_state=seed, verbose=0)
        ),
    }


ON_COMPONENTS = {
    "OneClassSVM": lambda seed: OneClassSVM(nu=0.1),
    "IsolationForest": lambda seed: IsolationForest(random_state=seed),
    "LocalOutlierFactor": lambda seed: LocalOutlierFactor(novelty=True),
    "EllipticEnvelope": lambda seed: EllipticEnvelope(random_state=seed),
}


def detectors(inputs):
    """Each detector by name; DeepSVDD, which takes longest, on both modalities only."""
    on_components = {name: by_score_samples(make) for name, make in ON_COMPONENTS.items()}
    pyod = from_pyod()
    if inputs != BOTH:
        pyod.pop("DeepSVDD (pyod)", None)
    components = {
        f"{name}, PCA": table_of(d, N_COMPONENTS) for name, d in {**on_components, **pyod}.items()
    }
    plain = {name: table_of(d) for name, d in {MEAN: distance_from_mean, **pyod}.items()}
    return {OMIB: omib, **plain, **components}


SEEDED = (OMIB, "IsolationForest", "EllipticEnvelope", "DeepSVDD")


# -- runs -----------------------------------------------------------------------------------------
def measures(anomalous, train, test):
    flagged = test > np.quantile(train, 1 - FLAGGED)
    share, prevalence = flagged.mean(), anomalous.mean()
    return {
        "auc": roc_auc_score(anomalous, test),
        "ap": average_precision_score(anomalous, test),
        "f1": f1_score(anomalous, flagged),
        "chance_f1": 2 * share * prevalence / (share + prevalence),
        "flagged": share,
        "prevalence": prevalence,
    }


def runs(spots, preparations):
    """Rows of the results, method by method; single modalities in the first preparation only."""
    pairs = [(name, inputs) for name in preparations for inputs in (BOTH, *spots.X)]
    for preparation, inputs in [*pairs[:3], pairs[3]]:
        X = preparations[preparation]
        chosen = X if inputs == BOTH else X.select(inputs)
        for method, detector in detectors(inputs).items():
            repeated = preparation == "ranks" and method.startswith(SEEDED)
            seeds = SEEDS if repeated else (0,)
            for section, seed in product(np.unique(spots.section), seeds):
                here = spots.section == section
                train = chosen[~here & ~spots.anomalous]
                yield {
                    "preparation": preparation, "inputs": inputs, "method": method,
                    "section": section, "seed": seed,
                    **measures(spots.anomalous[here], *detector(train, chosen[here], seed)),
                }  # fmt: skip


# -- table and picture ----------------------------------------------------------------------------
def summary(results):
    """Means over seeds by section, and over sections, of each detector."""
    keys = ["preparation", "inputs", "method"]
    auc = results.pivot_table(index=keys, columns="section", values="auc", sort=False)
    by_section = results.groupby([*keys, "section"], sort=False)
    means = by_section[["ap", "f1", "chance_f1"]].mean().groupby(keys, sort=False).mean()
    by_seed = results.groupby([*keys, "seed"], sort=False).auc.mean()
    return auc.assign(
        four=auc[PAPER_SECTIONS].mean(axis=1), eight=auc.mean(axis=1),
        sd=by_seed.groupby(keys, sort=False).std(), **means,
    )  # fmt: skip


def table(rows):
    sections = [name for name in rows.columns if name[0] in "ABCDEFGH" and len(name) == 2]
    head = ["detector", *sections, "A1-D1", "all", "AP", "F1 (chance)"]
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
    body = [head]
    for name, row in rows.iterrows():
        all_eight = f"{row.eight:.3f}" + (f" ± {row.sd:.3f}" if row.sd == row.sd else "")
        cells = [name, *(f"{row[s]:.2f}" for s in sections), f"{row.four:.3f}", all_eight,
                 f"{row.ap:.2f}", f"{row.f1:.2f} ({row.chance_f1:.2f})"]  # fmt: skip
        body.append(cells)
    for line in body:
        lines += [f"   {' ' if i else '*'} - {cell}" for i, cell in enumerate(line)]
    return [*lines, ""]


def write_docs(results):
    picture(results, DOCS / "anomaly.png")
    rows = summary(results)
    prevalence = results.groupby("section").prevalence.first()
    shares = ", ".join(f"{name} {share:.2f}" for name, share in prevalence.items())
    lines = [*INTRODUCTION, "", "Share of cancer, which is the average precision of chance:",
             f"{shares}; mean {prevalence.mean():.2f}.", ""]  # fmt: skip
    for (preparation, inputs), part in rows.groupby(["preparation", "inputs"], sort=False):
        heading = f"{TITLES[preparation]}, {inputs}"
        part = part.droplevel([0, 1]).sort_values("eight", ascending=False)
        lines += [heading, "-" * len(heading), "", *table(part)]
    (DOCS / "anomaly.rst").write_text("\n".join([*lines, *NOTES]))


def picture(results, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = summary(results[results.preparation == "ranks"]).loc["ranks"]
    shown = rows.loc[BOTH].sort_values("eight")
    shown = pd.concat(
        [
            rows.loc[["expression", "neighbourhood"]]
            .query(f"method == '{OMIB}'")
            .droplevel("method")
            .rename(lambda name: f"{OMIB}, {name} alone"),
            shown,
        ]
    )
    shown = shown.sort_values("eight")
    figure, axes = plt.subplots(figsize=(7.5, 0.36 * len(shown) + 1), layout="constrained")
    sections = sorted(results.section.unique())
    for section in sections:
        colour = "tab:blue" if section in PAPER_SECTIONS else "tab:grey"
        axes.scatter(shown[section], shown.index, s=14, color=colour, alpha=0.6)
    axes.scatter(shown.eight, shown.index, s=70, marker="|", color="black", label="mean of eight")
    axes.scatter([], [], s=14, color="tab:blue", label="A1 to D1")
    axes.scatter([], [], s=14, color="tab:grey", label="E1 to H1")
    axes.axvline(0.5, color="grey", lw=0.8)
    axes.set(xlabel="area under the ROC curve, one dot per section left out", xlim=(0, 1))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


TITLES = {"ranks": "Ranks within a spot", "sections": "Standardised within a section"}
INTRODUCTION = """\
Anomalies in tissue
===================

Written by ``python benchmarks/anomaly.py``. Eight sections of breast tumours (her2st), each left
out once; detectors are trained on the normal spots of the other seven and rank the spots of the
eighth, where cancer is the anomaly. Columns A1 to H1 hold the area under the ROC curve, A1-D1 and
all its means; ± is the standard deviation over five seeds, where a detector depends on one. AP is
the average precision. F1 is that of cancer with the threshold at the 10 % quantile of the training
scores; in brackets, what flagging as many spots at random gives.

.. image:: anomaly.png

""".splitlines()
NOTES = """\
How to read it
--------------

* The paper reports .754 over A1 to D1, from expression and histology images; the images are not in
  this file, whose second modality is the expression around a spot.
* The preparation matters more than the detector. "Ranks within a spot" are normal scores of the
  ranks of the genes in a spot; they use nothing but the spot. Standardising a section by itself
  puts cancer at the centre where most of the section is cancer (A1, C1).
* "Distance from the mean" is the mean square of the standardised columns. It learns nothing but
  means and variances and ranks these spots better than the network does: what OMIB adds here over
  other detectors is that it keeps both the distance and the error, not a better idea of normal
  tissue.
* Over all eight sections OMIB is better with both modalities than with either; over A1 to D1 it is
  better with expression alone, and so is EllipticEnvelope, which is then ahead of OMIB there.
* Standardised within a section, OMIB and the distance from the mean do worse than chance, while a
  few components with OneClassSVM do not.
* Sections are eight patients: differences of a few hundredths between means are not evidence.
* The threshold does not carry over to another patient: in some sections nearly all spots are
  flagged and in others none. F1 says something only beside the number in brackets.
* How the preparation was chosen, and which labels had been seen, is told in
  ``benchmarks/README.rst``.
""".splitlines()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", action="store_true", help="only write table and picture")
    if not parser.parse_args().docs:
        warnings.simplefilter("ignore")
        rows = []
        for row in runs(*prepared()):
            rows.append(row)
            pd.DataFrame(rows).to_csv(RESULTS, index=False, float_format="%.4g")
            print(*(f"{v:.3f}" if isinstance(v, float) else v for v in row.values()), flush=True)
    write_docs(pd.read_csv(RESULTS))


if __name__ == "__main__":
    main()
