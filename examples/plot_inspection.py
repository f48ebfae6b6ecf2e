"""
Inspection: what a fit uses, keeps and supposes
===============================================

Cells of breast tumours are described three times: by the mean of ten measures, by their standard
error and by their worst value. We ask a fitted :class:`~sklearn_omib.OMIBClassifier` which of the
three it needs, what its representation still knows of the cells, how that came about in training,
whether the data are what the theory supposes, and what is wrong with a fit that was set up badly.
"""

# %%
# A fit without findings
# ----------------------
# ``diagnose`` reads the history of a fit.
import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from sklearn_omib import OMIBClassifier
from sklearn_omib.datasets import load_breast_cancer_blocks
from sklearn_omib.inspection import check_assumptions, diagnose, modality_importance
from sklearn_omib.plotting import (
    BottleneckProbeDisplay,
    InformationPlaneDisplay,
    ModalityAblationDisplay,
)

parser = argparse.ArgumentParser()
parser.add_argument("--save", help="folder for the pictures; not saved without it")
arguments, _ = parser.parse_known_args()

cancer = load_breast_cancer_blocks()
X_train, X_test, y_train, y_test = train_test_split(
    cancer.X, cancer.y, test_size=0.3, stratify=cancer.y, random_state=0
)
clf = OMIBClassifier(random_state=0).fit(X_train, y_train)
print(f"test accuracy {clf.score(X_test, y_test):.3f}\n")
print(diagnose(clf))

# %%
# Which modalities does it need?
# ------------------------------
# Refitted on every subset, on the same folds: what could be known without the others. The
# intervals on the right are of the difference from all three. Larger steps and a single network
# save time.
quick = OMIBClassifier(n_members=1, learning_rate=2e-3, n_iter_no_change=5, random_state=0)
ablation = ModalityAblationDisplay.from_estimator(quick, cancer.X, cancer.y, scoring="neg_log_loss")
print(ablation.table.iloc[:, :6].round(3).to_string())

# %%
# Permuted in the fit: what it takes from each. Little from one may mean that another says the same.
result = modality_importance(clf, X_test, y_test, random_state=0)
importance = {"mean": result.importances_mean, "sd": result.importances_std}
print(pd.DataFrame(importance, index=result.names).round(3))

# %%
# What does the representation know?
# ----------------------------------
# Noise in the codes hides what was not worth its price. ``transform`` has no noise, and from what
# it returns a linear map finds more than the head ever could.
rng = np.random.default_rng(0)
means = X_test["mean"]
variables = {
    "diagnosis": y_test,
    "radius": means["mean radius"],
    "texture": means["mean texture"],
    "smoothness": means["mean smoothness"],
    "fractal dimension": means["mean fractal dimension"],
    "shuffled radius": rng.permutation(means["mean radius"]),
}
probe = BottleneckProbeDisplay.from_estimator(clf, X_test, variables, random_state=0)
print(probe.table.drop(columns=["noisy_xi_sd", "xi_sd", "inputs_sd"]).round(2).to_string())

# %%
# How it came about
# -----------------
# First both kinds of information grow; then the bottleneck gives up what the target does not need.
plane = InformationPlaneDisplay.from_estimator(clf, cancer.X, cancer.y, random_state=0)
print(plane.table.round(2).to_string())

# %%
# Are the data what the theory supposes?
# --------------------------------------
report = check_assumptions(cancer.X, cancer.y, random_state=0)
print(report)
print(report.modalities.round(3).to_string())
print(report.pairs.round(3).to_string())

# %%
# A fit with findings
# -------------------
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of this beta
    greedy = OMIBClassifier(beta=2.0, random_state=0).fit(X_train, y_train)
print(f"\ntest accuracy {greedy.score(X_test, y_test):.3f}")
print(diagnose(greedy))

if arguments.save:
    folder = Path(arguments.save)
    folder.mkdir(parents=True, exist_ok=True)
    for name, display in {"ablation": ablation, "probe": probe, "plane": plane}.items():
        display.figure_.savefig(folder / f"{name}.png", dpi=120)
    print(f"pictures saved to {folder}")
