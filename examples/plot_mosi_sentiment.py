"""
CMU-MOSI: sentiment from text, audio and video
==============================================

Is the speaker of a film review pleased? The corpus gives transcript, voice and face of 2199
utterances; we use the utterance-level features published with bc-LSTM and its split by speaker.

The file does not come with the package: put ``mosi.npz`` in a folder and name it in the
environment variable ``SKLEARN_OMIB_DATA``.
"""

# %%
import sys

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_omib import OMIBClassifier
from sklearn_omib.datasets import load_mosi
from sklearn_omib.plotting import TrainingCurveDisplay
from sklearn_omib.preprocessing import ModalityConcatenator

try:
    mosi = load_mosi()
except FileNotFoundError as error:
    sys.exit(f"Skipped: {error}")
print(mosi.X_train)

# %%
# Fit, keeping the utterances of a video together
# -----------------------------------------------
# Utterances of one video resemble each other, so ``groups`` keeps each video on one side of the
# validation split that training is stopped by.
omib = OMIBClassifier(random_state=0)
omib.fit(mosi.X_train, mosi.y_train, groups=mosi.groups_train)
TrainingCurveDisplay.from_estimator(omib)
print(omib.beta_bounds_)

# %%
# Beside single modalities and a linear model
# -------------------------------------------
# The text features were learned by their publishers from the training labels: on the training
# part text alone is right almost always, on new speakers three times in four.
scores = {"text + audio + video": omib.score(mosi.X_test, mosi.y_test)}
for name in mosi.X_train:
    alone = OMIBClassifier(random_state=0)
    alone.fit(mosi.X_train.select(name), mosi.y_train, groups=mosi.groups_train)
    scores[f"{name} alone"] = alone.score(mosi.X_test.select(name), mosi.y_test)
linear = make_pipeline(
    ModalityConcatenator(), StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
)
scores["logistic regression on all"] = linear.fit(mosi.X_train, mosi.y_train).score(
    mosi.X_test, mosi.y_test
)
scores["most frequent class"] = max(mosi.y_test.mean(), 1 - mosi.y_test.mean())
print(pd.Series(scores, name="test accuracy").round(3).to_string())

# %%
# The representation
# ------------------
# Two principal components of xi on the test part.
xi = PCA(2).fit_transform(omib.transform(mosi.X_test))
fig, ax = plt.subplots(figsize=(4.5, 3.6), layout="constrained")
for label, name in enumerate(("negative", "positive")):
    ax.scatter(*xi[mosi.y_test == label].T, s=6, label=name)
ax.set(xlabel="first component of xi", ylabel="second component")
ax.legend(frameon=False)
