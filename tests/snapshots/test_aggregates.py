"""Aggregates of any shape: several snapshots at once are each of them alone, and what a window holds."""

import datetime as dt

import pytest
from orders import NOON, Order, write_orders

from churnops.snapshots.aggregates import Aggregate, snapshots_query

AS_OFS = [NOON - dt.timedelta(days=days) for days in (20, 10, 0)]
AGGREGATES = [
    Aggregate("n", "count", "*"),
    Aggregate("n_10d", "count", "*", days=10),
    Aggregate("n_ahead", "count", "*", days=10, ahead=True),
    Aggregate("n_returns", "count", "*", where="is_return", days=30),
    Aggregate("first", "min", "event_timestamp"),
    Aggregate("most_30d", "max", "amount", days=30),
    Aggregate("spent", "sum", "amount", days=15),
]


@pytest.mark.parametrize(
    "chosen", [AGGREGATES, AGGREGATES[:1], AGGREGATES[1:2], AGGREGATES[1:3], AGGREGATES[3:]]
)
def test_several_snapshots_at_once_are_each_of_them_alone(tmp_path, engine, chosen):
    days = (-45, -30.5, -20, -19.99, -15, -10, -0.25, 0, 9.99, 10)
    orders = [Order("ann", day, amount=i, is_return=i % 3 == 2) for i, day in enumerate(days)]
    late = [Order("bob", day, late=late) for day in (-40, -21, -11) for late in (0, 1, 11)]
    tables = {"orders": write_orders(tmp_path / "orders.parquet", *orders, *late)}

    def rows(as_ofs):
        found = engine.query(snapshots_query(chosen, as_ofs), tables).to_pylist()
        # Who has no order in any window is there or not, and a count of nothing 0 or null, as it comes.
        found = [{name: value or None for name, value in row.items()} for row in found]
        return [row for row in found if any(row[one.name] for one in chosen)]

    together = rows(AS_OFS)
    assert together
    assert sorted(together, key=str) == sorted((row for one in AS_OFS for row in rows([one])), key=str)


@pytest.mark.parametrize(
    ("order", "counts"),
    [
        (Order("ann", -10), (1, 1, 0)),
        (Order("ann", -10.01), (1, 0, 0)),
        (Order("ann", -3, late=3), (0, 0, 0)),
        (Order("ann", -3, late=2.99), (1, 1, 0)),
        (Order("ann", 0), (0, 0, 1)),
        (Order("ann", 9.99, late=90), (0, 0, 1)),
        (Order("ann", 10), (0, 0, 0)),
        (Order("ann", -3, is_return=True), (0, 0, 0)),
    ],
)
def test_a_window_begins_with_its_first_instant_and_ends_before_its_last(tmp_path, engine, order, counts):
    tables = {"orders": write_orders(tmp_path / "orders.parquet", order)}
    found = engine.query(snapshots_query(AGGREGATES[:3], [NOON]), tables).to_pylist()

    # Without an order in any window the customer may be absent.
    row = found[0] if found else {one.name: 0 for one in AGGREGATES[:3]}
    assert tuple(row[one.name] for one in AGGREGATES[:3]) == counts


def test_a_window_ahead_needs_an_end():
    with pytest.raises(ValueError, match="needs an end"):
        Aggregate("n_bought", "count", "*", ahead=True)
