"""
Missing modalities: predict from what is there
==============================================

Sensors fail, patients miss an examination, a video has no sound. A row of NaN says that a sample
lacks a modality, in ``fit`` and in ``predict``; a modality that no sample has is left out. What is
missing tells nothing, and takes nothing from what the other modalities say.
"""

# %%
# Take rows of each view of the digits away
# -----------------------------------------
import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split

from sklearn_omib import ModalityDict, OMIBClassifier
from sklearn_omib.datasets import load_digits_views

parser = argparse.ArgumentParser()
parser.add_argument("--save", help="folder for the picture; not saved without it")
arguments, _ = parser.parse_known_args()

digits = load_digits_views()
X_train, X_test, y_train, y_test = train_test_split(
    digits.X, digits.y, test_size=0.3, stratify=digits.y, random_state=0
)


def without(X, share, seed=0):
    """X without a share of the rows of each view; every sample keeps one of them."""
    rng = np.random.default_rng(seed)
    lacks = rng.uniform(size=len(X)) < share
    which = rng.integers(2, size=len(X))
    return ModalityDict({
        name: np.where((lacks & (which == i))[:, None], np.nan, block)
        for i, (name, block) in enumerate(X.items())
    })  # fmt: skip


clf = OMIBClassifier(n_members=1, random_state=0).fit(X_train, y_train)
print(f"test accuracy {clf.score(X_test, y_test):.3f}")
lacking = without(X_test, 0.6)
print(f"test accuracy, 60 % lack a view {clf.score(lacking, y_test):.3f}")

# %%
# A view that nobody has is left out of the dict, or None:
for name in digits.X:
    print(f"test accuracy, {name} alone {clf.score({name: X_test[name]}, y_test):.3f}")

# %%
# Beside filling by means
# -----------------------
# Filled rows look like samples of average digits, and the network believes them.
shares = [0, 0.2, 0.4, 0.6, 0.8, 1]
imputers = {name: SimpleImputer().fit(block) for name, block in X_train.items()}
accuracy = {"left out": [], "filled by means": []}
for share in shares:
    lacking = without(X_test, share)
    filled = {name: imputers[name].transform(block) for name, block in lacking.items()}
    accuracy["left out"].append(clf.score(lacking, y_test))
    accuracy["filled by means"].append(clf.score(filled, y_test))

figure, ax = plt.subplots(figsize=(5, 3.5))
for name, values in accuracy.items():
    ax.plot(shares, values, marker="o", label=name)
ax.set(xlabel="share of samples that lack a view", ylabel="test accuracy")
ax.legend()
figure.tight_layout()
if arguments.save:
    folder = Path(arguments.save)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "missing_modalities.png", dpi=120)
