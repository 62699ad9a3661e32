"""Attributes that tell what happened after the moment they are to be used at, as the data themselves show."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from churnops.data_config import AttributeColumn, Label, Transactions
from churnops.sources import mapping, transactions
from churnops.sources.csv_text import literal
from churnops.sources.proposal import names
from churnops.sources.proposal.inquiry import Inquiry
from churnops.sources.proposal.keys import Pair
from churnops.sources.proposal.names import rank, says_gone
from churnops.sources.proposal.profile import Column, Profile

_ENOUGH_ROWS, _ENOUGH_OF_EACH = 100, 20  # with fewer rows, chance alone decides a label
_PURE = 0.999
_FILLED_APART = 0.9
_LATER = 0.2  # of the customers who came again: so many dates after the first purchase are no slips
_SUMS_UP = 0.9  # correlation with what the whole log says of the customer
_SUMMARIES = {"n_lines": "lines", "n_moments": "purchases", "spent": "total spend", "newest": "last purchase"}
_NEUTRAL = 1  # the rank of label names that may as well mean something else


def known_afterwards(
    table: Profile, label: Label, columns: Collection[str], inquiry: Inquiry
) -> dict[str, str]:
    """Of the attributes `columns` of a labelled table, those known only once the label was, and why."""
    churned = _churned(table, label)
    filled = [f"count({mapping.present(table.field(name))}) as filled_{i}" for i, name in enumerate(columns)]
    sql = f"""
        select {", ".join(["churned", "count(*) as n_rows", *filled])}
        from ({churned}) where churned is not null group by churned
    """
    rows = inquiry.query(sql, {"staged": table.address}).to_pylist()
    sides = {row["churned"]: row for row in rows}
    if len(sides) < 2 or table.rows < _ENOUGH_ROWS or min(row["n_rows"] for row in rows) < _ENOUGH_OF_EACH:
        return {}
    found = _deciding(table, churned, columns, inquiry)
    for i, name in enumerate(columns):
        gone, here = (sides[side][f"filled_{i}"] / sides[side]["n_rows"] for side in (True, False))
        if abs(gone - here) >= _FILLED_APART:
            found[name] = f"filled in for {gone:.0%} of those who left and {here:.0%} of the others"
    return found


def _churned(table: Profile, label: Label) -> str:
    """SQL: the raw fields of the staged table, and who left; null for rows without a label."""
    said = mapping.word(table.field(label.column))
    gone = ", ".join(literal(mapping.as_word(word)) for word in label.churned)
    trimmed = ", ".join(mapping.trimmed(table.field(name)) for name in table.columns)
    return f"select *, {said} in ({gone}) as churned from (select {trimmed} from staged)"


def _deciding(table: Profile, churned: str, columns: Collection[str], inquiry: Inquiry) -> dict[str, str]:
    """Columns of few values, each of which goes with one side only."""
    few = [name for name in columns if _is_complete(table.columns[name])]
    if not few:
        return {}
    values = ", ".join(f"{mapping.present(table.field(name))} as c{i}" for i, name in enumerate(few))
    sql = f"""
        with listed as (
            unpivot (select churned, {values} from ({churned}) where churned is not null)
            on columns(* exclude churned) into name key value value),
        counted as (
            select key, count(*) as n_rows,
                   greatest(count(*) filter (churned), count(*) filter (not churned)) as n_most
            from listed group by key, value)
        select key, cast(sum(n_rows) as bigint) as n_rows, sum(n_most) / sum(n_rows) as purity
        from counted group by key
    """
    found = {row["key"]: row for row in inquiry.query(sql, {"staged": table.address}).to_pylist()}
    return {
        name: f"decides the label in {found[f'c{i}']['purity']:.1%} of the rows"
        for i, name in enumerate(few)
        if found[f"c{i}"]["purity"] >= _PURE and found[f"c{i}"]["n_rows"] >= _ENOUGH_ROWS
    }


def _is_complete(column: Column) -> bool:
    return 2 <= column.distinct == len(column.levels)


@dataclass(frozen=True)
class Purchases:
    """What the purchases side of two tables was found to be."""

    log: Profile
    source: Transactions
    pair: Pair


def summing_up(
    customers: Profile, columns: Mapping[str, AttributeColumn], purchases: Purchases, inquiry: Inquiry
) -> dict[str, str]:
    """Of the attributes of a customer table, those that sum up the log beside it, with the figures.

    Such a table is as of its export: what it says of purchases includes those a model is to foresee.
    """
    found = {name: reason for name in columns if (reason := _by_name(customers.columns[name]))}
    tested = {
        name: column
        for name, column in columns.items()
        if column.role in ("numeric", "date") and name not in found
    }
    if not tested:
        return found
    row = _against_log(customers, tested, purchases, inquiry)
    for i, (name, column) in enumerate(tested.items()):
        close = {key: row[f"{key}_{i}"] for key in (*_SUMMARIES, "oldest")}
        most = max(close, key=lambda key: _size(close[key]))
        # Signing up goes with the first purchase, and through it with the last.
        if _size(close[most]) >= _SUMS_UP and most != "oldest":
            figure = f"correlation {close[most]:.2f}"
            found[name] = f"goes with the customer's {_SUMMARIES[most]} in the whole log ({figure})"
        elif column.role == "date" and (row[f"later_{i}"] or 0) >= _LATER:
            found[name] = f"later than the first purchase of {row[f'later_{i}']:.0%} of those who came again"
    return found


def _by_name(column: Column) -> str:
    if rank(column.name, names.SUMMARY):
        return "its name says it sums up purchases or is the latest state, both as of the export"
    said = [says_gone(value) for value, _ in column.levels]
    if rank(column.name, names.LABEL) > _NEUTRAL or (
        len(said) == column.distinct and {True, False} <= {*said}
    ):
        return "says who had left when the table was exported: purchases say who left"
    return ""


def _against_log(
    customers: Profile, tested: Mapping[str, AttributeColumn], purchases: Purchases, inquiry: Inquiry
) -> dict[str, Any]:
    """One row: for each tested column its correlations with `_SUMMARIES`, for dates how many are too late."""
    counts, typed = [], []
    for i, (name, column) in enumerate(tested.items()):
        field = customers.field(name)
        if column.role == "date":
            typed += [f"{mapping.instant(field, column.format, 'UTC')} as t{i}", f"epoch(t{i}) as x{i}"]
            later = f"avg(case when t{i} >= first_day + interval 1 day then 1 else 0 end)"
            counts.append(f"{later} filter (where t{i} is not null and first_day < last_day) as later_{i}")
        else:
            typed.append(f"{mapping.number(field)} as x{i}")
        counts += [f"corr(x{i}, {key}) as {key}_{i}" for key in (*_SUMMARIES, "oldest")]
    source, pair = purchases.source, purchases.pair
    line, person = purchases.log.field(pair.transactions), customers.field(pair.customers)
    time = mapping.instant(purchases.log.field(source.time.column), source.time.format, source.time.timezone)
    used = [purchases.log.field(name) for name in transactions.named_columns(source)]
    raw = [customers.field(name) for name in customers.columns]
    sql = f"""
        with lines as (
            select {mapping.identifier(line, pair.id_format)} as id, {time} as moment,
                   {_amount(purchases)} as amount
            from (select {", ".join(map(mapping.trimmed, used))} from log)),
        summaries as (
            select id, count(*) as n_lines, count(distinct moment) as n_moments,
                   coalesce(sum(amount), 0) as spent,
                   epoch(min(moment)) as oldest, date_trunc('day', min(moment)) as first_day,
                   epoch(max(moment)) as newest, date_trunc('day', max(moment)) as last_day
            from lines where id is not null and moment is not null group by id),
        attributes as (
            select {mapping.identifier(person, pair.id_format)} as id, {", ".join(typed)}
            from (select {", ".join(map(mapping.trimmed, raw))} from people))
        select {", ".join(counts)} from attributes join summaries using (id)
    """
    tables = {"log": purchases.log.address, "people": customers.address}
    row: dict[str, Any] = inquiry.query(sql, tables).to_pylist()[0]
    return row


def _amount(purchases: Purchases) -> str:
    source, field = purchases.source, purchases.log.field
    if source.amount:
        return mapping.number(field(source.amount))
    if source.unit_price:
        return f"{mapping.number(field(source.unit_price))} * {mapping.number(field(source.quantity))}"
    return "cast(null as double)"


def _size(correlation: float | None) -> float:
    """How strong a correlation is; none where one side never varies."""
    return abs(correlation) if correlation is not None and math.isfinite(correlation) else 0.0
