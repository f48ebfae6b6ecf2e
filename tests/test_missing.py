"""Modalities that samples lack, and values that modalities lack."""

import copy
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sklearn_omib import (
    ModalityDict,
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
)
from sklearn_omib.baselines import BaselineClassifier
from sklearn_omib.data import lazy
from sklearn_omib.data.missing import complete_rows, missing_rows
from sklearn_omib.data.scaling import BlockScaler
from sklearn_omib.datasets import make_multimodal_classification
from sklearn_omib.inspection import modality_ablation
from sklearn_omib.methods import CMIB, DMIB, MISA, BiGated, Concat, DeepIB, MMIBCui, MMIBZhang
from sklearn_omib.nn import OMIBNetwork, OMIBObjective
from sklearn_omib.nn.encoders import PRESENT
from sklearn_omib.nn.fusion import FUSIONS, make_fusion
from sklearn_omib.nn.losses import CategoricalTask

FAST = {"max_epochs": 3, "warmup_epochs": 2, "hidden_dim": 16, "latent_dim": 8, "n_heads": 2,
        "n_jobs": 1, "random_state": 0}  # fmt: skip
PLAIN = {name: value for name, value in FAST.items() if name not in ("warmup_epochs", "n_heads")}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    h = rng.normal(size=120)
    X = {
        "audio": np.c_[h + 0.5 * rng.normal(size=120), rng.normal(size=(120, 3))],
        "video": np.c_[h + 0.5 * rng.normal(size=120), rng.normal(size=(120, 2))],
        "text": rng.normal(size=(120, 2)),
    }
    return X, (h > 0).astype(int)


@pytest.fixture(scope="module")
def holey(data):
    """A third of the rows of each modality gone, and a few values."""
    X, y = data
    rng = np.random.default_rng(1)
    X = {name: block.copy() for name, block in X.items()}
    for block in X.values():
        block[rng.uniform(size=len(block)) < 0.33] = np.nan
        block[rng.uniform(size=block.shape) < 0.05] = np.nan
    return X, y


# -- networks -------------------------------------------------------------------------------------
def network(**options):
    shapes = {"a": (4,), "b": (3,), "c": (2,)}
    torch.manual_seed(0)
    return OMIBNetwork(
        shapes, dict.fromkeys(shapes, "mlp"), frozenset(), 3, hidden_dim=8, latent_dim=8,
        n_layers=2, dropout=0.0, n_heads=2, **options,
    )  # fmt: skip


def batch(n=10, seed=0):
    torch.manual_seed(seed)
    return {"a": torch.randn(n, 4), "b": torch.randn(n, 3), "c": torch.randn(n, 2)}


@pytest.mark.parametrize("stack", [None, 2])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_stands_in_the_place_of_a_missing_modality_does_not_matter(fusion, stack):
    net = network(fusion=fusion, stack=stack).eval()
    inputs = batch()
    present = torch.ones(10, 3)
    present[:5, 1] = 0
    present[2, 0] = 0
    other = {**inputs, "b": torch.where(present[:, 1:2] > 0, inputs["b"], 7.0)}
    outputs = []
    for one in (inputs, other):
        one = {**one, PRESENT: present}
        if stack:
            one = {name: block.expand(stack, *block.shape) for name, block in one.items()}
        outputs.append(net(one))
    for field in ("prediction", "mu", "sigma", "xi"):
        torch.testing.assert_close(getattr(outputs[0], field), getattr(outputs[1], field))
    mu, sigma = (getattr(outputs[0], field)[..., :5, 1, :] for field in ("mu", "sigma"))
    assert (mu == 0).all() and (sigma == 1).all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_mask_of_ones_changes_nothing(fusion):
    net, inputs = network(fusion=fusion).eval(), batch()
    with_mask = net({**inputs, PRESENT: torch.ones(10, 3)})
    torch.testing.assert_close(with_mask.prediction, net(inputs).prediction)


@pytest.mark.parametrize("fusion", ["cross_attention", "unnormed_attention"])
def test_no_attention_is_paid_to_what_is_missing(fusion):
    net = network(fusion=fusion).eval()
    present = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    attention = net({**batch(3), PRESENT: present}).attention
    assert (attention[0, ..., 1] == 0).all() and (attention[1] > 0).all()
    torch.testing.assert_close(attention.sum(-1), torch.ones(3, 2, 3))
    assert attention.isfinite().all()


def test_the_mean_is_that_of_the_modalities_present():
    fusion = make_fusion("mean", 3, 4, 1, 0.0)
    zeta, present = torch.randn(2, 3, 4), torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    xi = fusion(zeta * present.unsqueeze(-1), present).xi
    torch.testing.assert_close(xi[0], zeta[0, :2].mean(0))
    torch.testing.assert_close(xi[1], zeta[1].mean(0))


def test_branch_kl_and_divergence_are_those_of_the_samples_that_have_the_modality():
    net = network().eval()
    objective = OMIBObjective(CategoricalTask(), 3, 0.1, "symmetric")
    y, weight = torch.arange(10) % 3, torch.ones(10)
    present = torch.ones(10, 3)
    present[6:, 1] = 0
    inputs = batch()
    terms = objective(net({**inputs, PRESENT: present}), y, weight)
    complete = net({name: block[:6] for name, block in inputs.items()})
    of_six = objective(complete, y[:6], weight[:6])
    for term in ("branch_loss", "kl"):
        torch.testing.assert_close(terms[term][1], of_six[term][1])
    # branches read xi, which lacks the modality in no sample of the first six
    torch.testing.assert_close(terms["divergence"][1], of_six["divergence"][1])


def test_weights_of_a_sample_are_scaled_to_the_mean_of_all():
    net = network().eval()
    objective = OMIBObjective(CategoricalTask(), 3, 1.0, "symmetric")
    objective.weights = torch.tensor([0.5, 0.5, 2.0])
    present = torch.ones(10, 3)
    present[:, 2] = 0
    output = net({**batch(), PRESENT: present})
    y, weight = torch.arange(10) % 3, torch.ones(10)
    with_kl = objective(output, y, weight)
    objective.beta = torch.tensor(0.0)
    without = objective(output, y, weight)
    # both present weigh .5, the mean of all is 1
    torch.testing.assert_close(with_kl.loss - without.loss, with_kl["kl"][:2].sum())


def test_a_batch_without_a_modality_leaves_its_average():
    net = network()
    objective = OMIBObjective(CategoricalTask(), 3, 0.1, "symmetric")
    y, weight = torch.arange(10) % 3, torch.ones(10)
    first = {**batch(), PRESENT: torch.ones(10, 3)}
    output = net(first)
    objective.update(output, y, weight, objective(output, y, weight))
    before = objective.divergence.clone()
    present = torch.ones(10, 3)
    present[:, 0] = 0
    output = net({**batch(seed=1), PRESENT: present})
    objective.update(output, y, weight, objective(output, y, weight))
    assert objective.divergence[0] == before[0]
    assert (objective.divergence[1:] != before[1:]).all()


@pytest.mark.parametrize("method", [Concat, CMIB, DMIB, DeepIB, BiGated, MISA, MMIBCui, MMIBZhang])
def test_losses_of_other_methods_do_not_read_what_is_missing(method, data, holey):
    X, y = holey
    clf = BaselineClassifier(method(), n_members=1, **PLAIN).fit(X, y)
    assert np.isfinite(clf.history_.train_loss).all()
    module, objective = clf.net_.module_.train(), copy.deepcopy(clf.net_.criterion_)
    present = torch.tensor(~np.isnan(np.stack([X[m][:, 0] for m in X], 1))).float()
    losses = []
    for filler in (0.0, 3.0):
        inputs = {
            m: torch.where(present[:, i : i + 1] > 0, torch.tensor(data[0][m]).float(), filler)
            for i, m in enumerate(X)
        }
        wide = clf._scaler.sample_shapes(clf.modalities_)  # with what tells of single values
        inputs = {
            m: torch.nn.functional.pad(v, (0, wide[m][0] - v.shape[1])) for m, v in inputs.items()
        }
        inputs = {m: v.unsqueeze(0) for m, v in {**inputs, PRESENT: present}.items()}
        module.eval()
        output = module(inputs)
        labels, weight = torch.tensor(y).unsqueeze(0), torch.ones(1, len(y))
        losses.append(objective(output, labels, weight).loss)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-5)


# -- data -----------------------------------------------------------------------------------------
def test_rows_of_nan_are_missing_in_every_form():
    dense = np.array([[1.0, np.nan], [np.nan, np.nan], [0.0, 0.0]])
    assert missing_rows(dense).tolist() == [False, True, False]
    stored = sparse.csr_matrix(([np.nan, 1.0, np.nan], ([0, 1, 1], [1, 0, 1])), shape=(3, 2))
    assert missing_rows(stored).tolist() == [True, False, False]
    assert missing_rows(np.full((2, 3, 4), np.nan)).all()
    assert not missing_rows(np.arange(4).reshape(2, 2)).any()


def test_scale_is_that_of_the_values_present_and_what_is_missing_is_the_mean():
    rng = np.random.default_rng(0)
    full = rng.normal(3, 2, size=(50, 2))
    block = full.copy()
    block[:20] = np.nan
    block[20, 0] = np.nan
    scaler = BlockScaler(True, told_names={"a"}).fit({"a": block})
    np.testing.assert_allclose(scaler.scalers_["a"].mean_, np.nanmean(block, 0))
    scaled = scaler.transform({"a": block})
    assert scaled["a"].shape == (50, 3) and scaler.sample_shapes({"a": (2,)}) == {"a": (3,)}
    assert scaled[PRESENT].ravel().tolist() == [0.0] * 20 + [1.0] * 30
    assert (scaled["a"][:20] == 0).all() and scaled["a"][20, 0] == 0
    assert scaled["a"][:, 2].nonzero()[0].tolist() == [20]  # which value was missing
    complete = scaler.transform({"a": full})
    assert PRESENT not in complete and (complete["a"][:, 2] == 0).all()
    unscaled = BlockScaler(False).fit({"a": block}).transform({"a": block})["a"]
    assert unscaled[20, 0] == pytest.approx(np.nanmean(block[:, 0]))


def test_a_column_without_any_value_tells_nothing():
    block = np.random.default_rng(0).normal(size=(30, 2))
    block[:, 1] = np.nan
    scaled = BlockScaler(True).fit({"a": block}).transform({"a": block})["a"]
    assert np.isfinite(scaled).all() and (scaled[:, 1] == 0).all()
    with pytest.raises(ValueError, match="'a' is missing in every row to train on; leave it out"):
        BlockScaler(True).fit({"a": np.full((4, 2), np.nan)})


def test_the_bound_is_that_of_complete_samples(holey):
    X, _ = holey
    complete = complete_rows(ModalityDict(X))
    rows = ~np.any([missing_rows(block) for block in X.values()], axis=0)
    assert len(complete) == rows.sum() and np.isfinite(np.asarray(complete)).all()
    few = ModalityDict({name: block[~rows] for name, block in X.items()})
    with pytest.warns(UserWarning, match=r"Only 0 of \d+ samples have all modalities"):
        assert len(complete_rows(few)) == len(few)


def forms(X):
    rows = np.isnan(X["video"]).all(1)
    listed = {
        **X,
        "video": [None if gone else row for gone, row in zip(rows, X["video"], strict=True)],
    }
    yield "list", listed
    yield "masked", {name: np.ma.masked_invalid(block) for name, block in X.items()}
    frames = {name: pd.DataFrame(block).astype("Float64") for name, block in X.items()}
    assert frames["video"].isna().to_numpy().any()
    yield "nullable", frames
    objects = {name: block.astype(object) for name, block in X.items()}
    objects["video"][rows] = pd.NA
    yield "objects", objects
    yield "object frames", {name: pd.DataFrame(block) for name, block in objects.items()}
    yield "container", ModalityDict(X)


def test_missing_values_come_in_any_form(holey):
    X, y = holey
    clf = OMIBClassifier(**FAST).fit(X, y)
    wanted = clf.predict_proba(X)
    for name, form in forms(X):
        np.testing.assert_array_equal(clf.predict_proba(form), wanted, err_msg=name)
        np.testing.assert_array_equal(
            OMIBClassifier(**FAST).fit(form, y).predict_proba(X), wanted, err_msg=name
        )


# -- estimators -----------------------------------------------------------------------------------
@pytest.mark.parametrize("n_members", [1, 2])
def test_a_modality_left_out_is_one_of_nan(data, n_members):
    X, y = data
    clf = OMIBClassifier(n_members=n_members, **FAST).fit(X, y)
    gone = {**X, "video": np.full_like(X["video"], np.nan)}
    wanted = clf.predict_proba(gone)
    assert not np.allclose(wanted, clf.predict_proba(X))
    for form in ({**X, "video": None}, {name: X[name] for name in ("text", "audio")}):
        np.testing.assert_array_equal(clf.predict_proba(form), wanted)
        assert clf.transform(form).shape == (120, 8)
    table = np.hstack([gone[name] for name in X])
    np.testing.assert_array_equal(clf.predict_proba(table), wanted)


@pytest.mark.parametrize("n_members", [1, 2])
def test_how_a_sample_is_predicted_does_not_depend_on_what_others_lack(data, holey, n_members):
    X, y = holey
    clf = OMIBClassifier(n_members=n_members, **FAST).fit(X, y)
    together = clf.predict_proba(X)
    whole = {name: np.where(np.isnan(X["audio"][:, :1]), data[0][name], X[name]) for name in X}
    rows = np.flatnonzero(~np.isnan(X["audio"][:, 0]))
    np.testing.assert_allclose(clf.predict_proba(whole)[rows], together[rows], atol=1e-6)
    alone = clf.predict_proba({name: block[3:4] for name, block in X.items()})
    np.testing.assert_allclose(alone[0], together[3], atol=1e-6)


def test_every_kind_of_estimator_fits_and_predicts(holey):
    X, y = holey
    score = OMIBRegressor(**FAST).fit(X, y + 0.1 * np.arange(120)).predict(X)
    assert np.isfinite(score).all()
    detector = OMIBAnomalyDetector(**FAST).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()
    by_modality = detector.score_samples_by_modality(X)
    for name, block in X.items():
        gone = np.isnan(block).all(1)
        np.testing.assert_array_equal(by_modality[name].isna(), gone)
        assert by_modality[name].mean() == pytest.approx(0, abs=1e-3)
    for method in ("independent", "path"):
        search = OMIBClassifierCV(betas=2, cv=2, method=method, **FAST).fit(ModalityDict(X), y)
        assert np.isfinite(search.scores_).all()
        assert np.isfinite(search.predict_proba({"audio": X["audio"]})).all()
    chunks = OMIBClassifier(**FAST)
    for rows in (slice(0, 60), slice(60, 120)):
        chunk = {name: block[rows] for name, block in X.items()}
        chunks.partial_fit(chunk, y[rows], classes=[0, 1])
    assert np.isfinite(chunks.predict_proba(X)).all()


def test_streams_predict_and_fit_as_arrays_do(holey, tmp_path, monkeypatch):
    X, y = holey
    in_memory = OMIBClassifier(early_stopping=False, **FAST).fit(X, y)
    maps = {}
    for name, block in X.items():
        maps[name] = np.memmap(tmp_path / name, np.float32, "w+", shape=block.shape)
        maps[name][:] = block
    monkeypatch.setattr(lazy, "MEMORY_BUDGET", 0)
    np.testing.assert_allclose(in_memory.predict_proba(maps), in_memory.predict_proba(X), atol=1e-5)
    streamed = OMIBClassifier(early_stopping=False, **FAST).fit(maps, y)
    assert np.isfinite(streamed.history_.train_loss).all()
    assert np.isfinite(streamed.predict_proba(maps)).all()
    with pytest.raises(ValueError, match="'audio' contains NaN, and missing_values is 'error'"):
        OMIBClassifier(missing_values="error", **FAST).fit(maps, y)


def test_a_modality_left_out_of_a_stream_takes_no_memory(tmp_path, monkeypatch):
    rng, n_samples, width = np.random.default_rng(0), 4000, 1000
    X = {"a": rng.normal(size=(60, 3)), "wide": rng.normal(size=(60, width))}
    clf = OMIBClassifier(n_members=1, **FAST).fit(X, np.arange(60) % 2)
    many = {"a": np.memmap(tmp_path / "a", np.float32, "w+", shape=(n_samples, 3))}
    many["a"][:] = rng.normal(size=(n_samples, 3))
    whole = clf.predict_proba(many)
    monkeypatch.setattr(lazy, "MEMORY_BUDGET", 0)
    monkeypatch.setattr(lazy, "BUFFER_BYTES", 2**19)
    monkeypatch.setattr(lazy, "CHUNK_BYTES", 2**17)
    tracemalloc.start()
    found = clf.predict_proba(ModalityDict(many)[::-1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(found, whole[::-1], atol=1e-6)
    assert peak < n_samples * width  # a quarter of what its float32 would take


def test_sparse_and_foreign_encoders_meet_missing_rows(data):
    X, y = data
    rng = np.random.default_rng(0)
    words = sparse.random(120, 120, 0.05, "csr", random_state=0)
    words = sparse.csr_matrix(words + 1e-3 * sparse.eye(120, 120))
    gone = rng.uniform(size=120) < 0.3
    lil = words.tolil()
    for row in np.flatnonzero(gone):
        lil.rows[row], lil.data[row] = [0], [np.nan]
    X = {"audio": X["audio"].copy(), "words": lil.tocsr()}
    X["audio"][5, 1] = np.nan  # one value: a foreign encoder has the width it was made for
    encoders = {"audio": torch.nn.Linear(4, 6), "words": "sparse"}
    clf = OMIBClassifier(encoders=encoders, **FAST).fit(X, y)
    assert np.isfinite(clf.predict_proba(X)).all()
    full = clf.predict_proba({"audio": X["audio"], "words": words})
    np.testing.assert_allclose(clf.predict_proba(X)[~gone], full[~gone], atol=1e-6)
    bare = clf.predict_proba({"audio": X["audio"]})
    np.testing.assert_allclose(clf.predict_proba(X)[gone], bare[gone], atol=1e-6)


def test_error_is_raised_where_nothing_may_be_missing(holey, data):
    X, y = holey
    with pytest.raises(ValueError, match=r"Modality 'audio'.*contains NaN"):
        OMIBClassifier(missing_values="error", **FAST).fit(X, y)
    clf = OMIBClassifier(missing_values="error", **FAST).fit(*data)
    with pytest.raises(ValueError, match=r"missing \['video', 'text'\]"):
        clf.predict({"audio": X["audio"]})
    for bad in (np.inf, -np.inf):
        infinite = {**data[0], "audio": np.full((120, 4), bad)}
        with pytest.raises(ValueError, match=r"'audio'.*infinity"):
            OMIBClassifier(**FAST).fit(infinite, y)
    clf = OMIBClassifier(**FAST).fit(*data)
    with pytest.raises(ValueError, match="none of the modalities"):
        clf.predict({"audio": None, "video": None})
    with pytest.raises(ValueError, match="'text' is missing in every row"):
        OMIBClassifier(**FAST).fit({**data[0], "text": np.full((120, 2), np.nan)}, y)


def test_masking_shows_what_the_estimator_makes_of_a_subset(data):
    X, y = data
    clf = OMIBClassifier(**FAST | {"max_epochs": 15}).fit(X, y)
    table = modality_ablation(clf, X, y, method="mask", cv=3)
    folds = table.filter(like="split").columns
    alone = clf.score({"audio": X["audio"]}, y)
    assert table.loc["audio", folds].mean() == pytest.approx(alone, abs=1e-9)
    with pytest.raises(ValueError, match="method='permute' needs none"):
        strict = OMIBClassifier(missing_values="error", **FAST).fit(X, y)
        modality_ablation(strict, X, y, method="mask")


def test_a_model_learns_from_samples_that_lack_modalities():
    data = make_multimodal_classification(
        800, n_modalities=3, n_features=10, missing=0.5, random_state=0
    )
    X, y = ModalityDict(data.X), data.y
    complete = ~np.any([missing_rows(block) for block in X.values()], axis=0)
    assert complete[:500].sum() < 120
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        rows = np.flatnonzero(complete[:500])
        few = OMIBClassifier(n_members=1, max_epochs=30, random_state=0).fit(X[rows], y[rows])
        many = OMIBClassifier(n_members=1, max_epochs=30, random_state=0).fit(X[:500], y[:500])
    assert many.score(X[500:], y[500:]) > few.score(X[500:], y[500:])
