"""Who is asked about when, and the one pass over the orders that answers for all of them.

A *snapshot* is one customer at one `as_of`. Instants in the SQL are literals computed here, so that no engine
does calendar arithmetic of its own.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Aggregate:
    """An aggregate of a customer's orders as it stands at an `as_of`."""

    name: str
    call: str
    """SQL such as `count(*)` or `sum(amount)`, of columns of `orders`."""
    where: str = "not is_return"
    """SQL that is true of the orders it takes in: by default purchases."""
    days: int | None = None
    """How long the window is; by default it reaches back to the first order."""
    ahead: bool = False
    """Whether the window lies ahead of `as_of` rather than before it. Only labels look ahead."""

    def span(self, as_of: dt.datetime) -> tuple[dt.datetime | None, dt.datetime]:
        """The first instant inside the window, if it has one, and the first one after it."""
        length = None if self.days is None else dt.timedelta(days=self.days)
        if self.ahead:
            if length is None:
                raise ValueError(f"{self.name}: a window ahead needs an end")
            return as_of, as_of + length
        return None if length is None else as_of - length, as_of

    def condition(self, as_of: dt.datetime) -> str:
        """SQL that is true of the orders that count.

        A window before `as_of` holds what had happened and was known strictly before it; one ahead of `as_of`
        holds what happened, whenever that became known.
        """
        start, end = self.span(as_of)
        since = [] if start is None else [f"event_timestamp >= {instant(start)}"]
        # Nothing is known before it happens, so what is known by then has happened by then.
        until = f"event_timestamp < {instant(end)}" if self.ahead else f"available_at < {instant(end)}"
        return " and ".join([self.where, *since, until])


def instant(when: dt.datetime) -> str:
    """A UTC instant as SQL."""
    return f"timestamp '{when:%Y-%m-%d %H:%M:%S.%f}'"


def snapshots_query(aggregates: Sequence[Aggregate], as_ofs: Sequence[dt.datetime]) -> str:
    """SQL over `orders`: `customer_id`, `as_of` and each aggregate by name, for every customer and `as_of`.

    The orders are scanned once: each customer's aggregates for all `as_ofs` come out side by side and are
    then told apart. A count over no orders is 0, any other aggregate null.
    """
    side_by_side = ",\n    ".join(
        f"{one.call} filter (where {one.condition(as_of)}) as {one.name}_{nth}"
        for one in aggregates
        for nth, as_of in enumerate(as_ofs)
    )
    told_apart = ",\n    ".join(
        f"case nth {' '.join(f'when {nth} then {one.name}_{nth}' for nth, _ in enumerate(as_ofs))} end "
        f"as {one.name}"
        for one in aggregates
    )
    numbered = ", ".join(f"({nth}, {instant(as_of)})" for nth, as_of in enumerate(as_ofs))
    return f"""
select customer_id, as_of,
    {told_apart}
from (
    select customer_id,
    {side_by_side}
    from orders group by customer_id
) as totals cross join (values {numbered}) as snapshots(nth, as_of)"""


def active(active_days: int) -> Aggregate:
    """How many purchases of the look-back were known at `as_of`: a customer with one is asked about."""
    return Aggregate("n_active", "count(*)", days=active_days)


def spine_query(as_ofs: Sequence[dt.datetime], active_days: int) -> str:
    """SQL over `orders`: `customer_id`, `as_of` of the customers active in `[as_of - active_days, as_of)`."""
    return (
        f"select customer_id, as_of from ({snapshots_query([active(active_days)], as_ofs)}) as seen "
        "where n_active > 0"
    )
