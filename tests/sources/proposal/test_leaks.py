"""Attributes that know what happened afterwards."""

import datetime as dt

from exports import export
from made_tables import labelled_rows, lines, purchases

AFTERWARDS = {  # the values of those who left, of the others, and what is said
    "end_date": (["2020-01-01"], [""], "filled in for 100% of those who left"),
    "survey": (range(9), [""], "filled in for 100% of those who left"),
    "segment": (["a", "b"], ["c", "d"], "decides the label in 100.0%"),
    "churn_score": (range(90), range(90), "tells of leaving"),
    "cancellation_reason": (["price", "moved"], [""], "tells of leaving"),
    "exit date": (["2020-01-01"], [""], "tells of leaving"),
}


def labelled(path, n=200):
    """Customers with `AFTERWARDS`, and calls, which tell nothing."""
    rows = [
        [
            f"k{i}",
            random.randrange(9),
            *(random.choice(gone if left else here) for gone, here, _ in AFTERWARDS.values()),
            int(left),
        ]
        for i, random, left in labelled_rows(n)
    ]
    return export(path, *lines(",".join(["id", "calls", *AFTERWARDS, "churned"]), rows))


def test_what_is_known_once_somebody_left_is_dropped(tmp_path, proposed):
    proposal = proposed(labelled(tmp_path / "a.csv"))
    kept = [name for name, column in proposal.config.customers.columns.items() if column.role != "dropped"]
    assert kept == ["calls"]
    for name, (_, _, says) in AFTERWARDS.items():
        assert says in proposal.reasons[f"customers.columns.{name}"]


def test_few_rows_prove_nothing(tmp_path, proposed):
    columns = proposed(labelled(tmp_path / "a.csv", 40)).config.customers.columns
    assert columns["segment"].role == "categorical"


def test_what_sums_up_the_purchases_is_dropped(tmp_path, proposed):
    bought = purchases()
    people = [
        [
            c,
            "ab"[c % 2],
            20 + mine[0].minute,
            (mine[0] - dt.timedelta(days=2)).date(),
            mine[-1].date(),
            mine[1].date(),
            3 * len(mine),
            mine[0].minute,
        ]
        for c in range(40)
        for mine in [[moment for customer, moment in bought if customer == c]]
    ]
    header = "customer_id,sort,age,joined,seen,contacted,points,lifetime_value"
    orders = [[customer, moment, 5 + i % 7] for i, (customer, moment) in enumerate(bought)]
    proposal = proposed(
        export(tmp_path / "people.csv", *lines(header, people)),
        export(tmp_path / "buys.csv", *lines("customer_id,date,amount", orders)),
    )
    assert {name: column.role for name, column in proposal.config.customers.columns.items()} == {
        "sort": "categorical",
        "age": "numeric",
        "joined": "date",
        "seen": "dropped",
        "contacted": "dropped",
        "points": "dropped",
        "lifetime_value": "dropped",
    }
    assert "last purchase" in proposal.reasons["customers.columns.seen"]
    assert "later than the first purchase of" in proposal.reasons["customers.columns.contacted"]
    assert "correlation 1.00" in proposal.reasons["customers.columns.points"]
    assert any("'points' of the customer table is dropped" in warning for warning in proposal.warnings)
