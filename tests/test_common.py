"""scikit-learn's common checks."""

import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_omib import OMIBAnomalyDetector, OMIBClassifier, OMIBRegressor
from sklearn_omib.baselines import (
    CMIB,
    DMIB,
    EMIB,
    LMIB,
    MISA,
    BaselineAnomalyDetector,
    BaselineClassifier,
    BaselineRegressor,
    BiGated,
    Concat,
    DeepIB,
    MMIBCui,
    MMIBZhang,
)
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


ONE = {**SMALL, "n_iter_no_change": 40, "n_members": 1}


@parametrize_with_checks(
    [
        BaselineClassifier(CMIB(), **ONE),
        BaselineRegressor(LMIB(), **ONE),
        BaselineAnomalyDetector(DMIB(), n_members=2, **SHORT),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_baselines(estimator, check):
    check(estimator)


def other_baselines():
    """Every other method once, and a classifier of several networks."""
    for method in (DMIB, MISA):
        yield BaselineClassifier(method(), **ONE)
    for method in (BiGated, DeepIB):
        yield BaselineRegressor(method(), **ONE)
    for method in (EMIB, MMIBCui, MMIBZhang):
        yield BaselineAnomalyDetector(method(), **SHORT)
    yield BaselineClassifier(Concat(), **SMALL)


@pytest.mark.slow
@parametrize_with_checks(
    list(other_baselines()), expected_failed_checks=lambda estimator: EXPECTED_FAILURES
)
def test_other_baselines(estimator, check):
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
