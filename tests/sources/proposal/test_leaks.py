"""Attributes that know what happened afterwards."""

import datetime as dt

import pytest
from exports import export
from made_tables import labelled_rows, lines, purchases


@pytest.mark.parametrize(
    ("name", "gone", "here", "says"),
    [
        ("end_date", ["2020-01-01"], [""], "filled in for 100% of those who left"),
        ("survey", range(9), [""], "filled in for 100% of those who left"),
        ("segment", ["a", "b"], ["c", "d"], "decides the label in 100.0%"),
        ("churn_score", range(90), range(90), "tells of leaving"),
        ("cancellation_reason", ["price", "moved"], [""], "tells of leaving"),
        ("exit date", ["2020-01-01"], [""], "tells of leaving"),
    ],
)
def test_what_is_known_once_somebody_left_is_dropped(tmp_path, proposed, name, gone, here, says):
    rows = [
        [f"k{i}", random.randrange(9), random.choice(gone if left else here), int(left)]
        for i, random, left in labelled_rows()
    ]
    proposal = proposed(export(tmp_path / "a.csv", *lines(f"id,calls,{name},churned", rows)))
    columns = proposal.config.customers.columns
    assert (columns[name].role, columns["calls"].role) == ("dropped", "numeric")
    assert says in proposal.reasons[f"customers.columns.{name}"]


def test_few_rows_prove_nothing(tmp_path, proposed):
    rows = [[f"k{i}", r.randrange(9), "a" if gone else "b", int(gone)] for i, r, gone in labelled_rows(40)]
    columns = proposed(export(tmp_path / "a.csv", *lines("id,calls,segment,churned", rows))).config.customers
    assert columns.columns["segment"].role == "categorical"


BOUGHT = purchases()
OF_EACH = [[moment for customer, moment in BOUGHT if customer == c] for c in range(40)]


@pytest.mark.parametrize(
    ("name", "values", "role"),
    [
        ("joined", [(mine[0] - dt.timedelta(days=2)).date() for mine in OF_EACH], "date"),
        ("seen", [mine[-1].date() for mine in OF_EACH], "dropped"),
        ("contacted", [mine[len(mine) // 2].date() for mine in OF_EACH], "dropped"),
        ("points", [3 * len(mine) for mine in OF_EACH], "dropped"),
        ("lifetime_value", [mine[0].minute for mine in OF_EACH], "dropped"),
        ("age", [20 + mine[0].minute for mine in OF_EACH], "numeric"),
    ],
)
def test_what_sums_up_the_purchases_is_dropped(tmp_path, proposed, name, values, role):
    people = [[c, "ab"[c % 2], value] for c, value in enumerate(values)]
    orders = [[customer, moment, 5 + i % 7] for i, (customer, moment) in enumerate(BOUGHT)]
    proposal = proposed(
        export(tmp_path / "people.csv", *lines(f"customer_id,sort,{name}", people)),
        export(tmp_path / "buys.csv", *lines("customer_id,date,amount", orders)),
    )
    assert proposal.config.customers.columns[name].role == role
    assert proposal.config.customers.columns["sort"].role == "categorical"
