"""What is worth knowing of clean tables though nothing is wrong with them."""

from collections.abc import Mapping

from churnops.contracts.table import Query

_SPAN = """
    select count(*) as n_orders, count(distinct customer_id) as n_customers,
           count(*) filter (where is_return) as n_returns,
           strftime(min(event_timestamp), '%Y-%m-%d %H:%M') as oldest,
           strftime(max(event_timestamp), '%Y-%m-%d %H:%M') as newest
    from orders
"""
_STRANGERS = """
    select count(distinct customer_id) as n_customers, count(*) as n_orders
    from orders anti join customers using (customer_id)
"""
_IDLE = """
    select count(*) filter (where o.customer_id is null) as n_idle, count(*) as n_customers
    from customers left join (select distinct customer_id from orders) as o using (customer_id)
"""


def notes(tables: Mapping[str, str], query: Query) -> list[str]:
    """In words: the span of the purchases, and where customers and purchases do not meet."""
    if "orders" not in tables:
        return []
    orders = {"orders": tables["orders"]}
    (span,) = query(_SPAN, orders).to_pylist()
    found = [
        f"orders: {span['n_orders']} orders of {span['n_customers']} customers,"
        f" {span['n_returns']} of them returns, from {span['oldest']} to {span['newest']} UTC"
    ]
    if "customers" not in tables:
        return found
    both = orders | {"customers": tables["customers"]}
    (strangers,) = query(_STRANGERS, both).to_pylist()
    (idle,) = query(_IDLE, both).to_pylist()
    if strangers["n_orders"]:
        found.append(
            f"orders: {strangers['n_orders']} orders of {strangers['n_customers']} customers"
            " who are not in the customer table"
        )
    if idle["n_idle"]:
        found.append(f"customers: {idle['n_idle']} of {idle['n_customers']} have no order")
    return found
