"""DuckDB and Spark read our SQL alike: the same answers, the same errors, the same tables to the last bit."""

import datetime as dt
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from orders import NOON, Order, make_orders, shop, write_orders

from churnops.contracts.table import check
from churnops.contracts.tables import CUSTOMERS, DATASET, LABELLED, MONEY, ORDERS, SCORES
from churnops.data_config import DataConfig
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import ContractError, NotEnoughData
from churnops.features.build import build_attributes, build_dataset, build_features, build_labelled
from churnops.features.definitions import declared
from churnops.features.query import features_query, filled_query
from churnops.lake.content import read_back
from churnops.snapshots import horizon, split

pytestmark = [
    pytest.mark.spark,
    # PySpark leaves the socket of a small result to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*<socket:pytest.PytestUnraisableExceptionWarning"),
]

DAY = dt.timedelta(days=1)
SIX = tuple(NOON - 28 * k * DAY for k in reversed(range(6)))
QUERIES = {
    "history": split.history_query(),
    "gap": split.gap_query(),
    "horizon history": horizon.history_query(),
    "horizon gaps": horizon.gaps_query(),
    "filled": filled_query(),
}
# Sorted by bytes, "Zoe" comes before "ann", and accents after everything plain.
IDS = ("ann", "Ann", "Zoe", "álvaro", "a\u0301lvaro", "ß", "ss", "10", "9", " 9", "9 ", "东", "🦊", "\uffee")
ORDER_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "customer_id": st.sampled_from(IDS),
            "event_timestamp": st.one_of(
                st.datetimes(NOON - 400 * DAY, NOON + 60 * DAY),
                st.integers(-400, 60).map(lambda days: NOON + days * DAY),  # the edges of windows
                st.datetimes(dt.datetime(1960, 1, 1), NOON),
            ),
            "late": st.sampled_from([dt.timedelta(0)] * 3 + [dt.timedelta(microseconds=1), 20 * DAY]),
            "is_return": st.sampled_from([False, False, False, True]),
            "amount": st.none() | st.decimals(-10, 10_000, places=4),
            "discount": st.none() | st.decimals(0, 100, places=4),
            "lines": st.integers(1, 2**31 - 1),
            "new_categories": st.none() | st.integers(0, 3),
            "gap_seconds": st.none() | st.integers(0, 60 * 86_400),
        }
    ),
    min_size=80,
    max_size=120,
)
# One query costs the same for few rows as for many. Spark takes too long to look for the smallest example.
FEW_BIG = settings(
    max_examples=3,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def engines(folder, spark):
    return DuckDB("2GB", folder / "spill"), spark


def written(build, engines, folder: Path) -> pa.Table:
    """What `build(engine, to)` writes, which no bit of differs between the engines."""
    duckdb, spark = engines
    here, there = folder / "made.parquet", folder / "made"
    build(duckdb, str(here))
    build(spark, str(there))
    files = sorted(there.glob("*.parquet"))
    table = pq.read_table(here)
    if read_back([here]) != read_back(files):
        assert pa.concat_tables([pq.read_table(file) for file in files]).to_pylist() == table.to_pylist()
        pytest.fail("the same values, but not the same types or bits")
    return table


def answered(sql, tables, engines):
    """The rows that both engines answer."""
    here, there = (engine.query(sql, tables) for engine in engines)
    assert here.schema.types == there.schema.types
    assert here.to_pylist() == there.to_pylist()
    return here.to_pylist()


def refused(table, address, engines) -> str:
    """What both engines have against a table; empty for a good one."""
    said = []
    for engine in engines:
        try:
            said.append(str(check(table, engine.query, address)))
        except ContractError as error:
            said.append(str(error))
    assert said[0] == said[1]
    return said[0]


def save(folder: Path, name: str, table: pa.Table) -> str:
    pq.write_table(table, folder / f"{name}.parquet")
    return str(folder / f"{name}.parquet")


def orders_of(folder: Path, rows) -> str:
    schema = pa.schema([(column.name, column.type) for column in ORDERS.columns])
    full = [{**row, "available_at": row["event_timestamp"] + row["late"]} for row in rows]
    return save(folder, "orders", pa.Table.from_pylist(full, schema=schema))


def instants(*values: dt.datetime | None) -> pa.Array:
    return pa.array(values, pa.timestamp("us"))


# Every kind of attribute there is, and beside it what is hard about it.
PEOPLE_COLUMNS = {
    "plan": {"role": "categorical"},
    "age": {"role": "numeric"},
    "joined": {"role": "date", "format": "native"},
    "Recency_Days": {"role": "numeric"},
}
PEOPLE = {
    "customer_id": [*IDS, "nobody"],
    "plan": ["a", "A", "", None, "é", " a"] + [None] * (len(IDS) - 5),
    "age": [30.0, float("nan"), None, -0.0, 0.0, 1e300] + [0.1] * (len(IDS) - 5),
    "joined": instants(
        *(NOON - DAY, NOON, NOON - dt.timedelta(seconds=1), dt.datetime(1901, 5, 5, 5, 5), None),
        *[NOON] * (len(IDS) - 4),
    ),
    "Recency_Days": [float(i) for i in range(len(IDS) + 1)],
}


def with_people(**fields) -> DataConfig:
    return shop(customers={"path": "p.csv", "format": "csv", "id": "c", "columns": PEOPLE_COLUMNS}, **fields)


def members(*, dated: bool) -> DataConfig:
    table = {
        "path": "p.csv",
        "format": "csv",
        "id": "c",
        "label": {"column": "left", "churned": ["1"], "stayed": ["0"]},
        "columns": PEOPLE_COLUMNS,
    }
    if dated:
        table["as_of"] = {"column": "month", "format": "native"}
    return DataConfig.model_validate({"name": "club", "shape": "labelled", "customers": table})


# Every declared feature, label, split and horizon, over tables that Hypothesis makes up.


@given(ORDER_ROWS)
@FEW_BIG
def test_features_and_labels_of_three_instants(folder, engines, rows):
    tables = {"orders": orders_of(folder, rows), "customers": save(folder, "people", pa.table(PEOPLE))}
    config = with_people(active_days=3650, horizon_days=13)

    def build(engine, to):
        build_dataset(engine, tables, config, [NOON - 61 * DAY, NOON - 13 * DAY, NOON], to=to)

    assert written(build, engines, folder).num_rows


@given(ORDER_ROWS)
@FEW_BIG
def test_every_feature_of_one_instant(folder, engines, rows):
    tables = {"orders": orders_of(folder, rows)}
    config = shop(active_days=3650)
    made = features(folder, engines, tables, config=config)

    assert made.column_names == ["customer_id", "as_of", *(one.name for one in declared(config))]


@given(ORDER_ROWS)
@FEW_BIG
def test_what_a_run_asks_before_it_builds(folder, engines, rows):
    tables = {"orders": orders_of(folder, rows)}
    for sql in QUERIES.values():
        answered(sql, tables, engines)
    assert refused(ORDERS, tables["orders"], engines) == str(len(rows))


@pytest.mark.parametrize("dated", [False, True])
def test_labelled_tables_and_their_dates(folder, engines, dated):
    # Two rows have no date although the others do: DuckDB sorts them last, Spark by itself first.
    dates = [NOON, NOON - DAY, None] * 5
    rows = {**PEOPLE, "as_of": instants(*dates), "churned": [i % 3 == 0 for i in range(15)]}
    labelled = save(folder, "labelled", pa.table(rows))
    built = written(
        lambda engine, to: build_labelled(engine, labelled, members(dated=dated), to=to), engines, folder
    )
    assert built["as_of"].to_pylist()[-5:] == [None] * 5

    unlabelled = members(dated=dated).customers.model_copy(update={"label": None})
    config = members(dated=dated).model_copy(update={"customers": unlabelled})
    people = save(folder, "people", pa.table(rows).drop_columns("churned"))
    for as_of in (None, NOON):
        scored = written(
            lambda engine, to, as_of=as_of: build_attributes(engine, people, config, as_of=as_of, to=to),
            engines,
            folder,
        )
        assert scored.num_rows == (5 if dated and as_of else 15)
    if dated:
        answered(split.dates_query(), {"labelled": labelled}, engines)


# Contracts.

GOOD = {
    CUSTOMERS: {"customer_id": ["a", " "], "anything": [1, 2]},
    LABELLED: {"customer_id": ["a", "a"], "as_of": instants(NOON, None), "churned": [True, False]},
    ORDERS: {
        "customer_id": ["a", "a"],
        "event_timestamp": instants(NOON, NOON),
        "available_at": instants(NOON, NOON + dt.timedelta(microseconds=1)),
        "is_return": [True, False],
        "amount": pa.array([None, Decimal("-1.5")], MONEY),
        "discount": pa.array([None, Decimal("0")], MONEY),
        "lines": pa.array([1, 2], pa.int32()),
        "new_categories": pa.array([None, 0], pa.int32()),
        "gap_seconds": pa.array([None, 0], pa.int64()),
    },
    DATASET: {"customer_id": ["a", "A"], "as_of": instants(None, None), "churned": [True, False]},
    SCORES: {
        "customer_id": ["a", "b"],
        "as_of": instants(NOON, NOON),
        "score": [0.0, 1.0],
        "model_version": ["m", "m"],
        "prediction_id": ["x", "y"],
    },
}
BAD_VALUES = {
    CUSTOMERS: {"customer_id": ["", None]},
    LABELLED: {"customer_id": ["", ""], "as_of": instants(None, None), "churned": [None, False]},
    ORDERS: {
        "customer_id": ["", None],
        "event_timestamp": instants(NOON, None),
        "available_at": instants(NOON - dt.timedelta(microseconds=1), None),
        "is_return": [None, False],
        "lines": pa.array([0, None], pa.int32()),
        "gap_seconds": pa.array([-1, 0], pa.int64()),
    },
    DATASET: {
        "customer_id": ["a", "a"],
        "as_of": instants(NOON, NOON),
        "churned": pa.array([None, None], pa.bool_()),
    },
    SCORES: {
        "customer_id": ["a", "a"],
        "score": [float("nan"), 1.5],
        "model_version": pa.array([None, None], pa.string()),
    },
}
BAD_TYPES = {
    CUSTOMERS: {"customer_id": [1, 2]},
    LABELLED: {"as_of": pa.array([NOON, None], pa.timestamp("us", "UTC")), "churned": [1, 0]},
    ORDERS: {
        "event_timestamp": pa.array([NOON, NOON], pa.timestamp("us", "UTC")),
        "available_at": pa.array([NOON.date(), NOON.date()]),
        "amount": pa.array([None, Decimal("1.5")], pa.decimal128(18, 2)),
        "discount": [1.5, None],
        "lines": [1, 2],
        "extra": [0, 0],
    },
    DATASET: {"churned": ["yes", "no"]},
    SCORES: {"score": pa.array([0.0, 1.0], pa.float32()), "rank": pa.array([1, 2])},
}


@pytest.mark.parametrize("table", GOOD, ids=lambda table: table.name)
def test_contracts_hold_and_break_alike(folder, engines, table):
    good = GOOD[table]
    assert refused(table, save(folder, "good", pa.table(good)), engines) == "2"
    for wrong in (BAD_VALUES, BAD_TYPES):
        address = save(folder, "wrong", pa.table({**good, **wrong[table]}))
        problems = refused(table, address, engines)
        named = {*wrong[table]} - ({"as_of", "customer_id"} if wrong is BAD_VALUES else set())
        assert all(f"{name}: " in problems for name in named)
    lacking = pa.table(dict([*good.items()][1:]))
    assert "customer_id: column is missing" in refused(table, save(folder, "lacking", lacking), engines)


# Where the dialects part.


def features(folder, engines, tables, *, config=None, as_ofs=(NOON,)) -> pa.Table:
    """The features that both engines make."""

    def build(engine, to):
        build_features(engine, tables, config or shop(), as_ofs, to=to)

    return written(build, engines, folder)


def features_of(folder, engines, *orders, as_ofs=(NOON,)):
    """The same of these orders, by customer and instant."""
    tables = {"orders": write_orders(folder / "orders.parquet", *orders)}
    made = features(folder, engines, tables, as_ofs=as_ofs).to_pylist()
    return {(row["customer_id"], row["as_of"]): row for row in made}


def test_a_clock_change_moves_no_window(folder, engines):
    # In Berlin, 2024-03-31 had 23 hours: counted in its hours, both would fall out of their windows.
    edges = [Order("ann", -30), Order("ann", -7), Order("bob", -30 - 1 / 24), Order("bob", -7 - 1 / 24)]
    rows = features_of(folder, engines, *edges, Order("cyd", -10))

    seen = {who: (rows[who, NOON]["orders_7d"], rows[who, NOON]["orders_30d"]) for who in ("ann", "bob")}
    assert seen == {"ann": (1, 2), "bob": (0, 1)}
    assert rows["cyd", NOON]["recency_days"] == 10.0


def test_instants_have_no_zone(folder, engines):
    tables = {"orders": write_orders(folder / "orders.parquet", Order("ann", -0.5), Order("ann", -3.25))}

    (history,) = answered(QUERIES["history"], tables, engines)
    assert history == {"first_event": NOON - 3.25 * DAY, "end": NOON}
    (gap,) = answered(QUERIES["gap"], tables, engines)
    assert gap == {"gap_start": NOON - 3 * DAY, "gap_end": NOON - DAY}


def test_whole_numbers_divide_into_fractions(folder, engines):
    orders = [Order("ann", -days) for days in (1, 4, 6)]  # a Tuesday, a Saturday, a Thursday
    row = features_of(folder, engines, *orders)["ann", NOON]

    assert row["weekend_share"] == 1 / 3
    assert row["gap_mean_days"] == 2.5


def test_nothing_is_divided_by_nothing(folder, engines):
    row = features_of(folder, engines, Order("ann", -3, amount=0.0))["ann", NOON]

    ratios = ("gap_mean_days", "gap_ratio", "spend_trend_30d", "discount_share")
    assert [row[name] for name in ratios] == [None] * 4


def test_an_empty_window_holds_zero(folder, engines):
    row = features_of(folder, engines, Order("ann", -200), as_ofs=(NOON - DAY, NOON))["ann", NOON]

    assert (row["orders_30d"], row["spend_30d"], row["orders_trend_30d"]) == (0.0, 0.0, None)
    for engine in engines:
        tables = {"orders": str(folder / "orders.parquet")}
        with pytest.raises(NotEnoughData, match="nobody"):
            build_features(engine, tables, shop(), [NOON - 1000 * DAY], to=str(folder / f"no-{engine.name}"))


def test_sums_of_decimals_are_exact(folder, engines):
    row = features_of(folder, engines, *(Order("ann", -3, amount=0.1, discount=0.7) for _ in range(1000)))
    assert row["ann", NOON]["spend_total"] == 100.0

    # Beyond 52 bits the engines may round the last bit of a double differently.
    most = Decimal("99999999999999.9999")
    rows = [{**_plain("ann", i), "amount": most} for i in range(1, 30)]
    tables = {"orders": orders_of(folder, rows)}
    totals = []
    for engine in engines:
        to = str(folder / f"most-{engine.name}")
        build_features(engine, tables, shop(), [NOON], to=to)
        totals += pq.read_table(to)["spend_total"].to_pylist()
    assert totals == pytest.approx([float(29 * most)] * 2, rel=1e-15)


def test_sums_of_whole_numbers_do_not_overflow(folder, engines):
    rows = [{**_plain("ann", i), "lines": 2**31 - 1, "gap_seconds": 150 * 365 * 86_400} for i in range(1, 9)]
    tables = {"orders": orders_of(folder, rows)}
    made = features(folder, engines, tables, as_ofs=SIX)

    assert made["basket_lines"].to_pylist() == [2**31 - 1.0] * made.num_rows
    assert set(made["gap_std_days"].to_pylist()) <= {0.0, None}


def test_no_number_is_not_no_value(folder, engines):
    tables = {
        "orders": write_orders(folder / "orders.parquet", *(Order(who, -3) for who in IDS)),
        "customers": save(folder, "people", pa.table(PEOPLE)),
    }
    made = features(folder, engines, tables, config=with_people())
    ages = dict(zip(made["customer_id"].to_pylist(), made["age"].to_pylist(), strict=True))

    assert np.isnan(ages["Ann"])
    assert ages["Zoe"] is None


def test_days_count_minutes_and_go_back_before_1970(folder, engines):
    joined = [
        dt.datetime(1901, 5, 5, 23, 59, 59),
        dt.datetime(1969, 12, 31, 12),
        dt.datetime(2024, 2, 29, 0, 0, 59),
    ]
    rows = {**{name: values[:3] for name, values in PEOPLE.items()}, "joined": instants(*joined)}
    rows |= {"as_of": instants(NOON, NOON, NOON), "churned": [True, False, True]}
    labelled = save(folder, "labelled", pa.table(rows))
    made = written(
        lambda engine, to: build_labelled(engine, labelled, members(dated=False), to=to), engines, folder
    )

    days = dict(zip(made["customer_id"].to_pylist(), made["joined_day"].to_pylist(), strict=True))
    assert days["Ann"] == -0.5
    assert days["Zoe"] == 19782.0


def test_ids_are_told_apart_and_sorted_by_their_bytes(folder, engines):
    rows = features_of(folder, engines, *(Order(who, -3) for who in reversed(IDS)))

    assert [who for who, _ in rows] == sorted(IDS, key=str.encode)


def _plain(who: str, days: int):
    nothing = dict.fromkeys(("amount", "discount", "new_categories", "gap_seconds"))
    when = {"event_timestamp": NOON - days * DAY, "late": dt.timedelta(0)}
    return {"customer_id": who, **when, "is_return": False, "lines": 1, **nothing}


# Skew and size.


def test_one_customer_with_a_million_purchases(folder, engines):
    who = "case when i % 100 < 98 then 'shop' else 'c' || (i % 5000) end"
    address = make_orders(folder / "made-up.parquet", rows=1_020_000, customer=who, days=700)
    made = features(folder, engines, {"orders": address}, as_ofs=[NOON - 30 * DAY, NOON])

    most = {row["customer_id"]: row["orders_total"] + row["returns_total"] for row in made.to_pylist()}
    assert most["shop"] > 0.97 * 1_020_000
    answered(QUERIES["horizon gaps"], {"orders": address}, engines)


def test_days_without_a_purchase(folder, engines):
    orders = [Order("ann", -days) for days in (1, 2, 40, 41)]
    tables = {"orders": write_orders(folder / "orders.parquet", *orders)}

    (gap,) = answered(QUERIES["gap"], tables, engines)
    assert (gap["gap_end"] - gap["gap_start"]).days == 37


def test_thousands_of_tiny_files(folder, engines):
    tiny = folder / "tiny"
    tiny.mkdir()
    one = make_orders(folder / "made-up.parquet", rows=12_000, customer="'c' || (i % 700)", days=700)
    table = pq.read_table(one)
    for i, start in enumerate(range(0, table.num_rows, 4)):
        pq.write_table(table.slice(start, 4), tiny / f"part-{i:05}.parquet")

    for sql in (QUERIES["history"], QUERIES["filled"]):
        assert answered(sql, {"orders": str(tiny)}, engines) == answered(sql, {"orders": one}, engines)


def test_a_partition_that_arrives_twice_counts_twice(folder, engines):
    parts = folder / "parts"
    parts.mkdir()
    write_orders(parts / "a.parquet", Order("ann", -3), Order("bob", -5, amount=7.0))
    once = features(folder, engines, {"orders": str(parts)})
    (parts / "b.parquet").write_bytes((parts / "a.parquet").read_bytes())
    twice = features(folder, engines, {"orders": str(parts)})

    assert once["customer_id"] == twice["customer_id"]
    assert twice["spend_total"].to_pylist() == [2 * spend for spend in once["spend_total"].to_pylist()]


# How Spark goes about it.


def test_six_snapshots_take_one_scan_and_few_shuffles(folder, spark):
    tables = {"orders": write_orders(folder / "orders.parquet", Order("ann", -3))}
    plans = [
        spark.explain(f"{features_query(declared(shop()), as_ofs, 365)} order by as_of, customer_id", tables)
        for as_ofs in (SIX[-1:], SIX)
    ]
    one, six = (plan.count("Exchange") for plan in plans)

    assert plans[1].count("FileScan") == 1
    assert six < 3 * one


def test_sorted_tables_are_sorted_over_many_files(folder, engines, spark):
    address = make_orders(folder / "made-up.parquet", rows=50_000, customer="'c' || (i % 9000)", days=300)

    conf = spark._session.conf
    many = {"spark.sql.shuffle.partitions": "24", "spark.sql.adaptive.coalescePartitions.enabled": "false"}
    for name, value in many.items():
        conf.set(name, value)
    try:
        made = features(folder, engines, {"orders": address}, as_ofs=[NOON - 30 * DAY, NOON])
    finally:
        for name in many:
            conf.unset(name)
    assert len([*(folder / "made").glob("*.parquet")]) == 24
    keys = list(zip(made["as_of"].to_pylist(), made["customer_id"].to_pylist(), strict=True))
    assert all(before < after for before, after in pairwise(keys))
