"""
How close to the best possible?
===============================

On synthetic data the best accuracy is known, and so is what every feature is made of. We compare
:class:`~sklearn_omib.OMIBClassifier` with the bound, modality by modality, and ask a linear probe
what the fused representation xi holds of the factors that matter and of those that do not.
"""

# %%
# Data with their truth
# ---------------------
# Each of two modalities carries factors of its own and factors of both, and as many of either kind
# that the class does not depend on.
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from sklearn_omib import OMIBClassifier
from sklearn_omib.datasets import make_multimodal_classification

parser = argparse.ArgumentParser()
parser.add_argument("--save", help="folder for the picture; not saved without it")
arguments, _ = parser.parse_known_args()

data = make_multimodal_classification(5000, importance={"specific_1": 2}, random_state=0)
truth = data.truth
X_train, y_train, X_test, y_test = data.X[:2000], data.y[:2000], data.X[2000:], data.y[2000:]
print(data.X)
print("share of the score's variance:", truth.share)

# %%
# Accuracy beside the bound
# -------------------------
# The bound is an expectation; accuracy on 3000 samples has a standard error of .007, so it may
# come out above.


def fitted(X, beta_scale=1.0):
    return OMIBClassifier(n_members=1, beta_scale=beta_scale, max_epochs=40, random_state=0).fit(
        X, y_train
    )


omib = fitted(X_train)
scores = {"all": omib.score(X_test, y_test)}
for name in data.X:
    scores[name] = fitted(X_train.select(name)).score(X_test.select(name), y_test)
table = pd.DataFrame({"OMIB": scores, "best possible": truth.bayes_accuracy})
table["information (nats)"] = pd.Series(truth.information)
print(table.round(3).to_string())
print(f"share of the best possible accuracy: {scores['all'] / truth.bayes_accuracy['all']:.3f}")

# %%
# What xi holds
# -------------
# A linear probe looks for the direction of each relevant part that the class depends on, and for
# the nuisance factors. A larger beta makes xi drop nuisance first; the score stays.
representations = {"features": np.asarray(data.X), "xi": omib.transform(data.X)}
for scale in (0, 10):
    representations[f"xi, {scale} beta"] = fitted(X_train, scale).transform(data.X)
targets = {
    "score": truth.decision[:, None],
    "signal": np.column_stack([truth.parts[name] @ coef for name, coef in truth.coef.items()]),
    "nuisance": truth.nuisance,
}


def probe(Z, target):
    """Mean R2, on test samples, of a linear model of the target."""
    model = RidgeCV(alphas=np.logspace(-3, 3, 7)).fit(Z[:2000], target[:2000])
    return r2_score(target[2000:], model.predict(Z[2000:]))


found = pd.DataFrame(
    {
        name: {kind: probe(Z, target) for kind, target in targets.items()}
        for name, Z in representations.items()
    }
).T.loc[["features", "xi, 0 beta", "xi", "xi, 10 beta"]]
print(found.round(2).to_string())

# %%
# The picture
# -----------
fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained")
left.bar(table.index, table["OMIB"], color="C0", width=0.6, label="OMIB, new samples")
for i, best in enumerate(table["best possible"]):
    left.plot([i - 0.4, i + 0.4], [best, best], "k", label="best possible" if i == 0 else None)
left.set(ylim=(0.5, 1), ylabel="accuracy (chance: 0.5)")
found.plot.bar(ax=right, rot=0, width=0.7, color=["C1", "C2", "0.7"])
right.set(ylim=(0, 1), ylabel="$R^2$ of a linear probe")
for ax in (left, right):
    ax.legend(frameon=False, fontsize="small", ncols=3, loc="upper center")
    ax.spines[["top", "right"]].set_visible(False)
if arguments.save:
    folder = Path(arguments.save)
    folder.mkdir(parents=True, exist_ok=True)
    fig.savefig(folder / "synthetic_truth.png", dpi=120)
