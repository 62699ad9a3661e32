"""What a staged table holds, column by column: counted by a few aggregate queries, never read into Python."""

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from churnops.contracts.table import Query
from churnops.data_config import SourceTable
from churnops.sources import mapping
from churnops.sources.files import Staged
from churnops.sources.headers import FILE, ROW
from churnops.sources.mapping import Field, Kind, kind_of
from churnops.sources.proposal.dates import possible_formats

_LEVELS = 50  # how many of a column's commonest values are listed
_FEW = 2_000  # columns with more distinct values are not asked for their commonest
_SAMPLE_ROWS = 5_000
_BATCH = 10  # columns counted together: different values take memory
_EXACT_ROWS = 2_000_000  # beyond, distinct values are counted to within a few percent
_UNIT = f"(?:[€$£¥₹]|{'|'.join(mapping.CURRENCIES)})"
_NUMBER_LIKE = re.compile(
    rf"[-+(]?(?:{_UNIT} ?)?[-+]?\d[\d.,'\s]*(?: ?{_UNIT}|%)?[-)]?"
    r"|[-+]?[.,]\d+|true|false",
    re.IGNORECASE,
)
_POINTED, _FRACTION = re.compile(r"\d[.,]\d"), re.compile(r"\d[.,]\d*[1-9]")
_EPOCHS = {"epoch": 1.0, "epoch_ms": 1e3}
_EPOCH_FROM, _EPOCH_TO = 631_152_000, 4_102_444_800  # the years 1990 to 2099: elsewhere, numbers are numbers


@dataclass(frozen=True)
class TimeFit:
    """A column read as times in one format; times are UTC."""

    format: str
    fits: int
    first: dt.datetime
    last: dt.datetime
    days: int
    """How many different days."""
    clocks: int
    """How many of the values have a time of day other than midnight."""


@dataclass(frozen=True)
class Column:
    """One column. Counts are rows; `present` values are neither null nor blank nor a word for nothing."""

    name: str
    kind: Kind
    present: int
    distinct: int
    numbers: int
    whole: int
    minimum: float | None
    maximum: float | None
    padded: int = 0
    """Values of text that are digits and start with 0."""
    pointed: int = 0
    """Values of text that are digits and end in `.0`."""
    percents: int = 0
    """Values of text that end in a percent sign."""
    length: float = 0
    """Characters of text, on average."""
    times: tuple[TimeFit, ...] = ()
    """The formats that fit at least one value, the best first."""
    levels: tuple[tuple[str, int], ...] = ()
    """The commonest values, where there are not many."""
    strays: tuple[tuple[str, int], ...] = ()
    """The commonest values that are no numbers, where most are."""

    @property
    def is_whole(self) -> bool:
        """Whether every value present is a whole number."""
        return self.whole == self.present > 0

    @property
    def time(self) -> TimeFit | None:
        """The best reading as times, if nearly all values have it."""
        return self.times[0] if self.times and self.times[0].fits >= 0.9 * self.present else None


@dataclass(frozen=True)
class Profile:
    """A staged table: `source` has its decimal sign, `address` its rows, `columns` are in their order."""

    source: SourceTable
    address: str
    rows: int
    columns: Mapping[str, Column]

    def field(self, name: str) -> Field:
        """The column as `sources.mapping` reads it."""
        return Field(name, self.columns[name].kind, self.source.decimal)


@dataclass(frozen=True)
class _Tries:
    """What is worth trying on all rows of a column, judged by a sample."""

    field: Field
    formats: tuple[str, ...]
    may_be_number: bool
    has_points: bool = False
    has_fractions: bool = False

    @property
    def number(self) -> str:
        return mapping.number(self.field) if self.may_be_number else "cast(null as double)"


def profile(source: SourceTable, staged: Staged, query: Query) -> Profile:
    """Look at every row of a staged table, once for what is counted and once for the commonest values."""

    def ask(sql: str) -> pa.Table:
        return query(sql, {"staged": str(staged.path)})

    schema = pq.read_schema(staged.path)
    fields = [Field(name, kind_of(schema.field(name).type)) for name in staged.columns]
    step = max(1, staged.rows // _SAMPLE_ROWS)
    chosen = f"hash({FILE}, {ROW}) % {step} = 0"
    sample = f"(select * from staged where {chosen} order by {FILE}, {ROW} limit {_SAMPLE_ROWS})"
    values = ask(_values_query(fields, sample)).to_pydict()
    tries = [_tries(field, {*values[f"c{i}"]} - {None}) for i, field in enumerate(fields)]
    # Fractions say more than 17.0, an id that went through a floating number.
    telling = [each for each in tries if each.has_fractions] or [each for each in tries if each.has_points]
    decimal = _decimal([each.field for each in telling], sample, ask)
    tries = [replace(each, field=replace(each.field, decimal=decimal)) for each in tries]
    columns: list[Column] = []
    for start in range(0, len(tries), _BATCH):
        batch = tries[start : start + _BATCH]
        (counts,) = ask(_counts_query(batch, exact=staged.rows <= _EXACT_ROWS)).to_pylist()
        columns += [_column(each, counts, i=i) for i, each in enumerate(batch)]
    columns = _with_levels(columns, tries, ask)
    return Profile(
        source=source.model_copy(update={"decimal": decimal}),
        address=str(staged.path),
        rows=staged.rows,
        columns={column.name: column for column in columns},
    )


def _trimmed(fields: Sequence[Field], table: str = "staged") -> str:
    return f"select {', '.join(map(mapping.trimmed, fields))} from {table}"


def _values_query(fields: Sequence[Field], sample: str) -> str:
    values = ", ".join(f"{mapping.present(field)} as c{i}" for i, field in enumerate(fields))
    return f"select {values} from ({_trimmed(fields, sample)})"


def _tries(field: Field, values: Collection[str]) -> _Tries:
    if field.kind in ("date", "instant", "zoned"):
        return _Tries(field, formats=("native",), may_be_number=False)
    if field.kind in ("boolean", "other") or not values:
        return _Tries(field, formats=(), may_be_number=field.kind == "boolean")
    return _Tries(
        field,
        formats=(*possible_formats(values), *_epochs(values)),
        may_be_number=field.kind != "text" or any(map(_NUMBER_LIKE.fullmatch, values)),
        has_points=field.kind == "text" and any(map(_POINTED.search, values)),
        has_fractions=field.kind == "text" and any(map(_FRACTION.search, values)),
    )


def _epochs(values: Collection[str]) -> list[str]:
    if not all(re.fullmatch(r"\d{9,13}(\.\d+)?", value) for value in values):
        return []
    first, last = min(map(float, values)), max(map(float, values))
    return [name for name, n in _EPOCHS.items() if first >= _EPOCH_FROM * n and last < _EPOCH_TO * n]


def _decimal(texts: Sequence[Field], sample: str, ask: Callable[[str], pa.Table]) -> Literal[".", ","]:
    """The sign that makes numbers of more columns: one file is written one way."""
    if not texts:
        return "."
    counts = [
        f"count({mapping.number(replace(field, decimal=sign))}) as {name}_{i}"
        for i, field in enumerate(texts)
        for name, sign in (("point", "."), ("comma", ","))
    ]
    (row,) = ask(f"select {', '.join(counts)} from ({_trimmed(texts, sample)})").to_pylist()
    more = [row[f"comma_{i}"] - row[f"point_{i}"] for i in range(len(texts))]
    return "," if sum(n > 0 for n in more) > sum(n < 0 for n in more) else "."


def _counts_query(tries: Sequence[_Tries], *, exact: bool) -> str:
    """One row: what `Column` says, the columns' counts told apart by their place."""
    distinct = "count(distinct {})" if exact else "approx_count_distinct({})"
    typed, counts = [], []
    for i, each in enumerate(tries):
        typed += [f"{_present(each)} as p{i}"]
        typed += [f"{each.number} as n{i}"]
        counts += [
            f"count(p{i}) as present_{i}",
            f"{distinct.format(f'p{i}')} as distinct_{i}",
            f"count(n{i}) as numbers_{i}",
            f"count(*) filter (where n{i} = trunc(n{i})) as whole_{i}",
            f"min(n{i}) as minimum_{i}",
            f"max(n{i}) as maximum_{i}",
        ]
        if each.field.kind == "text":
            counts += [
                f"count(*) filter (where regexp_full_match(p{i}, '0[0-9]+')) as padded_{i}",
                f"count(*) filter (where regexp_full_match(p{i}, '[0-9]+[.]0+')) as pointed_{i}",
                f"count(*) filter (where suffix(p{i}, '%')) as percents_{i}",
                f"coalesce(avg(length(p{i})), 0) as length_{i}",
            ]
        for j, format_ in enumerate(each.formats):
            moment = f"t{i}_{j}"
            typed.append(f"{mapping.instant(each.field, format_, 'UTC')} as {moment}")
            counts += [
                f"count({moment}) as fits_{i}_{j}",
                f"min({moment}) as first_{i}_{j}",
                f"max({moment}) as last_{i}_{j}",
                f"{distinct.format(f'cast({moment} as date)')} as days_{i}_{j}",
                f"count(*) filter (where {moment} <> date_trunc('day', {moment})) as clocks_{i}_{j}",
            ]
    rows = _trimmed([each.field for each in tries])
    # Named twice, lest the engine inlines it and reads each number anew for every aggregate of it.
    return f"""
        with typed as materialized (select {", ".join(typed)} from ({rows}))
        select {", ".join(counts)} from typed where (select count(*) from typed) > 0
    """


def _present(each: _Tries) -> str:
    """What is counted as present: of typed numbers themselves, of a floating one what is infinite too."""
    if each.field.kind == "exact":
        return each.number
    if each.field.kind == "floating":
        return f"case when not isnan({each.field.raw}) then cast({each.field.raw} as double) end"
    return mapping.present(each.field)


def _column(each: _Tries, counts: Mapping[str, Any], *, i: int) -> Column:
    of_time = ("fits", "first", "last", "days", "clocks")
    times = [
        TimeFit(format_, **{key: counts[f"{key}_{i}_{j}"] for key in of_time})
        for j, format_ in enumerate(each.formats)
        if counts[f"fits_{i}_{j}"]
    ]
    keys = ["present", "distinct", "numbers", "whole", "minimum", "maximum"]
    keys += ["padded", "pointed", "percents", "length"] if each.field.kind == "text" else []
    return Column(
        name=each.field.name,
        kind=each.field.kind,
        times=tuple(sorted(times, key=lambda time: -time.fits)),
        **{key: counts[f"{key}_{i}"] for key in keys},
    )


def _with_levels(
    columns: Sequence[Column], tries: Sequence[_Tries], ask: Callable[[str], pa.Table]
) -> list[Column]:
    """The columns with their commonest values; of equally common ones the first in the alphabet."""
    values = {}
    for i, (column, each) in enumerate(zip(columns, tries, strict=True)):
        present = mapping.present(each.field)
        if 0 < column.distinct <= _FEW:
            values[f"levels_{i}"] = present
        if 0.5 * column.present <= column.numbers < column.present:
            values[f"strays_{i}"] = f"case when {each.number} is null then {present} end"
    if not values:
        return list(columns)
    listed = ", ".join(f"{value} as {key}" for key, value in values.items())
    rows = ask(f"""
        with listed as (
            unpivot (select {listed} from ({_trimmed([each.field for each in tries])}))
            on columns(*) into name key value value),
        counted as (select key, value, count(*) as n_rows from listed group by key, value)
        select * from counted
        qualify row_number() over (partition by key order by n_rows desc, value) <= {_LEVELS}
        order by key, n_rows desc, value
    """)
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in rows.to_pylist():
        found[row["key"]].append((row["value"], row["n_rows"]))
    return [
        replace(column, levels=tuple(found[f"levels_{i}"]), strays=tuple(found[f"strays_{i}"]))
        for i, column in enumerate(columns)
    ]
