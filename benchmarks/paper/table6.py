"""Table 6: what each part of the method is worth, on CMU-MOSI, tissue sections and digits.

    python benchmarks/paper/table6.py --jobs 2
    python benchmarks/paper/table6.py --data digits

The paper's ablation is on CREMA-D; these are data at hand. Every configuration sees the same rows,
folds and seeds as the full model, so differences are paired. MOSI keeps its split by speaker, so
that its seeds differ in the network only; her2st (cancer or not, standardised within a section)
has four folds of two whole sections; digits hold out 30 %.
"""

import numpy as np
from common import (
    ONE_NETWORK,
    Study,
    difference,
    direction,
    half_width,
    listed,
    pyplot,
    spread,
    table,
)
from resumable import arguments, present
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GroupKFold, StratifiedShuffleSplit

from sklearn_omib import OMIBClassifier, check_modalities
from sklearn_omib.datasets import load_digits_views, load_her2st, load_mosi

FULL, NO_OMF = "full", "without KL and cross-attention"
CONFIGURATIONS = {
    FULL: {},
    "without warm-up": {"warmup_epochs": 0},
    "without cross-attention": {"fusion": "concat"},
    "without KL": {"beta": 0.0},
    NO_OMF: {"beta": 0.0, "fusion": "concat"},
    "without r": {"weighting": "fixed"},
}
NOTES = """\
The full model has the defaults; each other row changes what its name says, and shows its difference
to the full model on the same rows and seeds. On MOSI seeds differ in the network only, so that its
intervals do not cover other speakers. her2st (cancer or not) is standardised within each section
and tested on whole sections. The paper's "without OMF" has no variational code at all; the closest
here, without KL and cross-attention, keeps noise in training, at no price, and the branches.
Without r all weights are 1, at the full model's beta. The paper's values are accuracies on CREMA-D.

""".splitlines()
PAPER = {  # accuracy on CREMA-D; NO_OMF stands for its "w/o OMF"
    FULL: 0.636, "without warm-up": 0.603, "without cross-attention": 0.615, NO_OMF: 0.595,
    "without r": 0.622,
}  # fmt: skip


# -- data: X, y, groups or None, and (train, test) per fold ---------------------------------------
def mosi(seed):
    data = load_mosi()
    X = {name: np.vstack([data.X_train[name], data.X_test[name]]) for name in data.X_train}
    y, groups = (
        np.concatenate([data[f"{what}_{part}"] for part in ("train", "test")])
        for what in ("y", "groups")
    )
    rows = np.arange(len(y))
    return X, y, groups, [np.split(rows, [len(data.y_train)])]


def her2st(seed):
    spots = load_her2st(standardize=True)
    folds = GroupKFold(4, shuffle=True, random_state=seed).split(spots.xy, None, spots.section)
    return spots.X, spots.anomalous, spots.section, list(folds)


def digits(seed):
    X, y = load_digits_views().values()
    folds = StratifiedShuffleSplit(1, test_size=0.3, random_state=seed).split(y, y)
    return X, y, None, list(folds)


DATA = {"mosi": mosi, "her2st": her2st, "digits": digits}


def configured(configuration, n_modalities, seed):
    """The estimator of a configuration, all with the full model's beta unless that is 0."""
    clf = OMIBClassifier(**ONE_NETWORK, random_state=seed)
    clf.set_params(**CONFIGURATIONS[configuration])
    if clf.weighting == "fixed":  # M_u is 1 / (M H) here, and 1 / ((2M - 1) H) in the full model
        clf.set_params(beta_scale=n_modalities / (2 * n_modalities - 1))
    return clf


def evaluate(data, seed, configuration):
    """The row of one configuration, over all test rows of its folds."""
    X, y, groups, folds = DATA[data](seed)
    X = check_modalities(X)
    truth, probabilities, best = [], [], []
    for train, test in folds:
        clf = configured(configuration, len(X.sample_shapes), seed)
        clf.fit(X[train], y[train], groups=None if groups is None else groups[train])
        truth.append(y[test])
        probabilities.append(clf.predict_proba(X[test]))
        main = clf.history_[clf.history_.phase == "main"]
        best.append(1 + main.valid_task_loss.argmin())
    truth, probabilities = np.concatenate(truth), np.concatenate(probabilities)
    accuracy = accuracy_score(truth, clf.classes_[probabilities.argmax(1)])
    loss = log_loss(truth, probabilities, labels=clf.classes_)
    return [{"data": data, "seed": seed, "configuration": configuration, "accuracy": accuracy,
             "log_loss": loss, "best_epoch": np.mean(best)}]  # fmt: skip


def run(study, names, seeds, n_jobs):
    jobs = [
        {"data": name, "seed": seed, "configuration": configuration}
        for seed in range(seeds) for name in names for configuration in CONFIGURATIONS
    ]  # fmt: skip
    study.run(evaluate, study.missing(jobs), n_jobs)


def gains(rows, measure):
    """data -> configuration -> differences to the full model, by seed."""
    wide = rows.pivot_table(index="seed", columns=["data", "configuration"], values=measure)
    return {
        data: {
            name: (wide[data, name] - wide[data, FULL]).dropna()
            for name in CONFIGURATIONS if name != FULL and (data, name) in wide
        }
        for data in DATA if (data, FULL) in wide
    }  # fmt: skip


def sentence(configuration, accuracy):
    """On which data a part is worth something, beside the paper's claim."""
    by_direction: dict = {}
    for data, some in accuracy.items():
        if configuration in some:
            by_direction.setdefault(direction(some[configuration]), []).append(data)
    found = "; ".join(f"{way} on {listed(names)}" for way, names in by_direction.items())
    if configuration not in PAPER:
        return f"- {configuration}: {found}. The paper has no such row."
    return f"- {configuration}: {found}. In the paper {printed(configuration)}."


def printed(configuration):
    """The paper's accuracy of the full model, or the difference to it."""
    if configuration not in PAPER:
        return ""
    value = PAPER[configuration]
    return f"{value:.3f}" if configuration == FULL else f"{value - PAPER[FULL]:+.3f}"


def kept_epochs(rows):
    """How long the full model trains before it overfits."""
    epochs = rows[rows.configuration == FULL].groupby("data").best_epoch.mean()
    return (
        "Main epoch of the lowest validation loss, which early stopping keeps, of the full model "
        f"(mean): {listed(f'{epoch:.1f} on {data}' for data, epoch in epochs.items())}. In the "
        "first main epoch all weights are still 1: where it is kept, r has not acted."
    )


def report(study):
    rows = study.rows()
    accuracy, loss = gains(rows, "accuracy"), gains(rows, "log_loss")
    lines = [f"Seeds: {rows.seed.nunique()}.", *NOTES]
    body = []
    for name in CONFIGURATIONS:
        cells = [name]
        for data in accuracy:
            if name == FULL:
                full = rows[(rows.data == data) & (rows.configuration == FULL)]
                cells += [spread(full.accuracy), spread(full.log_loss)]
            else:
                cells += [difference(some[data][name]) if name in some[data] else ""
                          for some in (accuracy, loss)]  # fmt: skip
        body.append([*cells, printed(name)])
    measures = [f"{data} {what}" for data in accuracy for what in ("accuracy", "log-loss")]
    header = ["configuration", *measures, "paper, CREMA-D"]
    lines += table(header, body)
    lines += [kept_epochs(rows), ""]
    lines += ["Accuracy against the full model, by 95 % intervals:", ""]
    lines += [*(sentence(name, accuracy) for name in CONFIGURATIONS if name != FULL), ""]
    picture(study, accuracy)
    study.write("Table 6: what each part is worth", lines)


def picture(study, accuracy):
    figure, ax = pyplot().subplots(figsize=(7, 3.6), layout="constrained")
    names = [name for name in CONFIGURATIONS if name != FULL]
    for i, (data, some) in enumerate(accuracy.items()):
        at = [names.index(name) + 0.15 * (i - 1) for name in some]
        widths = np.nan_to_num([half_width(values) for values in some.values()])
        ax.errorbar([values.mean() for values in some.values()], at, xerr=widths, fmt="o", ms=4,
                    label=data)  # fmt: skip
    claims = {names.index(name): PAPER[name] - PAPER[FULL] for name in names if name in PAPER}
    ax.plot(list(claims.values()), list(claims), "kx", label="paper, CREMA-D")
    ax.axvline(0, color="grey", lw=0.8)
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel="accuracy minus the full model's")
    ax.invert_yaxis()
    ax.legend(fontsize=8, frameon=False)
    study.save(figure)


if __name__ == "__main__":
    chosen = arguments(
        __doc__, seeds=10,
        more=[("--data", {"nargs": "+", "choices": tuple(DATA), "default": tuple(DATA)})],
    )  # fmt: skip
    table6 = Study("table6", chosen.out)
    there = list(present(chosen.data, lambda name: DATA[name](0)))
    run(table6, there, chosen.seeds, chosen.jobs)
    report(table6)
