"""Which columns of a log are money: the line's amount, or a price and how many, and what was taken off."""

from dataclasses import dataclass

from churnops.sources import mapping
from churnops.sources.proposal import names
from churnops.sources.proposal.lines import Log
from churnops.sources.proposal.names import rank
from churnops.sources.proposal.profile import Column

_NUMBERS = 0.95  # of the values present must be numbers
_SURE_RANK = 2  # of `names.AMOUNT`: below, the name may as well be a unit's price
_ORDERS_TOLD, _SAME = (
    30,
    0.95,
)  # so many orders of several lines, and in so many of them one and the same amount


@dataclass(frozen=True)
class Money:
    """The columns of the money of a line, as the config names them; `sql` is it, over raw fields."""

    amount: str = ""
    unit_price: str = ""
    quantity: str = ""
    sql: str = "cast(null as double)"


def money(log: Log) -> Money:
    """The line's money; nothing, with a warning, where no column looks like it."""
    amounts = [
        column
        for column in log.free(names.AMOUNT)
        if _is_money(column) and column.distinct > 1 and not rank(column.name, names.NOT_AMOUNT)
    ]
    prices = [column for column in log.free(names.UNIT_PRICE) if _is_money(column)]
    counts = [column for column in log.free(names.QUANTITY) if _is_money(column)]
    sure = [column for column in amounts if rank(column.name, names.AMOUNT) >= _SURE_RANK]
    varies = any(column.distinct > 1 for column in (*prices[:1], *counts[:1]))
    product = _product(log, prices[0], counts[0]) if prices and counts and varies else None
    single = _of_lines(log, sure) if product else next(iter(sure), None)
    if single is None and product is None:
        single = next(iter(amounts), None)
    if single:
        return _amount(log, single, [column for column in amounts if column is not single])
    if product is None:
        log.warn("No money was found in the purchases: no feature will say what a customer spends.")
        log.because("amount", "no column of numbers has a name that says money")
        return Money()
    _tell_returns(log, product.sql)
    log.because("unit_price", f"money is '{product.unit_price}' times '{product.quantity}'")
    return product


def discount(log: Log) -> str:
    """Money taken off the line; a share or a percentage is none."""
    options: list[Column] = []
    shares: list[Column] = []
    for column in log.free(names.DISCOUNT):
        if _is_money(column) and column.distinct > 1 and not rank(column.name, names.NO_MONEY):
            is_share = column.minimum is not None and column.minimum >= 0 and (column.maximum or 0) <= 1
            (shares if is_share else options).append(column)
    best = max(options, key=lambda column: _size(column), default=None)
    if best is None:
        none = f"'{shares[0].name}' is a share of the price, not money" if shares else "none found"
        log.because("discount", none)
        return ""
    others = [column.name for column in options if column is not best]
    log.because(
        "discount", f"up to {_size(best):.10g}" + (f"; not added: {', '.join(others)}" if others else "")
    )
    return best.name


def _is_money(column: Column) -> bool:
    return (
        column.kind != "boolean"
        and column.percents == 0
        and column.numbers >= _NUMBERS * max(1, column.present)
    )


def _size(column: Column) -> float:
    return max(abs(column.minimum or 0), abs(column.maximum or 0))


def _product(log: Log, price: Column, count: Column) -> Money:
    factors = [mapping.number(log.table.field(column.name)) for column in (price, count)]
    return Money(unit_price=price.name, quantity=count.name, sql=f"{factors[0]} * {factors[1]}")


def _amount(log: Log, column: Column, others: list[Column]) -> Money:
    sql = mapping.number(log.table.field(column.name))
    if _repeats_order_total(log, column):
        log.warn(
            f"'{column.name}' is the same on all lines of an order, so it may be the order's total:"
            " the order's money would be counted once a line."
        )
    _tell_returns(log, sql)
    named = f"; other money: {', '.join(other.name for other in others)}" if others else ""
    log.because("amount", f"{column.minimum:.10g} to {column.maximum:.10g}{named}")
    return Money(amount=column.name, sql=sql)


def _of_lines(log: Log, amounts: list[Column]) -> Column | None:
    """The first that is no total repeated on every line: there is a price to fall back to."""
    return next((column for column in amounts if not _repeats_order_total(log, column)), None)


def _repeats_order_total(log: Log, column: Column) -> bool:
    if not log.order:
        return False
    raw = ", ".join(log.table.field(name).raw for name in log.table.columns)
    found = log.count(
        """, orders as (
            select min(amount) as lowest, max(amount) as highest from lines
            where customer is not null and amount is not null
            group by customer, purchase having count(distinct line) > 1)
        select count(*) as n_orders, count(*) filter (where lowest = highest) as n_same from orders""",
        amount=mapping.number(log.table.field(column.name)),
        line=f"hash({raw})",  # a line repeated in full is no second one
    )
    return bool(found["n_orders"] >= _ORDERS_TOLD and found["n_same"] >= _SAME * found["n_orders"])


def _tell_returns(log: Log, sql: str) -> None:
    found = log.count(
        "select count(*) filter (where amount < 0) as n_returns, count(*) as n_rows from lines", amount=sql
    )
    if found["n_returns"]:
        share = found["n_returns"] / found["n_rows"]
        log.because(
            "returns", f"{found['n_returns']} lines ({share:.1%}) are negative: returns, not purchases"
        )
