"""What the columns of a table hold, and each of them as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder

from .._typing import Array, Block

MOST_WORDS = 5.0  # of a category's name, on average; of more it is a text
MOST_CHARACTERS = 60.0
DAY = pd.Timedelta(days=1)
# parts of a date that come again, and how many of them there are
CYCLES = {"month": 12, "weekday": 7, "hour": 24}


def values_of(column: pd.Series) -> pd.Series:
    """The values without names, blanks being gaps; text-like numbers and dates stay texts."""
    column = column.reset_index(drop=True)
    if types.is_object_dtype(column.dtype) or types.is_string_dtype(column.dtype):
        column = column.astype(object)
        blank = [isinstance(value, str) and not value.strip() for value in column]
        column = column.mask(blank, None).where(column.notna(), None)
    return column


def kind_of_column(name: str, values: pd.Series) -> type[Column]:
    """Which class of this module reads a column of training rows.

    Raises
    ------
    ValueError
        If it holds texts, or objects that are neither numbers nor names.
    """
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return Categories
    if types.is_bool_dtype(dtype) or types.is_numeric_dtype(dtype):
        return Numbers
    if types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        return Dates
    if types.is_timedelta64_dtype(dtype):
        return Durations
    known = values.dropna()
    inferred = types.infer_dtype(known, skipna=True)
    if inferred in ("boolean", "integer", "floating", "mixed-integer-float", "decimal", "empty"):
        return Numbers
    if inferred in ("datetime", "datetime64", "date", "period"):
        return Dates
    if inferred in ("timedelta", "timedelta64"):
        return Durations
    strange = [v for v in known if not isinstance(v, (str, bytes, int, float, np.generic))]
    if strange:
        raise ValueError(
            f"Column {name!r} holds objects of type {type(strange[0]).__name__}; give it as a "
            "modality of its own, or drop it."
        )
    texts = known.astype(str).str.strip()
    if _are_numbers(texts):
        return Numbers
    if texts.str.match(r"\d{4}-\d\d-\d\d([T ]|$)").all() and _dates(texts).notna().all():
        return Dates
    _refuse_texts(name, texts)
    return Categories


def _are_numbers(texts: pd.Series) -> bool:
    """Whether all are numbers, and none a code with zeros in front."""
    codes = texts.str.match(r"0\d")
    return not codes.any() and bool(pd.to_numeric(texts, errors="coerce").notna().all())


def _refuse_texts(name: str, texts: pd.Series) -> None:
    words, characters = texts.str.count(r"\S+").mean(), texts.str.len().mean()
    if texts.nunique() > len(texts) / 2 and (words >= MOST_WORDS or characters > MOST_CHARACTERS):
        shown = texts.iloc[0] if len(texts.iloc[0]) <= 40 else f"{texts.iloc[0][:37]}..."
        raise ValueError(
            f"Column {name!r} holds texts, such as {shown!r}, and no categories; give it as a "
            f"modality of its own, the Series table[{name!r}], or drop it."
        )


def _dates(values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.PeriodDtype):
        return values.dt.to_timestamp()
    if types.is_datetime64_any_dtype(values.dtype):
        return values
    periods = [isinstance(value, pd.Period) for value in values]
    if any(periods):
        values = values.mask(periods, [v.to_timestamp() if p else v for v, p in
                                       zip(values, periods, strict=True)])  # fmt: skip
    found = pd.to_datetime(values, errors="coerce", format="mixed", utc=True)
    return found.dt.tz_localize(None)


class Column:
    """One column of a table, learned of training rows.

    Parameters
    ----------
    name : str
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def learn(self, values: pd.Series) -> Column:
        """Learn from training rows."""
        return self

    def numbers(self, values: pd.Series) -> Block:
        """Values as numbers: (n_rows, n_names), dense, or CSR of categories."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """Of the columns of :meth:`numbers`."""
        return [self.name]

    def _refuse(self, values: pd.Series, found: pd.Series, what: str) -> None:
        """Raise where a value was there and has not been understood."""
        lost = np.flatnonzero(found.isna().to_numpy() & values.notna().to_numpy())
        if len(lost):
            raise ValueError(
                f"Column {self.name!r} held {what} in fit, and now {values.iloc[lost[0]]!r}."
            )


class Numbers(Column):
    """Numbers, also where they are written as texts, and True and False, as 1 and 0."""

    def numbers(self, values: pd.Series) -> Array:
        dtype = values.dtype
        is_time = types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype)
        if is_time or isinstance(dtype, pd.CategoricalDtype):
            values = values.astype(str if is_time else object)  # which are no numbers
        found = pd.to_numeric(values, errors="coerce")
        self._refuse(values, found, "numbers")
        numbers = found.to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(numbers).any():
            row = np.flatnonzero(np.isinf(numbers))[0]
            raise ValueError(
                f"Column {self.name!r} holds {values.iloc[row]} in row {row}; make a gap of it, "
                "table.replace([numpy.inf, -numpy.inf], numpy.nan)."
            )
        return numbers[:, None]


class Durations(Column):
    """Durations, as days."""

    def numbers(self, values: pd.Series) -> Array:
        found = pd.to_timedelta(values, errors="coerce")
        self._refuse(values, found, "durations")
        return (found / DAY).to_numpy(dtype=np.float64, na_value=np.nan)[:, None]


class Dates(Column):
    """Dates: days since the first of the training rows, and where on the clock and the calendar.

    Month, weekday and hour are sine and cosine, of those that differ between training rows.
    """

    def learn(self, values: pd.Series) -> Dates:
        dates = _dates(values)
        zone = dates.dt.tz
        self.zone = None if zone is None else str(zone)
        days = self._days(dates)
        self.first = float(np.nanmin(days)) if dates.notna().any() else 0.0
        cycles = self._cycles(dates)
        self.cycles = [name for name, part in cycles.items() if part.dropna().nunique() > 1]
        return self

    @staticmethod
    def _days(dates: pd.Series) -> Any:
        start = pd.Timestamp(0, tz=dates.dt.tz).as_unit(dates.dt.unit)  # nanoseconds end in 2262
        return ((dates - start) / DAY).to_numpy(dtype=np.float64, na_value=np.nan)

    @staticmethod
    def _cycles(dates: pd.Series) -> dict[str, pd.Series]:
        part = dates.dt
        hour = part.hour + part.minute / 60
        return {"month": part.month - 1, "weekday": part.day_of_week, "hour": hour}

    def numbers(self, values: pd.Series) -> Array:
        dates = _dates(values)
        self._refuse(values, dates, "dates")
        if self.zone is not None:
            dates = dates.dt.tz_localize("UTC") if dates.dt.tz is None else dates
            dates = dates.dt.tz_convert(self.zone)
        elif dates.dt.tz is not None:
            dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
        cycles, columns = self._cycles(dates), [self._days(dates) - self.first]
        for name in self.cycles:
            angle = 2 * np.pi * cycles[name].to_numpy(dtype=np.float64, na_value=np.nan)
            columns += [np.sin(angle / CYCLES[name]), np.cos(angle / CYCLES[name])]
        return np.stack(columns, 1)

    def names(self) -> list[str]:
        cyclic = [f"{self.name}_{part}_{of}" for part in self.cycles for of in ("sin", "cos")]
        return [f"{self.name}_days", *cyclic]


class Categories(Column):
    """Names, each with a column of its own; rare and unknown ones share one, gaps have another.

    Parameters
    ----------
    name : str
    min_frequency, max_categories : int or None
        As scikit-learn's OneHotEncoder has them.
    """

    def __init__(self, name: str, min_frequency: int | None, max_categories: int | None) -> None:
        super().__init__(name)
        self.encoder = OneHotEncoder(
            min_frequency=min_frequency,
            max_categories=max_categories,
            handle_unknown="infrequent_if_exist",
            dtype=np.float32,
        ).set_output(transform="default")

    def learn(self, values: pd.Series) -> Categories:
        there = values.notna().to_numpy()
        self.has_gaps = not there.all()
        self.is_known = bool(there.any())
        if self.is_known:
            self.encoder.fit(_named(values[there]))
        return self

    def numbers(self, values: pd.Series) -> sparse.csr_matrix:
        there = values.notna().to_numpy()
        n_names = len(self.names()) - self.has_gaps
        known = sparse.csr_matrix((1, n_names), dtype=np.float32)
        if there.any() and n_names:
            known = sparse.vstack([self.encoder.transform(_named(values[there])), known]).tocsr()
        # behind the last one is an empty row, of gaps
        place = np.where(there, np.cumsum(there) - 1, known.shape[0] - 1)
        parts = [known[place]]
        if self.has_gaps:
            parts.append(sparse.csr_matrix(~there[:, None], dtype=np.float32))
        return sparse.hstack(parts, format="csr")

    def names(self) -> list[str]:
        named = self.encoder.get_feature_names_out([self.name]) if self.is_known else []
        return [*map(str, named), *([f"{self.name}_missing"] if self.has_gaps else [])]


def _named(values: pd.Series) -> Array:
    """Names of categories; 1 and 1.0, as which it comes back behind a gap, are one."""

    def name(value: Any) -> str:
        whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
        return str(int(value)) if whole else str(value).strip()

    return np.array([[name(value)] for value in values.astype(object)], dtype=object)
