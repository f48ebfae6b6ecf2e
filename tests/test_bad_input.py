"""Bad input never trains silently: every message names what was wrong."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError

from sklearn_omib import OMIBAnomalyDetector, OMIBClassifier, OMIBRegressor
from sklearn_omib.baselines import BaselineAnomalyDetector, BaselineClassifier, BaselineRegressor
from sklearn_omib.information import estimate_beta_bounds

N = 40
Y = np.arange(N) % 2


def blocks(**changes):
    rng = np.random.default_rng(0)
    X = {"audio": rng.normal(size=(N, 3)), "video": rng.normal(size=(N, 4)), **changes}
    return {name: block for name, block in X.items() if block is not None}


def with_value(value):
    X = np.random.default_rng(1).normal(size=(N, 4)).astype(np.result_type(value, float))
    X[5, 2] = value
    return X


@pytest.mark.parametrize(
    "X, message",
    [
        (blocks(video=with_value(np.nan)), "Modality 'video': Input.* contains NaN"),
        (blocks(video=with_value(np.inf)), "Modality 'video': Input.* contains infinity"),
        (blocks(video=sparse.csr_array(with_value(np.nan))), "Modality 'video': .*NaN"),
        (blocks(video=np.zeros((N - 1, 4))), "got .audio.: 40, .video.: 39"),
        (blocks(video=np.full((N, 2), "loud")), "Modality .video.: .*arrays of bytes/strings"),
        (
            blocks(video=pd.DataFrame({"a": [["loud"]] * N})),
            "Modality 'video': Column 'a' holds objects of type list",
        ),
        (blocks(video=np.zeros((N, 0))), r"Modality 'video': Found array with 0 feature\(s\)"),
        (blocks(audio=np.zeros((0, 3)), video=np.zeros((0, 4))), "Modality 'audio': .*0 sample"),
        (blocks(video=with_value(1.0) * 1e300), "'video'.* too large to standardise"),
        (
            blocks(video=pd.DataFrame({"a": pd.interval_range(0, N)})),
            "Modality 'video': Column 'a' holds objects of type Interval",
        ),
        (blocks(video=with_value(1j)), "Modality 'video': Complex data not supported"),
        (blocks(video=np.arange(N)), "'video' must have at least two dimensions"),
        (blocks(video=with_value(1e300)), "Modality 'video' holds values too large for float32"),
        ({}, "At least one modality is required"),
        ([], "Expected 2D array|Reshape your data"),
    ],
)
@pytest.mark.parametrize("estimator", [OMIBClassifier, OMIBRegressor])
def test_modalities(estimator, X, message):
    standardize = "float32" not in message
    missing_values = "error" if "NaN" in message else "mask"
    with pytest.raises(ValueError, match=message):
        estimator(standardize=standardize, missing_values=missing_values).fit(X, Y)


@pytest.mark.parametrize(
    "estimator, y, message",
    [
        (OMIBClassifier, None, "requires y to be passed, but the target y is None"),
        (OMIBClassifier, np.zeros(N), "y has one class only"),
        (OMIBClassifier, np.zeros((N, 3)), "All labels of y are 0"),
        (OMIBClassifier, np.linspace(0, 1, N), "Unknown label type: continuous"),
        (OMIBClassifier, np.where(Y, np.nan, 1), "Input y contains NaN"),
        (OMIBClassifier, Y[:-1], "inconsistent numbers of samples"),
        (OMIBRegressor, None, "requires y to be passed, but the target y is None"),
        (OMIBRegressor, Y * 1e-200, "y is too small or too large to standardise"),
        (OMIBRegressor, np.where(Y, np.nan, 1), "Input y contains NaN"),
        (OMIBRegressor, np.where(Y, np.inf, 1), "Input y contains infinity"),
        (OMIBRegressor, np.where(Y, "a", "b"), "y of a regressor must hold real numbers, got b"),
    ],
)
def test_targets(estimator, y, message):
    with pytest.raises(ValueError, match=message):
        estimator().fit(blocks(), y)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"hidden_dim": -1}, "'hidden_dim' parameter.*int in the range \\[1, inf\\)"),
        ({"latent_dim": 0}, "'latent_dim' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"max_epochs": 0}, "'max_epochs' parameter"),
        ({"learning_rate": 0}, "'learning_rate' parameter"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"beta": -1.0}, "'beta' parameter"),
        ({"beta": "best"}, "'beta' parameter.*'auto'"),
        ({"weighting": "equal"}, "'weighting' parameter.*'reference'"),
        ({"fusion": "average"}, "'fusion' parameter.*'concat'"),
        ({"entropy_estimator": "knn"}, "'entropy_estimator' parameter"),
        ({"encoders": "cnn"}, "encoders='cnn' is unknown"),
        ({"encoders": {"text": "mlp"}}, r"unknown modalities \['text'\]"),
        ({"encoders": {"audio": "gru"}}, "Encoder 'gru' reads sequences"),
        ({"encoders": "gru"}, "encoders='gru' reads sequences.*but no modality is such a block"),
        (
            {"encoders": {"audio": torch.nn.Linear}},
            "factory of modality 'audio' failed on the shape",
        ),
        ({"latent_dim": 6, "n_heads": 4}, "n_heads must divide latent_dim, got n_heads=4 and"),
        ({"device": "tpu9"}, "device='tpu9' cannot be used"),
        ({"modalities": ["audio"]}, "'modalities' parameter"),
        ({"class_weight": "even"}, "'class_weight' parameter"),
    ],
)
def test_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        OMIBClassifier(**parameters).fit(blocks(), Y)


@pytest.fixture(scope="module")
def fitted():
    return OMIBClassifier(
        max_epochs=1, warmup_epochs=1, missing_values="error", random_state=0
    ).fit(blocks(), Y)


@pytest.mark.parametrize(
    "X, message",
    [
        (blocks(video=None), r"missing \['video'\]; expected \['audio', 'video'\]"),
        (blocks(smell=np.zeros((N, 1))), r"unknown \['smell'\]"),
        (blocks(video=None, Video=np.zeros((N, 4))), r"missing \['video'\], unknown \['Video'\]"),
        (blocks(video=np.zeros((N, 5))), r"Modality 'video' has samples of shape \(5,\).*\(4,\)"),
        (blocks(video=with_value(np.nan)), "Modality 'video': .*NaN"),
        (np.zeros((N, 6)), r"X has shape \(40, 6\).*their 7 columns side by side"),
    ],
)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform"])
def test_prediction(fitted, method, X, message):
    with pytest.raises(ValueError, match=message):
        getattr(fitted, method)(X)


def test_sample_weights():
    for weight, message in [
        (-np.ones(N), "Negative values"),
        (np.zeros(N), r"non-zero|fewer than two"),
    ]:
        with pytest.raises(ValueError, match=message):
            OMIBClassifier().fit(blocks(), Y, sample_weight=weight)
    with pytest.raises(ValueError, match=r"inconsistent|different number|expected"):
        OMIBClassifier().fit(blocks(), Y, sample_weight=np.ones(N - 1))


def test_partial_fit_wants_to_know_the_classes(fitted):
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        OMIBClassifier().partial_fit(blocks(), Y)
    with pytest.raises(ValueError, match=r"labels \[.*2.*\] not among classes"):
        OMIBClassifier(max_epochs=1).partial_fit(blocks(), Y + 1, classes=[0, 1])
    with pytest.raises(ValueError, match="needs all targets at once"):
        OMIBClassifier(class_weight="balanced").partial_fit(blocks(), Y, classes=[0, 1])


class Explodes(torch.nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.layer = torch.nn.Linear(shape[0], 4)

    def forward(self, v):
        return self.layer(v) / 0 if self.training else self.layer(v)


def test_divergence_is_an_error_not_a_nan():
    with pytest.raises(ValueError, match="Training diverged: the loss is nan in epoch 1"):
        OMIBClassifier(encoders={"audio": Explodes}).fit(blocks(), Y)


def test_a_constant_modality_is_warned_of():
    with pytest.warns(UserWarning, match=r"entropy of modality 'video'.*Is the modality constant"):
        OMIBClassifier(max_epochs=1, warmup_epochs=0).fit(blocks(video=np.zeros((N, 2))), Y)


# -- nothing to learn -----------------------------------------------------------------------------
QUICK = {"max_epochs": 3, "n_members": 2, "random_state": 0}
SCORE = blocks()["audio"][:, 0]


@pytest.mark.parametrize("constant", [0.1, -7.0, 3e8])
def test_a_constant_target_is_predicted_with_a_warning(constant):
    with pytest.warns(UserWarning, match=rf"y is constant\. Predictions are .*{constant}"):
        reg = OMIBRegressor(**QUICK).fit(blocks(), np.full(N, constant))
    mean, std = reg.predict(blocks(audio=5 * blocks()["audio"]), return_std=True)
    assert (mean == constant).all() and (std == 0).all()
    assert reg.score(blocks(), np.full(N, constant)) == 1


def test_a_constant_output_leaves_the_others_as_good_as_they_are():
    fit = {**QUICK, "max_epochs": 40, "learning_rate": 5e-3}
    alone = OMIBRegressor(**fit).fit(blocks(), np.c_[SCORE, -SCORE])
    with pytest.warns(UserWarning, match=r"y is constant in outputs \[1, 3\]"):
        reg = OMIBRegressor(**fit).fit(blocks(), np.c_[SCORE, np.ones(N), -SCORE, np.zeros(N)])
    mean, std = reg.predict(blocks(), return_std=True)
    assert (mean[:, [1, 3]] == [1, 0]).all() and (std[:, [1, 3]] == 0).all()
    assert (std[:, [0, 2]] > 0).all()
    errors = [np.abs(one - np.c_[SCORE, -SCORE]).mean()
              for one in (alone.predict(blocks()), mean[:, [0, 2]])]  # fmt: skip
    assert errors[1] < 1.5 * errors[0] < 0.5


def test_a_chunk_whose_target_is_constant_leaves_later_ones_to_tell():
    reg = OMIBRegressor(random_state=0, warmup_epochs=0, learning_rate=5e-3)
    with pytest.warns(UserWarning, match="y is constant"):
        reg.partial_fit(blocks(), np.full(N, 4.0))
    assert (reg.predict(blocks()) == 4).all()
    before = vars(reg._task).copy()
    for _ in range(60):
        reg.partial_fit(blocks(), 100 + 50 * SCORE)
    assert reg.score(blocks(), 100 + 50 * SCORE) > 0.8
    assert before["scale"] == 1  # arrays of an older model are left alone


NOTHING = {"audio": np.ones((N, 3)), "video": sparse.csr_array(np.full((N, 4), 2.0))}


@pytest.mark.parametrize("classifier", [OMIBClassifier, BaselineClassifier])
@pytest.mark.parametrize("y", [np.arange(N) % 5 // 3, np.c_[Y, Y + Y[::-1] > 2]])
def test_constant_inputs_predict_the_prior_of_classes(classifier, y):
    weight = np.arange(N) + 1.0
    with pytest.warns(UserWarning, match=r"All modalities are constant, \['audio', 'video'\]"):
        clf = classifier(**QUICK).fit(NOTHING, y, sample_weight=weight)
    prior = DummyClassifier().fit(np.zeros((N, 1)), y, weight).predict_proba(np.zeros((1, 1)))
    prior = [p[0, 1] if p.shape[1] > 1 else 0 for p in prior] if y.ndim > 1 else prior[0]
    proba = clf.predict_proba(blocks())  # whatever comes
    np.testing.assert_allclose(proba, np.tile(prior, (N, 1)), atol=1e-6)
    assert np.isfinite(clf.predict_log_proba(NOTHING)).all()
    assert np.isfinite(clf.transform(NOTHING)).all()


@pytest.mark.parametrize("regressor", [OMIBRegressor, BaselineRegressor])
@pytest.mark.parametrize("y", [SCORE, np.c_[SCORE, 100 * Y]])
def test_constant_inputs_predict_mean_and_deviation(regressor, y):
    with pytest.warns(UserWarning, match="All modalities are constant"):
        reg = regressor(**QUICK).fit(NOTHING, y)
    mean, std = reg.predict(blocks(), return_std=True)
    np.testing.assert_allclose(mean, np.broadcast_to(y.mean(0), mean.shape), atol=1e-5)
    np.testing.assert_allclose(std, np.broadcast_to(y.std(0), std.shape), rtol=1e-5)
    once_more = reg.partial_fit(blocks(), y)  # inputs that vary
    assert len(np.unique(once_more.predict(blocks()))) > 2


@pytest.mark.parametrize("detector", [OMIBAnomalyDetector, BaselineAnomalyDetector])
def test_constant_inputs_are_all_normal(detector):
    with pytest.warns(UserWarning, match="All modalities are constant"):
        assert (detector(**QUICK).fit_predict(NOTHING) == 1).all()


def test_inputs_that_differ_in_one_place_are_not_constant():
    one = np.zeros((N, 3))
    one[-1, 1] = 1
    for block in (one, sparse.csr_array(one)):
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "All modalities")
            OMIBClassifier(**QUICK).fit({"a": block}, Y)


def test_bounds_of_constant_data_are_those_of_the_weights():
    with pytest.warns(UserWarning, match="Is the modality constant"):
        bounds = estimate_beta_bounds(NOTHING)
    assert bounds.lower == bounds.upper == 1 / bounds.total_weight and bounds.joint_entropy == 0


def test_after_a_failed_fit_the_estimator_is_not_fitted():
    clf = OMIBClassifier(learning_rate=1e38, max_epochs=1, warmup_epochs=0, early_stopping=False)
    with pytest.raises(ValueError, match="Training diverged: weights are not finite"):
        clf.fit(blocks(), Y)
    with pytest.raises(NotFittedError):
        clf.predict(blocks())


def test_values_far_outside_are_an_error_not_a_nan(fitted):
    with pytest.raises(ValueError, match="prediction is not finite: X holds values far outside"):
        fitted.predict_proba(blocks(audio=1e36 * blocks()["audio"]))


@pytest.mark.parametrize("weight", [{0: -1, 1: 1}, {0: np.nan, 1: 1}, {0: 0, 1: 0}])
def test_class_weights(weight):
    with pytest.raises(ValueError, match=r"class_weight=.* must be finite, not negative and not"):
        OMIBClassifier(class_weight=weight).fit(blocks(), Y)


def test_groups():
    with pytest.raises(ValueError, match="groups has one group only"):
        OMIBClassifier().fit(blocks(), Y, groups=np.zeros(N))
    OMIBClassifier(max_epochs=1).fit(blocks(), Y, groups=np.arange(N) % 3)


def test_names_of_columns_are_compared_at_predict():
    frame = pd.DataFrame(blocks()["audio"], columns=["pitch", "energy", "tempo"])
    clf = OMIBClassifier(max_epochs=1).fit(blocks(audio=frame), Y)
    turned = frame[["tempo", "pitch", "energy"]]
    with pytest.raises(ValueError, match=r"'audio' differ .*got 'tempo' in the place of 'pitch'"):
        clf.predict(blocks(audio=turned))
    table = pd.DataFrame(
        np.hstack([turned, blocks()["video"]]),
        columns=[f"audio__{name}" for name in turned] + [f"video__x{i}" for i in range(4)],
    )
    with pytest.raises(ValueError, match=r"'audio' differ .*got 'audio__tempo' in the place of"):
        clf.predict(table)
    numbered = frame.set_axis(["x0", "x1", "x2"], axis=1)  # names like any other
    clf_numbered = OMIBClassifier(max_epochs=1).fit(blocks(audio=numbered), Y)
    with pytest.raises(ValueError, match="got 'x2' in the place of 'x0'"):
        clf_numbered.predict(blocks(audio=numbered[["x2", "x1", "x0"]]))
    clf.predict(blocks())  # without names, position counts


def test_samples_in_another_order_are_noticed():
    frame = pd.DataFrame(blocks()["audio"])
    with pytest.raises(ValueError, match="'audio' and 'video' have the same samples in another"):
        OMIBClassifier().fit({"audio": frame, "video": frame.iloc[::-1]}, Y)


def test_specification_and_blocks_exclude_each_other():
    with pytest.raises(ValueError, match=r"`modalities` names \['q'\], but X comes in blocks"):
        OMIBClassifier(modalities={"q": [0]}).fit(blocks(), Y)
    with pytest.raises(ValueError, match="goes beyond the 3 columns"):
        OMIBClassifier(modalities={"q": slice(0, 9)}).fit(blocks()["audio"], Y)


@pytest.mark.parametrize(
    "name, value",
    [("hidden_dim", 7), ("dropout", 0.1), ("input_dropout", 0.0), ("modality_dropout", 0.3)],
)
def test_warm_start_keeps_the_network(name, value):
    clf = OMIBClassifier(max_epochs=1, warm_start=True).fit(blocks(), Y)
    with pytest.raises(ValueError, match=rf"warm_start .* \['{name}'\] changed since"):
        clf.set_params(**{name: value}).fit(blocks(), Y)


def test_beta_that_collapses_is_warned_of():
    with pytest.warns(UserWarning, match=r"beta=2 per nat is above 1/3"):
        OMIBClassifier(beta=2.0, max_epochs=1, warmup_epochs=0).fit(blocks(), Y)


def test_a_fit_that_fails_leaves_the_older_one_whole():
    clf = OMIBClassifier(max_epochs=1).fit(blocks(), Y)
    before, state = clf.predict_proba(blocks()), dict(vars(clf))
    with pytest.raises(ValueError, match="one class only"):
        clf.fit(blocks(video=None), np.zeros(N))
    assert vars(clf) == state
    np.testing.assert_array_equal(clf.predict_proba(blocks()), before)
