"""Who churned: the answer to every question of the spine."""

import datetime as dt
from collections.abc import Sequence

from churnops.snapshots.aggregates import Aggregate, snapshots_query


def labels_query(as_ofs: Sequence[dt.datetime], horizon_days: int) -> str:
    """SQL over `orders`: `customer_id`, `as_of`, `churned` for every customer of the spine, and more.

    Churned is who buys nothing in `[as_of, as_of + horizon_days)`; a return is no purchase, and when one
    became known does not matter. The caller sees to it that the orders reach to the end of that window, and
    asks only about the spine: others get an answer too, that means nothing.
    """
    bought = Aggregate("n_bought", "count", "*", days=horizon_days, ahead=True)
    return (
        f"select customer_id, as_of, n_bought = 0 as churned "
        f"from ({snapshots_query([bought], as_ofs)}) as seen"
    )
