"""How long is gone: from the silences between purchases to a horizon that suits the data.

A *silence* follows each purchase: it ends with the customer's next one, or is still open when the data ends.
"""

from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from churnops.errors import NotEnoughData
from churnops.snapshots.aggregates import midnight

_WEEK = 7  # horizons are whole weeks, so that each holds every weekday equally often
_CUSTOMARY = (30, 60, 90, 91, 180, 365)  # shown beside the whole weeks, because people ask for them
_SPACING_DAYS = 28
_MOST_TRAIN_SNAPSHOTS = 6
_FEWEST_SILENCES = 30  # the curve ends where fewer silences than this are still watched: beyond, it is noise


def gaps_query() -> str:
    """One row per length of silence, in UTC days from a purchase's day to the next one's (0: the same day).

    `n_closed` silences of that length ended in a purchase; `n_open` had lasted that long on the day after the
    last event of the data. Returns are not purchases.
    """
    # Whole days by `extract` from an interval: the one spelling of it that DuckDB and Spark read alike.
    return f"""
        with purchases as (
            select customer_id, event_timestamp, {midnight("event_timestamp")} as purchase_day
            from orders where not is_return
        ),
        silences as (
            select
                purchase_day,
                lead(purchase_day) over (partition by customer_id order by event_timestamp) as next_day
            from purchases
        ),
        ends as (select {midnight("max(event_timestamp)")} + interval 1 day as end_day from orders),
        gaps as (
            select
                cast(extract(day from (coalesce(next_day, end_day) - purchase_day)) as bigint) as gap_days,
                next_day
            from silences cross join ends
        )
        select gap_days, count(next_day) as n_closed, count(*) - count(next_day) as n_open
        from gaps group by gap_days order by gap_days
    """


def history_query() -> str:
    """One row: `history_days`, UTC days from first event to last, both included; null without events."""
    return f"""
        with span as (
            select
                {midnight("min(event_timestamp)")} as first_day,
                {midnight("max(event_timestamp)")} as last_day
            from orders
        )
        select cast(extract(day from (last_day - first_day)) as bigint) + 1 as history_days from span
    """


@dataclass(frozen=True)
class Curve:
    """How silences last: the Kaplan-Meier curve of their length, up to the last day it can be trusted."""

    survival: tuple[float, ...]
    """At position d: the share of purchases followed by a silence of at least d days."""
    silences: tuple[int, ...]
    """At position d: how many silences were watched from their start through day d."""

    def lapsed_ratio(self, days: int) -> float:
        """The share of purchases followed by a silence of at least `days`; flat beyond the curve's end."""
        return self.survival[min(days, len(self.survival) - 1)]

    def returns_ratio(self, days: int) -> float:
        """Of the silences that reach `days`, the share that ends in a purchase before the curve does.

        A lower bound of the share that ever ends, the looser the closer `days` is to the end of the curve.
        """
        return 1.0 - self.survival[-1] / self.lapsed_ratio(days)


@dataclass(frozen=True)
class Candidate:
    """One horizon: a wait of `horizon_days` before a loss is noticed, against calling lost who comes back."""

    horizon_days: int
    returns_ratio: float
    lapsed_ratio: float
    silences: int


@dataclass(frozen=True)
class Proposal:
    """What `[churn]` and `[snapshots]` of a data config should say, and why."""

    horizon_days: int
    active_days: int
    spacing_days: int
    train: int
    returns_ratio: float
    reason: str
    warning: str
    """Empty, or what a person should know before accepting."""


def fit_curve(gaps: pa.Table) -> Curve:
    """The curve of the counts that `gaps_query` returns (Kaplan and Meier 1958, JASA 53, 457-481).

    Silences are pooled, so a customer counts once per purchase; an open one counts while it was watched.
    Raises NotEnoughData when there is no purchase at all.
    """
    if gaps.num_rows == 0:
        raise NotEnoughData("orders", ["there are no purchases, so no silences to measure"])
    days = gaps["gap_days"].to_numpy()
    closed, still_open = np.zeros((2, days.max() + 1), dtype=np.int64)
    closed[days], still_open[days] = gaps["n_closed"].to_numpy(), gaps["n_open"].to_numpy()
    # A silence was watched through day d if it ended on d or later, or was open after d.
    watched = _from_here_on(closed) + _from_here_on(still_open) - still_open
    fewest = min(_FEWEST_SILENCES, 1 + watched[0] // 100)
    last = int(np.count_nonzero(watched >= fewest)) - 1  # `watched` never rises
    survival = np.cumprod(1.0 - closed[:last] / watched[:last])
    return Curve(survival=(1.0, *survival.tolist()), silences=tuple(watched[: last + 1].tolist()))


def candidates(curve: Curve) -> tuple[Candidate, ...]:
    """Every whole week the curve covers, and the customary horizons among them, ascending."""
    last = len(curve.survival) - 1
    days = sorted({*range(_WEEK, last + 1, _WEEK), *(day for day in _CUSTOMARY if day <= last)})
    return tuple(
        Candidate(day, curve.returns_ratio(day), curve.lapsed_ratio(day), curve.silences[day]) for day in days
    )


def propose(curve: Curve, history_days: int, *, tolerance: float = 0.2) -> Proposal:
    """The fewest whole weeks of silence after which at most `tolerance` of customers still come back.

    Capped at a fifth of the history: the label windows of train, validation and test follow one another
    without overlap, a look-back as long lies before them, and as much again spreads the train snapshots.
    Raises NotEnoughData below five weeks of history, and where no customer bought on two days.
    """
    longest = _whole_weeks(history_days // 5)
    if longest == 0:
        raise NotEnoughData("orders", [f"{history_days} days of history; an honest test needs {5 * _WEEK}"])
    if curve.returns_ratio(1) == 0.0:
        raise NotEnoughData(
            "orders", ["no customer bought on two days: nothing tells a pause from a farewell"]
        )
    wanted = next(days for days in count(_WEEK, _WEEK) if curve.returns_ratio(days) <= tolerance)
    horizon = min(wanted, longest)
    # Who has been silent for `wanted` days is gone already; asking about them again would flatter any model.
    # So the look-back exceeds the horizon only where the cap made the horizon too short to mean gone.
    active = min(wanted, _whole_weeks(history_days - 4 * horizon))
    spacing = min(_SPACING_DAYS, horizon)
    spare_days = history_days - 3 * horizon - active
    returns = curve.returns_ratio(horizon)
    return Proposal(
        horizon_days=horizon,
        active_days=active,
        spacing_days=spacing,
        train=min(_MOST_TRAIN_SNAPSHOTS, 1 + spare_days // spacing),
        returns_ratio=returns,
        reason=f"{returns:.0%} of customers silent for {horizon} days still come back; "
        f"those silent for more than {active} count as gone already and are not asked about",
        warning=_cap_warning(history_days, horizon, wanted, tolerance) if wanted > horizon else "",
    )


def _cap_warning(history_days: int, horizon: int, wanted: int, tolerance: float) -> str:
    return (
        f"{history_days} days of history carry a horizon of {horizon} at most, but it takes {wanted} or more "
        f"until only {tolerance:.0%} come back: read the score as the risk of so long a pause, not of leaving"
    )


def _from_here_on(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.cumsum(counts[::-1])[::-1]


def _whole_weeks(days: int) -> int:
    return days // _WEEK * _WEEK
