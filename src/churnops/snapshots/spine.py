"""Who is asked about: the customers with a purchase in the look-back before an `as_of`."""

from churnops.snapshots.aggregates import Aggregate


def purchases(days: int | None = None) -> Aggregate:
    """How many purchases in `[as_of - days, as_of)`, by default ever, were known by then."""
    return Aggregate("n_orders" if days is None else f"n_orders_{days}d", "count", "*", days=days)
