"""Which snapshots the models learn from, which they are chosen by, and which they are tested on."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from churnops.data_config import Churn, Snapshots, Split
from churnops.errors import ConfigError, NotEnoughData
from churnops.snapshots.aggregates import midnight

_TEST_SHARE = 0.2  # of the rows of a dated table; validation gets as much


@dataclass(frozen=True)
class TimePlan:
    """Three spans of `as_of` (UTC midnights, ascending), each later than the one before."""

    train: tuple[dt.datetime, ...]
    validation: tuple[dt.datetime, ...]
    test: tuple[dt.datetime, ...]
    horizon_days: int
    """No label of a span looks into the next one's, when each looks this far ahead; 0: not known how far."""

    @property
    def as_ofs(self) -> tuple[dt.datetime, ...]:
        """All of them, ascending."""
        return (*self.train, *self.validation, *self.test)


def history_query() -> str:
    """SQL over `orders`: one row, `first_event` and `end`, the midnight after the last event (or nulls)."""
    return f"""
        select min(event_timestamp) as first_event,
               {midnight("max(event_timestamp)")} + interval 1 day as "end"
        from orders
    """


def gap_query() -> str:
    """SQL over `orders`: the longest time in which nobody bought, from the midnight `gap_start` to before the
    midnight `gap_end`; no row where somebody bought on every day from the first to the last."""
    return f"""
        with days as (
            select distinct {midnight("event_timestamp")} as on_day from orders where not is_return),
        followed as (select on_day, lead(on_day) over (order by on_day) as next_day from days),
        gaps as (
            select on_day + interval 1 day as gap_start, next_day as gap_end,
                   cast(extract(day from (next_day - on_day)) as bigint) as n_days
            from followed where next_day is not null)
        select gap_start, gap_end from gaps where n_days > 1 order by n_days desc, gap_start limit 1
    """


Gap = tuple[dt.datetime, dt.datetime]
"""UTC midnights: from the first, and before the second, nobody bought."""


def plan_spans(
    first_event: dt.datetime, end: dt.datetime, churn: Churn, snapshots: Snapshots, *, gap: Gap | None = None
) -> TimePlan:
    """One `as_of` to test, one to validate, and up to `snapshots.train` to train on.

    Between the spans lies a whole horizon, so an earlier label window ends where the next span's begins. A
    snapshot is made only where the orders reach back over the look-back or, if that is shorter, over one
    horizon: before, every customer would look new; and only where the look-back does not lie within `gap`,
    the longest there is: nobody could be asked about. Raises ConfigError where the chosen test is not mature
    at `end`, NotEnoughData where no training snapshot fits or a later one has nobody to ask about.
    """
    horizon = dt.timedelta(days=churn.horizon_days)
    test = _test(end - horizon, churn, snapshots)
    span = _span(first_event, end, gap, churn)
    for as_of in (test, test - horizon):
        if _is_silent(as_of, churn, gap):
            problem = f"nobody bought in the {churn.active_days} days before {as_of:%Y-%m-%d}"
            raise NotEnoughData("orders", [f"{problem}, to be asked about then: {span}"])
    history = dt.timedelta(days=min(churn.active_days, churn.horizon_days))
    latest_train = test - 2 * horizon
    spaced = (latest_train - dt.timedelta(days=k * snapshots.spacing_days) for k in range(snapshots.train))
    reached = [as_of for as_of in spaced if as_of - history >= first_event]
    train = tuple(sorted(as_of for as_of in reached if not _is_silent(as_of, churn, gap)))
    if not train:
        problem = (
            f"a test on {test:%Y-%m-%d} with a horizon of {churn.horizon_days} days needs orders since "
            f"{latest_train - history:%Y-%m-%d}: two horizons back to train, and {history.days} days to look "
            f"at; {span}"
        )
        raise NotEnoughData("orders", [problem])
    return TimePlan(train, (test - horizon,), (test,), churn.horizon_days)


def _test(newest: dt.datetime, churn: Churn, snapshots: Snapshots) -> dt.datetime:
    """The chosen instant, or else the newest that is mature; ConfigError where the chosen one is not."""
    if snapshots.test_as_of is None:
        return newest
    test = dt.datetime.combine(snapshots.test_as_of, dt.time())
    if test > newest:
        end = newest + dt.timedelta(days=churn.horizon_days)
        problem = (
            f"test_as_of: who leaves within {churn.horizon_days} days of {test:%Y-%m-%d} is not yet known: "
            f"the orders end before {end:%Y-%m-%d}; the newest possible is {newest:%Y-%m-%d}"
        )
        raise ConfigError("snapshots", [problem])
    return test


def _is_silent(as_of: dt.datetime, churn: Churn, gap: Gap | None) -> bool:
    """Whether nobody bought within the look-back, as far as `gap` tells."""
    return gap is not None and gap[0] <= as_of - dt.timedelta(days=churn.active_days) and as_of <= gap[1]


def _span(first_event: dt.datetime, end: dt.datetime, gap: Gap | None, churn: Churn) -> str:
    """In words, where the orders lie in time, and a gap that is longer than what counts as leaving."""
    told = f"the orders run from {first_event:%Y-%m-%d} to {end - dt.timedelta(days=1):%Y-%m-%d}"
    if gap is None or (gap[1] - gap[0]).days <= churn.horizon_days:
        return told
    return (
        f"{told}, with none from {gap[0]:%Y-%m-%d} until {gap[1]:%Y-%m-%d}; if those before or after it are "
        "slips, leave them out with `earliest` or `latest` in `transactions.time`"
    )


def dates_query() -> str:
    """SQL over `labelled`: `as_of`, `n_rows` and `n_churned`, one row per `as_of`, ascending."""
    return """
        select as_of, count(*) as n_rows, count(*) filter (where churned) as n_churned
        from labelled group by as_of order by as_of nulls last
    """


def plan_dated(dates: Sequence[Mapping[str, Any]]) -> TimePlan:
    """The spans of a labelled table, given the rows of `dates_query`.

    The newest dates that hold a fifth of the rows, with both labels among them, are the test, those before
    them that do the validation. How far the labels look ahead is not known, so there is no gap between the
    spans: dates closer together than that share part of their outcome. Raises NotEnoughData where no dates
    are left to train on.
    """
    left = list(dates)
    wanted = _TEST_SHARE * sum(date["n_rows"] for date in dates)
    test = _newest(left, wanted)
    validation = _newest(left, wanted)
    if not left:
        problem = (
            f"{len(dates)} dates cannot be split into train, validation and test with both labels in each"
        )
        raise NotEnoughData("labelled", [problem])
    return TimePlan(tuple(date["as_of"] for date in left), validation, test, horizon_days=0)


def _newest(left: list[Mapping[str, Any]], wanted: float) -> tuple[dt.datetime, ...]:
    """Take dates off the end of `left` until they are enough to test on."""
    taken: list[Mapping[str, Any]] = []
    while left:
        taken.insert(0, left.pop())
        n_rows, n_churned = (sum(date[name] for date in taken) for name in ("n_rows", "n_churned"))
        if n_rows >= wanted and 0 < n_churned < n_rows:
            break
    return tuple(date["as_of"] for date in taken)


def folds(
    churned_N: npt.NDArray[np.bool_], group_N: npt.NDArray[np.int64], split: Split
) -> npt.NDArray[np.int64]:
    """The fold of each row: rows of one group share it, and each fold has about as many churners.

    Raises NotEnoughData where either label has fewer groups than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # here: it takes two seconds, and few split so

    left, stayed = (np.unique(group_N[churned_N == label]).size for label in (True, False))
    if min(left, stayed) < split.folds:
        problem = (
            f"{left} customers left and {stayed} stayed: {split.folds} folds need {split.folds} of either; "
            "if this is not so, see which words `customers.label` takes for leaving"
        )
        raise NotEnoughData("labelled", [problem])
    folder = StratifiedGroupKFold(split.folds, shuffle=True, random_state=split.seed)
    fold_N = np.empty(churned_N.size, dtype=np.int64)
    for fold, (_, inside) in enumerate(folder.split(churned_N, churned_N, group_N)):
        fold_N[inside] = fold
    return fold_N
