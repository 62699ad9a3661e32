"""Who is asked about when."""

import datetime as dt
from collections.abc import Sequence

from churnops.snapshots.aggregates import Aggregate, snapshots_query


def active(active_days: int) -> Aggregate:
    """How many purchases of the look-back were known at `as_of`: a customer with one is asked about."""
    return Aggregate("n_active", "count", "*", days=active_days)


def spine_query(as_ofs: Sequence[dt.datetime], active_days: int) -> str:
    """SQL over `orders`: `customer_id`, `as_of` of the customers active in `[as_of - active_days, as_of)`."""
    return f"""select customer_id, as_of
        from ({snapshots_query([active(active_days)], as_ofs)}) as seen
        where n_active > 0"""
