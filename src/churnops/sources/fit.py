"""Whether a data config fits the files it names, told before any row is looked at."""

import difflib
from collections.abc import Iterator, Mapping

import duckdb

from churnops.contracts.table import Query
from churnops.data_config import Customers, SourceTable, TimeColumn, Transactions
from churnops.sources import customers, transactions
from churnops.sources.csv_text import literal
from churnops.sources.mapping import Kind, as_word

RESERVED = ("customer_id", "as_of", "churned")
"""Names of ours that an attribute may not have."""


def misfits(source: Customers | Transactions, *, kinds: Mapping[str, Kind], query: Query) -> list[str]:
    """In words, every way in which `source` does not fit a table that has the columns `kinds`."""
    named = named_columns(source)
    problems = [_missing(name, source, list(kinds)) for name in named if name not in kinds]
    for time in _times(source):
        problems += _time_problems(time, kinds.get(time.column, "other"), query)
    if isinstance(source, Customers):
        problems += _attribute_problems(source)
    return [f"{source.path}: {problem}" for problem in problems]


def named_columns(source: Customers | Transactions) -> list[str]:
    """The columns of the source that the config names and does not drop, each once."""
    if isinstance(source, Transactions):
        return transactions.named_columns(source)
    return customers.named_columns(source)


def _missing(name: str, source: SourceTable, present: list[str]) -> str:
    if len(present) == 1 and source.format == "csv":
        return f"there is no column '{name}', only one, '{present[0]}': correct `delimiter`"
    by_small_letters = {column.lower(): column for column in present}
    nearest = difflib.get_close_matches(name.lower(), by_small_letters, n=1)
    hint = f"did you mean '{by_small_letters[nearest[0]]}'?" if nearest else f"there are {', '.join(present)}"
    return f"there is no column '{name}'; {hint}"


def _times(source: Customers | Transactions) -> Iterator[TimeColumn]:
    """The time columns; dates among the attributes have no zone of their own."""
    if isinstance(source, Transactions):
        yield source.time
        yield from [source.known_at] if source.known_at else []
        return
    yield from [source.as_of] if source.as_of else []
    for name in customers.attributes(source):
        if source.columns[name].role == "date":
            yield TimeColumn(column=name, format=source.columns[name].format)


def _time_problems(time: TimeColumn, kind: Kind, query: Query) -> Iterator[str]:
    if time.format == "native":
        if kind in ("text", "floating", "exact", "boolean"):
            yield f"'{time.column}' is not stored as a time: give a format, such as '%Y-%m-%d', not 'native'"
    elif time.format not in ("epoch", "epoch_ms"):
        try:
            query(f"select try_strptime('', {literal(time.format)}) as moment", {})
        except duckdb.InvalidInputException:
            yield f"'{time.column}' has the format '{time.format}', which strptime does not know"
    try:
        query(f"select timezone({literal(time.timezone)}, timestamp '2000-01-01') as moment", {})
    except duckdb.NotImplementedException:
        yield f"'{time.column}' has the timezone '{time.timezone}', which does not exist"


def _attribute_problems(source: Customers) -> Iterator[str]:
    for name in customers.attributes(source):
        if source.label and name == source.label.column:
            yield f"'{name}' is the label: give it the role \"dropped\""
        elif name.lower() in RESERVED:
            yield f"'{name}' is a name of ours: rename the column, or give it the role \"dropped\""
    if source.label:
        both = set(map(as_word, source.label.churned)) & set(map(as_word, source.label.stayed))
        yield from (
            [f"{', '.join(sorted(both))} is in both `label.churned` and `label.stayed`"] if both else []
        )
