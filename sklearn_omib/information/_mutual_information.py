"""I(x; y) by the method that suits the data."""

import time
from dataclasses import replace

from sklearn.utils.validation import check_memory

from ._copula import GaussianCopulaMI
from ._ksg import KSG, MANY_COLUMNS
from ._pairs import make_pair
from ._result import make_result, tell

METHODS = ("auto", "copula", "ksg")
CLEAR = 2  # standard errors of the difference by which one method has to exceed another


def mutual_information(
    x, y, *, method="auto", discrete_target="auto", random_state=None, memory=None
):
    """Estimate the mutual information of x and y, in nats.

    Parameters
    ----------
    x : array-like of shape (n_samples, n_features_x) or (n_samples,)
    y : array-like of shape (n_samples, n_features_y) or (n_samples,)
        Numbers, or labels where ``discrete_target`` says so.
    method : {"auto", "copula", "ksg"}, default="auto"
        "copula" is :class:`GaussianCopulaMI` and "ksg" :class:`KSG`, with their defaults. "auto"
        takes the copula, and for up to four columns in all nearest neighbours where these find
        clearly more.
    discrete_target : "auto" or bool, default="auto"
        Whether y holds class labels, as in :class:`GaussianCopulaMI`.
    random_state : int, RandomState instance or None, default=None
    memory : str or object with the joblib.Memory interface, default=None
        Where to keep results, as in scikit-learn's ``Pipeline``.

    Returns
    -------
    MIResult

    Raises
    ------
    ValueError
        If x and y differ in length, have fewer than 10 samples, or hold NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.information import mutual_information
    >>> x, e = np.random.default_rng(0).uniform(-1, 1, size=(2, 1000))
    >>> result = mutual_information(x, x**2 + e / 10)
    >>> result.method  # the copula sees nothing here
    'ksg'
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}.")
    result = check_memory(memory).cache(_measure)(x, y, method, discrete_target, random_state)
    tell(result)
    return result


def _measure(x, y, method, discrete_target, random_state):
    start = time.perf_counter()
    pair = make_pair(x, y, discrete_target)
    if method != "auto":
        measured = {"copula": GaussianCopulaMI, "ksg": KSG}[method]()._measure(pair)
        return make_result(method, pair, measured, start)
    copula = GaussianCopulaMI()._measure(pair)
    if sum(pair.n_columns) > MANY_COLUMNS:
        return make_result("copula", pair, copula, start)
    ksg_pair = replace(pair, warnings=list(pair.warnings))
    ksg = KSG()._measure(ksg_pair)
    more = replace(ksg, local=ksg.local - copula.local).std_error
    if ksg.value > copula.value + CLEAR * more:
        return make_result(
            "ksg", ksg_pair, ksg, start, alternatives={"copula": copula.value},
            description="Nearest neighbours found clearly more than the copula: the dependence is "
            "not only monotone. " + ksg.description,
        )  # fmt: skip
    return make_result(
        "copula", pair, copula, start, alternatives={"ksg": ksg.value},
        description="Nearest neighbours found no more than the copula. " + copula.description,
    )  # fmt: skip
