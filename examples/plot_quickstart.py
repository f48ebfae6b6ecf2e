"""
Quickstart: two views of handwritten digits
===========================================

Each digit is described twice: by its pixels, and by a profile of row sums, column sums and
Fourier magnitudes. We fit :class:`~sklearn_omib.OMIBClassifier` on both, compare it with what one
would do otherwise, put the views side by side for a standard classifier, and take the method
apart to see what its pieces do.
"""

# %%
# Data: a container with one block per modality
# ---------------------------------------------
import argparse
from pathlib import Path

import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_omib import OMIBClassifier
from sklearn_omib.datasets import load_digits_views
from sklearn_omib.plotting import TrainingCurveDisplay
from sklearn_omib.preprocessing import ModalityConcatenator

parser = argparse.ArgumentParser()
parser.add_argument("--save", help="folder for the picture; not saved without it")
arguments, _ = parser.parse_known_args()

digits = load_digits_views()
print(digits.X)
X_train, X_test, y_train, y_test = train_test_split(
    digits.X, digits.y, test_size=0.3, stratify=digits.y, random_state=0
)

# %%
# Fit, predict, transform
# -----------------------
omib = OMIBClassifier(random_state=0).fit(X_train, y_train)
print(f"\ntest accuracy {omib.score(X_test, y_test):.3f}")
print(f"representation of the test part: {omib.transform(X_test).shape}")
print(omib.beta_bounds_)
print(f"beta used: {omib.beta_:.2g} per nat")

# %%
# Beside models on the concatenated views, and beside itself with parts taken out
# -------------------------------------------------------------------------------
# ``ModalityConcatenator`` turns the container into one table, so that any classifier is a baseline
# in one line. The ablations are parameters; they are made with one network each, where OMIB
# averages five.


def concatenated(model):
    return make_pipeline(ModalityConcatenator(), StandardScaler(), model)


one = {"n_members": 1, "random_state": 0}
models = {
    "OMIB": omib,
    "logistic regression": concatenated(LogisticRegression(max_iter=1000)),
    "random forest": concatenated(RandomForestClassifier(random_state=0)),
    "MLP": concatenated(MLPClassifier(max_iter=500, random_state=0)),
    "OMIB, one network": OMIBClassifier(**one),
    "- without warm-up": OMIBClassifier(warmup_epochs=0, **one),
    "- without cross-attention": OMIBClassifier(fusion="concat", **one),
    "- without regularisation": OMIBClassifier(beta=0.0, **one),
    "- without dynamic weights": OMIBClassifier(weighting="fixed", **one),
}
rows = {}
for name, model in models.items():
    probabilities = model.fit(X_train, y_train).predict_proba(X_test)
    rows[name] = {
        "accuracy": accuracy_score(y_test, probabilities.argmax(1)),
        "log-loss": log_loss(y_test, probabilities),
    }
for name in digits.X:
    alone = OMIBClassifier(**one).fit(X_train.select(name), y_train)
    probabilities = alone.predict_proba(X_test.select(name))
    rows[f"- on {name} alone"] = {
        "accuracy": accuracy_score(y_test, probabilities.argmax(1)),
        "log-loss": log_loss(y_test, probabilities),
    }
print("\nOne split and one seed: differences below a point are noise.\n")
print(pd.DataFrame(rows).T.round(3).to_string())

# %%
# How training went
# -----------------
# The weights rebalance how strongly each view is compressed; the first modality is the reference
# and keeps 1.
print("\nmodality weights:", {name: round(w, 2) for name, w in omib.modality_weights_.items()})
display = TrainingCurveDisplay.from_estimator(omib)
if arguments.save:
    folder = Path(arguments.save)
    folder.mkdir(parents=True, exist_ok=True)
    display.figure_.savefig(folder / "training_curve.png", dpi=120)
    print(f"training curve saved to {folder / 'training_curve.png'}")
