"""Features and labels of snapshots: what they see, what they may not see, and that all roads agree."""

import datetime as dt
import statistics
import time
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orders import NOON, Order, shop, write_orders

from churnops.contracts.tables import DATASET
from churnops.data_config import DataConfig
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import NotEnoughData
from churnops.features.build import build_attributes, build_dataset, build_features, build_labelled
from churnops.features.definitions import WINDOWS_DAYS, declared, feature_hash

# One query costs the same for few customers as for many, so each example has many.
CUSTOMERS = ("ann", "bob", "cyd", "dan", "eve", "fay", "gus")
ORDERS = st.lists(
    st.builds(
        Order,
        customer=st.sampled_from(CUSTOMERS),
        days=st.integers(-400 * 24, 60 * 24).map(lambda hours: hours / 24),
        amount=st.integers(0, 5000).map(lambda cents: cents / 100),
        late=st.sampled_from([0.0, 0.0, 0.5, 20.0]),
        is_return=st.sampled_from([False, False, False, True]),
        lines=st.integers(1, 4),
        new_categories=st.integers(0, 2),
        gap_days=st.none() | st.integers(0, 40),
    ),
    min_size=1,
    max_size=60,
)
# Whatever is in the table, the features that exist stay the same.
EVERYTHING = Order("zoe", -90, amount=5.0, discount=1.0, lines=2, new_categories=1, gap_days=3)
ALWAYS = (EVERYTHING, Order("zoe", -30, is_return=True))
AS_OFS = (NOON - dt.timedelta(days=61), NOON - dt.timedelta(days=13), NOON)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


def features_of(folder, orders, as_ofs=(NOON,), config=None):
    """The rows of `build_features`, by customer and instant."""
    engine = DuckDB("1GB", folder / "spill")
    tables = {"orders": write_orders(folder / "orders.parquet", *ALWAYS, *orders)}
    build_features(engine, tables, config or shop(), as_ofs, to=str(folder / "features.parquet"))
    rows = pq.read_table(folder / "features.parquet").to_pylist()
    return {(row["customer_id"], row["as_of"]): row for row in rows}


@given(ORDERS)
@settings(max_examples=8)
def test_features_are_what_a_few_lines_of_python_make_them(folder, orders):
    found = features_of(folder, orders)

    for customer in CUSTOMERS:
        mine = [one for one in orders if one.customer == customer and one.known < NOON]
        bought = sorted((one for one in mine if not one.is_return), key=lambda one: one.days)
        if not any(one.days >= -365 for one in bought):
            assert (customer, NOON) not in found
            continue
        row = found[customer, NOON]
        assert row["recency_days"] == pytest.approx(-bought[-1].days, abs=1e-3)
        assert row["tenure_days"] == pytest.approx(-bought[0].days, abs=1e-3)
        assert row["orders_total"] == len(bought)
        assert row["returns_total"] == len(mine) - len(bought)
        assert row["spend_total"] == pytest.approx(sum(one.amount for one in bought))
        assert row["basket_lines"] == pytest.approx(sum(one.lines for one in bought) / len(bought))
        assert row["categories_seen"] == sum(one.new_categories for one in bought)
        assert row["weekend_share"] == pytest.approx(
            sum(one.at.weekday() >= 5 for one in bought) / len(bought)
        )
        for days in WINDOWS_DAYS:
            inside = [one for one in bought if one.days >= -days]
            assert row[f"orders_{days}d"] == len(inside)
            assert row[f"spend_{days}d"] == pytest.approx(sum(one.amount for one in inside))
        if len(bought) > 1 and bought[-1].days > bought[0].days:
            mean_gap = (bought[-1].days - bought[0].days) / (len(bought) - 1)
            assert row["gap_mean_days"] == pytest.approx(mean_gap, abs=1e-3)
        elif len(bought) == 1:
            assert row["gap_mean_days"] is None
        gaps = [one.gap_days for one in bought if one.gap_days is not None]
        spread = None if len(gaps) < 2 else pytest.approx(statistics.pstdev(gaps), abs=1e-3)
        assert row["gap_std_days"] == spread


@given(ORDERS, ORDERS)
@settings(max_examples=5)
def test_nothing_that_happens_or_becomes_known_from_as_of_on_changes_a_feature(folder, orders, others):
    future = [one for one in others if one.known >= NOON]
    at_as_of = [Order("ann", 0.0), Order("bob", -5.0, late=5.0)]

    assert features_of(folder, orders) == features_of(folder, [*orders, *future, *at_as_of])


@given(ORDERS, st.randoms(use_true_random=False))
@settings(max_examples=5)
def test_the_order_of_the_rows_changes_nothing(folder, orders, shuffle):
    shuffled = list(orders)
    shuffle.shuffle(shuffled)

    assert features_of(folder, orders) == features_of(folder, shuffled)


@given(ORDERS)
@settings(max_examples=5)
def test_several_snapshots_at_once_are_each_of_them_alone(folder, orders):
    alone = [features_of(folder, orders, [as_of]) for as_of in AS_OFS]

    assert features_of(folder, orders, AS_OFS) == alone[0] | alone[1] | alone[2]


@given(ORDERS)
@settings(max_examples=5)
def test_a_customer_churned_who_buys_nothing_within_the_horizon(folder, orders):
    engine = DuckDB("1GB", folder / "spill")
    tables = {"orders": write_orders(folder / "orders.parquet", *ALWAYS, *orders)}
    build_dataset(engine, tables, shop(horizon_days=13), AS_OFS[:2], to=str(folder / "dataset.parquet"))

    for row in pq.read_table(folder / "dataset.parquet").to_pylist():
        start = row["as_of"]
        back = [
            one
            for one in (*orders, *ALWAYS)
            if one.customer == row["customer_id"]
            and not one.is_return
            and start <= one.at < start + dt.timedelta(days=13)
        ]
        assert row["churned"] == (not back)


@pytest.mark.parametrize(("days", "churned"), [(0.0, False), (29.99, False), (30.0, True), (-0.01, True)])
def test_the_label_begins_at_as_of_and_ends_before_the_horizon_does(tmp_path, engine, days, churned):
    orders = write_orders(tmp_path / "orders.parquet", Order("ann", -10), Order("ann", days), EVERYTHING)
    build_dataset(engine, {"orders": orders}, shop(), [NOON], to=str(tmp_path / "dataset.parquet"))

    rows = pq.read_table(tmp_path / "dataset.parquet").to_pylist()
    assert {row["customer_id"]: row["churned"] for row in rows}["ann"] is churned


def test_an_event_at_as_of_is_the_future(folder):
    before = features_of(folder, [Order("ann", -3)])["ann", NOON]
    after = features_of(folder, [Order("ann", -3), Order("ann", 0.0)])["ann", NOON]

    assert before == after


@pytest.mark.parametrize(("days", "asked"), [(-365, True), (-365.01, False), (0, False)])
def test_only_customers_active_in_the_look_back_are_asked_about(folder, days, asked):
    assert (("ann", NOON) in features_of(folder, [Order("ann", days)])) is asked


def test_a_clock_change_moves_no_window(folder, monkeypatch):
    orders = [Order("ann", -30), Order("ann", -7), Order("ann", -1 / 24)]
    here = features_of(folder, orders, [NOON])
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Europe/Berlin")  # summer time began on 2024-03-31
        time.tzset()
        there = features_of(folder, orders, [NOON])
    time.tzset()

    assert here == there


def test_a_labelled_table_has_no_snapshots(tmp_path, engine):
    orders = write_orders(tmp_path / "orders.parquet", EVERYTHING)
    with pytest.raises(ValueError, match="only purchases have snapshots"):
        build_features(engine, {"orders": orders}, members(), [NOON], to=str(tmp_path / "f.parquet"))


def test_nobody_to_ask_about_is_said(folder):
    with pytest.raises(NotEnoughData, match=r"nobody|no customer"):
        features_of(folder, [], [NOON - dt.timedelta(days=1000)])


def test_training_has_only_features_for_which_the_data_hold_something(tmp_path, engine):
    plain = [Order("ann", -days, amount=0.0) for days in (3, 9)]
    tables = {"orders": write_orders(tmp_path / "orders.parquet", *plain)}
    built = build_dataset(engine, tables, shop(), [NOON], to=str(tmp_path / "d.parquet"))

    names = {feature.name for feature in built.features}
    assert {"recency_days", "orders_30d"} <= names
    assert not names & {"spend_30d", "discount_share", "categories_seen", "returns_total", "basket_lines"}


def test_whoever_is_scored_has_every_feature_whatever_the_orders_hold(tmp_path, engine):
    tables = {"orders": write_orders(tmp_path / "orders.parquet", Order("ann", -3, amount=0.0))}
    built = build_features(engine, tables, shop(), [NOON], to=str(tmp_path / "f.parquet"))

    (row,) = pq.read_table(tmp_path / "f.parquet").to_pylist()
    names = [feature.name for feature in declared(shop())]
    assert list(row) == ["customer_id", "as_of", *names]
    assert [feature.name for feature in built.features] == names
    silent = ("spend_total", "categories_seen", "returns_total", "returns_share", "basket_lines")
    assert [row[name] for name in silent] == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert (row["gap_std_days"], row["discount_share"]) == (None, None)


def test_a_column_has_the_same_name_whatever_the_orders_hold(tmp_path, engine):
    people = {"path": "p.csv", "format": "csv", "id": "c", "columns": {"returns_total": {"role": "numeric"}}}
    pq.write_table(pa.table({"customer_id": ["zoe"], "returns_total": [7.0]}), tmp_path / "people.parquet")
    for orders in ((EVERYTHING,), ALWAYS):
        tables = {
            "orders": write_orders(tmp_path / "orders.parquet", *orders),
            "customers": str(tmp_path / "people.parquet"),
        }
        build_dataset(engine, tables, shop(customers=people), [NOON], to=str(tmp_path / "d.parquet"))
        (row,) = pq.read_table(tmp_path / "d.parquet").to_pylist()
        assert row["customer_returns_total"] == 7.0
        assert row.get("returns_total") == (1.0 if orders == ALWAYS else None)


def with_customers() -> DataConfig:
    people = {
        "path": "p.csv",
        "format": "csv",
        "id": "c",
        "columns": {
            "plan": {"role": "categorical"},
            "age": {"role": "numeric"},
            "joined": {"role": "date", "format": "native"},
            "recency_days": {"role": "numeric"},
            "note": {"role": "dropped"},
        },
    }
    return shop(customers=people)


def test_attributes_of_customers_stand_beside_their_purchases(tmp_path, engine):
    people = pa.table(
        {
            "customer_id": ["ann", "bob"],
            "plan": ["a", None],
            "age": [30.0, 40.0],
            "joined": pa.array([NOON - dt.timedelta(days=9), NOON], pa.timestamp("us")),
            "recency_days": [1.0, 2.0],
        }
    )
    pq.write_table(people, tmp_path / "people.parquet")
    orders = write_orders(
        tmp_path / "orders.parquet", Order("ann", -3), Order("bob", -4), Order("cyd", -5), EVERYTHING
    )
    tables = {"orders": orders, "customers": str(tmp_path / "people.parquet")}
    built = build_features(engine, tables, with_customers(), [NOON], to=str(tmp_path / "f.parquet"))

    rows = {row["customer_id"]: row for row in pq.read_table(tmp_path / "f.parquet").to_pylist()}
    attributes = ("plan", "age", "joined_days_before", "customer_recency_days")
    assert [rows["ann"][name] for name in attributes] == ["a", 30.0, 9.0, 1.0]
    assert [rows["bob"][name] for name in attributes] == [None, 40.0, None, 2.0]
    assert [rows["cyd"][name] for name in attributes] == [None, None, None, None]
    assert {one.name for one in built.features if not one.described.behavioural} == set(attributes)


def members(**customers) -> DataConfig:
    label = {"column": "left", "churned": ["1"], "stayed": ["0"]}
    columns = {"plan": {"role": "categorical"}, "joined": {"role": "date", "format": "native"}}
    table = {"path": "p.csv", "format": "csv", "id": "c", "label": label, "columns": columns} | customers
    return DataConfig.model_validate({"name": "club", "shape": "labelled", "customers": table})


DATED = {"as_of": {"column": "month", "format": "native"}}


@pytest.mark.parametrize(("config", "expected"), [(members(), 19723.0), (members(**DATED), 100.0)])
def test_a_labelled_table_keeps_its_attributes_and_turns_dates_into_days(tmp_path, engine, config, expected):
    joined = dt.datetime(2024, 1, 1)
    table = pa.table(
        {
            "customer_id": ["ann"],
            "as_of": pa.array([joined + dt.timedelta(days=100)], pa.timestamp("us")),
            "churned": [True],
            "plan": ["a"],
            "joined": pa.array([joined], pa.timestamp("us")),
        }
    )
    pq.write_table(table, tmp_path / "labelled.parquet")
    built = build_labelled(engine, str(tmp_path / "labelled.parquet"), config, to=str(tmp_path / "d.parquet"))

    (row,) = pq.read_table(tmp_path / "d.parquet").to_pylist()
    assert [row[feature.name] for feature in built.features] == ["a", expected]
    assert set(pq.read_schema(tmp_path / "d.parquet").names) >= {column.name for column in DATASET.columns}


def test_customers_without_a_label_get_the_features_of_those_with_one(tmp_path, engine):
    joined = dt.datetime(2024, 1, 1)
    table = pa.table(
        {
            "customer_id": ["ann", "bob"],
            "as_of": pa.array([NOON, NOON - dt.timedelta(days=30)], pa.timestamp("us")),
            "plan": ["a", "b"],
            "joined": pa.array([joined, joined], pa.timestamp("us")),
        }
    )
    pq.write_table(table, tmp_path / "customers.parquet")
    to = tmp_path / "f.parquet"
    for config, rows in ((members(), 2), (members(**DATED), 1)):
        people = config.customers.model_copy(update={"label": None})
        built = build_attributes(
            engine,
            str(tmp_path / "customers.parquet"),
            config.model_copy(update={"customers": people}),
            as_of=NOON,
            to=str(to),
        )
        assert built.rows == rows
        assert feature_hash(built.features) == feature_hash(declared(config))


def test_the_feature_hash_tells_definitions_apart():
    some = declared(shop())
    renamed = (replace(some[0], described=replace(some[0].described, name="other")), *some[1:])

    assert feature_hash(some) == feature_hash(declared(shop()))
    assert feature_hash(some) != feature_hash(renamed)
    assert feature_hash(some) != feature_hash(some[1:])


def test_every_feature_says_in_words_what_it_is():
    for feature in declared(shop()):
        assert len(feature.described.text.split()) >= 2
