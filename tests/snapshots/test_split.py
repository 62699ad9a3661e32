"""Spans of time that cannot see each other's labels; folds that keep groups together."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from orders import NOON, Order, write_orders

from churnops.data_config import Churn, Snapshots, Split
from churnops.errors import ConfigError, NotEnoughData
from churnops.snapshots.split import dates_query, folds, gap_query, history_query, plan_dated, plan_spans

FIRST = dt.datetime(2023, 1, 1)  # a UTC instant, as tables have it


def day(number: int) -> dt.datetime:
    return FIRST + dt.timedelta(days=number)


@given(
    history=st.integers(30, 900),
    horizon=st.integers(1, 120),
    active=st.integers(1, 400),
    spacing=st.integers(1, 60),
    train=st.integers(1, 12),
)
def test_no_label_reaches_into_the_next_span_or_beyond_the_data(history, horizon, active, spacing, train):
    end = day(history)
    try:
        plan = plan_spans(
            FIRST,
            end,
            Churn(horizon_days=horizon, active_days=active),
            Snapshots(spacing_days=spacing, train=train),
        )
    except NotEnoughData:
        assume(False)
        return
    ahead = dt.timedelta(days=horizon)
    assert list(plan.as_ofs) == sorted(set(plan.as_ofs))
    assert 1 <= len(plan.train) <= train
    assert max(plan.train) + ahead <= min(plan.validation)
    assert max(plan.validation) + ahead <= min(plan.test)
    assert max(plan.test) + ahead <= end
    assert min(plan.train) > FIRST


def test_a_test_whose_labels_are_not_mature_is_refused():
    snapshots = Snapshots(test_as_of=day(290).date())
    with pytest.raises(ConfigError, match=r"not yet known.*the newest possible is 2023-09-28"):
        plan_spans(FIRST, day(300), Churn(horizon_days=30, active_days=60), snapshots)


def test_too_short_a_history_says_what_it_would_take():
    with pytest.raises(NotEnoughData, match="two horizons back to train"):
        plan_spans(FIRST, day(100), Churn(horizon_days=40, active_days=60), Snapshots())


@pytest.mark.parametrize(
    ("first", "gap", "end", "says"),
    [
        (
            FIRST,
            (day(365), dt.datetime(2099, 1, 1)),
            dt.datetime(2099, 1, 2),
            "nobody bought in the 60 days before 2098-11-23, to be asked about then: the orders run from"
            " 2023-01-01 to 2099-01-01, with none from 2024-01-01 until 2099-01-01; if those before or",
        ),
        (
            dt.datetime(1901, 1, 1),
            (dt.datetime(1901, 1, 2), FIRST),
            day(100),
            "a test on 2023-03-02 .* needs orders since .*; the orders run from 1901-01-01 to 2023-04-10,"
            " with none from 1901-01-02 until 2023-01-01; if those before or after it are slips, leave them",
        ),
    ],
)
def test_a_mistyped_year_is_told(first, gap, end, says):
    with pytest.raises(NotEnoughData, match=says):
        plan_spans(first, end, Churn(horizon_days=40, active_days=60), Snapshots(), gap=gap)


def test_nobody_is_asked_about_where_nobody_bought_in_the_look_back():
    churn, snapshots = Churn(horizon_days=30, active_days=30), Snapshots(spacing_days=10, train=4)
    gap = (day(100), day(145))
    plan = plan_spans(FIRST, day(240), churn, snapshots, gap=gap)
    assert plan.train == (day(120), day(150))
    assert plan.validation == (day(180),)


def dates(*counts):
    return [{"as_of": day(30 * i), "n_rows": n, "n_churned": left} for i, (n, left) in enumerate(counts)]


def test_dated_labels_are_split_by_date():
    plan = plan_dated(dates((100, 20), (100, 20), (100, 20), (100, 20), (100, 20)))

    assert plan.train == (day(0), day(30), day(60))
    assert (plan.validation, plan.test) == ((day(90),), (day(120),))


def test_a_date_without_churners_is_no_test_of_its_own():
    plan = plan_dated(dates((100, 20), (100, 20), (100, 20), (100, 20), (100, 0)))

    assert plan.test == (day(90), day(120))


@pytest.mark.parametrize(
    "counts", [[(100, 20)] * 2, [(100, 0)] * 5, [(100, 100)] * 5, [(100, 0)] * 4 + [(100, 9)]]
)
def test_too_few_dates_with_both_labels_are_refused(counts):
    with pytest.raises(NotEnoughData, match=f"{len(counts)} dates cannot be split"):
        plan_dated(dates(*counts))


def test_history_ends_at_the_midnight_after_the_last_event(tmp_path, engine):
    orders = write_orders(tmp_path / "orders.parquet", Order("ann", -3.25), Order("bob", -1.5, late=9))

    (history,) = engine.query(history_query(), {"orders": orders}).to_pylist()
    assert history == {"first_event": NOON - dt.timedelta(days=3.25), "end": NOON - dt.timedelta(days=1)}


def test_the_longest_gap_is_that_between_purchases(tmp_path, engine):
    days = [Order("ann", -30), Order("bob", -28.5), Order("ann", -8.25), Order("bob", -4), Order("ann", -1)]
    orders = write_orders(tmp_path / "orders.parquet", *days, Order("ann", -20, is_return=True))

    (gap,) = engine.query(gap_query(), {"orders": orders}).to_pylist()
    assert gap == {"gap_start": NOON - dt.timedelta(days=28), "gap_end": NOON - dt.timedelta(days=9)}


def test_without_a_day_off_there_is_no_gap(tmp_path, engine):
    orders = write_orders(tmp_path / "orders.parquet", Order("ann", -2), Order("bob", -1))
    assert engine.query(gap_query(), {"orders": orders}).to_pylist() == []


def test_the_dates_of_a_labelled_table_are_counted(tmp_path, engine):
    as_ofs = pa.array([day(30), day(0), day(30)], pa.timestamp("us"))
    pq.write_table(
        pa.table({"as_of": as_ofs, "churned": [True, False, False]}), tmp_path / "labelled.parquet"
    )

    counted = engine.query(dates_query(), {"labelled": str(tmp_path / "labelled.parquet")}).to_pylist()
    assert counted == dates((1, 0), (2, 1))


@pytest.mark.parametrize(("n_folds", "seed"), [(3, 0), (5, 1), (8, 2)])
def test_folds_keep_groups_together_and_have_alike_churn(n_folds, seed):
    rng = np.random.default_rng(seed)
    group_N = np.repeat(np.arange(200), 2)
    churned_N = np.repeat(rng.random(200) < 0.3, 2)
    fold_N = folds(churned_N, group_N, Split(folds=n_folds, seed=seed))

    assert set(fold_N) == set(range(n_folds))
    assert (fold_N[::2] == fold_N[1::2]).all()
    rates = [churned_N[fold_N == fold].mean() for fold in range(n_folds)]
    assert max(rates) - min(rates) < 0.12


def test_folds_need_customers_of_either_label():
    churned_N = np.array([True, True] + [False] * 50)
    with pytest.raises(NotEnoughData, match="2 customers left and 50 stayed: 5 folds need 5 of either"):
        folds(churned_N, np.arange(52), Split())
