"""The one query that computes all features of all snapshots."""

import datetime as dt
from collections.abc import Sequence

from churnops.contracts.table import quoted
from churnops.features.definitions import Feature
from churnops.features.sql import ATTRIBUTES, SNAPSHOTS
from churnops.snapshots.aggregates import snapshots_query
from churnops.snapshots.spine import purchases


def features_query(features: Sequence[Feature], as_ofs: Sequence[dt.datetime], active_days: int) -> str:
    """SQL: `customer_id`, `as_of` and `features` of each customer active in `[as_of - active_days, as_of)`.

    Reads `orders`, once, and `customers` if a feature is taken from it; a customer it lacks has nulls there.
    """
    asked = purchases(active_days)
    used = dict.fromkeys((asked, *(one for feature in features for one in feature.expression.aggregates)))
    columns = ",\n    ".join(f"{feature.expression.sql} as {quoted(feature.name)}" for feature in features)
    people = ""
    if any(feature.described.column for feature in features):
        people = f"left join customers as {ATTRIBUTES} using (customer_id)"
    return f"""select customer_id, {SNAPSHOTS}.as_of,
    {columns}
from ({snapshots_query(list(used), as_ofs)}
) as {SNAPSHOTS} {people}
where {SNAPSHOTS}.{asked.name} > 0"""


def filled_query() -> str:
    """SQL over `orders`: one row, and for each column features may need whether it holds anything."""
    return """
        select count(*) filter (where amount <> 0) > 0 as amount,
               count(*) filter (where discount <> 0) > 0 as discount,
               count(*) filter (where lines > 1) > 0 as lines,
               count(*) filter (where new_categories > 0) > 0 as new_categories,
               count(*) filter (where gap_seconds is not null) > 0 as gap_seconds,
               count(*) filter (where is_return) > 0 as is_return
        from orders
    """
