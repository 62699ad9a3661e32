"""From typed lines to orders, and to what orders that come later are held against."""

from collections.abc import Mapping
from pathlib import Path

from churnops.contracts.table import check
from churnops.contracts.tables import CATEGORIES, NUMBERS, ORDERS
from churnops.data_config import Transactions
from churnops.engines.on_duckdb import DuckDB

TABLES = (ORDERS, CATEGORIES, NUMBERS)
"""What purchases become; the last two only where the source has categories, or order numbers."""


def write_orders(
    source: Transactions, engine: DuckDB, typed: str, *, to: Path, earlier: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Write the tables of the `typed` lines, each as `<name>.parquet`, into the folder `to`; their addresses.

    `earlier` are the tables that these orders follow, every one of them known later than all of those. Raises
    ContractError.
    """
    before = {f"earlier_{name}": address for name, address in (earlier or {}).items()}
    queries = {"ranked": _ranked_query()}
    if source.category:
        queries["novelties"] = _novelties_query(follows=bool(earlier))
        queries[CATEGORIES.name] = _categories_query()
    if source.order:
        queries[NUMBERS.name] = _numbers_query()
    queries[ORDERS.name] = _orders_query(source, follows=bool(earlier))
    tables = {"typed": typed}
    for name, query in queries.items():
        address = str(to / f"{name}.parquet")
        engine.write(query, tables | before, address)
        tables[name] = address
    made = {table.name: tables[table.name] for table in TABLES if table.name in tables}
    for name in queries.keys() - made.keys():
        Path(tables[name]).unlink()
    for table in TABLES:
        if table.name in made:
            check(table, engine.query, made[table.name])
    return made


def _ranked_query() -> str:
    """SQL over the `typed` lines: one row per order of those kept, a customer's by when they became known.

    `nth` counts them. An order is a return if its lines together are worth less than nothing.
    """
    return """
        with orders as (
            select customer_id, purchase, min(event_timestamp) as event_timestamp,
                   max(available_at) as available_at, coalesce(sum(amount) < 0, false) as is_return,
                   sum(amount) as amount, sum(discount) as discount, count(*) as n_lines
            from typed where _kept group by customer_id, purchase)
        select *, row_number() over (
            partition by customer_id order by available_at, event_timestamp, purchase) as nth
        from orders
    """


def _novelties_query(*, follows: bool) -> str:
    """SQL over `typed` and `ranked`: of each category a customer bought from, the `nth` order, its first.

    Where these orders follow `earlier_categories`, what is among those is not new.
    """
    known = "anti join earlier_categories using (customer_id, category)" if follows else ""
    return f"""
        with bought as (
            select customer_id, category, min(nth) as nth from typed join ranked using (customer_id, purchase)
            where _kept and category is not null and not is_return group by customer_id, category)
        select * from bought {known}
    """


def _categories_query() -> str:
    """SQL over `novelties`: what each customer bought of first, as the contract CATEGORIES has it."""
    return "select customer_id, category from novelties order by customer_id, category"


def _numbers_query() -> str:
    """SQL over `ranked`: the orders by their numbers, as the contract NUMBERS has it."""
    return "select customer_id, purchase from ranked order by customer_id, purchase"


def _orders_query(source: Transactions, *, follows: bool) -> str:
    """SQL over `ranked` and, with a category column, `novelties`: orders as the contract ORDERS has them.

    Only purchases have gaps and new categories. No gap tells of an order not yet known: with `known_at` there
    are none, and without it none to a purchase whose last line came after all lines of this one. The orders
    may follow `earlier_orders`, all of which were known before the first of them.
    """
    before = "over (partition by customer_id, is_return order by event_timestamp, purchase)"
    microseconds = f"epoch_us(event_timestamp) - epoch_us(lag(event_timestamp) {before})"
    known = f"not is_return and lag(available_at) {before} <= available_at"
    gaps = "null" if source.known_at else f"case when {known} then ({microseconds}) // 1000000 end"
    novelties = "coalesce(n_categories, 0)" if source.category else "null"
    counted = """left join (
            select customer_id, nth, count(*) as n_categories from novelties group by customer_id, nth
        ) as counted using (customer_id, nth)"""
    last = """
            union all by name
            select customer_id, '' as purchase, max(event_timestamp) as event_timestamp,
                   max(available_at) as available_at, false as is_return, false as is_new
            from earlier_orders semi join ranked using (customer_id) where not is_return
            group by customer_id
    """
    return f"""
        with all_orders as (select *, true as is_new from ranked {last if follows else ""}),
        spaced as (select *, {gaps} as gap_seconds from all_orders)
        select customer_id, event_timestamp, available_at, is_return,
               cast(amount as decimal(18, 4)) as amount, cast(discount as decimal(18, 4)) as discount,
               cast(n_lines as integer) as lines,
               cast({novelties} as integer) as new_categories, cast(gap_seconds as bigint) as gap_seconds
        from spaced {counted if source.category else ""} where is_new
        order by customer_id, event_timestamp, purchase
    """
