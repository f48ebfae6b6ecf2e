"""A process that works on its own: each line of its input is a job, each of its output a result.

It imports nothing of the package before a job needs it, so that it is as fresh as a user's, and
any checkout of the package that PYTHONPATH names can be in it.
"""

import gc
import json
import sys
import time
import warnings

import numpy as np
from comparison.cost import measured


def make_data(shape, seed=0):
    """Tables that share ten directions, of which the first decides between two classes.

    Parameters
    ----------
    shape : (n_samples, n_modalities, n_columns)
    seed : int
    """
    n_samples, n_modalities, n_columns = shape
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n_samples, 10))
    X = {
        f"m{i}": shared @ rng.normal(size=(10, n_columns)) + rng.normal(size=(n_samples, n_columns))
        for i in range(n_modalities)
    }
    return X, (shared[:, 0] + 0.5 * rng.normal(size=n_samples) > 0).astype(int)


def make_model(name, options):
    if name == "MLPClassifier":
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), MLPClassifier(random_state=0))
    if name == "HistGradientBoostingClassifier":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(random_state=0)
    from sklearn_omib import OMIBClassifier

    return OMIBClassifier(random_state=0, **options)


def fit(model, shape, seed, options):
    """Seconds of a fit, and mebibytes at its peak above what there was before, data among it."""
    X, y = make_data(shape, seed)
    made = make_model(model, options)
    if model != "OMIB":
        X = np.hstack(list(X.values()))
    with measured() as cost:
        made.fit(X, y)
    return cost


def start(shape, options):
    """Seconds of the import, torch and scikit-learn being there, of the first fit and of a later.

    That is the median of three. Garbage is collected before: a collection among all that was
    imported takes longer than what is measured, and would fall into one of the first fits.
    """
    import sklearn.base  # noqa: F401
    import torch  # noqa: F401

    begun = time.perf_counter()
    import sklearn_omib  # noqa: F401

    seconds = {"import": time.perf_counter() - begun}
    X, y = make_data(shape)
    gc.collect()
    took = []
    for _ in range(4):
        made = make_model("OMIB", options)
        begun = time.perf_counter()
        made.fit(X, y)
        took.append(time.perf_counter() - begun)
    return seconds | {"first": took[0], "later": float(np.median(took[1:]))}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        job, options = json.loads(line)
        print(json.dumps({"fit": fit, "start": start}[job](**options)), flush=True)
