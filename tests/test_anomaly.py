"""OMIBAnomalyDetector: what it finds, and the outlier contract."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV

from sklearn_omib import ModalityDict, OMIBAnomalyDetector
from sklearn_omib.nn import OneClassTask, dynamic_weights
from sklearn_omib.nn.one_class import _dense
from sklearn_omib.training.net import PREDICTION

FAST = {"hidden_dim": 32, "latent_dim": 16, "embedding_dim": 16, "random_state": 0}


def normal_data(rng, n_samples, n_shared=3):
    """Two modalities that share some directions, without any anomaly."""
    shared = rng.normal(size=(n_samples, n_shared))
    loadings = np.random.default_rng(1)
    return ModalityDict({
        name: shared @ loadings.normal(size=(n_shared, width)) + rng.normal(size=(n_samples, width))
        for name, width in {"a": 8, "b": 6}.items()
    })  # fmt: skip


def shifted(X, name, by):
    return ModalityDict({**X, name: X[name] + by})


@pytest.fixture(scope="module")
def fitted():
    return OMIBAnomalyDetector(**FAST).fit(normal_data(np.random.default_rng(2), 600))


# -- what it finds --------------------------------------------------------------------------------
def embedding_variance(X, **parameters):
    """Total variance of the fused embedding; that of the data, per modality, is 1 per column."""
    detector = OMIBAnomalyDetector(**FAST, **parameters).fit(X)
    return detector._outputs(X, PREDICTION)[0][0].var(0).sum()


def test_embedding_does_not_collapse(rng):
    """On Gaussian data it keeps a variance of .02 and more; by distance alone a tenth at most."""
    X = ModalityDict({name: rng.normal(size=(300, 6)) for name in "ab"})
    kept = embedding_variance(X)
    assert kept > 0.02
    assert embedding_variance(X, reconstruction=0) < kept / 10


@pytest.mark.parametrize("name", ["a", "b"])
def test_shift_of_one_modality_is_found_and_attributed(fitted, rng, name):
    X = normal_data(rng, 400)
    anomalous = np.arange(400) < 100
    mixed = {
        key: np.where(anomalous[:, None] & (key == name), block + 3.0, block)
        for key, block in X.items()
    }
    assert roc_auc_score(anomalous, -fitted.score_samples(mixed)) > 0.95
    by_modality = fitted.score_samples_by_modality(mixed)[anomalous]
    assert (by_modality.idxmin(axis=1) == name).mean() > 0.9


def test_scores_by_modality_are_standardised_on_training_rows(rng):
    X = normal_data(rng, 300)
    scores = OMIBAnomalyDetector(**FAST).fit(X).score_samples_by_modality(X)
    assert list(scores.columns) == ["a", "b"]
    np.testing.assert_allclose(scores.mean(), 0, atol=1e-3)
    np.testing.assert_allclose(scores.std(ddof=0), 1, rtol=1e-3)


def test_known_anomalies_help_with_others_of_their_kind(rng):
    """A weak shift along one direction, hidden among eight, found better with thirty examples."""
    direction = np.zeros(8)
    direction[:2] = 1.5
    X, new = normal_data(rng, 600), normal_data(rng, 600)
    labelled, y = np.arange(600) < 30, np.repeat([-1, 1], [300, 300])
    X = shifted(X, "a", labelled[:, None] * direction)
    new = shifted(new, "a", (y < 0)[:, None] * direction)
    marks = np.where(labelled, -1, 1)
    scores = {
        eta: OMIBAnomalyDetector(**FAST, eta=eta, reconstruction=1.0).fit(X, marks).score(new, y)
        for eta in (0, 5.0)
    }
    assert scores[5.0] > scores[0] + 0.02


def test_eta_zero_leaves_known_anomalies_out(rng):
    X = normal_data(rng, 200)
    y = np.where(np.arange(200) < 20, -1, 1)
    detector = OMIBAnomalyDetector(**FAST, eta=0)
    with_labels = detector.fit(shifted(X, "a", (y < 0)[:, None] * 50.0), y).score_samples(X)
    np.testing.assert_array_equal(with_labels, detector.fit(X[20:]).score_samples(X))


# -- the outlier contract -------------------------------------------------------------------------
@pytest.mark.parametrize("contamination", [0.05, 0.3])
def test_contamination_is_the_share_of_training_rows_flagged(rng, contamination):
    X = normal_data(rng, 400)
    detector = OMIBAnomalyDetector(**FAST, contamination=contamination)
    assert (detector.fit_predict(X) == -1).mean() == pytest.approx(contamination, abs=1 / 400)


def test_signs_and_offset(fitted, rng):
    X = normal_data(rng, 300)
    decision = fitted.decision_function(X)
    np.testing.assert_allclose(decision, fitted.score_samples(X) - fitted.offset_)
    np.testing.assert_array_equal(fitted.predict(X), np.where(decision < 0, -1, 1))
    far = fitted.score_samples(shifted(X, "a", 20.0))
    assert (far < fitted.score_samples(X)).all()
    assert (fitted.predict(shifted(X, "a", 20.0)) == -1).all()


def test_training_scores_average_minus_one(rng):
    X = normal_data(rng, 300)
    assert OMIBAnomalyDetector(**FAST).fit(X).score_samples(X).mean() == pytest.approx(-1, rel=1e-4)


@pytest.mark.parametrize("nu", [0.1, 0.4])
def test_soft_boundary_leaves_nu_outside(rng, nu):
    """nu bounds the share of new normal rows outside, up to overfitting and sampling error."""
    detector = OMIBAnomalyDetector(**FAST, nu=nu)
    X = normal_data(rng, 1000)
    assert (detector.fit_predict(X) == -1).mean() == pytest.approx(nu, abs=0.002)
    assert (detector.predict(normal_data(rng, 1000)) == -1).mean() == pytest.approx(nu, abs=0.12)


def test_grid_search_maximises_the_area_under_the_curve(rng):
    X, y = normal_data(rng, 240), np.where(np.arange(240) % 4, 1, -1)
    X = shifted(X, "b", (y < 0)[:, None] * 3.0)
    search = GridSearchCV(
        OMIBAnomalyDetector(**FAST, eta=0, max_epochs=5), {"beta_scale": [0.1, 1]}, cv=2
    )
    search.fit(X, y)
    assert search.best_score_ > 0.9
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()


def test_score_is_undefined_without_both_kinds(fitted, rng):
    X = normal_data(rng, 20)
    for y in (np.ones(20), -np.ones(20), np.arange(20) % 2):
        with pytest.warns(UndefinedMetricWarning, match=r"marks \d+ of 20 samples"):
            assert np.isnan(fitted.score(X, y))


def test_pickle_keeps_the_scores(fitted, rng):
    X = normal_data(rng, 50)
    restored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(restored.score_samples(X), fitted.score_samples(X))


def test_warm_start_keeps_the_centre_and_takes_new_settings(rng):
    X = normal_data(rng, 200)
    detector = OMIBAnomalyDetector(**FAST, warm_start=True).fit(X)
    centre = detector.net_.module_.centre.clone()
    detector.set_params(nu=0.2).fit(X)
    assert torch.equal(detector.net_.module_.centre, centre)
    assert detector.net_.criterion_.objective.task.nu == 0.2
    with pytest.raises(ValueError, match="embedding_dim"):
        detector.set_params(embedding_dim=4).fit(X)


def test_blocks_of_any_kind(rng):
    """Images, sequences and sparse rows are reconstructed too, and sparse ones as if dense."""
    X = {
        "table": rng.normal(size=(60, 4)),
        "sequence": rng.normal(size=(60, 5, 3)),
        "image": rng.normal(size=(60, 1, 6, 6)),
        "sparse": sparse.random(60, 120, 0.05, "csr", random_state=0),
    }
    detector = OMIBAnomalyDetector(**FAST, max_epochs=2).fit(X)
    assert detector.score_samples_by_modality(X).shape == (60, 4)
    (part,) = detector._parts(ModalityDict(X))
    v = part.take(slice(None))[0]["sparse"]
    scaled = X["sparse"].toarray() / detector._scaler.scalers_["sparse"]
    np.testing.assert_allclose(_dense(v, torch.empty(60, 1, 120))[:, 0], scaled, rtol=1e-5)


def test_transform_names_its_columns(fitted, rng):
    detector = pickle.loads(pickle.dumps(fitted)).set_output(transform="pandas")
    frame = detector.transform(normal_data(rng, 10))
    assert isinstance(frame, pd.DataFrame) and frame.shape == (10, FAST["latent_dim"])
    assert frame.columns[0] == "omibanomalydetector0"


# -- parts ----------------------------------------------------------------------------------------
def test_no_bias_on_the_path_to_the_embedding(fitted):
    module = fitted.net_.module_
    network = module.network
    for part in (network.head, network.branches, network.fusion.project):
        assert not [name for name, _ in part.named_parameters() if name.endswith("bias")]
    assert (module.centre != 0).all()


def test_centre_is_the_mean_moved_away_from_zero(fitted):
    module = pickle.loads(pickle.dumps(fitted)).net_.module_
    means = torch.tensor([0.0, 1.0, -2.0])[:, None]
    embeddings = means + torch.randn(1, 500, 3, FAST["embedding_dim"])
    module.set_centre(embeddings, torch.ones(1, 500, 1))
    torch.testing.assert_close(module.centre[:, 1:], embeddings.mean(1)[:, 1:])
    assert (module.centre[:, 0].abs() >= 0.99 * 0.1 * embeddings.std(1)[:, 0].mean()).all()


def test_weighted_rows_move_the_centre(fitted):
    module = pickle.loads(pickle.dumps(fitted)).net_.module_
    embeddings = torch.cat([torch.ones(1, 5, 3, 16), 3 * torch.ones(1, 5, 3, 16)], 1)
    module.set_centre(embeddings, torch.tensor([[1.0] * 5 + [0.0] * 5]).unsqueeze(-1))
    torch.testing.assert_close(module.centre, torch.ones(1, 3, 16))


def test_reconstruction_is_the_same_whatever_the_size_of_the_decoder(fitted, rng):
    """The gauge that keeps the embedding from shrinking: decoders cannot magnify."""
    X = normal_data(rng, 20)
    scaled = pickle.loads(pickle.dumps(fitted))
    for decoder in scaled.net_.module_.decoders:
        decoder.map.weight.data *= 7
    np.testing.assert_allclose(scaled.score_samples(X), fitted.score_samples(X), rtol=1e-5)


def test_task_pulls_normal_samples_and_pushes_anomalies():
    deviation = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = OneClassTask(eta=0.5)(deviation, torch.tensor([1.0, -1.0]))
    loss.sum().backward()
    torch.testing.assert_close(loss.detach(), torch.tensor([1.0, 0.5]), rtol=1e-4, atol=0)
    torch.testing.assert_close(deviation.grad[:, 0], torch.tensor([2.0, -1.0]), rtol=1e-4, atol=0)


def test_soft_boundary_has_no_gradient_inside():
    deviation = torch.arange(1.0, 11)[:, None].requires_grad_()
    OneClassTask(nu=0.2)(deviation, torch.ones(10)).sum().backward()
    assert (deviation.grad[:8] == 0).all() and (deviation.grad[8:] > 0).all()


def test_divergence_is_half_the_squared_displacement():
    branch, fused = torch.randn(2, 5, 3), torch.randn(1, 5, 3)
    apart = OneClassTask().divergence(branch, fused)
    torch.testing.assert_close(apart, 0.5 * torch.cdist(branch, fused).diagonal(0, 1, 2).square())


def test_weights_come_from_the_displacements(fitted):
    objective = fitted.net_.criterion_.objective
    objective.reweight()
    expected = dynamic_weights(objective.divergence, "reference")
    torch.testing.assert_close(objective.weights, expected)
    assert (objective.divergence > 0).all() and expected[0, 1] != 1


# -- bad input ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.repeat(["tumour", "normal"], 10), "Unknown label type.*-1 for anomalies"),
        (-np.ones(20), "marks every sample as an anomaly"),
        (np.ones(19), "inconsistent numbers of samples"),
    ],
)
def test_bad_labels(rng, y, message):
    with pytest.raises(ValueError, match=message):
        OMIBAnomalyDetector().fit(normal_data(rng, 20), y)


@pytest.mark.parametrize(
    "parameters", [{"contamination": 0.6}, {"contamination": 0}, {"nu": 1.5}, {"eta": -1}]
)
def test_bad_parameters(rng, parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of OMIBAnomalyDetector"):
        OMIBAnomalyDetector(**parameters).fit(normal_data(rng, 20))
