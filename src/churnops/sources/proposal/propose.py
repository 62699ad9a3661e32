"""From profiles to a data config with a reason for every choice: the entrance of this package."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from churnops.contracts.table import Query
from churnops.data_config import AttributeColumn, Churn, Customers, DataConfig, Transactions
from churnops.errors import ConfigError
from churnops.sources.proposal.inquiry import Inquiry, Question, Remarks
from churnops.sources.proposal.keys import Pair, find, id_format, pair, uniqueness
from churnops.sources.proposal.label import almost_labels, is_of_customers, label_column
from churnops.sources.proposal.labelled import is_panel, read_labelled, speaks_of_rows
from churnops.sources.proposal.leaks import Purchases, summing_up
from churnops.sources.proposal.log import looks_like_log, read_log
from churnops.sources.proposal.moments import almost_times, day_first
from churnops.sources.proposal.names import EVENT_TIME, LABEL, ORDER_ID, QUANTITY, rank
from churnops.sources.proposal.profile import Profile
from churnops.sources.proposal.repairs import repairs_of
from churnops.sources.proposal.roles import roles_of

_UNMEASURED = Churn(horizon_days=28, active_days=28)
"""Stands in until the silences between the purchases have been measured."""

_REPEATS = 1.05  # rows a customer, in a log
_NEUTRAL = 1  # the rank of label names that may as well mean something else


@dataclass(frozen=True)
class Proposal:
    """A config that can be run, and what a person should read before running it."""

    config: DataConfig
    reasons: Mapping[str, str]
    """Why a key has its value, by its place, such as `customers.columns.Age`."""
    warnings: tuple[str, ...]
    questions: tuple[Question, ...]
    """What was taken for granted and may be answered otherwise."""
    notes: tuple[str, ...] = ()
    """What the tables hold, once they have been cleaned."""


def propose(name: str, tables: Sequence[Profile], query: Query, *, answers: Mapping[str, str]) -> Proposal:
    """The config for one table, or for customers and transactions in either order; `name` becomes its name.

    How long is gone has not been measured yet. Raises ConfigError, saying what was looked for, where the
    tables are neither purchases nor labelled customers.
    """
    remarks = Remarks(answers)
    inquiry = Inquiry(query, remarks, day_first(tables))
    customers, log = (
        _of_two(tables[0], tables[1], inquiry) if len(tables) == 2 else _of_one(tables[0], inquiry)
    )
    read = tuple(each for each in (customers, log) if each)
    shape: Literal["purchases", "labelled"] = "purchases" if log else "labelled"
    config = DataConfig(
        name=name,
        shape=shape,
        customers=customers[1] if customers else None,
        transactions=log[1] if log else None,
        repairs=repairs_of(read, remarks),
        churn=_UNMEASURED if log else None,
    )
    return Proposal(config, remarks.reasons, tuple(remarks.warnings), tuple(remarks.questions))


ReadCustomers = tuple[Profile, Customers]
ReadLog = tuple[Profile, Transactions]


def _of_one(table: Profile, inquiry: Inquiry) -> tuple[ReadCustomers | None, ReadLog | None]:
    label = label_column(table)
    id_ = find(table, "transactions", inquiry.aside(), repeated=True)
    is_log = bool(id_) and looks_like_log(table) and table.rows >= _REPEATS * table.columns[id_].distinct
    if label and is_log and rank(label.name, LABEL) > _NEUTRAL:
        of_rows = is_of_customers(label) and speaks_of_rows(table, id_, label, inquiry)
        is_log = not is_panel(table, id_) and not of_rows
    if label and not is_log:
        inquiry.remarks.because("shape", f"'{label.name}' says who left")
        return (table, read_labelled(table, label, inquiry)), None
    if not is_log:
        raise _neither(table)
    id_ = find(table, "transactions", inquiry, repeated=True)
    inquiry.remarks.because("shape", f"'{id_}' repeats and there are times: a log of purchases")
    inquiry.remarks.because("transactions.id", _customers_told(table, id_))
    source = read_log(table, id_, id_format(table.columns[id_]), inquiry)
    marks = source.cancelled.column if source.cancelled else ""
    if label and rank(label.name, LABEL) > _NEUTRAL and label.name != marks:
        inquiry.remarks.warn(f"'{label.name}' is not used as a label: in a log, the purchases say who left.")
    return None, (table, source)


def _of_two(one: Profile, other: Profile, inquiry: Inquiry) -> tuple[ReadCustomers, ReadLog]:
    orders = [(one, other), (other, one)]
    found = [
        (people, log, matched)
        for people, log in orders
        if looks_like_log(log) and (matched := pair(people, log, inquiry))
    ]
    if not found:
        raise _strangers(one, other)

    def surest(each: tuple[Profile, Profile, Pair]) -> tuple[float, int]:
        people, log, matched = each
        repeats = uniqueness(people.columns[matched.customers]) - uniqueness(
            log.columns[matched.transactions]
        )
        return round(repeats, 2), sum(
            bool(rank(name, (*EVENT_TIME, *ORDER_ID, *QUANTITY))) for name in log.columns
        )

    people, log, matched = max(found, key=surest)
    if uniqueness(log.columns[matched.transactions]) >= 1:
        raise _never_again(people, log, matched)
    inquiry.remarks.because(
        "shape", f"'{log.source.path}' holds purchases of the customers in '{people.source.path}'"
    )
    source = read_log(log, matched.transactions, matched.id_format, inquiry)
    inquiry.remarks.because("transactions.id", _customers_told(log, matched.transactions))
    inquiry.remarks.because(
        "customers.id",
        f"{_customers_told(people, matched.customers)}; {matched.matched:.1%} of ids are in both",
    )
    return (people, _customers(people, Purchases(log, source, matched), inquiry)), (log, source)


def _customers(table: Profile, purchases: Purchases, inquiry: Inquiry) -> Customers:
    """The customer table beside a log: what sums up the log, or tells its end, is dropped."""
    columns = roles_of(table, (purchases.pair.customers,), inquiry)
    kept = {name: column for name, column in columns.items() if column.role != "dropped"}
    for name, reason in summing_up(table, kept, purchases, inquiry).items():
        columns[name] = AttributeColumn(role="dropped")
        inquiry.remarks.because(f"customers.columns.{name}", reason)
        inquiry.remarks.warn(f"'{name}' of the customer table is dropped: {reason}.")
    return Customers(
        **table.source.model_dump(exclude={"id_format"}),
        id_format=purchases.pair.id_format,
        id=purchases.pair.customers,
        columns=columns,
    )


def _customers_told(table: Profile, id_: str) -> str:
    column = table.columns[id_]
    return f"{column.distinct} customers, {column.present / column.distinct:.1f} rows each"


def _neither(table: Profile) -> ConfigError:
    return ConfigError(
        table.source.path,
        [
            "is neither a log of purchases nor a table of labelled customers, as far as its columns tell:"
            f" {', '.join(table.columns)}",
            "a log has a customer's id that repeats (names such as customer_id, user, account or Kundennummer"
            " were looked for) and a time in a known format",
            "a labelled table has a column of two words that says who left (names such as churn, exited,"
            " attrition, status, active or target were looked for)",
            *almost_labels(table),
            *almost_times(table),
            "rename the columns, pass the table of purchases as well, or write the config by hand:"
            " src/churnops/data_config.py says what goes in it",
        ],
    )


def _strangers(one: Profile, other: Profile) -> ConfigError:
    return ConfigError(
        f"{one.source.path}, {other.source.path}",
        [
            "no two columns hold the same customer ids, or neither table says when:"
            f" {', '.join(one.columns)}; {', '.join(other.columns)}",
            "pass a table of customers and one of purchases, which has a time, or write the config by hand",
        ],
    )


def _never_again(people: Profile, log: Profile, matched: Pair) -> ConfigError:
    others = [name for name in people.columns if name != matched.customers and "id" in name.lower()]
    hint = f"; perhaps {', '.join(others)} of {people.source.path} says who the person is" if others else ""
    return ConfigError(
        log.source.path,
        [f"'{matched.transactions}' never repeats, so nobody comes back{hint}: add that id to the purchases"],
    )
