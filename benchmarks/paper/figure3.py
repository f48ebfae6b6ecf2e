"""Figure 3: test accuracy over beta on SIM-I, II and III, with the bounds M_l and M_u.

    python benchmarks/paper/figure3.py --jobs 2
    python benchmarks/paper/figure3.py --cases I --seeds 1 --betas 1e-4 1 --samples 1000 --out x

A seed is another data set and another network. All betas of a case and seed are trained as one
stack on 90 % of the rows (of which 15 % stop the training) and scored on the rest.
"""

import numpy as np
from common import (
    OF_SIM,
    SIM_OPTIONS,
    Study,
    difference,
    probe_r2,
    pyplot,
    split_rows,
    spread,
    table,
)
from resumable import arguments

from sklearn_omib import OMIBClassifierCV
from sklearn_omib.datasets import make_sim
from sklearn_omib.information import estimate_beta_bounds

BETAS = np.geomspace(1e-6, 10, 13).tolist()
TOLERANCE = 0.01  # of accuracy: what counts as near the peak
NOTES = """\
The paper shows a curve without numbers that peaks at or below M_u. R2 is what ridge regression
reads off xi in test rows, of the nuisance columns (mean) and of the direction that decides the
class. xi comes from the means of the codes: where those have shrunk far below the codes' noise, no
head can be trained on it, but R2 remains.

""".splitlines()


class Probes:
    """A scorer that notes, of each beta, accuracy and what xi tells linearly.

    Parameters
    ----------
    nuisance, decision : ndarray of shape (n_test, ...)
    """

    def __init__(self, nuisance, decision):
        self.nuisance, self.decision, self.rows = nuisance, decision, []

    def __call__(self, clf, X, y):
        xi, accuracy = clf.transform(X), np.mean(clf.predict(X) == y)
        self.rows.append({
            "beta": clf.estimators_[0].beta_,
            "accuracy": accuracy,
            "r2_nuisance": probe_r2(xi, self.nuisance),
            "r2_decision": probe_r2(xi, self.decision),
            "epochs": clf.estimators_[0].n_iter_,
        })  # fmt: skip
        return accuracy


def evaluate(case, seed, betas, n_samples):
    """Rows of all betas of one data set and seed."""
    sim = make_sim(case, n_samples, random_state=seed)
    train, test = split_rows(n_samples)
    probes = Probes(sim.truth.nuisance[test], sim.truth.decision[test])
    OMIBClassifierCV(
        betas=betas,
        cv=[(train, test)],
        scoring=probes,
        refit=False,
        **OF_SIM,
        random_state=seed,
    ).fit(sim.X, sim.y)
    bounds = estimate_beta_bounds(sim.X[train])
    shared = {"case": case, "seed": seed, "n_samples": n_samples, "lower": bounds.lower,
              "upper": bounds.upper}  # fmt: skip
    return [shared | row for row in probes.rows]


def run(study, cases, seeds, betas, n_samples, n_jobs):
    tasks = []
    for seed in range(seeds):
        for case in cases:
            jobs = [{"case": case, "seed": seed, "n_samples": n_samples, "beta": b} for b in betas]
            left = [job["beta"] for job in study.missing(jobs)]
            if left:
                tasks.append({"case": case, "seed": seed, "betas": left, "n_samples": n_samples})
    study.run(evaluate, tasks, n_jobs)


def verdict(case, rows):
    """Where accuracy peaks and where it falls, beside the bound."""
    curves = rows.pivot_table(index="seed", columns="beta", values="accuracy").dropna()
    means, upper = curves.mean(), rows.upper.mean()
    inside, beyond = means[means.index <= upper], means[means.index > 10 * upper]
    if inside.empty or beyond.empty:
        return f"SIM-{case}: no beta on both sides of [M_u, 10 M_u]."
    near = means >= means.max() - TOLERANCE
    held = near[inside.index]
    where = "at every beta" if held.all() else "at some betas only" if held.any() else "nowhere"
    return (
        f"SIM-{case}: accuracy peaks at {means.max():.3f}, at {_times(means.idxmax(), upper)}. Up "
        f"to M_u it is within {TOLERANCE} of the peak {where} ({inside.min():.3f} to "
        f"{inside.max():.3f}). {_fall(near, upper)} Beyond 10 M_u accuracy is {beyond.min():.3f} "
        f"to {beyond.max():.3f}; the best there minus the best up to M_u: "
        f"{difference(curves[beyond.idxmax()] - curves[inside.idxmax()])}."
    )


def _times(beta, upper):
    return f"beta {beta:.2g} = {beta / upper:.3g} M_u"


def _fall(near, upper):
    """From which beta on accuracy stays below its peak."""
    away = near.index[near.index > near[near].index.max()]
    if away.empty:
        return "No beta that was tried is so large that accuracy stays below from there on."
    side = "beyond" if away[0] > 10 * upper else "not beyond"
    return f"It stays below that from {_times(away[0], upper)} on, {side} 10 M_u."


def report(study):
    rows = study.rows()
    cases = sorted(set(rows.case))
    bounds = rows.groupby("case")[["lower", "upper"]].mean()
    lines = [
        f"{rows.n_samples.max():,} rows (a tenth for testing); seeds: {rows.seed.nunique()}.",
        *(f"SIM-{case}: M_l = {bounds.lower[case]:.3g}, M_u = {bounds.upper[case]:.3g}."
          for case in cases),
        *NOTES,
    ]  # fmt: skip
    for case in cases:
        lines += [verdict(case, rows[rows.case == case]), ""]
    measures = ("accuracy", "r2_nuisance", "r2_decision")
    cells = rows.groupby(["beta", "case"])[list(measures)].agg(spread).unstack("case", "")
    body = [
        [f"{beta:.2g}", *(row[measure, case] for case in cases for measure in measures)]
        for beta, row in cells.iterrows()
    ]
    names = ("accuracy", "R2 nuisance", "R2 decision")
    header = ["beta", *(f"SIM-{case} {name}" for case in cases for name in names)]
    picture(study, rows, cases, bounds)
    study.write("Figure 3: accuracy over beta", lines + table(header, body))


def picture(study, rows, cases, bounds):
    figure, axes = pyplot().subplots(
        2, len(cases), figsize=(4.2 * len(cases), 5.6), sharex=True, sharey="row", squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for (top, bottom), case in zip(axes.T, cases, strict=True):
        curves = rows[rows.case == case].groupby("beta")
        for ax, name, label in ((top, "accuracy", "test accuracy"),
                                (bottom, "r2_decision", "R2 of the decision"),
                                (bottom, "r2_nuisance", "R2 of nuisance")):  # fmt: skip
            mean, sd = curves[name].mean(), curves[name].std().fillna(0)
            ax.errorbar(mean.index, mean, sd, fmt="o-", ms=3, capsize=2, label=label)
        for ax in (top, bottom):
            ax.axvspan(*bounds.loc[case], color="grey", alpha=0.5, lw=1, label="[M_l, M_u]")
            ax.set_xscale("log")
        top.set_title(f"SIM-{case}")
        bottom.set_xlabel("beta (1/nat)")
    axes[0, 0].legend(frameon=False, fontsize=8)
    axes[1, 0].legend(frameon=False, fontsize=8)
    study.save(figure)


if __name__ == "__main__":
    chosen = arguments(
        __doc__, seeds=5,
        more=[*SIM_OPTIONS, ("--betas", {"type": float, "nargs": "+", "default": BETAS})],
    )  # fmt: skip
    figure3 = Study("figure3", chosen.out)
    run(figure3, chosen.cases, chosen.seeds, chosen.betas, chosen.samples, chosen.jobs)
    report(figure3)
