"""A container of every kind of block goes through scikit-learn's tools."""

import io

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_omib import ModalityDict, OMIBClassifier
from sklearn_omib.baselines import BaselineClassifier, Concat
from sklearn_omib.methods import OMIB
from sklearn_omib.preprocessing import ModalityConcatenator, ModalityTransformer


def quick(**parameters):
    return OMIBClassifier(
        max_epochs=3, warmup_epochs=1, hidden_dim=16, latent_dim=8, random_state=0, **parameters
    )


def uses_train_test_split(X, y):
    train, test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    assert isinstance(train, ModalityDict) and len(test) == 30
    return quick().fit(train, y_train).score(test, y_test)


def uses_cross_val_score(X, y):
    return cross_val_score(quick(), X, y, cv=2, error_score="raise")


def uses_cross_validate(X, y):
    scoring = ["accuracy", "roc_auc", "neg_log_loss"]
    scores = cross_validate(quick(), X, y, cv=2, scoring=scoring, error_score="raise")
    return scores["test_roc_auc"]


def uses_search(search, **options):
    def use(X, y):
        fitted = search(quick(), {"beta_scale": [0.3, 3]}, cv=2, error_score="raise", **options)
        fitted.fit(X, y)
        assert set(fitted.best_params_) == {"beta_scale"}
        return fitted.predict_proba(X)

    return use


def uses_learning_curve(X, y):
    return learning_curve(quick(), X, y, cv=2, train_sizes=[0.5, 1.0], error_score="raise")[2]


def uses_calibration(X, y):
    return CalibratedClassifierCV(quick(), cv=2).fit(X, y).predict_proba(X)


def uses_stacking(X, y):
    baseline = make_pipeline(ModalityConcatenator(), LogisticRegression(max_iter=500))
    stack = StackingClassifier(
        [("omib", quick()), ("concat", baseline)],
        make_pipeline(StandardScaler(), LogisticRegression()),
        cv=2,
        passthrough=True,
    ).fit(X, y)
    assert stack.transform(X).shape == (len(X), 2 + X.shape[1])
    return stack.predict_proba(X)


def uses_voting(X, y):
    return VotingClassifier([("a", quick()), ("b", quick(beta=0.0))], voting="soft").fit(
        X, y
    ).predict_proba(X)  # fmt: skip


def uses_bagging(X, y):
    bagging = BaggingClassifier(quick(modalities=X.layout), n_estimators=2, random_state=0)
    bagging.fit(X, y)
    assert bagging.estimators_[0].modalities_ == X.sample_shapes
    return bagging.predict_proba(X)


def uses_ada_boost(X, y):
    base = quick(modalities=X.layout).set_params(max_epochs=20, learning_rate=5e-3)
    boosting = AdaBoostClassifier(base, n_estimators=2, random_state=0)
    return boosting.fit(X, y).predict_proba(X)


def uses_permutation_importance(X, y):
    fitted = quick().fit(X, y)
    result = permutation_importance(fitted, X, y, n_repeats=1, random_state=0)
    assert result.importances_mean.shape == (X.shape[1],)
    return result.importances_mean


def uses_pipeline(X, y):
    pipeline = make_pipeline(
        ModalityTransformer({"frame": PCA(2), "words": StandardScaler(with_mean=False)}), quick()
    ).fit(X, y)
    assert pipeline[-1].modalities_["frame"] == (2,)
    return pipeline.predict_proba(X)


def uses_clone(X, y):
    fitted = quick().fit(X, y)
    again = clone(fitted)
    assert not hasattr(again, "net_")
    np.testing.assert_array_equal(again.fit(X, y).predict_proba(X), fitted.predict_proba(X))
    return again.predict_proba(X)


def uses_joblib(X, y):
    fitted, buffer = quick().fit(X, y), io.BytesIO()
    joblib.dump((fitted, X), buffer)
    buffer.seek(0)
    loaded, X_loaded = joblib.load(buffer)
    np.testing.assert_array_equal(loaded.predict_proba(X_loaded), fitted.predict_proba(X))
    return loaded.predict_proba(X)


def uses_one_vs_rest(X, y):
    return OneVsRestClassifier(quick()).fit(X, y).predict_proba(X)


@pytest.mark.parametrize(
    "use",
    [
        uses_train_test_split,
        uses_cross_val_score,
        uses_cross_validate,
        pytest.param(uses_search(GridSearchCV), id="GridSearchCV"),
        pytest.param(uses_search(RandomizedSearchCV, n_iter=2), id="RandomizedSearchCV"),
        pytest.param(uses_search(HalvingGridSearchCV, random_state=0), id="HalvingGridSearchCV"),
        uses_learning_curve,
        uses_calibration,
        uses_stacking,
        uses_voting,
        uses_bagging,
        uses_ada_boost,
        uses_permutation_importance,
        uses_pipeline,
        uses_clone,
        uses_joblib,
        uses_one_vs_rest,
    ],
)
def test_container_works_in(use, mixed):
    X, y, _ = mixed
    result = np.asarray(use(X, y))
    assert np.isfinite(result).all()


def test_a_plain_dict_fails_in_grid_search_with_the_documented_message(tables):
    X, y, _ = tables
    search = GridSearchCV(quick(), {"beta_scale": [1]}, cv=2)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[2, 120\]"):
        search.fit(X, y)
    search.fit(ModalityDict(X), y)


def test_groups_and_weights_are_routed(tables):
    import sklearn

    X, y, _ = tables
    groups = np.arange(120) // 4
    with sklearn.config_context(enable_metadata_routing=True):
        model = quick().set_fit_request(groups=True, sample_weight=True)
        model.set_score_request(sample_weight=True)
        scores = cross_val_score(
            model, ModalityDict(X), y, cv=2, params={"groups": groups, "sample_weight": y + 1.0},
            error_score="raise",
        )  # fmt: skip
    assert len(scores) == 2
    with pytest.raises(ValueError, match="groups has one group only"):  # it does arrive
        quick().fit(X, y, groups=np.zeros(120))


# -- same seed, same numbers ----------------------------------------------------------------------
def grid_scores(X, y, **options):
    order = options.pop("order", [0.3, 1, 3])
    with joblib.parallel_config(options.pop("backend", "loky")):
        search = GridSearchCV(
            quick(dropout=0.3), {"beta_scale": order}, cv=2, scoring="neg_log_loss", refit=False,
            **options,
        ).fit(X, y)  # fmt: skip
    scores = dict(
        zip(search.cv_results_["param_beta_scale"], search.cv_results_["mean_test_score"],
            strict=True)
    )  # fmt: skip
    return [scores[beta_scale] for beta_scale in (0.3, 1, 3)]


@pytest.mark.parametrize(
    "options",
    [
        {"n_jobs": 2, "backend": "loky"},
        {"n_jobs": 2, "backend": "threading"},
        {"n_jobs": 1, "order": [3, 0.3, 1]},
    ],
    ids=["loky", "threading", "order"],
)
def test_results_do_not_depend_on_how_a_search_is_run(mixed, options):
    X, y, _ = mixed
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # the workers of loky have one: the fit must not care
    try:
        expected = grid_scores(X, y, n_jobs=1)
        assert grid_scores(X, y, **options) == expected
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_same_seed_same_predictions_whatever_torch_drew_before(mixed):
    X, y, _ = mixed
    first = quick().fit(X, y).predict_proba(X)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    np.testing.assert_array_equal(quick().fit(X, y).predict_proba(X), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not np.array_equal(quick().set_params(random_state=1).fit(X, y).predict_proba(X), first)


# -- child classes --------------------------------------------------------------------------------
def test_a_fit_forgets_what_fits_have_set_and_nothing_else(tables):
    class Child(BaselineClassifier):
        def fit(self, X, y):
            self.n_seen_ = len(y)
            return super().fit(X, y)

    X, y, _ = tables
    child = Child(OMIB(), n_members=1, max_epochs=1, random_state=0).fit(X, y)
    assert child.n_seen_ == 120 and hasattr(child, "beta_bounds_")
    child.note_ = "of the caller"
    child.set_params(method=Concat()).fit({"a": X["a"][:60]}, y[:60])
    assert child.n_seen_ == 60 and child.note_ == "of the caller"
    assert not hasattr(child, "beta_bounds_")
