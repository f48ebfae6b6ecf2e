"""
Finding cancer by what normal tissue looks like
===============================================

Eight sections of breast tumours, measured spot by spot: the genes expressed in a spot, and in its
neighbourhood. We learn from the normal spots of seven sections and look for anomalies in the
eighth, of another patient. The pathologist's labels of that section are used only to look at the
result.

The file does not come with the package: put ``her2st.npz`` in a folder and name it in the
environment variable ``SKLEARN_OMIB_DATA``.
"""

# %%
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import FunctionTransformer

from sklearn_omib import OMIBAnomalyDetector
from sklearn_omib.datasets import load_her2st
from sklearn_omib.preprocessing import ModalityTransformer

SECTION = "D1"
try:
    spots = load_her2st()
except FileNotFoundError as error:
    sys.exit(f"Skipped: {error}")
here = spots.section == SECTION
print(spots.X)


# %%
# Ranks instead of counts
# -----------------------
# How much is measured in a spot differs between spots and between sections. Ranks of the genes
# within a spot do not depend on it, nor on which other spots there are. Standardising within a
# section would put cancer at the centre where most of the section is cancer.
def normal_scores(block):
    ranks = rankdata(block, axis=1)
    return norm.ppf((ranks - 0.5) / block.shape[1])


scores = FunctionTransformer(normal_scores)
X = ModalityTransformer({name: scores for name in spots.X}).fit_transform(spots.X)

# %%
# Train on normal tissue of the other sections
# --------------------------------------------
detector = OMIBAnomalyDetector(random_state=0)
detector.fit(X[~here & ~spots.anomalous])
anomaly = -detector.score_samples(X[here])
by_modality = -detector.score_samples_by_modality(X[here])

found = {"both": roc_auc_score(spots.anomalous[here], anomaly)}
found |= {name: roc_auc_score(spots.anomalous[here], by_modality[name]) for name in by_modality}
for name, area in found.items():
    print(f"area under the curve, {name:15} {area:.3f}")

# %%
# The section
# -----------
# Left, the pathologist's labels; then how unusual each spot is to the detector, together and by
# each modality's branch. Alone, the neighbourhood's branch marks the rim of the section, perhaps
# because the mean there is over fewer spots.
x, y = spots.xy[here].T
labels = pd.Categorical(spots.label[here])
figure, axes = plt.subplots(2, 2, figsize=(9, 7.5), layout="constrained", sharex=True, sharey=True)
colours = {"invasive cancer": "crimson", "cancer in situ": "orange"}
others = iter(("lightgrey", "steelblue", "seagreen", "plum"))
for name in labels.categories:
    rows = labels == name
    colour = colours.get(name) or next(others)
    axes[0, 0].scatter(x[rows], y[rows], s=28, color=colour, label=name)
axes[0, 0].legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(0, -0.02), ncols=3)
axes[0, 0].set_title(f"section {SECTION}, pathologist")
shown = {"both modalities": anomaly, **{name: by_modality[name] for name in by_modality}}
for axis, (name, values) in zip(axes.flat[1:], shown.items(), strict=True):
    low, high = np.percentile(values, [2, 98])
    drawn = axis.scatter(x, y, s=28, c=values, cmap="magma", vmin=low, vmax=high)
    figure.colorbar(drawn, ax=axis, label="anomaly")
    axis.set_title(name)
for axis in axes.flat:
    axis.set_aspect("equal")
    axis.set_axis_off()
axes[0, 0].invert_yaxis()
if "--save" in sys.argv:
    figure.savefig(f"{sys.argv[sys.argv.index('--save') + 1]}/tissue_anomaly.png", dpi=110)
