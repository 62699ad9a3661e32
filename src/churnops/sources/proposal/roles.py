"""What each column of the customer table may be to a model, and why."""

from collections.abc import Collection

from churnops.data_config import AttributeColumn
from churnops.sources.proposal import names
from churnops.sources.proposal.inquiry import Inquiry
from churnops.sources.proposal.moments import format_of, moment
from churnops.sources.proposal.names import rank
from churnops.sources.proposal.profile import Column, Profile

MOST_LEVELS = 200
"""A categorical column may have so many values; with more, few customers share one."""

_MAY_BE_A_ROW = 1  # the rank of id names that say nothing of a customer
_FEW_LEVELS = 20  # names and texts of no more values are kinds of something
_BAD_NUMBERS = 0.01  # of the values may be no numbers, and the column still be one
_PLACEHOLDERS, _PLACEHELD = 3, 0.5  # or half of them, if they are a few words that stand for nothing
_LONG_TEXT = 40
_ROWS_A_LEVEL = 5
_DROPPED = AttributeColumn(role="dropped")
_NUMERIC = AttributeColumn(role="numeric")
_CATEGORICAL = AttributeColumn(role="categorical")

Choice = tuple[AttributeColumn, str]
"""A role, and why."""


def roles_of(table: Profile, taken: Collection[str], inquiry: Inquiry) -> dict[str, AttributeColumn]:
    """The roles of all columns but those `taken`, the reasons said at `customers.columns.<name>`."""
    roles = {}
    for name, column in table.columns.items():
        if name not in taken:
            roles[name], reason = role_of(column, table, inquiry)
            inquiry.remarks.because(f"customers.columns.{name}", reason)
    return roles


def role_of(column: Column, table: Profile, inquiry: Inquiry) -> Choice:
    """The role of a column that is neither the id nor the label, judged by itself."""
    if column.kind == "other":
        return _DROPPED, "lists or structures"
    if column.present == 0:
        return _DROPPED, "empty"
    if column.distinct == 1 and column.present == table.rows:
        return _DROPPED, "the same value in every row"
    if rank(column.name, names.ABOUT_LEAVING):
        return _DROPPED, "tells of leaving: known only afterwards, or another model's guess"
    if rank(column.name, names.CUSTOMER_ID) > _MAY_BE_A_ROW and column.distinct > _FEW_LEVELS:
        return _DROPPED, f"an id with {column.distinct} values"
    if moment(column):
        return _date(column, table, inquiry)
    if is_number(column):
        return _number(column, table.rows)
    return _text(column, table.rows)


def is_number(column: Column) -> bool:
    """Whether its values are numbers, but for a few slips or words that stand for nothing."""
    bad = column.present - column.numbers
    if bad <= _BAD_NUMBERS * column.present:
        return column.numbers > 0
    placeholders = len(column.strays) <= _PLACEHOLDERS and not any(
        c.isdigit() for word, _ in column.strays for c in word
    )
    return placeholders and column.numbers >= _PLACEHELD * column.present and column.distinct > _FEW_LEVELS


def _date(column: Column, table: Profile, inquiry: Inquiry) -> Choice:
    format_ = format_of(table, column.name, f"customers.columns.{column.name}", inquiry)
    fit = next(fit for fit in column.times if fit.format == format_)
    if fit.days == 1 and column.present == table.rows:
        return _DROPPED, f"{fit.first:%Y-%m-%d} in every row"
    span = f"{fit.first:%Y-%m-%d} to {fit.last:%Y-%m-%d}"
    return AttributeColumn(role="date", format=format_), span + _missing(column, table.rows)


def _number(column: Column, rows: int) -> Choice:
    whole = column.whole == column.numbers
    low, high = column.minimum or 0.0, column.maximum or 0.0
    unique = column.distinct == column.present == rows
    if whole and unique and rows > 2 and high - low + 1 == rows:
        return _DROPPED, "numbers the rows"
    is_code = column.padded or (rank(column.name, names.CODE) and not rank(column.name, names.COUNT))
    if whole and is_code and column.distinct > 2:
        if column.distinct <= max(_FEW_LEVELS, min(MOST_LEVELS, rows / _ROWS_A_LEVEL)):
            return _CATEGORICAL, f"{column.distinct} codes{_missing(column, rows)}"
        return _DROPPED, f"an id or code with {column.distinct} values"
    bad = f", {column.present - column.numbers} no number ({_strays(column)})" if column.strays else ""
    return _NUMERIC, f"{low:.10g} to {high:.10g}{_missing(column, rows)}{bad}"


def _text(column: Column, rows: int) -> Choice:
    numbers = column.numbers / column.present
    half = f"; {numbers:.0%} are numbers, but not {_strays(column)}" if column.strays else ""
    if column.distinct <= _FEW_LEVELS and (column.distinct <= rows / 2 or rows < _FEW_LEVELS):
        shares = ", ".join(f"{value} {n / rows:.0%}" for value, n in column.levels[:3])
        more = ", ..." if column.distinct > 3 else ""
        return _CATEGORICAL, f"{column.distinct} values: {shares}{more}{_missing(column, rows)}{half}"
    if column.distinct > 0.9 * column.present:
        return _DROPPED, f"nearly every row has its own value{half}"
    if column.length > _LONG_TEXT or rank(column.name, names.TEXT):
        return _DROPPED, f"free text or names, {column.distinct} different{half}"
    if column.distinct > MOST_LEVELS:
        return _DROPPED, f"{column.distinct} values, more than {MOST_LEVELS}{half}"
    if column.distinct > rows / _ROWS_A_LEVEL:
        return _DROPPED, f"{column.distinct} values, fewer than {_ROWS_A_LEVEL} rows for each{half}"
    return _CATEGORICAL, f"{column.distinct} values{_missing(column, rows)}{half}"


def _missing(column: Column, rows: int) -> str:
    share = 1 - column.present / rows
    return f", {share:.1%} missing" if share else ""


def _strays(column: Column) -> str:
    return ", ".join(f"'{value}'" for value, _ in column.strays[:3])
