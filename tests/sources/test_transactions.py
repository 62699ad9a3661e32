"""Lines become orders: their grain, their money, and what is dropped on the way."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exports import export, export_parquet, purchases, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from churnops.errors import ContractError
from churnops.sources.orders import write_orders

KEEP = {"exact_duplicates": "keep"}


@pytest.fixture
def orders(tmp_path, clean_in):
    """Clean lines of `customer,date,order,amount,discount,category`; return some columns of the orders."""

    def read(lines, *columns, **config):
        export(tmp_path / "orders.csv", "customer,date,order,amount,discount,category", *lines)
        clean_in(tmp_path, purchases(**({"repairs": KEEP} | config)))
        found = rows(tmp_path / "clean" / "orders.parquet")
        return [tuple(order[column] for column in columns) for order in found]

    return read


def day(number, hour=0):
    return dt.datetime(2024, 1, number, hour)


def test_every_line_of_an_instant_is_one_order_where_there_is_no_order_number(orders):
    lines = ["a,2024-01-01,,5,,", "a,2024-01-01,,7.5,,", "b,2024-01-01,,1,,", "a,2024-01-02,,2,,"]
    assert orders(lines, "customer_id", "event_timestamp", "amount", "lines") == [
        ("a", day(1), Decimal("12.5"), 2),
        ("a", day(2), Decimal(2), 1),
        ("b", day(1), Decimal(1), 1),
    ]


def test_lines_of_an_order_number_are_one_order_of_each_customer(orders):
    lines = ["a,2024-01-02,7,5,,", "a,2024-01-01,7,6,,", "b,2024-01-01,7,1,,", "a,2024-01-01,8,2,,"]
    assert orders(lines, "customer_id", "event_timestamp", "amount", "lines", order="order") == [
        ("a", day(1), Decimal(11), 2),
        ("a", day(1), Decimal(2), 1),
        ("b", day(1), Decimal(1), 1),
    ]


def test_lines_without_an_order_number_go_with_their_instant(orders):
    lines = ["a,2024-01-01,,5,,", "a,2024-01-01,NULL,6,,", "a,2024-01-03,,1,,", "a,2024-01-03,9,1,,"]
    assert orders(lines, "event_timestamp", "lines", order="order") == [(day(1), 2), (day(3), 1), (day(3), 1)]


def test_a_return_is_an_order_worth_less_than_nothing(orders):
    lines = [
        *["a,2024-01-01,1,10,,", "a,2024-01-01,1,-4,,"],
        *["a,2024-01-02,2,3,,", "a,2024-01-02,2,-4,,"],
        *["a,2024-01-03,3,,,"],
    ]
    assert orders(lines, "amount", "is_return", order="order") == [
        (Decimal(6), False),
        (Decimal(-1), True),
        (None, False),
    ]


def test_amount_may_be_price_times_quantity(tmp_path, clean_in):
    export(tmp_path / "orders.csv", "customer,date,price,n", "a,2024-01-01,1.25,3", "a,2024-01-02,2,-1")
    config = purchases(amount="", unit_price="price", quantity="n")
    clean_in(tmp_path, config)
    found = rows(tmp_path / "clean" / "orders.parquet")
    assert [(order["amount"], order["is_return"]) for order in found] == [
        (Decimal("3.75"), False),
        (Decimal(-2), True),
    ]


def test_data_without_money_has_orders_without_amounts(orders):
    assert orders(["a,2024-01-01,,5,,"], "amount", "discount", "is_return", amount="") == [
        (None, None, False)
    ]


def test_discount_is_money_off_whichever_its_sign(orders):
    lines = ["a,2024-01-01,,5,1.5,", "a,2024-01-01,,5,-2,", "a,2024-01-02,,5,,"]
    assert orders(lines, "discount", discount="discount") == [(Decimal("3.5"),), (None,)]


def test_gaps_are_whole_seconds_between_purchases_and_skip_returns(orders):
    lines = ["a,2024-01-01,,5,,", "a,2024-01-02,,-5,,", "a,2024-01-03,,5,,", "b,2024-01-09,,5,,"]
    assert orders(lines, "gap_seconds") == [(None,), (None,), (2 * 86400,), (None,)]


def test_new_categories_are_those_never_bought_from_before(orders):
    lines = [
        *["a,2024-01-01,,5,,tea", "a,2024-01-01,,5,,tea", "a,2024-01-01,,5,,mugs"],
        *["a,2024-01-02,,-5,,spoons"],
        *["a,2024-01-03,,5,,mugs", "a,2024-01-03,,5,,spoons", "a,2024-01-03,,5,,"],
        *["b,2024-01-09,,5,,tea"],
    ]
    assert orders(lines, "new_categories", category="category") == [(2,), (0,), (1,), (1,)]
    assert {found for (found,) in orders(lines, "new_categories")} == {None}


def test_orders_that_become_known_late_wait_and_have_no_gaps(tmp_path, clean_in):
    export(
        tmp_path / "orders.csv",
        "customer,date,amount,known,category",
        *["a,2024-01-01,5,2024-01-08,tea", "a,2024-01-01,5,2024-01-09,tea"],
        *["a,2024-01-02,5,2024-01-01,tea", "a,2024-01-03,5,,tea"],
    )
    clean_in(tmp_path, purchases(known_at={"column": "known", "format": "%Y-%m-%d"}, category="category"))
    found = rows(tmp_path / "clean" / "orders.parquet")
    assert [order["available_at"] for order in found] == [day(9), day(2), day(3)]
    assert {order["gap_seconds"] for order in found} == {None}
    # The first tea anyone knew of was the second bought.
    assert [order["new_categories"] for order in found] == [0, 1, 0]


@pytest.mark.parametrize(
    "cancelled",
    [
        {"column": "order", "prefix": "c"},
        {"column": "status", "values": ["Cancelled", "0"]},
        {"column": "status", "values": ["cancelled"], "prefix": "0"},
    ],
)
def test_cancelled_lines_are_dropped_and_counted(tmp_path, cancelled, clean_in):
    export(
        tmp_path / "orders.csv",
        "customer,date,amount,order,status",
        *["a,2024-01-01,5,1,paid", "a,2024-01-02,5,C2, cancelled ", "a,2024-01-03,5,C3,0.0"],
    )
    report = clean_in(tmp_path, purchases(cancelled=cancelled, repairs={"exact_duplicates": "drop"}))
    (repair,) = report.repairs
    assert (repair.rule, repair.column, repair.rows, repair.action) == (
        "cancelled",
        cancelled["column"],
        2,
        "dropped",
    )
    assert len(rows(tmp_path / "clean" / "orders.parquet")) == 1


def test_ids_read_as_floats_meet_ids_with_leading_zeros(tmp_path, clean_in):
    export_parquet(
        tmp_path / "orders.parquet",
        customer=pa.array([17850.0, None, 17.0]),
        date=[dt.date(2024, 1, 1)] * 3,
        amount=[1, 2, 3],
    )
    export(tmp_path / "customers.csv", "customer,age", "0017,30", "17850,40")
    customers = {"path": "customers.csv", "format": "csv", "id": "customer", "id_format": "integer"}
    time = {"column": "date", "format": "native"}
    report = clean_in(
        tmp_path,
        purchases(
            path="orders.parquet", format="parquet", time=time, customers=customers, id_format="integer"
        ),
    )
    assert [order["customer_id"] for order in rows(tmp_path / "clean" / "orders.parquet")] == ["17", "17850"]
    assert [(repair.rule, repair.rows) for repair in report.repairs] == [("missing_id", 1)]
    assert not [note for note in report.notes if "not in the customer table" in note]


def test_a_number_too_large_for_money_is_a_bad_number(tmp_path, clean_in):
    export(tmp_path / "orders.csv", "customer,date,amount,price,n", "a,2024-01-01,1e15,1e12,1e9")
    for money in ({"amount": "amount"}, {"amount": "", "unit_price": "price", "quantity": "n"}):
        with pytest.raises(ContractError, match=r"transactions: bad_number: 1 rows .*\(orders\.csv row 1: "):
            clean_in(tmp_path, purchases(**money))


LINES = st.lists(
    st.fixed_dictionaries(
        {
            "customer_id": st.sampled_from("abc"),
            "event_timestamp": st.datetimes(day(1), day(9)),
            "purchase": st.sampled_from("123456"),
            "amount": st.decimals(-20, 20, places=4),
            "discount": st.none() | st.decimals(0, 9, places=2),
            "category": st.sampled_from([None, "tea", "mugs"]),
            "_kept": st.booleans(),
        }
    ),
    min_size=1,
    max_size=30,
)
SCHEMA = pa.schema(
    {
        **{name: pa.string() for name in ("customer_id", "purchase", "category")},
        **{name: pa.timestamp("us") for name in ("event_timestamp", "available_at")},
        **{name: pa.decimal128(18, 4) for name in ("amount", "discount")},
        "_kept": pa.bool_(),
    }
)


@settings(max_examples=25)
@given(LINES, st.randoms(use_true_random=False))
def test_order_of_lines_changes_nothing_and_nothing_is_lost(tmp_path_factory, engine, lines, random):
    folder = tmp_path_factory.mktemp("lines")
    config = purchases(order="order", category="category").transactions
    found = []
    for written in (lines, random.sample(lines, len(lines))):
        typed = [line | {"available_at": line["event_timestamp"]} for line in written]
        pq.write_table(pa.Table.from_pylist(typed, SCHEMA), folder / "typed.parquet")
        made = write_orders(config, engine, str(folder / "typed.parquet"), to=folder)
        found.append(pq.read_table(made["orders"]).to_pylist())
    assert found[0] == found[1]
    kept = [line for line in lines if line["_kept"]]
    assert sum(order["amount"] for order in found[0]) == sum(line["amount"] for line in kept)
    assert sum(order["lines"] for order in found[0]) == len(kept)
    keys = [(order["customer_id"], order["event_timestamp"]) for order in found[0]]
    assert keys == sorted(keys)
    for order in found[0]:
        assert order["gap_seconds"] is None or order["gap_seconds"] == min(
            (order["event_timestamp"] - earlier["event_timestamp"]) // dt.timedelta(seconds=1)
            for earlier in found[0]
            if earlier["customer_id"] == order["customer_id"]
            and not earlier["is_return"]
            and earlier is not order
            and earlier["event_timestamp"] <= order["event_timestamp"]
            and earlier["available_at"] <= order["available_at"]
        )
