"""Times far from all others: slips of the keyboard, and days that stand in for nothing."""

import datetime as dt
from dataclasses import replace
from itertools import accumulate

from churnops.data_config import TimeColumn
from churnops.sources.proposal.lines import Log

_FEW_ROWS, _FEW_SHARE = 3, 0.005  # at either end; more are no slips
_FAR_DAYS = 180

Days = list[tuple[dt.date, int]]
"""Ascending, with how many rows each has."""


def bounded(log: Log, time: TimeColumn) -> TimeColumn:
    """`time` with bounds that leave out the few rows further from the others than those lie apart."""
    found = replace(log, time=time).rows(
        "select cast(moment as date) as day, count(*) as n_rows from lines where moment is not null"
        " group by day order by day"
    )
    days = [(row["day"], row["n_rows"]) for row in found]
    first, last = _without_slips(days)
    slips = [(day, n_rows) for day, n_rows in days if not first <= day <= last]
    if not slips:
        return time
    told = ", ".join(str(day) for day, _ in slips[:3]) + (", ..." if len(slips) > 3 else "")
    log.warn(
        f"{log.table.source.path}: {sum(n for _, n in slips)} of {log.table.rows} rows have a '{time.column}'"
        f" ({told}) far from all others, of {first} to {last}: they are taken for slips and dropped."
    )
    later = [day for day, _ in slips if day > last]
    # Days to come lie between the last one and the slip: only what is as far as the slip is one.
    latest = min(later) - dt.timedelta(days=1) if later else None
    return time.model_copy(update={"earliest": first if len(slips) > len(later) else None, "latest": latest})


def _without_slips(days: Days) -> tuple[dt.date, dt.date]:
    """The first and the last day that are no slips."""
    rows = [n_rows for _, n_rows in days]
    few = max(_FEW_ROWS, _FEW_SHARE * sum(rows))
    low = sum(so_far <= few for so_far in accumulate(rows))
    high = len(days) - 1 - sum(so_far <= few for so_far in accumulate(reversed(rows)))
    if low >= high:
        return days[0][0], days[-1][0]
    far = max((days[high][0] - days[low][0]).days, _FAR_DAYS)
    first = next((i for i in range(low, 0, -1) if _gap(days, i) > far), 0)
    last = next((i for i in range(high, len(days) - 1) if _gap(days, i + 1) > far), len(days) - 1)
    return days[first][0], days[last][0]


def _gap(days: Days, i: int) -> int:
    """Days since the day before the i-th."""
    return (days[i][0] - days[i - 1][0]).days
