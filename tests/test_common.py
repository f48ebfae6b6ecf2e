"""scikit-learn's common checks."""

from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import sklearn_omib.baselines
from sklearn_omib import OMIBAnomalyDetector, OMIBClassifier, OMIBRegressor
from sklearn_omib.preprocessing import (
    ModalityConcatenator,
    ModalitySplitter,
    ModalityTransformer,
)

WEIGHT_REASON = (
    "a sample of weight 2 falls on one side of the validation split and into one batch, a sample "
    "repeated twice into two: the gradients differ, as in every network trained in batches"
)
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": WEIGHT_REASON,
    "check_sample_weight_equivalence_on_sparse_data": WEIGHT_REASON,
}
SMALL = {"max_epochs": 40, "random_state": 0}
SHORT = {"warmup_epochs": 10, "max_epochs": 15, "random_state": 0}  # of detectors


@parametrize_with_checks(
    [OMIBClassifier(**SMALL), OMIBRegressor(**SMALL), OMIBAnomalyDetector(**SHORT)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_estimators(estimator, check):
    check(estimator)


def small_baselines():
    for name in sklearn_omib.baselines.__all__:
        options = SHORT if name.endswith("Detector") else {**SMALL, "n_iter_no_change": 40}
        yield getattr(sklearn_omib.baselines, name)(**options)


@parametrize_with_checks(
    list(small_baselines()), expected_failed_checks=lambda estimator: EXPECTED_FAILURES
)
def test_baselines(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [
        ModalityTransformer({"X": StandardScaler(with_mean=False)}),
        ModalitySplitter(),
        ModalityConcatenator(),
    ]
)
def test_transformers(estimator, check):
    check(estimator)
