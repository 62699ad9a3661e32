"""One pass over the orders that answers for all snapshots.

A *snapshot* is one customer at one `as_of`. Instants in the SQL are literals computed here, so that no engine
does calendar arithmetic of its own.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Function = Literal["count", "sum", "min", "max"]


@dataclass(frozen=True)
class Aggregate:
    """An aggregate of a customer's orders as it stands at an `as_of`."""

    name: str
    function: Function
    of: str
    """SQL of what is counted or summed, in columns of `orders`; `*` counts orders."""
    where: str = "not is_return"
    """SQL that is true of the orders it takes in: by default purchases."""
    days: int | None = None
    """How long the window is; by default it reaches back to the first order."""
    ahead: bool = False
    """Whether the window lies ahead of `as_of` rather than before it. Only labels look ahead."""

    def __post_init__(self) -> None:
        """Raise ValueError for a window that would never end."""
        if self.ahead and self.days is None:
            raise ValueError(f"{self.name}: a window ahead needs an end")

    def start(self, as_of: dt.datetime) -> dt.datetime:
        """The first instant inside the window; of one without a beginning, `as_of`."""
        return as_of if self.ahead else as_of - dt.timedelta(days=self.days or 0)

    def end(self, as_of: dt.datetime) -> dt.datetime:
        """The first instant after the window."""
        return as_of + dt.timedelta(days=self.days or 0) if self.ahead else as_of


def instant(when: dt.datetime) -> str:
    """A UTC instant as SQL."""
    return f"timestamp '{when:%Y-%m-%d %H:%M:%S.%f}'"


def snapshots_query(aggregates: Sequence[Aggregate], as_ofs: Sequence[dt.datetime]) -> str:
    """SQL over `orders`: `customer_id`, `as_of` and each aggregate by name, for ascending `as_ofs`.

    A window before `as_of` holds what had happened and was known strictly before it; one ahead of it holds
    what happened, whenever that became known. A count over no orders is 0, any other aggregate null;
    customers without an order in any of the windows may be absent.

    The orders are scanned once. For a single `as_of` they are aggregated as they are. For several, the edges
    of all windows cut time into segments, and the orders are first summed up by customer and segment: every
    window is a run of whole segments, so it is put together from few parts and not again from all orders.
    """
    return _at_once(aggregates, as_ofs[0]) if len(as_ofs) == 1 else _from_parts(aggregates, as_ofs)


def _at_once(aggregates: Sequence[Aggregate], as_of: dt.datetime) -> str:
    conditions = [_conditions(one, as_of) for one in aggregates]
    shared = _shared(conditions)
    columns = ",\n    ".join(
        f"{_filtered(f'{one.function}({one.of})', holds, shared)} as {one.name}"
        for one, holds in zip(aggregates, conditions, strict=True)
    )
    return f"""
select customer_id, {instant(as_of)} as as_of,
    {columns}
from orders where {" and ".join(shared or ["true"])}
group by customer_id"""


def _conditions(one: Aggregate, as_of: dt.datetime) -> list[str]:
    since = [f"event_timestamp >= {instant(one.start(as_of))}"] if one.days else []
    # Nothing is known before it happens, so what is known by `as_of` has happened by then.
    moment = "event_timestamp" if one.ahead else "available_at"
    return [one.where, *since, f"{moment} < {instant(one.end(as_of))}"]


def _shared(conditions: Sequence[Sequence[str]]) -> list[str]:
    """What all of them ask for: the scan may leave out the other orders."""
    return [one for one in conditions[0] if all(one in others for others in conditions)]


def _filtered(call: str, conditions: Sequence[str], shared: Sequence[str]) -> str:
    own = [one for one in conditions if one not in shared]
    return f"{call} filter (where {' and '.join(own)})" if own else call


def _from_parts(aggregates: Sequence[Aggregate], as_ofs: Sequence[dt.datetime]) -> str:
    """`segment` counts the edges passed when an order happened, `known` the `as_ofs` when it became known."""
    edges = sorted(
        {edge for one in aggregates for as_of in as_ofs for edge in (one.start(as_of), one.end(as_of))}
    )
    measures = {(one.function, one.of, one.where): f"part_{i}" for i, one in enumerate(aggregates)}
    shared = _shared([[one.where] for one in aggregates])
    parts = ",\n        ".join(
        f"{_filtered(f'{function}({of})', [where], shared)} as {name}"
        for (function, of, where), name in measures.items()
    )
    columns = ",\n    ".join(
        _put_together(one, measures[one.function, one.of, one.where]) for one in aggregates
    )
    bounds = {}  # where each window begins and ends, in segments, for each `as_of`
    for one in aggregates:
        if one.days:
            bounds[f"since_{_window(one)}"] = [edges.index(one.start(as_of)) + 1 for as_of in as_ofs]
        if one.ahead:
            bounds[f"until_{_window(one)}"] = [edges.index(one.end(as_of)) + 1 for as_of in as_ofs]
    rows = ",\n    ".join(
        f"({', '.join(map(str, row))})"
        for row in zip(range(len(as_ofs)), map(instant, as_ofs), *bounds.values(), strict=True)
    )
    return f"""
select customer_id, as_of,
    {columns}
from (
    select customer_id, segment, known,
        {parts}
    from (
        select *,
            {_passed("event_timestamp", edges)} as segment,
            {_passed("available_at", as_ofs)} as known
        from orders where {" and ".join([*shared, f"event_timestamp < {instant(edges[-1])}"])}
    ) as placed group by customer_id, segment, known
) as parts cross join (values
    {rows}
) as snapshots({", ".join(["nth", "as_of", *bounds])})
group by customer_id, as_of"""


def _put_together(one: Aggregate, part: str) -> str:
    window = _window(one)
    since = [f"segment >= since_{window}"] if one.days else []
    until = f"segment < until_{window}" if one.ahead else "known <= nth"
    function = "sum" if one.function == "count" else one.function
    whole = f"{function}({part}) filter (where {' and '.join([*since, until])})"
    return f"{f'coalesce({whole}, 0)' if one.function == 'count' else whole} as {one.name}"


def _window(one: Aggregate) -> str:
    return f"{one.days}d_{'ahead' if one.ahead else 'before'}"


def _passed(column: str, edges: Sequence[dt.datetime], before: int = 0) -> str:
    """SQL: how many of the ascending `edges` are at or before `column`, by bisection; `before` is added."""
    if not edges:
        return str(before)
    middle = len(edges) // 2
    earlier = _passed(column, edges[:middle], before)
    later = _passed(column, edges[middle + 1 :], before + middle + 1)
    return f"case when {column} < {instant(edges[middle])} then {earlier} else {later} end"
