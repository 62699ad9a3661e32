"""Which column says whose row it is, in one table or in two that belong together."""

from dataclasses import dataclass
from typing import Literal

from churnops.errors import ConfigError
from churnops.sources import mapping
from churnops.sources.proposal.inquiry import Inquiry, Question
from churnops.sources.proposal.moments import almost_times, moment
from churnops.sources.proposal.names import CUSTOMER_ID, ORDER_ID, THING_ID, plain, rank
from churnops.sources.proposal.profile import Column, Profile

IdFormat = Literal["text", "integer"]

_MATCHED = 0.3  # of the ids of the table with fewer of them: below, two columns only look alike
_FILLED = 0.2
_FEWEST = 10  # customers: a column of fewer values is a kind of something
_UNIQUE = 0.99


@dataclass(frozen=True)
class Pair:
    """The columns of two tables that hold the same ids, written alike once read as `id_format` says."""

    customers: str
    transactions: str
    id_format: IdFormat
    matched: float
    """The share of ids of the table with fewer that are in the other too."""


def may_be_id(column: Column, rows: int) -> bool:
    """Whether its values could be ids in a table of `rows`: filled in, many, neither times nor fractions."""
    fraction = column.numbers == column.present and not column.is_whole
    many = column.distinct >= min(_FEWEST, 1 + rows / _FEWEST) and column.present >= _FILLED * rows
    return column.kind not in ("other", "boolean") and many and not fraction and moment(column) is None


def uniqueness(column: Column) -> float:
    """1 where no value comes twice."""
    return column.distinct / max(1, column.present)


def id_format(column: Column) -> IdFormat:
    """`integer` where ids went through a floating number on their way and end in `.0`."""
    return "integer" if column.pointed else "text"


def find(table: Profile, key: str, inquiry: Inquiry, *, repeated: bool) -> str:
    """The id column of a single table, by its name; empty if there is none.

    In a log an id must be `repeated`; elsewhere one that is unique comes before one with a better name.
    """
    ranks = {
        column.name: (not repeated and uniqueness(column) >= _UNIQUE, rank(column.name, CUSTOMER_ID))
        for column in table.columns.values()
        if may_be_id(column, table.rows)
        and (uniqueness(column) < 1 or not repeated)
        and rank(column.name, CUSTOMER_ID)
    }
    best = [name for name in ranks if ranks[name] == max(ranks.values())]
    if len(best) < 2:
        return next(iter(best), "")
    return inquiry.remarks.ask(
        Question(
            key=f"{key}.id",
            text=f"{', '.join(best)} may each say who the customer is.",
            options=tuple(best),
            default=best[0],
            why="it comes first",
        )
    )


def pair(customers: Profile, transactions: Profile, inquiry: Inquiry) -> Pair | None:
    """The columns that hold the same ids, if possible unique among customers and repeated in the log."""
    found = [
        matched
        for person in _candidates(customers)
        for line in _candidates(transactions)
        if rank(person.name, CUSTOMER_ID) or plain(person.name) == plain(line.name)
        for matched in _matches(customers, transactions, (person.name, line.name), inquiry)
    ]

    def surest(each: Pair) -> tuple[bool, int, float, bool]:
        person, line = customers.columns[each.customers], transactions.columns[each.transactions]
        names = rank(person.name, CUSTOMER_ID) + rank(line.name, CUSTOMER_ID)
        fits = uniqueness(person) > 0.9 and uniqueness(line) < 1
        return fits, names, round(each.matched, 2), each.id_format == "text"

    return max((each for each in found if each.matched >= _MATCHED), key=surest, default=None)


def _candidates(table: Profile) -> list[Column]:
    return [
        column
        for column in table.columns.values()
        if may_be_id(column, table.rows)
        and not rank(column.name, ORDER_ID)
        and not rank(column.name, THING_ID)
        and (rank(column.name, CUSTOMER_ID) or column.distinct > 20)
    ]


def _matches(one: Profile, other: Profile, names: tuple[str, str], inquiry: Inquiry) -> list[Pair]:
    """How many ids the columns share, as text and as whole numbers."""
    a, b = one.field(names[0]), other.field(names[1])
    sql = f"""
        with a as (select {mapping.identifier(a, "text")} as id, {mapping.identifier(a, "integer")} as whole
                   from (select {mapping.trimmed(a)} from one)),
        b as (select {mapping.identifier(b, "text")} as id, {mapping.identifier(b, "integer")} as whole
              from (select {mapping.trimmed(b)} from other))
        select least((select count(distinct id) from a), (select count(distinct id) from b)) as n_ids,
               (select count(distinct id) from a semi join b using (id)) as text,
               (select count(distinct whole) from a semi join b using (whole)) as integer
    """
    (row,) = inquiry.query(sql, {"one": one.address, "other": other.address}).to_pylist()
    formats: tuple[IdFormat, IdFormat] = ("text", "integer")
    return [
        Pair(*names, id_format=format_, matched=row[format_] / max(1, row["n_ids"])) for format_ in formats
    ]


def none_found(table: Profile, looked_for: str, way_out: str) -> ConfigError:
    """The error for a table that lacks `looked_for`, with the columns there are."""
    shown = ", ".join(table.columns)
    return ConfigError(
        table.source.path, [f"no {looked_for} was found among {shown}", *almost_times(table), way_out]
    )
