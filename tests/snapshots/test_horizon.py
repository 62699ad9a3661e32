"""The silences between purchases, their curve, and the horizon proposed from it."""

import datetime as dt
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf

from churnops.engines.on_duckdb import DuckDB
from churnops.errors import NotEnoughData
from churnops.snapshots.horizon import Curve, candidates, fit_curve, gaps_query, history_query, propose

LENGTHS = st.lists(st.integers(0, 80), max_size=60)
WATCHED = st.lists(st.integers(1, 80), max_size=60)


def silences(closed: list[int], still_open: list[int]) -> pa.Table:
    """What `gaps_query` returns for silences of these lengths."""
    days = sorted({*closed, *still_open})
    return pa.table(
        {
            "gap_days": pa.array(days, pa.int64()),
            "n_closed": pa.array([closed.count(day) for day in days], pa.int64()),
            "n_open": pa.array([still_open.count(day) for day in days], pa.int64()),
        }
    )


def waning(*, customers: int, mean_days: float, history_days: int) -> Curve:
    """The curve of customers who come back about `mean_days` after a purchase, as often as not."""
    quantiles = (np.arange(customers) + 0.5) / customers
    back = np.floor(-mean_days * np.log(1 - quantiles)).astype(int).tolist()
    return fit_curve(silences([day for day in back if day < history_days], [history_days] * customers))


@pytest.fixture(params=["UTC", "Europe/Berlin"])
def local_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


def measured(
    tmp_path: Path, *events: tuple[str, str] | tuple[str, str, str]
) -> tuple[list[tuple[int, ...]], int]:
    """The rows of `gaps_query` and the days of history, for (customer, instant[, "return"])."""
    table = pa.table(
        {
            "customer_id": [event[0] for event in events],
            "event_timestamp": pa.array(
                [dt.datetime.fromisoformat(event[1]) for event in events], pa.timestamp("us")
            ),
            "is_return": [len(event) > 2 for event in events],
        }
    )
    pq.write_table(table, tmp_path / "orders.parquet")
    engine, tables = DuckDB(spill_dir=tmp_path), {"orders": str(tmp_path / "orders.parquet")}
    rows = [tuple(row.values()) for row in engine.query(gaps_query(), tables).to_pylist()]
    return rows, engine.query(history_query(), tables)["history_days"][0].as_py()


@pytest.mark.parametrize(
    ("events", "rows", "history_days"),
    [
        pytest.param(
            [("a", "2024-01-01 10:00"), ("a", "2024-01-04 09:00"), ("b", "2024-01-02 10:00")],
            [(1, 0, 1), (3, 1, 1)],
            4,
            id="an open silence lasts to the day after the last event",
        ),
        pytest.param(
            [("a", "2024-01-01 08:00"), ("a", "2024-01-01 20:00"), ("a", "2024-01-01 20:00")],
            [(0, 2, 0), (1, 0, 1)],
            1,
            id="purchases of one day are no day apart",
        ),
        pytest.param(
            [("a", "2024-01-01 23:59:59"), ("a", "2024-01-02 00:00:01")],
            [(1, 1, 1)],
            2,
            id="days are days of the calendar",
        ),
        pytest.param(
            [("a", "2024-01-01"), ("a", "2024-01-03", "return"), ("a", "2024-01-06")],
            [(1, 0, 1), (5, 1, 0)],
            6,
            id="a return ends no silence",
        ),
        pytest.param(
            [("a", "2024-01-01"), ("b", "2024-01-09", "return")],
            [(9, 0, 1)],
            9,
            id="a return still shows that the data goes on",
        ),
        pytest.param(
            [("a", "2024-03-30 23:30"), ("a", "2024-03-31 23:30"), ("a", "2024-02-28 12:00")],
            [(1, 1, 1), (31, 1, 0)],
            33,
            id="clock changes and leap days count like any other, in any order of rows",
        ),
    ],
)
@pytest.mark.usefixtures("local_zone")
def test_gaps_are_counted(tmp_path: Path, events: list, rows: list, history_days: int) -> None:
    assert measured(tmp_path, *events) == (rows, history_days)


@given(lengths=LENGTHS.filter(bool))
def test_without_open_silences_the_curve_is_the_empirical_one(lengths: list[int]) -> None:
    curve = fit_curve(silences(lengths, []))
    assert len(curve.survival) == max(lengths) + 1
    assert curve.survival == pytest.approx([np.mean(np.array(lengths) >= d) for d in range(max(lengths) + 1)])


@given(closed=LENGTHS, still_open=WATCHED)
def test_the_curve_is_scipys(closed: list[int], still_open: list[int]) -> None:
    assume(closed or still_open)
    curve = fit_curve(silences(closed, still_open))
    # Open since c days means watched through day c - 1: censored between the days.
    survival = ecdf(CensoredData(uncensored=closed, right=np.array(still_open) - 0.5)).sf
    expected = survival.evaluate(np.arange(len(curve.survival)) - 1.0)
    assert curve.survival == pytest.approx(expected, abs=1e-12)


@given(closed=LENGTHS, still_open=WATCHED)
def test_ever_fewer_silences_last(closed: list[int], still_open: list[int]) -> None:
    assume(closed or still_open)
    curve = fit_curve(silences(closed, still_open))
    assert curve.survival[0] == 1
    assert all(0 < later <= earlier for earlier, later in pairwise(curve.survival))
    assert all(later <= earlier for earlier, later in pairwise(curve.silences))
    returns = [curve.returns_ratio(day) for day in range(100)]
    assert all(0 <= later <= earlier for earlier, later in pairwise(returns))


def test_the_curve_ends_before_its_tail_is_noise() -> None:
    assert len(fit_curve(silences([10] * 5000 + [300] * 29, [])).survival) == 11
    assert len(fit_curve(silences([10] * 5000 + [300] * 30, [])).survival) == 301


def test_candidates_are_whole_weeks_and_the_customary_days_within_the_curve() -> None:
    days = [candidate.horizon_days for candidate in candidates(fit_curve(silences([0, 3, 30], [99])))]
    assert days == [7, 14, 21, 28, 30, 35, 42, 49, 56, 60, 63, 70, 77, 84, 90, 91, 98]


def test_a_candidate_says_how_many_come_back_and_on_how_many_silences_that_rests() -> None:
    week = candidates(fit_curve(silences([1] * 4 + [20], [40] * 5)))[0]
    assert (week.horizon_days, week.silences) == (7, 6)
    assert (week.returns_ratio, week.lapsed_ratio) == pytest.approx((1 / 6, 0.6))


def test_the_proposal_is_the_first_week_few_enough_come_back_from() -> None:
    curve = waning(customers=5000, mean_days=20, history_days=540)
    proposal = propose(curve, 540)
    assert curve.returns_ratio(proposal.horizon_days) <= 0.2 < curve.returns_ratio(proposal.horizon_days - 7)
    assert proposal.returns_ratio == curve.returns_ratio(proposal.horizon_days)
    assert (proposal.horizon_days, proposal.active_days, proposal.warning) == (28, 28, "")
    assert (proposal.spacing_days, proposal.train) == (28, 6)
    assert "20% of customers silent for 28 days" in proposal.reason


def test_a_history_too_short_for_the_wanted_horizon_is_a_warning_with_figures() -> None:
    proposal = propose(waning(customers=5000, mean_days=60, history_days=300), 300)
    assert (proposal.horizon_days, proposal.active_days, proposal.train) == (56, 70, 3)
    assert "300 days of history carry a horizon of 56 at most" in proposal.warning
    assert "28% of customers silent for 56 days still come back" in proposal.reason


@given(
    mean_days=st.floats(2, 200),
    history_days=st.integers(35, 1500),
    tolerances=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_more_tolerance_never_means_a_longer_horizon(
    mean_days: float, history_days: int, tolerances: tuple[float, float]
) -> None:
    curve = waning(customers=200, mean_days=mean_days, history_days=history_days)
    strict, lax = (propose(curve, history_days, tolerance=tolerance) for tolerance in sorted(tolerances))
    assert lax.horizon_days <= strict.horizon_days


@given(mean_days=st.floats(2, 200), history_days=st.integers(35, 1500), tolerance=st.floats(0, 1))
def test_the_history_holds_what_is_proposed(mean_days: float, history_days: int, tolerance: float) -> None:
    curve = waning(customers=200, mean_days=mean_days, history_days=history_days)
    proposal = propose(curve, history_days, tolerance=tolerance)
    spans = 3 * proposal.horizon_days + (proposal.train - 1) * proposal.spacing_days + proposal.active_days
    assert spans <= history_days
    assert 2 <= proposal.train <= 6
    assert 7 <= proposal.horizon_days <= proposal.active_days
    assert proposal.horizon_days % 7 == proposal.active_days % 7 == proposal.spacing_days % 7 == 0
    assert bool(proposal.warning) == (proposal.returns_ratio > tolerance)


@pytest.mark.parametrize(
    ("gaps", "history_days", "message"),
    [
        (silences([3, 5], [30, 34]), 34, "34 days of history; an honest test needs 35"),
        (silences([0, 0], [30, 60]), 90, "no customer bought on two days"),
        (silences([], [30, 60]), 90, "no customer bought on two days"),
        (silences([], []), 90, "there are no purchases"),
    ],
)
def test_too_little_to_go_by_is_an_error(gaps: pa.Table, history_days: int, message: str) -> None:
    with pytest.raises(NotEnoughData, match=message):
        propose(fit_curve(gaps), history_days)
