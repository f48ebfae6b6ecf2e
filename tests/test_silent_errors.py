"""What would go wrong without a word is right, or refused, or warned of."""

import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from sklearn_omib import (
    ModalityDict,
    OMIBAnomalyDetector,
    OMIBClassifier,
    OMIBClassifierCV,
    OMIBRegressor,
)
from sklearn_omib.preprocessing import (
    ModalityConcatenator,
    ModalitySplitter,
    ModalityTransformer,
)
from sklearn_omib.tasks.detection import weighted_quantile

N = 40
Y = np.arange(N) % 2
FAST = {
    "max_epochs": 1, "warmup_epochs": 1, "hidden_dim": 8, "latent_dim": 4, "n_members": 1,
    "random_state": 0,
}  # fmt: skip
NAMES = [f"patient {i}" for i in range(N)]


def classifier(modalities=None, **parameters):
    return OMIBClassifier(modalities, **{**FAST, **parameters})


def frames(index=None):
    rng = np.random.default_rng(0)
    return {
        "audio": pd.DataFrame(rng.normal(size=(N, 3)), index, ["pitch", "energy", "tempo"]),
        "video": pd.DataFrame(rng.normal(size=(N, 2)), index, ["smile", "gaze"]),
    }


def mudata(X):
    """What is used of MuData, of the blocks of a dict of DataFrames."""

    def annotated(frame, values):
        return SimpleNamespace(X=values, obs_names=frame.index, var_names=frame.columns)

    return SimpleNamespace(
        mod={
            "audio": annotated(X["audio"], X["audio"].to_numpy()),
            "video": annotated(X["video"], sparse.csr_matrix(X["video"])),
        }
    )


def turned(X):
    return {name: frame[frame.columns[::-1]] for name, frame in X.items()}


# -- names of columns -----------------------------------------------------------------------------
@pytest.mark.parametrize("way", ["blocks", "cut table", "one table", "several levels", "mudata"])
def test_columns_in_another_order_are_refused_whatever_the_fit_saw(way):
    X = frames()
    table = pd.concat([*X.values()], axis=1)
    if way == "cut table":
        clf = classifier({"audio": slice(0, 3), "video": slice(3, 5)}).fit(table, Y)
    elif way == "one table":
        X = {"X": table}
        clf = classifier().fit(table, Y)
    else:
        forms = {"blocks": X, "several levels": pd.concat(X, axis=1), "mudata": mudata(X)}
        clf = classifier().fit(forms[way], Y)
    assert clf.predict(X).shape == (N,)
    for other in (turned(X), ModalityDict(turned(X))):
        with pytest.raises(ValueError, match=r"Column names of modality .* differ from"):
            clf.predict(other)
    if way == "mudata":
        with pytest.raises(ValueError, match="Column names of modality 'audio' differ"):
            clf.predict(mudata(turned(X)))


def test_names_of_mudata_reach_names_of_features_and_survive_rows():
    X = ModalityDict(mudata(frames(NAMES)))[[3, 1]]
    assert [*X.feature_names] == [
        "audio__pitch", "audio__energy", "audio__tempo", "video__smile", "video__gaze",
    ]  # fmt: skip
    assert [*X.samples] == ["patient 3", "patient 1"]
    clf = classifier().fit(mudata(frames(NAMES)), Y)
    assert [*clf.feature_names_in_] == [*X.feature_names]
    passed = ModalityTransformer({"audio": StandardScaler()}).fit_transform(mudata(frames(NAMES)))
    assert passed.columns_of("video") == ["smile", "gaze"] and [*passed.samples] == NAMES


def test_levels_of_columns_name_the_modalities():
    X = frames()
    table = pd.concat(X, axis=1)
    clf = classifier().fit(table, Y)
    assert clf.modalities_ == {"audio": (3,), "video": (2,)}
    np.testing.assert_array_equal(clf.predict_proba(table), clf.predict_proba(X))
    cut = classifier({"a": [0, 1], "b": [2, 3, 4]}).fit(table, Y)  # what is asked for goes first
    assert cut.modalities_ == {"a": (2,), "b": (3,)}
    by_second = make_pipeline(ModalitySplitter(level=1), classifier()).fit(table, Y)
    assert list(by_second[-1].modalities_) == [*table.columns.get_level_values(1)]


# -- names of samples -----------------------------------------------------------------------------
def test_samples_of_other_patients_are_refused():
    longer = frames()["audio"].reindex(range(N + 1), fill_value=0.0)
    shifted = {"audio": longer.iloc[:-1], "video": longer.iloc[1:]}
    with pytest.raises(ValueError, match=r"have only 39 of 40 samples in common.*row 0 is 0 in"):
        classifier().fit(shifted, Y)
    advised = {name: frame.reset_index(drop=True) for name, frame in shifted.items()}
    classifier().fit(advised, Y)
    with pytest.raises(ValueError, match="'b' and 'c' have only 39 of 40"):  # not the first alone
        ModalityDict({"a": longer.set_axis(range(1000, 1041)).iloc[1:], "b": shifted["audio"],
                      "c": shifted["video"]})  # fmt: skip
    with pytest.raises(ValueError, match="have the same samples in another order"):
        ModalityDict({"a": frames(NAMES)["audio"], "b": frames(NAMES[::-1])["video"]})
    counted_otherwise = {"audio": frames(NAMES)["audio"], "video": frames()["video"]}
    assert len(ModalityDict(counted_otherwise)) == N


@pytest.mark.parametrize("form", [dict, ModalityDict, mudata, lambda X: pd.concat(X, axis=1)])
def test_outputs_bear_the_names_of_samples(form):
    X = form(frames(NAMES))
    transformers = [
        classifier(), ModalityConcatenator(),
        OMIBClassifierCV(betas=1, cv=2, **{k: v for k, v in FAST.items() if k != "n_members"}),
    ]  # fmt: skip
    for transformer in transformers:
        frame = transformer.set_output(transform="pandas").fit(X, Y).transform(X)
        assert [*frame.index] == NAMES and list(frame) == [*transformer.get_feature_names_out()]
    assert isinstance(classifier().fit(X, Y).transform(X), np.ndarray)
    scores = OMIBAnomalyDetector(**FAST).fit(X).score_samples_by_modality(X)
    assert [*scores.index] == NAMES


# -- several modalities in one array --------------------------------------------------------------
def test_modalities_that_were_flattened_on_the_way_are_warned_of():
    X = ModalityDict({name: frame.to_numpy() for name, frame in frames().items()})
    scaled = make_pipeline(StandardScaler(), classifier())
    bagged = BaggingClassifier(classifier(), n_estimators=1)
    for model in (scaled, bagged):
        with pytest.warns(UserWarning, match=r"single modality.*\['audio', 'video'\].*modalities="):
            model.fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        advised = classifier(modalities=X.layout).fit(StandardScaler().fit_transform(X), Y)
        assert list(advised.modalities_) == ["audio", "video"]
        classifier().fit(np.random.default_rng(0).normal(size=(N, 31)), Y)
        side_by_side = ModalityDict({"a": np.eye(N), "b": np.eye(N)[:, :7]})
        table = ModalityConcatenator().fit_transform(side_by_side)  # by intention
        classifier(encoders="mlp").fit(table, Y)


# -- kinds of blocks ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "convert",
    [
        lambda A: torch.from_numpy(A).requires_grad_(),
        lambda A: torch.from_numpy(A).bfloat16(),
        lambda A: torch.from_numpy(A).to_sparse(),
    ],
    ids=["with gradient", "bfloat16", "sparse"],
)
def test_tensors_of_every_kind_are_read(convert):
    A = np.random.default_rng(0).integers(-3, 4, size=(N, 3)).astype(float)  # bfloat16 holds it
    tensor = convert(A)
    for given, plain in (({"a": tensor}, {"a": A}), (tensor, A)):
        if tensor.layout != torch.strided:
            plain = {"a": sparse.csr_matrix(A)} if isinstance(plain, dict) else sparse.csr_matrix(A)
        expected = classifier().fit(plain, Y).predict_proba(plain)
        found = classifier().fit(given, Y).predict_proba(given)
        np.testing.assert_allclose(found, expected, atol=1e-6)


# -- targets and weights --------------------------------------------------------------------------
@pytest.mark.parametrize("values", [(-1, 1), (0, 2), (1, 2)])
def test_indicators_are_of_zeros_and_ones(values):
    y = np.where(np.random.default_rng(0).normal(size=(N, 3)) > 0, *values)
    with pytest.raises(ValueError, match=rf"got the values \[{values[0]}, {values[1]}\]"):
        classifier().fit(frames(), y)
    advised = y == values[1]
    probability = classifier().fit(frames(), advised.astype(int)).predict_proba(frames())
    same = classifier().fit(frames(), advised).predict_proba(frames())  # as booleans they may come
    np.testing.assert_array_equal(probability, same)


@pytest.mark.parametrize("way", ["class_weight", "sample_weight"])
def test_weights_count_across_chunks_of_one_class(way):
    X = {name: frame.to_numpy() for name, frame in frames().items()}
    chances = []
    for heavy in (0, 1):
        by_class = {0: 1.0, 1: 1.0, heavy: 10.0}
        clf = classifier(
            learning_rate=0.05, class_weight=by_class if way == "class_weight" else None
        )
        for _ in range(20):
            for label in (0, 1):
                weight = np.full(N, by_class[label]) if way == "sample_weight" else None
                clf.partial_fit(X, np.full(N, label), classes=[0, 1], sample_weight=weight)
        chances.append(clf.predict_proba(X)[:, 1].mean())
    assert chances[0] < 0.4 and chances[1] > 0.6


def test_a_partial_dict_of_class_weights_serves_chunks_of_one_class():
    clf = classifier(class_weight={1: 3.0})
    clf.partial_fit(frames(), np.zeros(N), classes=[0, 1]).partial_fit(frames(), np.ones(N))


@pytest.mark.parametrize("y", [Y, np.column_stack([Y, 1 - Y]), Y + 0.1 * np.arange(N)])
def test_losses_are_means_by_weight_on_every_part(y):
    """Heavy rows in validation or not: the loss of a constant is the same, and that of a prior."""
    X = {name: frame.to_numpy() for name, frame in frames().items()}
    weight = np.where(np.arange(N) < N // 4, 20.0, 0.5)
    kind = OMIBClassifier if y.dtype.kind == "i" else OMIBRegressor
    options = {**FAST, "learning_rate": 1e-12, "warmup_epochs": 0, "weight_decay": 0.0}
    fitted = kind(**options).fit(X, y, sample_weight=weight)
    as_they_are = kind(**options).fit(X, y, sample_weight=7 * weight)
    assert np.isfinite(fitted.prior_loss_)
    assert fitted.prior_loss_ == pytest.approx(as_they_are.prior_loss_, rel=1e-6)
    row = fitted.history_.iloc[0]
    if kind is OMIBClassifier:  # untrained: close to even chances whatever a row weighs
        even = np.log(2) * (1 if y.ndim == 1 else 2)
        assert row.valid_task_loss == pytest.approx(even, rel=0.2)
        assert row.train_task_loss == pytest.approx(even, rel=0.2)
        assert 0 < fitted.prior_loss_ <= even + 1e-6


def test_contamination_is_a_share_of_weight():
    X = {name: frame.to_numpy() for name, frame in frames().items()}
    twice = np.arange(N) < N // 2
    weight = np.where(twice, 2.0, 1.0)
    detector = OMIBAnomalyDetector(**FAST, contamination=0.25)
    detector.fit(X, sample_weight=weight)
    share = np.average(detector.predict(X) == -1, weights=weight)
    assert share == pytest.approx(0.25, abs=2 / weight.sum())


def test_a_weighted_quantile_is_that_of_repeated_values():
    rng = np.random.default_rng(0)
    values, weight = rng.normal(size=500), rng.integers(1, 4, size=500).astype(float)
    shares = np.linspace(0, 1, 21)
    np.testing.assert_array_equal(
        weighted_quantile(values, shares, np.full(500, 0.3)), np.quantile(values, shares)
    )
    repeated = np.quantile(np.repeat(values, weight.astype(int)), shares)
    np.testing.assert_allclose(weighted_quantile(values, shares, weight), repeated, atol=0.05)


def test_fit_predict_of_the_detector_heeds_known_anomalies():
    X, y = frames(), np.where(np.arange(N) < 10, -1, 1)
    detector = OMIBAnomalyDetector(**FAST)
    np.testing.assert_array_equal(detector.fit_predict(X, y), detector.fit(X, y).predict(X))
    with_y, without = detector.fit(X, y).offset_, detector.fit(X).offset_
    detector.fit_predict(X, y)
    assert detector.offset_ == with_y != without


def test_parameters_set_after_a_fit_change_neither_scores_nor_threshold():
    detector = OMIBAnomalyDetector(**FAST).fit(frames())
    scores, predicted = detector.score_samples(frames()), detector.predict(frames())
    detector.set_params(reconstruction=0, contamination=0.5, nu=0.3)
    np.testing.assert_array_equal(detector.score_samples(frames()), scores)
    np.testing.assert_array_equal(detector.predict(frames()), predicted)


# -- warm starts ----------------------------------------------------------------------------------
def test_a_warm_start_holds_out_what_the_first_fit_held_out():
    held_out = []

    class Seen(OMIBClassifier):
        def _families(self, checked, plan, chunk=False):
            held_out.append([set(valid.tolist()) for _, valid in plan.splits])
            return super()._families(checked, plan, chunk)

    clf = Seen(**{**FAST, "n_members": 3, "random_state": None}, warm_start=True)
    for _ in range(3):
        clf.fit(frames(), Y)
    assert held_out[0] == held_out[1] == held_out[2]
    assert len({frozenset(rows) for rows in held_out[0]}) > 1
    clf.set_params(warm_start=False).fit(frames(), Y)
    assert held_out[3] != held_out[0]


@pytest.mark.parametrize("name, value", [("weighting", "fixed"), ("entropy_estimator", "mine")])
def test_a_warm_start_takes_new_bounds_where_they_rest_on_what_changed(name, value):
    clf = classifier(warm_start=True).fit(frames(), Y)
    before = clf.beta_bounds_
    assert clf.fit(frames(), Y).beta_bounds_ is before
    clf.set_params(**{name: value}).fit(frames(), Y)
    fresh = classifier(**{name: value}).fit(frames(), Y)
    assert clf.beta_bounds_.total_weight == fresh.beta_bounds_.total_weight
    assert clf.beta_bounds_.method == fresh.beta_bounds_.method
    assert clf.beta_ == clf.beta_bounds_.upper != before.upper


# -- values and axes ------------------------------------------------------------------------------
def test_integers_that_float32_cannot_tell_apart_are_centred_or_refused():
    small = np.random.default_rng(0).integers(0, 50, size=(N, 2))
    for far in (small + 2**31, small + 10**12, small + 1e10):
        given, plain = {"id": far}, {"id": small.astype(float)}
        expected = classifier().fit(plain, Y).predict_proba(plain)
        found = classifier().fit(given, Y).predict_proba(given)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        with pytest.raises(
            ValueError, match=r"Modality 'id': values of column 0, .*by less than float32"
        ):
            classifier(standardize=False).fit(given, Y)
    classifier(standardize=False).fit({"id": small * 2**20}, Y)  # far apart they may be rounded


@pytest.mark.parametrize(
    "shape, axes, message",
    [
        ((16, 16, 3), (-1, 1), r"taken for an image of 16 channels.*numpy.moveaxis\(X\['im'\]"),
        ((12, 10, 1), (-1, 1), "taken for an image of 12 channels"),
        ((16, 16), None, r"taken for a sequence of 16 steps.*X\['im'\]\[:, None\]"),
    ],
)
def test_images_that_look_like_something_else_are_warned_of(shape, axes, message):
    X = np.random.default_rng(0).normal(size=(N, *shape))
    with pytest.warns(UserWarning, match=message):
        classifier().fit({"im": X}, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        advised = X[:, None] if axes is None else np.moveaxis(X, *axes)
        classifier().fit({"im": advised}, Y)
        if axes is None:
            classifier(encoders={"im": "conv1d"}).fit({"im": X}, Y)
        for other in ((3, 16, 16), (32, 4, 4), (20, 3), (64, 1, 1)):
            classifier().fit({"im": np.random.default_rng(0).normal(size=(N, *other))}, Y)


# -- encoders of one's own ------------------------------------------------------------------------
class InPlace(torch.nn.Module):
    """Spoils its input."""

    def __init__(self, spoils):
        super().__init__()
        self.spoils, self.map = spoils, torch.nn.Linear(3, 4)

    def forward(self, v):
        return self.map(v.mul_(2) if self.spoils else 2 * v)


@pytest.mark.parametrize("n_members", [1, 2])
def test_an_encoder_that_works_in_place_changes_nothing_else(n_members):
    X, fits = frames(), []
    for spoils in (False, True):
        torch.manual_seed(0)
        encoders = {"audio": InPlace(spoils)}
        detector = OMIBAnomalyDetector(**{**FAST, "n_members": n_members}, encoders=encoders)
        fits.append(detector.fit(X).score_samples(X))
    np.testing.assert_array_equal(*fits)


class Draws(torch.nn.Module):
    """Draws from torch's own generator, in one of many ways, as it is made and as it trains."""

    WAYS = {
        "Dropout1d": lambda h: F.dropout1d(h.unsqueeze(0)).squeeze(0),
        "Dropout2d": lambda h: F.dropout2d(h[None, :, :, None])[0, :, :, 0],
        "Dropout3d": lambda h: F.dropout3d(h[None, :, :, None, None])[0, :, :, 0, 0],
        "AlphaDropout": lambda h: F.alpha_dropout(h, training=True),
        "dropout": F.dropout,
        "attention": lambda h: F.scaled_dot_product_attention(h[None], h[None], h[None],
                                                              dropout_p=0.5)[0],
        "recurrent": torch.nn.GRU(4, 4, 2, dropout=0.5),
        "noise": lambda h: h + torch.randn_like(h) + torch.rand(4) + torch.randint(3, (1,)),
        "leaky": lambda h: F.rrelu(h, training=True),
        "nothing": lambda h: h,
    }  # fmt: skip

    def __init__(self, shape, way):
        super().__init__()
        self.map, self.way = torch.nn.Linear(shape[0], 4), Draws.WAYS[way]

    def forward(self, v):
        h = self.map(v)
        if not self.training:
            return h
        h = self.way(h)
        return h[0] if isinstance(h, tuple) else h


@pytest.mark.parametrize("way", Draws.WAYS)
@pytest.mark.parametrize("n_members", [1, 2])
def test_whatever_an_encoder_draws_comes_from_the_seed(way, n_members):
    X = {name: frame.to_numpy() for name, frame in frames().items()}

    def fit(seed):
        encoders = {"audio": lambda shape: Draws(shape, way)}
        options = {**FAST, "n_members": n_members, "random_state": seed}
        return OMIBClassifier(encoders=encoders, **options).fit(X, Y).predict_proba(X)

    first, state = fit(0), torch.get_rng_state()
    torch.rand(7)
    np.testing.assert_array_equal(fit(0), first)
    assert not np.array_equal(fit(1), first)
    torch.set_rng_state(state)
    fit(0)
    assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn from it


def test_another_thread_may_draw_from_torch_while_a_fit_begins():
    X = {name: frame.to_numpy() for name, frame in frames().items()}
    expected = classifier(n_members=5).fit(X, Y).predict_proba(X)
    torch.manual_seed(0)
    drawn_alone = torch.rand(2000, 3)
    torch.manual_seed(0)
    done, drawn = threading.Event(), []

    def draw():
        while not (done.is_set() and len(drawn) >= 2000):
            drawn.append(torch.rand(3)) if len(drawn) < 2000 else None

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        found = classifier(n_members=5).fit(X, Y).predict_proba(X)
    finally:
        done.set()
        thread.join()
    np.testing.assert_array_equal(found, expected)
    torch.testing.assert_close(torch.stack(drawn), drawn_alone, rtol=0, atol=0)


def tables(n_columns, share):
    """A table of so many columns, a share of whose values is not 0, dense and sparse."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(N, n_columns)) * (rng.random((N, n_columns)) < share)
    return table, sparse.csr_matrix(table)


SHAPES = {
    "few columns": (6, 0.5),
    "few values": (6, 0.05),
    "wide": (120, 0.5),
    "words": (120, 0.05),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("encoders", ["auto", "sparse", "mlp", {"table": "linear"}], ids=str)
def test_a_table_is_fitted_alike_however_it_is_stored(shape, encoders):
    table, stored = tables(*SHAPES[shape])
    other = np.random.default_rng(1).normal(size=(N, 2))
    models = [
        classifier(encoders=encoders).fit({"table": block, "other": other}, Y)
        for block in (table, stored, stored.tocoo())
    ]
    found = [
        model.predict_proba({"table": block, "other": other})
        for model in models for block in (table, stored)
    ]  # fmt: skip
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])
    assert models[0].beta_bounds_ == models[1].beta_bounds_


@pytest.mark.parametrize("shape", SHAPES)
def test_other_estimators_do_not_see_the_storage_either(shape):
    table, stored = tables(*SHAPES[shape])
    options = {"max_epochs": 2, "random_state": 0}
    for model, method in (
        (OMIBClassifierCV(betas=2, cv=2, **options), "predict_proba"),
        (OMIBAnomalyDetector(**options), "score_samples"),
        (OMIBRegressor(**options), "predict"),
    ):
        dense, kept = (getattr(clone(model).fit(X, Y), method)(table) for X in (table, stored))
        np.testing.assert_array_equal(kept, dense)


def test_tables_of_few_values_in_many_columns_are_kept_sparse():
    kept = [shape for shape in SHAPES
            if classifier().fit(tables(*SHAPES[shape])[0], Y)._scaler.sparse_names]  # fmt: skip
    assert kept == ["words"]
