"""
A pipeline, and a search over the bound
=======================================

Preprocessing per modality, OMIB behind it, and a grid over both: the number of principal
components of one block and the position of beta relative to its bound.
"""

# %%
# A plain dict does not survive ``GridSearchCV``: scikit-learn counts its keys as samples and stops
# with "inconsistent numbers of samples: [3, 398]". ``ModalityDict`` is the fix; the loader returns
# one.
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from sklearn_omib import OMIBClassifier
from sklearn_omib.datasets import load_breast_cancer_blocks
from sklearn_omib.preprocessing import ModalityTransformer

cancer = load_breast_cancer_blocks()
X_train, X_test, y_train, y_test = train_test_split(
    cancer.X, cancer.y, test_size=0.3, stratify=cancer.y, random_state=0
)

# %%
# Modalities that the dict leaves out pass through. Parameters of the inner transformers are
# reached by the name of the modality. One network per fit is quicker than the mean of five.
pipe = make_pipeline(
    ModalityTransformer({"error": PowerTransformer(), "worst": PCA(5)}),
    OMIBClassifier(n_members=1, random_state=0),
)
grid = {
    "omibclassifier__beta_scale": [0.1, 1, 10],
    "modalitytransformer__worst__n_components": [5, 10],
}
search = GridSearchCV(pipe, grid, cv=3, scoring="neg_log_loss", n_jobs=2).fit(X_train, y_train)
print("best:", search.best_params_)
print(f"test accuracy {search.best_estimator_.score(X_test, y_test):.3f}")
print(search.best_estimator_[-1].beta_bounds_)

# %%
# What the search saw
# -------------------
# ``beta_scale=1`` is the bound M_u. Smaller values compress less.
results = pd.DataFrame(search.cv_results_)
results["log-loss"] = -results.mean_test_score
curves = results.pivot(
    index="param_omibclassifier__beta_scale",
    columns="param_modalitytransformer__worst__n_components",
    values="log-loss",
)
print(curves.round(4))
ax = curves.plot(marker="o", logx=True, figsize=(5, 3.4))
ax.axvline(1, color="0.6", linestyle="--", label="bound M_u")
ax.set(xlabel="beta_scale", ylabel="cross-validated log-loss (nats)")
ax.legend(title="components of “worst”")
plt.tight_layout()
