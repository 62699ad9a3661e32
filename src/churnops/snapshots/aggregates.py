"""One pass over the orders that answers for all snapshots.

A *snapshot* is one customer at one `as_of`. Instants in the SQL are literals computed here, so that no engine
does calendar arithmetic of its own.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
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


def midnight(column: str) -> str:
    """SQL of the UTC midnight at or before an instant; Spark gives it a zone, unless it is cast."""
    return f"cast(date_trunc('day', {column}) as timestamp)"


def snapshots_query(aggregates: Sequence[Aggregate], as_ofs: Sequence[dt.datetime]) -> str:
    """SQL over `orders`: `customer_id`, `as_of` and each aggregate by name, for ascending `as_ofs`.

    A window before `as_of` holds what had happened and was known strictly before it; one ahead of it holds
    what happened, whenever that became known. Over no orders an aggregate is null, a count null or 0;
    customers without an order in any of the windows may be absent.

    The orders are scanned once. For a single `as_of` they are aggregated as they are. For several, the edges
    of all windows cut time into segments, and the orders are first summed up by customer and segment: every
    window is a run of whole segments, so it is put together from few parts and not again from all orders.
    """
    return _at_once(aggregates, as_ofs[0]) if len(as_ofs) == 1 else _from_parts(aggregates, as_ofs)


def _at_once(aggregates: Sequence[Aggregate], as_of: dt.datetime) -> str:
    calls = {one.name: f"{one.function}({one.of})" for one in aggregates}
    columns, where = _selected(calls, [_conditions(one, as_of) for one in aggregates])
    return f"""
select customer_id, {instant(as_of)} as as_of,
    {columns}
from orders where {where}
group by customer_id"""


def _conditions(one: Aggregate, as_of: dt.datetime) -> list[str]:
    """What is true of the orders that count."""
    since = [f"event_timestamp >= {instant(one.start(as_of))}"] if one.days else []
    # Nothing is known before it happens, so what is known by `as_of` has happened by then.
    moment = "event_timestamp" if one.ahead else "available_at"
    return [one.where, *since, f"{moment} < {instant(one.end(as_of))}"]


def _from_parts(aggregates: Sequence[Aggregate], as_ofs: Sequence[dt.datetime]) -> str:
    edges = sorted(
        {edge for one in aggregates for as_of in as_ofs for edge in (one.start(as_of), one.end(as_of))}
    )
    measures = {(one.function, one.of, one.where): f"part_{i}" for i, one in enumerate(aggregates)}
    calls = {}
    for one in aggregates:
        function = "sum" if one.function == "count" else one.function
        calls[one.name] = f"{function}({measures[one.function, one.of, one.where]})"
    columns, where = _selected(calls, [_run(one) for one in aggregates])
    bounds = {"nth": [str(nth) for nth, _ in enumerate(as_ofs)], "as_of": [instant(one) for one in as_ofs]}
    for one in aggregates:
        bounds[f"since_{_window(one)}"] = [str(edges.index(one.start(as_of)) + 1) for as_of in as_ofs]
        bounds[f"until_{_window(one)}"] = [str(edges.index(one.end(as_of)) + 1) for as_of in as_ofs]
    snapshots = ",\n    ".join(f"({', '.join(row)})" for row in zip(*bounds.values(), strict=True))
    return f"""
select customer_id, as_of,
    {columns}
from ({_parts(measures, edges, as_ofs)}
) as parts cross join (values
    {snapshots}
) as snapshots({", ".join(bounds)})
where {where}
group by customer_id, as_of"""


def _parts(
    measures: Mapping[tuple[Function, str, str], str],
    edges: Sequence[dt.datetime],
    as_ofs: Sequence[dt.datetime],
) -> str:
    """`segment` counts the edges passed when an order happened, `known` the `as_ofs` when it became known."""
    calls = {name: f"{function}({of})" for (function, of, _), name in measures.items()}
    columns, where = _selected(calls, [[condition] for _, _, condition in measures])
    return f"""
select customer_id, segment, known,
    {columns}
from (
    select *,
        {_passed("event_timestamp", edges)} as segment,
        {_passed("available_at", as_ofs)} as known
    from orders where event_timestamp < {instant(edges[-1])} and {where}
) as placed group by customer_id, segment, known"""


def _run(one: Aggregate) -> list[str]:
    """What is true of the parts that count."""
    since = [f"segment >= since_{_window(one)}"] if one.days else []
    return [*since, f"segment < until_{_window(one)}" if one.ahead else "known <= nth"]


def _window(one: Aggregate) -> str:
    return f"{one.days or 'all'}_days_{'ahead' if one.ahead else 'before'}"


def _selected(calls: Mapping[str, str], conditions: Sequence[Sequence[str]]) -> tuple[str, str]:
    """Each call by name, over the rows its conditions are true of; and what they all share, for the scan."""
    shared = [one for one in conditions[0] if all(one in others for others in conditions)]
    columns = []
    for (name, call), condition in zip(calls.items(), conditions, strict=True):
        own = [one for one in condition if one not in shared]
        columns.append(f"{call} filter (where {' and '.join(own)}) as {name}" if own else f"{call} as {name}")
    return ",\n    ".join(columns), " and ".join(shared or ["true"])


def _passed(column: str, edges: Sequence[dt.datetime], before: int = 0) -> str:
    """SQL: how many of the ascending `edges` are at or before `column`, by bisection; `before` is added."""
    if not edges:
        return str(before)
    middle = len(edges) // 2
    earlier = _passed(column, edges[:middle], before)
    later = _passed(column, edges[middle + 1 :], before + middle + 1)
    return f"case when {column} < {instant(edges[middle])} then {earlier} else {later} end"
