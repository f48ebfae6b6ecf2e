"""
Speech and writing: digits that are heard and seen
==================================================

Six people say the digits, and each recording comes with a picture of the same digit, written by
hand and hardly legible. We learn from four speakers and listen to the other two: with sound alone,
with the picture alone, with both, and with a fit on both that is given only one.

The file does not come with the package: put ``spoken_digits.zip`` in a folder and name it in the
environment variable ``SKLEARN_OMIB_DATA``, or say ``load_spoken_digits(download=True)``, which
fetches the Free Spoken Digit Dataset, 12 MB.
"""

# %%
# Paths of recordings, and an array of pictures
# ---------------------------------------------
# ``noise`` is added to the pixels, which lie between 0 and 1. Without it the picture alone would
# tell nearly all.
import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import ConfusionMatrixDisplay

from sklearn_omib import OMIBClassifier
from sklearn_omib.datasets import load_spoken_digits
from sklearn_omib.encoders import AudioEncoder

parser = argparse.ArgumentParser()
parser.add_argument("--save", help="folder for the pictures; not saved without it")
arguments, _ = parser.parse_known_args()

try:
    digits = load_spoken_digits(noise=0.7)
except FileNotFoundError as error:
    sys.exit(f"Skipped: {error}")
print(digits.X)
print(digits.X["sound"][0].name, digits.groups[0], digits.y[0])

# %%
# Speakers on one side each
# -------------------------
# A network that has heard a voice knows it again. What counts is how it understands a voice that it
# has never heard, so two speakers are for testing alone.
is_new = np.isin(digits.groups, ["s4", "s5"])
X_train, y_train = digits.X[~is_new], digits.y[~is_new]
X_test, y_test = digits.X[is_new], digits.y[is_new]
print(f"{len(y_train)} digits to learn from, {len(y_test)} to test on")

# %%
# What the network sees
# ---------------------
# The encoder turns a recording into a spectrogram: how strong each band of frequency is, from step
# to step. Silence at both ends is cut off.
listener = AudioEncoder(sample_rate=8000)
shown = [np.flatnonzero(is_new & (digits.y == digit))[0] for digit in (3, 6)]
spectrograms = listener.read(digits.X["sound"][shown])
figure, axes = plt.subplots(2, 2, figsize=(7, 5.4), width_ratios=[1.7, 1], layout="constrained")
for i, (row, (heard, seen)) in enumerate(zip(shown, axes, strict=True)):
    bands = spectrograms.sequence(i).astype(float).T
    seconds = listener.hop * bands.shape[1]
    heard.imshow(
        bands, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, len(bands))
    )
    heard.set(xlabel="seconds", ylabel="band of frequency")
    heard.set_title(f"“{digits.y[row]}”, said by {digits.groups[row]}")
    seen.imshow(digits.X["image"][row][0], cmap="gray_r")
    seen.set(xticks=[], yticks=[])
    seen.set_title(f"a {digits.y[row]}, written")

# %%
# Sound, picture, both
# --------------------
# One network keeps this page below a minute; by default three are averaged. ``modality_dropout``
# hides either modality now and then while training, so that the fit on both learns to do with one.
# We do not pass ``groups``: of four speakers, ``fit`` would hold out one whole to stop by, and a
# voice to learn from is worth more.
quick = {"modality_dropout": 0.3, "n_members": 1, "random_state": 0}
fits = {
    "sound": OMIBClassifier(encoders={"sound": listener}, **quick),
    "image": OMIBClassifier(**quick),
    "both": OMIBClassifier(encoders={"sound": listener}, **quick),
}
scores = {}
for name, clf in fits.items():
    names = list(X_train) if name == "both" else name
    clf.fit(X_train.select(names), y_train)
    scores[name] = clf.score(X_test.select(names), y_test)

# %%
# What was fitted on both takes samples that have only one. Without sound it is about as good as the
# fit on pictures.
both = fits["both"]
scores["fitted on both, without sound"] = both.score({"image": X_test["image"]}, y_test)
scores["fitted on both, without picture"] = both.score({"sound": X_test["sound"]}, y_test)

# %%
# A single sample without sound has None in its place. Here every second one:
sound = X_test["sound"].copy()
sound[::2] = None
half = {"sound": sound, "image": X_test["image"]}
scores["fitted on both, half without sound"] = both.score(half, y_test)
print(pd.Series(scores, name="test accuracy").round(3).to_string())

# %%
# Which digits are taken for others?
# ----------------------------------
# Sound takes nines for fives, which have their vowel in common, and threes for sixes. The picture
# has other doubts, and both together make fewer mistakes.
matrices, axes = plt.subplots(1, 3, figsize=(11, 4.4), layout="constrained")
for axis, (name, clf) in zip(axes, fits.items(), strict=True):
    predicted = clf.predict(X_test if name == "both" else X_test.select(name))
    ConfusionMatrixDisplay.from_predictions(
        y_test, predicted, ax=axis, colorbar=False, cmap="Blues", text_kw={"fontsize": 7}
    )
    axis.set(title=f"{name}, accuracy {scores[name]:.2f}", xlabel="predicted digit", ylabel="")
axes[0].set_ylabel("digit")

if arguments.save:
    folder = Path(arguments.save)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "digits_heard_and_seen.png", dpi=110)
    matrices.savefig(folder / "digits_confused.png", dpi=110)
