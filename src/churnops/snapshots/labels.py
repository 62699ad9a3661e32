"""Who churned: the answer to every question of the spine."""

import datetime as dt
from collections.abc import Sequence

from churnops.snapshots.aggregates import Aggregate, snapshots_query
from churnops.snapshots.spine import purchases


def labels_query(as_ofs: Sequence[dt.datetime], active_days: int, *, horizon_days: int) -> str:
    """SQL over `orders`: `customer_id`, `as_of`, `churned` of the customers of the spine.

    Churned is who buys nothing in `[as_of, as_of + horizon_days)`; a return is no purchase, and when one
    became known does not matter. The caller sees to it that the orders reach to the end of that window.
    """
    asked = purchases(active_days)
    bought = Aggregate("n_bought", "count", "*", days=horizon_days, ahead=True)
    return f"""select customer_id, as_of, coalesce({bought.name}, 0) = 0 as churned
        from ({snapshots_query([asked, bought], as_ofs)}) as seen
        where {asked.name} > 0"""
