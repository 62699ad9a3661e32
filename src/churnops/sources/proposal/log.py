"""What the columns of a purchase log are: when, which order, how much, of what kind, what was called off."""

from collections.abc import Iterator

from churnops.data_config import TimeColumn, Transactions
from churnops.sources import mapping
from churnops.sources.proposal import names
from churnops.sources.proposal.called_off import called_off
from churnops.sources.proposal.inquiry import Inquiry
from churnops.sources.proposal.keys import IdFormat, none_found
from churnops.sources.proposal.lines import Log
from churnops.sources.proposal.moments import format_of, moment
from churnops.sources.proposal.money import discount, money
from churnops.sources.proposal.names import rank
from churnops.sources.proposal.profile import Column, Profile
from churnops.sources.proposal.slips import bounded

_MOST_CATEGORIES = 5_000
_LATE_ROWS = 0.01  # of the rows must have become known late for that to matter
_TIGHT = 0.98  # of the orders must lie within a day for a column to be an order's number
_LINE_NUMBERS = 0.9  # where rows share customer and instant, a number of its own for each is a line's


def read_log(table: Profile, id_: str, id_format: IdFormat, inquiry: Inquiry) -> Transactions:
    """What to say of the log `table` whose customers are in the column `id_`; ConfigError without a time."""
    log = Log(table, inquiry, id_, id_format)
    time = _time(log)
    log = log.taking(time.column, time=time)
    known_at = _known_at(log)
    log = log.taking(known_at.column if known_at else "")
    order = _order(log)
    log = log.taking(order, order=order)
    value = money(log)
    log = log.taking(value.amount, value.unit_price, value.quantity)
    reduction = discount(log)
    log = log.taking(reduction)
    category = _category(log)
    log = log.taking(category)
    cancelled = called_off(log, value.sql)
    unused = [
        name for name in table.columns if name not in {id_, *log.taken, cancelled.column if cancelled else ""}
    ]
    if unused:
        log.because("not used", ", ".join(unused))
    return Transactions(
        **table.source.model_dump(exclude={"id_format"}),
        id_format=id_format,
        id=id_,
        time=time,
        known_at=known_at,
        order=order,
        amount=value.amount,
        unit_price=value.unit_price,
        quantity=value.quantity,
        discount=reduction,
        category=category,
        cancelled=cancelled,
    )


def looks_like_log(table: Profile) -> bool:
    """Whether there is a column that says when, as purchases have."""
    return any(moment(column) for column in table.columns.values())


def _time(log: Log) -> TimeColumn:
    options = [column for column in log.table.columns.values() if moment(column) and column.name != log.id]
    if not options:
        raise none_found(
            log.table,
            "column that says when a purchase happened",
            "add one, or name it and its strptime format by hand: `time = {column = ..., format = ...}`",
        )

    def surest(column: Column) -> tuple[bool, int, float, bool]:
        fit, filled = moment(column), column.present / log.table.rows
        event = not rank(column.name, names.OTHER_TIME)
        return event, rank(column.name, names.EVENT_TIME), round(filled, 1), bool(fit and fit.clocks)

    best = max(options, key=surest)
    format_ = format_of(log.table, best.name, "transactions.time", log.inquiry)
    time = bounded(log, TimeColumn(column=best.name, format=format_))
    fit = next(fit for fit in best.times if fit.format == format_)
    others = [column.name for column in options if column is not best]
    is_zoned = best.kind == "zoned" or "%z" in format_ or format_.startswith("epoch")
    zone = "" if is_zoned else "; without an offset, so UTC"
    log.because(
        "time",
        f"{fit.days} days, {time.earliest or fit.first:%Y-%m-%d} to {fit.last:%Y-%m-%d}{zone}"
        + (f"; other times: {', '.join(others)}" if others else ""),
    )
    return time


def _known_at(log: Log) -> TimeColumn | None:
    """A second time that is never before the first and often clearly after it."""
    late = "interval 1 hour" if _has_clock(log) else "interval 1 day"
    for column in log.free(names.KNOWN_AT):
        if moment(column) is None:
            continue
        time = TimeColumn(
            column=column.name, format=format_of(log.table, column.name, "transactions.known_at", log.inquiry)
        )
        found = log.count(
            f"""select count(*) as n_rows, count(*) filter (where known < moment) as early,
                       count(*) filter (where known >= moment + {late}) as late
                from lines where known is not null""",
            known=log.moment(time),
        )
        if found["n_rows"] and not found["early"] and found["late"] >= _LATE_ROWS * found["n_rows"]:
            log.because(
                "known_at", f"never before the purchase, and later for {found['late'] / found['n_rows']:.0%}"
            )
            return time
    return None


def _has_clock(log: Log) -> bool:
    column = log.table.columns[log.time.column if log.time else ""]
    return any(fit.clocks for fit in column.times if log.time and fit.format == log.time.format)


def _order(log: Log) -> str:
    """A number that the lines of one purchase share."""
    for column in (*log.free(names.ORDER_ID), *_numbered(log)):
        if column.distinct < 2 or (column.numbers == column.present and not column.is_whole):
            continue
        found = log.count(
            """, orders as (
                select count(*) as n_lines, max(moment) - min(moment) as span from lines
                where customer is not null and moment is not null and number is not null
                group by customer, number)
            select count(*) as n_orders, sum(n_lines) as n_lines,
                   count(*) filter (where span <= interval 1 day) as n_tight,
                   (select count(distinct (customer, moment)) from lines) as n_moments from orders""",
            number=mapping.present(log.table.field(column.name)),
        )
        n_orders, n_lines = found["n_orders"], int(found["n_lines"] or 0)
        numbers_lines = n_orders == n_lines and found["n_moments"] < _LINE_NUMBERS * n_lines
        if n_orders and found["n_tight"] >= _TIGHT * n_orders and not numbers_lines:
            log.because(
                "order", f"{n_lines / n_orders:.1f} lines an order, each of one customer within a day"
            )
            return column.name
    log.because("order", "none found: all lines of one customer at one instant are one purchase")
    return ""


def _numbered(log: Log) -> Iterator[Column]:
    """A column called name that holds numbers such as #1001: orders have names in Shopify's exports."""
    for column in log.free(("^name$",)):
        number = mapping.present(log.table.field(column.name))
        found = log.count(
            """select count(number) as n_rows,
                      count(*) filter (where regexp_full_match(number, '[^a-zA-Z0-9]*[0-9]+')) as n_numbers
               from lines""",
            number=number,
        )
        if 0 < found["n_rows"] == found["n_numbers"]:
            yield column


def _category(log: Log) -> str:
    passed = []
    for column in log.free(names.CATEGORY):
        reason = _no_kinds(column, log.table.rows)
        if not reason:
            log.because("category", f"{column.distinct} different values")
            return column.name
        passed.append(f"'{column.name}' {reason}")
    log.because("category", "; ".join(passed) or "none found")
    return ""


def _no_kinds(column: Column, rows: int) -> str:
    """Why its values are no kinds of things; empty if they may be."""
    if column.numbers == column.present and not column.is_whole:
        return "holds fractions"
    if column.present < rows / 2:
        return f"is filled in in {column.present / rows:.0%} of the rows only"
    if column.distinct < 2:
        return "says the same in every row"
    return f"has {column.distinct} values, too many to be kinds" if column.distinct > _MOST_CATEGORIES else ""
