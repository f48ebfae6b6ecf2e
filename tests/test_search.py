"""OMIBClassifierCV and OMIBRegressorCV: the numbers of separate fits, and what is made of them."""

import copy
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, StratifiedKFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_omib import (
    ModalityDict,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
    OMIBRegressorCV,
)
from sklearn_omib.data import lazy
from sklearn_omib.training.plan import resolve_encoders

FAST = {"max_epochs": 5, "warmup_epochs": 2, "hidden_dim": 16, "latent_dim": 8, "n_heads": 2,
        "random_state": 0}  # fmt: skip
BETAS = [1e-3, 0.02, 0.1]
PAIRS = {OMIBClassifierCV: OMIBClassifier, OMIBRegressorCV: OMIBRegressor}


class Centred(torch.nn.Module):
    """An encoder no stacking knows: batch normalisation, dropout and a tied weight."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)
        self.first, self.again = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
        self.again.weight = self.first.weight
        self.dropout = torch.nn.Dropout(0.3)

    def forward(self, x):
        return self.dropout(self.again(torch.tanh(self.first(self.norm(x)))))


@pytest.fixture(scope="module")
def kinds():
    """Every kind of block, 121 samples: folds and batches of unequal size."""
    rng = np.random.default_rng(0)
    n = 121
    h = rng.normal(size=(n, 3))
    X = ModalityDict({
        "table": h + 0.5 * rng.normal(size=(n, 3)),
        "own": h + 0.5 * rng.normal(size=(n, 3)),
        "words": sparse.random(n, 120, 0.05, "csr", random_state=0),
        "series": rng.normal(size=(n, 6, 2)),
        "image": rng.normal(size=(n, 1, 5, 5)),
    })  # fmt: skip
    score = h[:, 0] + 0.2 * rng.normal(size=n)
    return X, score


def grid(search, X, y, **fit_params):
    """The same search by scikit-learn's own means."""
    shared = search.get_params(deep=False)
    names = PAIRS[type(search)]().get_params()
    estimator = PAIRS[type(search)](**{k: v for k, v in shared.items() if k in names})
    estimator.set_params(n_members=1)  # as in the folds of the search
    other = GridSearchCV(estimator, {"beta": list(search.betas)}, cv=search.cv)
    return other.fit(X, y, **fit_params)


def assert_same(search, other, X):
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"], atol=1e-4
    )
    assert search.beta_ == other.best_params_["beta"]
    alone, stacked = other.best_estimator_, search.estimators_[0]
    assert stacked.n_iter_ == alone.n_iter_
    columns = [c for c in alone.history_ if c not in ("phase", "seconds")]
    np.testing.assert_allclose(
        stacked.history_[columns].to_numpy(float), alone.history_[columns].to_numpy(float),
        rtol=1e-3, atol=1e-4,
    )  # fmt: skip
    np.testing.assert_allclose(search.transform(X), alone.transform(X), atol=1e-3)
    assert stacked.modality_weights_ == pytest.approx(alone.modality_weights_, abs=1e-3)


# -- the numbers of separate fits -----------------------------------------------------------------
@pytest.mark.parametrize("search_class", PAIRS)
@pytest.mark.parametrize("fusion, weighting", [("cross_attention", "reference"),
                                               ("concat", "symmetric")])  # fmt: skip
def test_scores_are_those_of_a_grid_search(kinds, search_class, fusion, weighting):
    X, score = kinds
    y = score if search_class is OMIBRegressorCV else (score > 0).astype(int)
    search = search_class(
        betas=BETAS, cv=3, fusion=fusion, weighting=weighting, batch_size=32, **FAST
    ).fit(X.select(["table", "own"]), y)
    assert_same(search, grid(search, X.select(["table", "own"]), y), X.select(["table", "own"]))


def test_every_kind_of_encoder_stacks(kinds):
    X, score = kinds
    search = OMIBClassifierCV(
        betas=BETAS[:2], cv=3, encoders={"own": Centred(), "series": "gru"}, batch_size=32, **FAST
    ).fit(X, score > 0)
    assert_same(search, grid(search, X, score > 0), X)


def test_folds_take_the_encoders_of_all_rows():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(240, 40))
    wide[:80] = wide[:80, :1]  # without the first fold, the columns share little
    X = ModalityDict({"wide": wide, "b": rng.normal(size=(240, 3))})
    y = (X["b"][:, 0] > 0).astype(int)
    search = OMIBClassifierCV(betas=BETAS[:2], cv=KFold(3), **FAST).fit(X, y)
    settings = {**FAST, "n_members": 1}
    fits = [OMIBClassifier(**settings).fit(X[rows], y[rows]) for rows, _ in KFold(3).split(y)]
    assert len({type(fit.net_.module_.encoders[0]) for fit in fits}) == 2
    chosen = resolve_encoders("auto", X, hidden_dim=16, n_layers=2, narrow="mlp")
    assert_same(search, grid(search.set_params(encoders=chosen), X, y), X)


def test_networks_stop_on_their_own(kinds):
    X, score = kinds
    X = X.select(["table", "own"])
    settings = FAST | {"max_epochs": 40, "n_iter_no_change": 2, "learning_rate": 0.01}
    search = OMIBClassifierCV(betas=[1e-4, 0.1, 3.0], cv=3, refit=False, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # beta=3 is above the bound
        search.fit(X, score > 0)
        other = grid(search, X, score > 0)
        alone = [
            OMIBClassifier(n_members=1, beta=search.beta_, **settings).fit(X[rows], score[rows] > 0)
            for rows, _ in StratifiedKFold(3).split(X, score > 0)
        ]
    np.testing.assert_allclose(search.scores_.mean(1), other.cv_results_["mean_test_score"])
    epochs = [estimator.n_iter_ for estimator in alone]
    assert [estimator.n_iter_ for estimator in search.estimators_] == epochs
    assert len(set(epochs)) > 1 and max(epochs) < 40
    np.testing.assert_allclose(
        search.predict_proba(X), np.mean([one.predict_proba(X) for one in alone], 0), atol=1e-3
    )


def test_weights_groups_and_multilabel_targets(kinds):
    X, score = kinds
    X = X.select(["table", "own"])
    Y = np.c_[score > 0, X["own"][:, 1] > 0].astype(int)
    groups, weight = np.arange(len(X)) // 4, np.arange(len(X)) % 3 + 0.5
    search = OMIBClassifierCV(betas=BETAS[:2], cv=GroupKFold(3), **FAST)
    search.fit(X, Y, sample_weight=weight, groups=groups)
    rows = next(GroupKFold(3).split(X, Y, groups))
    alone = OMIBClassifier(n_members=1, beta=BETAS[0], **FAST).fit(
        X[rows[0]], Y[rows[0]], sample_weight=weight[rows[0]], groups=groups[rows[0]]
    )
    assert search.scores_[0, 0] == pytest.approx(alone.score(X[rows[1]], Y[rows[1]]), abs=1e-6)
    assert search.predict(X).shape == Y.shape


def test_data_larger_than_memory(kinds, tmp_path, monkeypatch):
    X, score = kinds
    table = np.memmap(tmp_path / "table", np.float32, "w+", shape=X["table"].shape)
    table[:] = X["table"]
    table.flush()
    X = ModalityDict({"table": table, "own": X["own"]})
    monkeypatch.setattr(lazy, "MEMORY_BUDGET", 0)
    search = OMIBRegressorCV(betas=BETAS, cv=3, batch_size=32, **FAST).fit(X, score)
    assert_same(search, grid(search, X, score), X)


def test_bfloat16_stacks_too(kinds):
    X, score = kinds
    search = OMIBClassifierCV(betas=BETAS[:2], cv=3, precision="bfloat16", **FAST)
    search.fit(X, score > 0)
    other = grid(search, X, score > 0)
    mean = search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(mean, other.cv_results_["mean_test_score"], atol=0.03)


# -- the path -------------------------------------------------------------------------------------
# an epoch of so few rows has one step: as many epochs as there are to be steps
MORE = 15
PATH = {**FAST, "max_epochs": 30, "learning_rate": 5e-3, "method": "path"}


@pytest.mark.parametrize("search_class", PAIRS)
def test_the_path_begins_with_the_fit_at_the_smallest_beta(kinds, search_class):
    X, score = kinds
    X = X.select(["table", "own"])
    y = score if search_class is OMIBRegressorCV else (score > 0).astype(int)
    betas = [0.1, 1e-3, 0.02]  # in any order
    path = search_class(betas=betas, cv=3, **PATH).fit(X, y)
    apart = search_class(betas=betas, cv=3, **PATH | {"method": "independent"}).fit(X, y)
    np.testing.assert_allclose(path.scores_[1], apart.scores_[1], atol=1e-3)
    assert path.cv_results_["param_beta"].tolist() == betas == path.betas_.tolist()


def test_more_beta_keeps_less_along_the_path(kinds):
    X, score = kinds
    X = X.select(["table", "own"])
    search = OMIBClassifierCV(betas=[1e-3, 0.03, 1.0], cv=3, **PATH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        search.fit(X, score > 0)
    kl = search.path_.groupby("beta").kl.mean()
    assert kl.is_monotonic_decreasing and kl.iloc[-1] < 0.5 * kl.iloc[0]
    assert list(search.path_.columns) == ["beta", "fold", "score", "kl", "task_loss"]
    by_fold = search.path_.pivot(index="beta", columns="fold", values="score").to_numpy()
    np.testing.assert_array_equal(by_fold, search.scores_)


@pytest.mark.parametrize("search_class", PAIRS)
def test_with_the_best_beta_the_folds_networks_go_on_to_all_rows(kinds, search_class):
    X, score = kinds
    X = X.select(["table", "own"])
    y = score if search_class is OMIBRegressorCV else (score > 0).astype(int)
    weight = np.r_[np.zeros(7), np.ones(len(y) - 7)]  # rows of weight 0 are nowhere
    search = search_class(betas=BETAS, cv=3, **PATH)
    folds = copy.deepcopy(search.set_params(refit=False).fit(X, y, weight).estimators_)
    search.set_params(refit=True).fit(X, y, weight)
    assert len(search.estimators_) == len(folds) == 3 and search.predict(X).shape == y.shape
    for one, fold in zip(search.estimators_, folds, strict=True):
        assert one.n_iter_ == fold.n_iter_ + MORE
        assert one.beta_ == one.beta == search.beta_
        assert one.net_.criterion_.beta[0].item() == pytest.approx(search.beta_)
        before = fold.history_.drop(columns="seconds")
        after = one.history_.drop(columns="seconds")[: len(before)]
        pd.testing.assert_frame_equal(after, before)
        for scale in ("mean_", "scale_"):  # the fold's
            for name, scaler in one._scaler.scalers_.items():
                own = getattr(fold._scaler.scalers_[name], scale)
                np.testing.assert_array_equal(getattr(scaler, scale), own)


def test_rows_to_stop_by_stay_out_of_the_last_epochs(kinds, monkeypatch):
    X, score = kinds
    X, y = X.select(["table", "own"]), score.argsort().argsort() / 2
    seen = []
    families = OMIBRegressor._families

    def spying(self, checked, plan, *chunk):
        y = checked[1][:, 0] * self._task.scale + self._task.location
        target = np.rint(2 * y).astype(int)
        seen.append([{*target[rows]} for rows in plan.splits[0]])
        return families(self, checked, plan, *chunk)

    monkeypatch.setattr(OMIBRegressor, "_families", spying)
    OMIBRegressorCV(betas=BETAS, cv=3, **PATH).fit(X, y)
    assert len(seen) == 6
    for (_, stop), (train, also) in zip(seen[:3], seen[3:], strict=True):
        assert stop == also and not stop & train and stop | train == {*range(len(y))}


def test_a_network_of_the_path_has_all_the_epochs_that_led_to_it(kinds, monkeypatch):
    X, score = kinds
    seen, rate = [], OMIBClassifierCV._rate
    X = X.select(["table", "own"])
    search = OMIBClassifierCV(betas=[1.0, 0.01], cv=3, refit=False, **PATH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        begun = search.set_params(betas=[0.01]).fit(X, score > 0).estimators_
        search.set_params(betas=[1.0, 0.01])
        monkeypatch.setattr(
            type(search),
            "_rate",
            lambda self, fits, *rest: (seen.extend(fits), rate(self, fits, *rest)),
        )
        search.fit(X, score > 0)
    for (last, first), alone in zip(seen, begun, strict=True):
        assert last.n_iter_ == first.n_iter_ + MORE == alone.n_iter_ + MORE
        assert last.history_.epoch.tolist() == list(range(1, len(first.history_) + MORE + 1))
        rows = last.history_.drop(columns="seconds")[: len(first.history_)]
        pd.testing.assert_frame_equal(rows, first.history_.drop(columns="seconds"))


def test_folds_that_diverge_leave_the_path(kinds):
    X, score = kinds
    X = X.select(["table", "own"])
    search = OMIBRegressorCV(betas=[0.01, 1e39, 1e38], cv=2, **PATH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.warns(FitFailedWarning, match="4 fits failed.*Training diverged"):
            search.fit(X, score)
    assert np.isnan(search.scores_[1:]).all() and search.beta_ == 0.01 and len(search.path_) == 2


# -- what is made of them -------------------------------------------------------------------------
def test_grid_lies_on_the_bound(kinds):
    X, score = kinds
    search = OMIBRegressorCV(betas=4, cv=2, **FAST).fit(X.select(["table", "own"]), score)
    assert search.betas_[-1] == pytest.approx(search.beta_bounds_.upper)
    ratios = search.betas_[1:] / search.betas_[:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    one = OMIBRegressorCV(betas=1, cv=2, **FAST).fit(X.select(["table", "own"]), score)
    assert one.betas_.tolist() == [one.beta_bounds_.upper]


def test_the_last_fit_is_that_of_the_estimator(kinds):
    X, score = kinds
    X = X.select(["table", "own"])
    search = OMIBClassifierCV(betas=BETAS[:2], cv=2, n_members=3, **FAST).fit(X, score > 0)
    assert [one.n_members_ for one in search.estimators_] == [3]
    one = OMIBClassifier(beta=search.beta_, n_members=3, **FAST).fit(X, score > 0)
    np.testing.assert_array_equal(search.predict_proba(X), one.predict_proba(X))


def test_networks_of_the_folds_are_averaged(kinds):
    X, score = kinds
    X = X.select(["table", "own"])
    options = {"betas": BETAS[:2], "cv": 3, "refit": False, **FAST}
    search = OMIBClassifierCV(**options).fit(X, score > 0)
    assert len(search.estimators_) == 3
    each = [member.predict_proba(X) for member in search.estimators_]
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(search.predict_proba(X), np.mean(each, 0))
    np.testing.assert_allclose(search.predict_log_proba(X), np.log(np.mean(each, 0)))
    assert search.transform(X).shape == (len(X), 3 * FAST["latent_dim"])
    assert len(search.get_feature_names_out()) == 3 * FAST["latent_dim"]
    reg = OMIBRegressorCV(**options).fit(X, score)
    mean, std = reg.predict(X, return_std=True)
    singles = [member.predict(X, return_std=True) for member in reg.estimators_]
    np.testing.assert_allclose(mean, np.mean([m for m, _ in singles], 0))
    second_moment = np.mean([m**2 + s**2 for m, s in singles], 0)
    np.testing.assert_allclose(std, np.sqrt(second_moment - mean**2), rtol=1e-6)


def test_a_fold_without_a_class(kinds):
    X, score = kinds
    X = X.select(["table", "own"])
    y = (score > 0).astype(int)
    y[0] = 2  # in one fold's test part only
    search = OMIBClassifierCV(betas=BETAS[:2], cv=2, refit=False, **FAST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        search.fit(X, y)
    assert search.predict_proba(X).shape == (len(X), 3)


def test_one_table_cut_into_modalities(kinds):
    _, score = kinds
    table = np.random.default_rng(0).normal(size=(len(score), 6)) + score[:, None]
    search = OMIBRegressorCV({"a": slice(0, 2), "b": slice(2, 6)}, betas=2, cv=2, **FAST)
    prediction = search.fit(table, score).predict(table)
    blocks = clone(search).set_params(modalities=None)
    blocks.fit({"a": table[:, :2], "b": table[:, 2:]}, score)
    np.testing.assert_allclose(
        prediction, blocks.predict({"a": table[:, :2], "b": table[:, 2:]}), atol=1e-5
    )


def test_fits_that_diverge_score_nan(kinds):
    X, score = kinds
    X = X.select(["table", "own"])
    search = OMIBRegressorCV(betas=[0.01, 1e39], cv=2, **FAST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.warns(FitFailedWarning, match="2 fits failed.*Training diverged"):
            search.fit(X, score)
        assert np.isnan(search.scores_[1]).all() and search.beta_ == 0.01
        with pytest.raises(ValueError, match=r"Every fit failed\. Training diverged"):
            search.set_params(betas=[1e39]).fit(X, score)
    assert search.betas_.tolist() == [0.01, 1e39]  # the search before is left whole


FAILING = KFold(3)  # whose first fold trains on all but the first third


@pytest.mark.parametrize("search_class, y, scoring", [
    (OMIBClassifierCV, np.r_[np.zeros(40), np.ones(41), np.zeros(40)], None),  # all is well
    (OMIBClassifierCV, np.r_[np.arange(41) % 2, np.ones(80)], None),  # a fold of one class
    (OMIBClassifierCV, np.r_[np.arange(80) % 2, np.full(41, 2)], "neg_log_loss"),  # of a class less
    (OMIBClassifierCV, sparse.csr_matrix(np.arange(363).reshape(-1, 3) % 2), None),
    (OMIBRegressorCV, np.r_[np.arange(41.0), np.ones(80)], None),  # a fold's target is constant
    (OMIBRegressorCV, np.c_[np.arange(121.0), np.r_[np.arange(41.0), np.ones(80)]], None),
    (OMIBRegressorCV, np.ones(121), None),
])  # fmt: skip
def test_folds_score_as_in_a_grid_search_also_where_they_fail(kinds, search_class, y, scoring):
    X = kinds[0].select(["table", "own"])
    search = search_class(betas=BETAS[:2], cv=FAILING, scoring=scoring, **FAST)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        estimator = PAIRS[search_class](n_members=1, **FAST)
        other = GridSearchCV(estimator, {"beta": BETAS[:2]}, cv=FAILING, scoring=scoring).fit(X, y)
        expected = np.transpose([other.cv_results_[f"split{i}_test_score"] for i in range(3)])
    kinds_given = {one.category for one in given if "ail" in str(one.message)}
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        if np.isnan(expected).any(1).all():
            with pytest.raises(ValueError, match="No beta has a score in every fold"):
                search.fit(X, y)
            assert not hasattr(search, "beta_")
        else:
            np.testing.assert_allclose(search.fit(X, y).scores_, expected, atol=1e-3)
    assert {one.category for one in given if "ail" in str(one.message)} == kinds_given


def test_scores_that_are_all_nan_choose_nothing(kinds):
    X, score = kinds
    search = OMIBRegressorCV(betas=2, cv=2, scoring=lambda *_: np.nan, **FAST)
    with pytest.raises(ValueError, match=r"none can be chosen; of 2 folds, \[0, 1\] have no"):
        search.fit(X.select(["table"]), score)


@pytest.mark.parametrize("search_class", PAIRS)
def test_a_search_over_constant_inputs_predicts_the_prior(kinds, search_class):
    y = (kinds[1] > 0.5).astype(int)
    X = ModalityDict({"a": np.ones((len(y), 2))})
    with pytest.warns(UserWarning, match="All modalities are constant"):
        search = search_class(betas=2, cv=2, **FAST).fit(X, y)
    if search_class is OMIBClassifierCV:
        np.testing.assert_allclose(search.predict_proba(X)[:, 1], y.mean(), atol=1e-6)
    else:
        np.testing.assert_allclose(search.predict(X), y.mean(), atol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"betas": [-1.0]}, "betas must be a number of values or a list of values >= 0"),
        ({"betas": []}, "betas must be a number of values"),
        ({"betas": 0}, "'betas' parameter of OMIBClassifierCV must be"),
        ({"n_members": 0}, "'n_members' parameter"),
        ({"scoring": "accurate"}, "'scoring' parameter"),
        ({"method": "up"}, "'method' parameter"),
        ({"cv": 1}, "'cv' parameter"),
        ({"n_heads": 3}, "n_heads must divide latent_dim"),
    ],
)
def test_bad_parameters(kinds, options, message):
    X, score = kinds
    with pytest.raises(ValueError, match=message):
        OMIBClassifierCV(**{**FAST, **options}).fit(X.select(["table"]), score > 0)


@pytest.mark.parametrize("search_class", PAIRS)
def test_shared_parameters_have_the_defaults_of_the_estimator(search_class):
    given, theirs = search_class().get_params(), PAIRS[search_class]().get_params()
    of_fits_alone = {"beta", "beta_scale", "checkpoint_dir", "checkpoint_every", "warm_start"}
    assert theirs.keys() - given.keys() == of_fits_alone
    assert all(given[name] == theirs[name] for name in given.keys() & theirs.keys())
    assert all(name in search_class.__doc__ for name in given)


def test_progress_counts_networks(kinds, capsys):
    X, score = kinds
    OMIBRegressorCV(betas=2, cv=2, verbose=1, **FAST).fit(X.select(["table"]), score)
    shown = capsys.readouterr().err  # two folds of other sizes, and two parts of the last fit
    ended = re.findall(r"main: 100%[^\r\n]*\n", shown)  # a slow bar is drawn again before its end
    assert "networks=2" in shown and len(ended) == 4


def test_a_search_that_fails_leaves_the_older_one_whole(kinds):
    X, score = kinds
    X = X.select(["table", "own"])
    search = OMIBRegressorCV(betas=2, cv=2, **FAST).fit(X, score)
    before = dict(vars(search))
    with pytest.raises(ValueError, match="Input y contains NaN"):
        search.fit(X, np.full(len(X), np.nan))
    assert vars(search) == before


@parametrize_with_checks([
    search(betas=2, cv=3, max_epochs=30, random_state=0) for search in PAIRS
], expected_failed_checks=lambda _: dict.fromkeys((
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
), "folds and batches fall otherwise, see test_common"))  # fmt: skip
def test_common_checks(estimator, check):
    check(estimator)
