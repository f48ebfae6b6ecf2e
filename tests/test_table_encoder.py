"""Tables of numbers, categories, dates and gaps become numbers; training rows alone teach."""

import copy
import pickle
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone

from sklearn_omib.encoders import TableEncoder
from sklearn_omib.persistence.plain import from_plain, to_plain

N_ROWS = 60


@pytest.fixture
def table():
    """A column of every kind, all with gaps but the flag."""
    rng = np.random.default_rng(0)
    dates = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 800, N_ROWS), "D")
    frame = pd.DataFrame(
        {
            "age": rng.normal(50, 9, N_ROWS),
            "written": rng.integers(0, 9, N_ROWS).astype(str),
            "stage": rng.choice(["I", "II", "III"], N_ROWS),
            "grade": pd.Categorical(rng.choice(["low", "high"], N_ROWS)),
            "seen": dates,
            "stay": pd.to_timedelta(rng.integers(1, 9, N_ROWS), "D"),
            "smokes": rng.integers(0, 2, N_ROWS).astype(bool),
        }
    )
    for column in frame.columns.drop("smokes"):
        frame.loc[rng.choice(N_ROWS, 5, replace=False), column] = None
    return frame


def named(encoder, X):
    numbers = encoder.transform(X)
    numbers = numbers.toarray() if sparse.issparse(numbers) else numbers
    return pd.DataFrame(numbers, columns=encoder.get_feature_names_out())


def test_columns_of_every_kind(table):
    encoder = TableEncoder().fit(table)
    found = named(encoder, table)
    assert found.dtypes.unique() == [np.float32]
    np.testing.assert_allclose(found["age"], table["age"], rtol=1e-6)
    np.testing.assert_array_equal(found["written"], pd.to_numeric(table["written"]))
    np.testing.assert_array_equal(found["stay"], table["stay"].dt.days)
    np.testing.assert_array_equal(found["smokes"], table["smokes"])
    np.testing.assert_array_equal(found["seen_days"], (table["seen"] - table["seen"].min()).dt.days)
    month = np.arctan2(found["seen_month_sin"], found["seen_month_cos"]) * 6 / np.pi % 12
    np.testing.assert_allclose(month.dropna(), table["seen"].dropna().dt.month - 1, atol=1e-4)
    assert not any("hour" in name for name in found)  # all at midnight
    for name in ("stage", "grade"):
        parts = found[[column for column in found if column.startswith(name)]]
        assert (parts.sum(axis=1) == 1).all()
        np.testing.assert_array_equal(parts[f"{name}_missing"], table[name].isna())


def test_rows_are_read_one_by_one(table, rng):
    order = rng.permutation(N_ROWS)
    encoder = TableEncoder().fit(table)
    whole = encoder.transform(table)
    np.testing.assert_array_equal(encoder.transform(table.iloc[order]), whole[order])
    np.testing.assert_array_equal(encoder.transform(table.iloc[3:4]), whole[3:4])
    shuffled = clone(encoder).fit(table.iloc[order])
    np.testing.assert_array_equal(shuffled.transform(table), whole)


def test_a_row_without_values_is_missing(table):
    lost = table.copy().astype(object)
    lost.iloc[[0, 7]] = None
    encoder = TableEncoder().fit(lost)
    found = encoder.transform(lost)
    assert np.isnan(found[[0, 7]]).all()
    others = np.setdiff1d(np.arange(N_ROWS), [0, 7])
    np.testing.assert_array_equal(found[others], encoder.transform(table.iloc[others]))


def test_rare_and_unknown_categories_share_a_column():
    names = ["a"] * 10 + ["b"] * 10 + ["c", "d"]
    encoder = TableEncoder(min_frequency=3).fit(pd.DataFrame({"x": names}))
    found = named(encoder, pd.DataFrame({"x": ["a", "c", "new", None]}))
    assert list(found) == ["x_a", "x_b", "x_infrequent_sklearn"]
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 1], [0, 0, 1], [np.nan] * 3])
    few = TableEncoder(max_categories=2).fit(pd.DataFrame({"x": names}))
    assert len(few.get_feature_names_out()) == 2
    many = TableEncoder(min_frequency=1).fit(pd.DataFrame({"x": names, "y": 1.0}))
    new = pd.DataFrame({"x": ["new", None], "y": 1.0})
    np.testing.assert_array_equal(many.transform(new), [[0, 0, 0, 0, 1]] * 2)


def test_whole_numbers_as_categories_survive_a_gap():
    train = pd.DataFrame({"ward": pd.Categorical([1, 2, 1, 2])})
    later = pd.DataFrame({"ward": [1.0, None, 2.0, 1.0], "y": 1.0})
    encoder = TableEncoder().fit(train.assign(y=1.0))
    np.testing.assert_array_equal(encoder.transform(later)[:, :2], [[1, 0], [0, 0], [0, 1], [1, 0]])


def test_other_types_of_the_same_values():
    gap = [1, None, 3]
    X = pd.DataFrame(
        {
            "whole": pd.array(gap, dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "said": [True, None, False],
            "exact": [Decimal("1.5"), None, Decimal("2")],
            "day": [date(2024, 1, 1), None, date(2024, 1, 3)],
            "month": pd.PeriodIndex(["2024-01", None, "2024-01"], freq="M"),
            "name": pd.array(["a", None, "b"], dtype="string"),
            "nothing": [None, None, None],
            "all": 1.0,
        }
    )
    found = named(TableEncoder().fit(X), X)
    there = found.columns[found.notna().iloc[1]]
    assert list(there) == ["name_a", "name_b", "name_missing", "all"]
    expected = {"whole": 3, "flag": 0, "said": 0, "exact": 2, "day_days": 2, "month_days": 0,
                "name_a": 0, "name_b": 1, "name_missing": 0}  # fmt: skip
    assert found.iloc[2][list(expected)].to_dict() == expected


def test_codes_with_zeros_in_front_are_categories():
    encoder = TableEncoder().fit(pd.DataFrame({"zip": ["01234", "99999"] * 5}))
    assert list(encoder.get_feature_names_out()) == ["zip_01234", "zip_99999"]


@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_dates_with_hours_zones_and_as_texts(zone):
    dates = pd.Series(pd.date_range("2024-03-01", periods=40, freq="7h", tz=zone))
    encoder = TableEncoder().fit(pd.DataFrame({"at": dates}))
    found = named(encoder, pd.DataFrame({"at": dates}))
    hour = np.arctan2(found["at_hour_sin"], found["at_hour_cos"]) * 12 / np.pi % 24
    np.testing.assert_allclose(hour, dates.dt.hour, atol=1e-3)
    if zone is None:
        texts = pd.DataFrame({"at": dates.astype(str)})
        np.testing.assert_allclose(clone(encoder).fit(texts).transform(texts), found)
    else:
        utc = pd.DataFrame({"at": dates.dt.tz_convert("UTC")})
        np.testing.assert_allclose(encoder.transform(utc), found)


def test_a_wide_table_is_sparse(rng):
    n = 2000
    names = rng.integers(0, 700, n).astype(str)
    X = pd.DataFrame({"who": [f"w{name}" for name in names], "age": rng.normal(50, 9, n)})
    X.loc[3, "age"] = None
    encoder = TableEncoder(min_frequency=1, max_categories=None).fit(X)
    found = encoder.transform(X)
    assert sparse.issparse(found) and found.dtype == np.float32 and found.nnz < 4 * n
    table = named(encoder, X)
    np.testing.assert_allclose([table["age"].mean(), table["age"].std()], [0, 1], atol=1e-2)
    assert table["age_missing"].sum() == 1 and not np.isnan(found.data).any()
    lost = encoder.transform(pd.concat([X.iloc[:2], pd.DataFrame({"who": [None], "age": [None]})]))
    assert np.isnan(lost.toarray()[2]).any() and not np.isnan(lost[:2].toarray()).any()


def refused(message, call):
    with pytest.raises(ValueError, match=message):
        call()


def test_messages(table):
    encoder = TableEncoder().fit(table)
    refused("Column 'age' was there in fit", lambda: encoder.transform(table.drop(columns="age")))
    refused("Column 'more' was not there", lambda: encoder.transform(table.assign(more=1)))
    strange = table.assign(age=["old"] * N_ROWS)
    refused("Column 'age' held numbers in fit, and now 'old'", lambda: encoder.transform(strange))
    strange = table.assign(age=table["seen"])
    refused("Column 'age' held numbers in fit, and now '20", lambda: encoder.transform(strange))
    strange = table.assign(seen=["once"] * N_ROWS)
    refused("Column 'seen' held dates in fit, and now 'once'", lambda: encoder.transform(strange))
    notes = [f"patient number {i} came in and felt well" for i in range(N_ROWS)]
    refused("Column 'notes' holds texts, such as 'patient", lambda: TableEncoder().fit(
        table.assign(notes=notes)))  # fmt: skip
    lists = table.assign(scan=[[1, 2]] * N_ROWS)
    refused("Column 'scan' holds objects of type list", lambda: TableEncoder().fit(lists))
    twice = pd.concat([table, table[["age"]]], axis=1)
    refused("Several columns have the name 'age'", lambda: TableEncoder().fit(twice))
    refused("numbers must be one of", lambda: TableEncoder(numbers="cubic").fit(table))
    with pytest.raises(TypeError, match="TableEncoder reads a table"):
        TableEncoder().fit(["some", "words"])


def stored(encoder):
    plain = to_plain(encoder)
    assert plain.foreign == []
    return from_plain(plain.text, plain.arrays, [])


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e)), stored],
    ids=["copy", "pickle", "plain"],
)  # fmt: skip
def test_the_same_again(table, again):
    encoder = TableEncoder().fit(table)
    np.testing.assert_array_equal(again(encoder).transform(table), encoder.transform(table))


def test_parameters():
    encoder = TableEncoder(numbers="periodic").set_params(max_categories=4)
    assert clone(encoder).get_params() == {
        "max_categories": 4, "min_frequency": "auto", "numbers": "periodic"
    }  # fmt: skip


def test_arrays_of_numbers(rng):
    X = rng.normal(size=(10, 3)).astype(np.float32)
    np.testing.assert_array_equal(TableEncoder().fit_transform(X), X)
    assert TableEncoder().fit(X).module((3,), 8) == "auto"


@pytest.mark.parametrize("numbers", ["periodic", "piecewise"])
def test_embedded_numbers(table, numbers):
    pytest.importorskip("rtdl_num_embeddings")
    encoder = TableEncoder(numbers=numbers).fit(table)
    found = torch.from_numpy(encoder.transform(table))
    names = list(encoder.get_feature_names_out())
    assert found.isfinite().all() and found.shape == (N_ROWS, len(names))
    assert "age_missing" in names and "smokes_missing" not in names
    module = encoder.module((found.shape[1],), 12)((found.shape[1],))
    assert module(found).shape == (N_ROWS, 12)
    embedded = [names[i] for i in module.columns.tolist()]
    assert embedded == ["age", "written", "stay", "smokes"]
    # the estimator's own scaling changes nothing
    torch.testing.assert_close(found[:, module.columns].std(0, correction=0), torch.ones(4))
    again = pickle.loads(pickle.dumps(module))
    torch.testing.assert_close(again(found), module(found))
    torch.testing.assert_close(stored(module)(found), module(found))
    other = torch.cat([found[:, :1] + 1, found[:, 1:]], 1)
    assert not torch.allclose(module(other), module(found))


def test_embeddings_say_what_they_need(table, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rtdl_num_embeddings", None)
    encoder = TableEncoder(numbers="periodic").fit(table)
    with pytest.raises(ImportError, match=r"pip install 'sklearn-omib\[tables\]'"):
        encoder.module((5,), 8)


def test_dates_are_of_any_century_and_periods():
    days = [datetime(1, 1, 1), datetime(9999, 12, 31), None]
    found = TableEncoder().fit_transform(pd.DataFrame({"day": pd.Series(days, dtype=object)}))
    assert found[1, 0] == 3652058 and np.isnan(found[2]).all()
    periods = pd.period_range("2024-01-01", periods=3, freq="D")
    found = TableEncoder().fit_transform(pd.DataFrame({"day": pd.Series([*periods], dtype=object)}))
    assert found[:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("params", [
    {"min_frequency": 0}, {"min_frequency": 0.5}, {"min_frequency": None}, {"max_categories": "a"},
    {"max_categories": 0},
])  # fmt: skip
def test_parameters_of_categories_are_checked(params):
    with pytest.raises(ValueError, match=f"{next(iter(params))} must be a positive int"):
        TableEncoder(**params).fit(pd.DataFrame({"a": ["x", "y"]}))
