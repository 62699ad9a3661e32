"""Who is asked about: the customers active before an `as_of`."""

from churnops.snapshots.aggregates import Aggregate


def active(active_days: int) -> Aggregate:
    """How many purchases in `[as_of - active_days, as_of)` were known by then; who has one is asked about."""
    return Aggregate("n_active", "count", "*", days=active_days)
