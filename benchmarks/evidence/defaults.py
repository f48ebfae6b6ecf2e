"""Evidence for the default parameters: cross-validation on training parts only.

    python benchmarks/evidence/defaults.py --jobs -1   # all variations, about an hour on two cores
    python benchmarks/evidence/defaults.py dropout     # those whose name contains a word

Each variation changes one thing of the defaults, with one network each. Data: the training part of
CMU-MOSI (folds keep the utterances of a video together) and 70 % of digits (two views), breast
cancer (three blocks), wine (two blocks), and for regression diabetes and Friedman's function (two
blocks each); the remaining 30 % and MOSI's test part are never read.
"""

from framework import BASE, PARTS, answer, cross_validated, estimator, gains, training_part
from resumable import present

VALUES = {
    "dropout": (0.0, 0.1, 0.3, 0.5),
    "input_dropout": (0.0, 0.1, 0.2, 0.3),
    "weight_decay": (0.01, 0.3, 1.0, 3.0),
    "learning_rate": (2e-4, 1e-3, 2e-3),
    "hidden_dim": (64, 256),
    "latent_dim": (16, 64),
    "n_layers": (1, 3),
    "head_layers": (1,),
    "batch_size": (64, 256),
    "warmup_epochs": (0, 5, 20),
    "max_epochs": (200,),
    "n_iter_no_change": (30,),
    "validation_fraction": (0.1, 0.2),
    "trb_weight": (0.0, 0.3),
    "weighting": ("symmetric", "fixed"),
    "fusion": ("concat",),
}
BETAS = (0, 0.03, 0.1, 1 / 3, 1, 3, 10)  # in units of M_u
VARIATIONS = {
    "default": {},
    **{f"beta={v:.2g} M_u": {"beta": "upper", "beta_scale": v} for v in BETAS},
    **{f"{name}={v}": {name: v} for name, values in VALUES.items() for v in values},
}


def evaluate(data, variation, seed):
    X, y, groups = training_part(data)
    model = estimator(y, **{**BASE, **VARIATIONS[variation]}, random_state=seed)
    return cross_validated(model, X, y, groups, seed)


def sections(runs):
    """Means over seeds by data set, and the mean difference to the defaults over data sets."""
    table = runs.pivot_table(["score", "loss"], "variation", "data")
    table.columns = [f"{data} {metric}" for metric, data in table.columns]
    pairs = gains(runs, {"variation": "default"}).groupby("variation")
    difference = pairs[["score gain", "loss gain"]].agg(["mean", "sem"])
    difference.columns = [f"{gain} ({kind})" for gain, kind in difference.columns]
    table = table.join(difference).join(pairs.seed.nunique().rename("seeds"))
    return [table.loc[[name for name in VARIATIONS if name in table.index]].round(4).to_markdown()]


if __name__ == "__main__":
    there = present(PARTS, training_part)
    jobs = ({"data": data, "variation": v} for data in there for v in VARIATIONS)
    answer("defaults", __doc__, 3, jobs, evaluate, sections, reference="default")
