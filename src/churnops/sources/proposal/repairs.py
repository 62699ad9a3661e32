"""Which repairs a first config allows: those the tables need, each told with its figure."""

from collections.abc import Iterator

from churnops.data_config import Customers, Repairs, Transactions
from churnops.sources.proposal.inquiry import Remarks
from churnops.sources.proposal.keys import uniqueness
from churnops.sources.proposal.profile import Profile

_TELL = 0.01  # of the rows: fewer are told beside the rule, more are a warning too

Read = tuple[Profile, Customers | Transactions]
"""A table, and what was proposed for it."""


def repairs_of(tables: tuple[Read, ...], remarks: Remarks) -> Repairs:
    """The rules, strict wherever nothing is broken yet, so that a later and worse export is noticed."""
    faults = {
        "missing_id": [told for each in tables for told in _missing_ids(*each)],
        "bad_time": [told for each in tables for told in _bad_times(*each)],
        "bad_number": [told for each in tables for told in _bad_numbers(*each)],
        "repeated_customer": [told for each in tables for told in _repeated(*each)],
        "unknown_label": [told for each in tables for told in _unknown_labels(*each)],
    }
    for rule, found in faults.items():
        if found:
            remarks.because(f"repairs.{rule}", "; ".join(told for told, _ in found))
        for told, share in found:
            if share >= _TELL or rule in ("repeated_customer", "unknown_label"):
                remarks.warn(f"{told}.")
    by_day = any(_only_days(*each) for each in tables)
    if by_day:
        remarks.because(
            "repairs.exact_duplicates", "only days are known, so a second purchase may look the same"
        )
    return Repairs(
        exact_duplicates="keep" if by_day else "drop",
        bad_time="drop" if faults["bad_time"] else "error",
        bad_number="null" if faults["bad_number"] else "error",
        repeated_customer="first" if faults["repeated_customer"] else "error",
        unknown_label="drop" if faults["unknown_label"] else "error",
    )


def _missing_ids(table: Profile, source: Customers | Transactions) -> Iterator[tuple[str, float]]:
    if source.id:
        yield from _told(table, source.id, table.rows - table.columns[source.id].present, "are nobody's: no")


def _bad_times(table: Profile, source: Customers | Transactions) -> Iterator[tuple[str, float]]:
    main = source.time if isinstance(source, Transactions) else source.as_of
    if main and (main.earliest or main.latest):
        yield f"{table.source.path}: times out of bounds in '{main.column}'", 0.0
    if main:
        yield from _told(
            table, main.column, table.rows - _fits(table, main.column, main.format), "have no usable"
        )
    known_at = source.known_at if isinstance(source, Transactions) else None
    if known_at:
        present = table.columns[known_at.column].present
        bad = present - _fits(table, known_at.column, known_at.format)
        yield from _told(table, known_at.column, bad, "have no usable")


def _bad_numbers(table: Profile, source: Customers | Transactions) -> Iterator[tuple[str, float]]:
    if isinstance(source, Transactions):
        numbers = [
            source.amount,
            source.discount,
            source.unit_price,
            source.quantity if source.unit_price else "",
        ]
    else:
        numbers = [name for name, column in source.columns.items() if column.role == "numeric"]
        for name, column in source.columns.items():
            if column.role == "date":
                bad = table.columns[name].present - _fits(table, name, column.format)
                yield from _told(table, name, bad, "have text that is no date in")
    for name in filter(None, numbers):
        numeric = table.columns[name]
        shown = ", ".join(f"'{value}'" for value, _ in numeric.strays[:3])
        what = f"have what is no number, such as {shown}, in" if shown else "have what is no number in"
        yield from _told(table, name, numeric.present - numeric.numbers, what)


def _repeated(table: Profile, source: Customers | Transactions) -> Iterator[tuple[str, float]]:
    if not isinstance(source, Customers) or not source.id or source.as_of:
        return
    column = table.columns[source.id]
    if uniqueness(column) < 1:
        yield from _told(table, source.id, column.present - column.distinct, "repeat an earlier")


def _unknown_labels(table: Profile, source: Customers | Transactions) -> Iterator[tuple[str, float]]:
    if not isinstance(source, Customers) or not source.label:
        return
    known, column = {*source.label.churned, *source.label.stayed}, table.columns[source.label.column]
    unknown = [(word, n) for word, n in column.levels if word not in known]
    words = ", ".join(f"'{word}'" for word, _ in unknown[:3]) + (", ..." if len(unknown) > 3 else "")
    what = f"are left out, since neither having left nor having stayed is meant by {words} in"
    yield from _told(table, column.name, sum(n for _, n in unknown), what)


def _only_days(table: Profile, source: Customers | Transactions) -> bool:
    if not isinstance(source, Transactions) or source.order:
        return False
    fits = table.columns[source.time.column].times
    return not any(fit.clocks for fit in fits if fit.format == source.time.format)


def _fits(table: Profile, name: str, format_: str) -> int:
    return next((fit.fits for fit in table.columns[name].times if fit.format == format_), 0)


def _told(table: Profile, name: str, rows: int, what: str) -> Iterator[tuple[str, float]]:
    """The fault in words, and the share of rows that have it; nothing where none do."""
    share = rows / table.rows
    if rows > 0:
        yield f"{table.source.path}: {rows} of {table.rows} rows ({share:.1%}) {what} '{name}'", share
