"""Errors name the parameter, modality and column, what came, and a remedy that works."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import OneHotEncoder

from sklearn_omib import (
    ModalityDict,
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
)
from sklearn_omib.inspection import information_plane
from sklearn_omib.plotting import TrainingCurveDisplay
from sklearn_omib.preprocessing import ModalityTransformer

N = 40
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(N, 3)), RNG.normal(size=(N, 2))
X, Y = {"a": A, "b": B}, np.arange(N) % 2
FAST = {
    "max_epochs": 1, "warmup_epochs": 1, "hidden_dim": 8, "latent_dim": 4, "n_members": 1,
    "random_state": 0,
}  # fmt: skip
TEXTS = ["good", "bad film"] * (N // 2)


def fit(kind=OMIBClassifier, X=X, y=Y, parameters=None, **fit_params):
    return kind(**{**FAST, **(parameters or {})}).fit(X, y, **fit_params)


@pytest.mark.parametrize(
    "groups, message",
    [
        (np.zeros((N, 2)), r"groups must be 1-D.*got shape \(40, 2\).*ngroup"),
        ({"a": 1}, "groups must be an array with an entry for each of the 40 samples, got .'a': 1"),
        ("site", "groups must be an array .* got 'site' of type str"),
        (3, "groups must be an array .* got 3 of type int"),
        (np.arange(N - 1), r"inconsistent numbers of samples: \[40, 39\], those of X and groups"),
        ([None] * N, "groups is missing for sample 0 and 39 more"),
        (np.array([1, "a"] * (N // 2), dtype=object), "groups mixes|number|str"),
    ],
)
@pytest.mark.parametrize("kind", [OMIBClassifier, OMIBClassifierCV])
def test_groups(kind, groups, message):
    with pytest.raises(ValueError, match=message):
        fit(kind, groups=groups)


def test_the_advice_on_groups_of_several_columns_works():
    groups = np.column_stack([np.arange(N) % 4, np.arange(N) % 3])
    columns = (0, 1)
    fit(groups=pd.DataFrame(groups).groupby(list(columns)).ngroup())


@pytest.mark.parametrize(
    "kind, y, message",
    [
        (OMIBClassifier, np.array([1, "a"] * (N // 2), dtype=object), "y mixes .*'number', 'str'"),
        (OMIBClassifier, [[1], [1, 2]] * (N // 2), r"y is ragged: its entries have \[1, 2\]"),
        (OMIBClassifier, {"a": 1}, "y must be an array with an entry for each"),
        (OMIBClassifier, 1, "y must be an array .* got 1 of type int"),
        (OMIBClassifier, np.zeros((N, 2, 2)), "y must have one dimension or two"),
        (OMIBClassifier, Y[1:], r"\[40, 39\], those of X and y"),
        (OMIBRegressor, np.where(Y, "u", "v"), "y of a regressor .* got v .* for sample 0"),
        (OMIBRegressor, np.array([1.0, "u"] * (N // 2), object), "got u .* for sample 1"),
        (OMIBRegressor, Y + 1j, "y holds complex numbers"),
        (OMIBRegressor, pd.date_range("2020", periods=N), "datetime64.*subtracting one"),
    ],
)
def test_targets(kind, y, message):
    with pytest.raises(ValueError, match=message):
        fit(kind, y=y)


def test_the_advice_on_targets_works():
    fit(y=[str(value) for value in np.array([1, "a"] * (N // 2), dtype=object)])
    dates = pd.date_range("2020", periods=N)
    fit(OMIBRegressor, y=(dates - dates[0]).days.to_numpy())


@pytest.mark.parametrize(
    "weight, message",
    [
        ("balanced", "got 'balanced' of type str.* class_weight"),
        ({0: 1}, "got .0: 1. of type dict.* class_weight"),
        (["a"] * N, "sample_weight must hold numbers, one for each sample, got 'a'"),
        (np.ones(N) * 1j, "sample_weight holds complex numbers"),
        (np.full(N, 1e308), "sample_weight is too large to add up"),
        (np.ones(N + 1), r"\[40, 41\], those of X and sample_weight"),
    ],
)
@pytest.mark.parametrize("kind", [OMIBClassifier, OMIBAnomalyDetector, OMIBClassifierCV])
def test_weights(kind, weight, message):
    with pytest.raises(ValueError, match=message):
        fit(kind, sample_weight=weight)


FRAME = pd.DataFrame({"kind": ["x", "y"] * (N // 2), "size": 1.0 * np.arange(N)})


@pytest.mark.parametrize(
    "block, message",
    [
        (np.zeros((N, 0, 3)), r"Found array with 0 feature\(s\) \(shape=\(40, 0, 3\)\)"),
        (FRAME.to_numpy(), r"Column 0 holds 'x', which is not numeric"),
        ([1.0, [2.0]] * (N // 2), "is ragged: its samples have the shapes"),
    ],
)
def test_blocks(block, message):
    with pytest.raises((ValueError, TypeError), match=f"Modality 'words'.*{message}"):
        fit(X={"words": block, "b": B})
    if not isinstance(block, np.ndarray) or block.ndim == 2:
        table = block if isinstance(block, np.ndarray) else [[1, 2], [1]]
        with pytest.raises((ValueError, TypeError), match=r"Column|ragged"):
            fit(X=table)


def test_the_advice_on_blocks_works():
    fit(X={"words": TfidfVectorizer().fit_transform(TEXTS), "b": B})
    fit(X={"words": pd.DataFrame(FRAME.to_numpy()), "b": B})
    encoding = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    fit(X=ModalityTransformer({"words": encoding}).fit_transform({"words": FRAME, "b": B}))
    vectors = [A[:, 0], A[:, 1]]
    with pytest.raises(
        ValueError, match=r"list of 2 vectors.*\[vector.reshape\(-1, 1\) for vector"
    ):
        fit(X=vectors)
    fit(X=[vector.reshape(-1, 1) for vector in vectors])


@pytest.mark.parametrize("form", ["coo", "dia", "bsr", "lil", "dok", "csc"])
def test_sparse_matrices_of_every_form_are_read_wherever_they_come(form):
    table = sparse.csr_matrix(A * (A > 0))
    given = table.asformat(form)
    for model, of_fit in (
        (OMIBClassifier(**FAST), table),
        (OMIBClassifier({"a": [0], "b": [1, 2]}, **FAST), table),
        (OMIBClassifier(**FAST), {"a": table[:, :2], "b": table[:, 2:]}),
    ):
        model.fit(of_fit, Y)
        np.testing.assert_array_equal(model.predict_proba(given), model.predict_proba(of_fit))
    assert ModalityDict({"a": given})[[1, 2]].shape == (2, 3)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_jobs": True}, "'n_jobs' parameter of OMIBClassifier must not be a boolean, got True"),
        ({"hidden_dim": True}, "'hidden_dim' .* must not be a boolean"),
        ({"n_heads": True}, "'n_heads' .* must not be a boolean"),
        ({"hidden_dim": 10**9}, r"hidden_dim=1000000000, .* of .* GiB .* this machine has"),
        ({"latent_dim": 10**9}, "latent_dim=1000000000, .* this machine has"),
        ({"n_threads": 10**9}, r"'n_threads' parameter .* \[1, 1024\]"),
        ({"n_layers": 10**6}, r"'n_layers' parameter .* \[1, 1000\]"),
        ({"validation_fraction": 1 - 1e-9}, "validation_fraction=0.9.* leaves none to train on"),
        ({"class_weight": {0: "heavy"}}, "class_weight must hold numbers, got 'heavy' for 0"),
    ],
)
def test_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        fit(parameters=parameters)


@pytest.mark.parametrize(
    "cv, message",
    [([], r"cv=\[\] does not give a fold"), ([([], [1])], "does not give rows for both parts")],
)
def test_folds(cv, message):
    with pytest.raises(ValueError, match=message):
        fit(OMIBClassifierCV, parameters={"cv": cv})


def test_information_plane_says_what_it_needs():
    with pytest.raises(TypeError, match="a detector of anomalies has not; got OMIBAnomalyDetector"):
        information_plane(OMIBAnomalyDetector(**FAST), X, Y)
    with pytest.raises(
        ValueError, match=r"test_size=0.3 of 40 samples leaves 6 rows of its largest"
    ):
        information_plane(OMIBClassifier(**FAST), X, Y)
    information_plane(OMIBClassifier(**FAST), X, Y, test_size=0.6, epochs=[1])
    with pytest.raises(ValueError, match="y has a class of one sample"):
        information_plane(OMIBClassifier(**FAST), X, np.r_[2, Y[1:]])


def test_names_of_modalities_are_drawn_as_they_are():
    pytest.importorskip("matplotlib").use("agg")
    names = ["$x^$", "_hidden", "a$b"]
    clf = fit(X={name: A[:, i : i + 1] for i, name in enumerate(names)})
    display = TrainingCurveDisplay.from_estimator(clf)
    display.figure_.canvas.draw()  # an unfinished formula would fail here
    shown = [text.get_text() for text in display.axes_[1].get_legend().get_texts()]
    assert [re.sub(r"^ |\\", "", text) for text in shown] == names
