"""The primitives features are made of.

Each primitive is SQL that means the same on DuckDB and on Spark, and whose value does not depend on the order
of rows: sums are of decimals or of whole numbers, and only their results become doubles.
"""

from dataclasses import dataclass
from typing import Literal

from churnops.contracts.table import quoted
from churnops.snapshots.aggregates import Aggregate
from churnops.snapshots.spine import purchases

SNAPSHOTS, ATTRIBUTES = "seen", "attributes"
"""What a query calls the rows of `snapshots_query`, and those of the customers' or the labelled table."""

_EPOCH = "timestamp '1970-01-01 00:00:00'"
_MONDAY = "timestamp '1900-01-01 00:00:00'"
_RETURNS = "is_return"


@dataclass(frozen=True)
class Expression:
    """SQL of one value of a snapshot, and the aggregates it speaks of by name."""

    sql: str
    aggregates: tuple[Aggregate, ...] = ()


def orders(days: int | None = None) -> Expression:
    """How many purchases."""
    return _whole(purchases(days))


def spend(days: int | None = None) -> Expression:
    """Money of the purchases; 0 without any."""
    name = "sum_amount" if days is None else f"sum_amount_{days}d"
    return _whole(Aggregate(name, "sum", "amount", days=days))


def returns() -> Expression:
    """How many returns."""
    return _whole(Aggregate("n_returns", "count", "*", where=_RETURNS))


def total(column: str) -> Expression:
    """The sum of a decimal or integer column over the purchases; 0 without any."""
    return _whole(Aggregate(f"sum_{column}", "sum", column))


def on_weekends() -> Expression:
    """How many purchases on a Saturday or Sunday, UTC."""
    day = f"extract(day from (event_timestamp - {_MONDAY})) % 7"
    return _whole(Aggregate("n_weekend", "count", "*", where=f"not is_return and {day} >= 5"))


def days_since_first() -> Expression:
    """Days from the first purchase to `as_of`."""
    first = Aggregate("first_purchase", "min", "event_timestamp")
    return Expression(days_between(f"{SNAPSHOTS}.as_of", _value(first)), (first,))


def days_since_last() -> Expression:
    """Days from the last purchase to `as_of`."""
    last = Aggregate("last_purchase", "max", "event_timestamp")
    return Expression(days_between(f"{SNAPSHOTS}.as_of", _value(last)), (last,))


def gap_spread() -> Expression:
    """Standard deviation of the days between purchases; null below two gaps.

    Gaps are taken in whole minutes: their squares add up to at most the square of the whole history, which a
    double holds exactly for 150 years, so the order of rows cannot show.
    """
    minutes = "floor(gap_seconds / 60e0)"
    gaps = Aggregate("n_gaps", "count", "gap_seconds")
    linear = Aggregate("sum_gaps", "sum", minutes)
    square = Aggregate("sum_square_gaps", "sum", f"{minutes} * {minutes}")
    n = f"nullif({_value(gaps)}, 0)"
    mean = f"({_value(linear)} / {n})"
    variance = f"({_value(square)} / {n} - {mean} * {mean})"
    # Rounding may leave a hair less than nothing.
    deviation = f"case when {_value(gaps)} >= 2 then sqrt(greatest({variance}, 0e0)) end"
    return Expression(f"{deviation} / 1440e0", (gaps, linear, square))


def attribute(column: str, kind: Literal["numeric", "categorical"]) -> Expression:
    """A column of the customers as a double or as text."""
    return Expression(f"cast({_attribute(column)} as {'double' if kind == 'numeric' else 'string'})")


def days_before(column: str, table: str) -> Expression:
    """Days from a date of the customers to the `as_of` of `table`; null for a date not past by then."""
    as_of, date = f"{table}.as_of", _attribute(column)
    return Expression(f"case when {date} < {as_of} then {days_between(as_of, date)} end")


def day_number(column: str) -> Expression:
    """Days from 1970 to a date of the customers."""
    return Expression(days_between(_attribute(column), _EPOCH))


def number(value: float) -> Expression:
    """A constant."""
    return Expression(f"{float(value)}e0")


def ratio(part: Expression, whole: Expression) -> Expression:
    """`part` over `whole`; null where `whole` is 0."""
    return Expression(f"({part.sql}) / nullif({whole.sql}, 0e0)", part.aggregates + whole.aggregates)


def at_least(least: float, value: Expression) -> Expression:
    """`value`, but never below `least`."""
    return Expression(f"greatest({value.sql}, {float(least)}e0)", value.aggregates)


def plus(left: Expression, right: Expression) -> Expression:
    """Their sum."""
    return Expression(f"({left.sql} + {right.sql})", left.aggregates + right.aggregates)


def minus(left: Expression, right: Expression) -> Expression:
    """Their difference."""
    return Expression(f"({left.sql} - {right.sql})", left.aggregates + right.aggregates)


def days_between(later: str, earlier: str) -> str:
    """Days, with fractions to the minute: extracting parts of an interval is what both engines do alike."""
    between = f"({later} - {earlier})"
    minutes = " + ".join(
        f"extract({part} from {between}) * {scale}e0"
        for part, scale in (("day", 1440), ("hour", 60), ("minute", 1))
    )
    return f"({minutes}) / 1440e0"


def _whole(aggregate: Aggregate) -> Expression:
    """A count or a sum as a double, 0 over no orders at all."""
    return Expression(f"cast(coalesce({_value(aggregate)}, 0) as double)", (aggregate,))


def _value(aggregate: Aggregate) -> str:
    return f"{SNAPSHOTS}.{aggregate.name}"


def _attribute(column: str) -> str:
    return f"{ATTRIBUTES}.{quoted(column)}"
