"""Purchases: lines or orders as they come become typed lines."""

from collections.abc import Mapping

from churnops.data_config import Cancelled, Repairs, Transactions
from churnops.sources import mapping
from churnops.sources.csv_text import literal
from churnops.sources.mapping import Field, Kind
from churnops.sources.rules import Rule, TypedTable, bad_number, bad_time, duplicates, missing_id

_NO_MONEY = "cast(null as decimal(18, 4))"


def lines_table(source: Transactions, repairs: Repairs, *, kinds: Mapping[str, Kind]) -> TypedTable:
    """Typed lines; lines of one customer with one `purchase` are one order."""
    fields = {name: Field(name, kinds[name], source.decimal) for name in named_columns(source)}
    moment = "cast(epoch_us(event_timestamp) as varchar)"
    columns = {
        "customer_id": mapping.identifier(fields[source.id], source.id_format),
        "event_timestamp": mapping.moment(fields[source.time.column], source.time),
        "available_at": "event_timestamp",
        "purchase": moment,
        "amount": _NO_MONEY,
        "discount": _NO_MONEY,
        "category": "cast(null as varchar)",
    }
    if source.known_at:  # a line that does not say when it became known was known at once
        columns["available_at"] = (
            f"greatest(event_timestamp, {mapping.moment(fields[source.known_at.column], source.known_at)})"
        )
    if source.order:  # a line without an order number belongs to the others of its instant
        columns["purchase"] = f"coalesce('#' || {mapping.present(fields[source.order])}, {moment})"
    if source.amount:
        columns["amount"] = mapping.money(fields[source.amount])
    if source.unit_price:
        product = f"{mapping.number(fields[source.unit_price])} * {mapping.number(fields[source.quantity])}"
        columns["amount"] = f"try_cast({product} as decimal(18, 4))"
    if source.discount:
        columns["discount"] = f"abs({mapping.money(fields[source.discount])})"
    if source.category:
        columns["category"] = mapping.text(fields[source.category])
    return TypedTable(
        "transactions", tuple(fields.values()), columns, tuple(_rules(source, repairs, fields=fields))
    )


def named_columns(source: Transactions) -> list[str]:
    """The columns of the source that the config names, each once."""
    known_at = source.known_at.column if source.known_at else ""
    cancelled = source.cancelled.column if source.cancelled else ""
    money = (source.amount, source.unit_price, source.quantity if source.unit_price else "", source.discount)
    names = (source.id, source.time.column, known_at, source.order, *money, source.category, cancelled)
    return [name for name in dict.fromkeys(names) if name]


def _rules(source: Transactions, repairs: Repairs, *, fields: Mapping[str, Field]) -> list[Rule]:
    """In the order in which they are applied."""
    rules = [duplicates(repairs.exact_duplicates), missing_id(fields[source.id], repairs.missing_id)]
    if source.cancelled:
        rules.append(_cancelled(source.cancelled, fields[source.cancelled.column]))
    time = fields[source.time.column]
    rules.append(bad_time(time, source.time, repairs.bad_time, broken="event_timestamp is null"))
    if source.known_at:
        known_at = fields[source.known_at.column]
        broken = (
            f"{mapping.present(known_at)} is not null and {mapping.moment(known_at, source.known_at)} is null"
        )
        rules.append(bad_time(known_at, source.known_at, repairs.bad_time, broken=broken))
    for name in (source.amount, source.discount):
        if name:
            rules.append(bad_number(fields[name], repairs.bad_number, typed=mapping.money(fields[name])))
    if source.unit_price:
        price, quantity = fields[source.unit_price], fields[source.quantity]
        rules.append(bad_number(quantity, repairs.bad_number, typed=mapping.number(quantity)))
        # A product beyond what money can hold is the price's fault.
        typed = f"case when {mapping.number(quantity)} is null then {mapping.number(price)} else amount end"
        rules.append(bad_number(price, repairs.bad_number, typed=typed))
    if source.amount or source.unit_price:
        rules.append(_zero_amount(fields[source.amount or source.unit_price], repairs))
    return rules


def _cancelled(source: Cancelled, column: Field) -> Rule:
    words = [f"{mapping.word(column)} = {literal(mapping.as_word(value))}" for value in source.values]
    if source.prefix:
        words.append(f"starts_with(lower({mapping.text(column)}), {literal(source.prefix.lower())})")
    marked = " or ".join(words) or "false"
    if source.whole_order:
        unmarked = f"{mapping.present(column)} is null"
        marked += f" or ({unmarked} and bool_or({marked}) over (partition by customer_id, purchase))"
    return Rule(
        name="cancelled",
        column=column.name,
        broken=marked,
        shown=mapping.text(column),
        action="drop",
    )


def _zero_amount(column: Field, repairs: Repairs) -> Rule:
    return Rule(
        name="zero_amount",
        column=column.name,
        broken="amount = 0",
        shown=mapping.text(column),
        action=repairs.zero_amount,
    )
