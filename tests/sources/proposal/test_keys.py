"""Whose row it is."""

import pytest
from exports import export
from made_tables import labelled_rows, lines, purchases


@pytest.mark.parametrize(
    ("customer", "line", "id_format"),
    [
        ("{:06d}", "{:06d}", "text"),
        ("{:06d}", "{:d}", "integer"),
        ("{:d}", "{:d}.0", "integer"),
        ("{:06d}", "{:d}.0", "integer"),
        ("K-{:d}", "K-{:d}", "text"),
    ],
)
def test_ids_meet_however_they_are_written(tmp_path, proposed, customer, line, id_format):
    people = [[customer.format(c), "ab"[c % 2]] for c in range(50)]
    bought = [[line.format(c), moment, 5 + i % 9] for i, (c, moment) in enumerate(purchases())]
    proposal = proposed(
        export(tmp_path / "people.csv", *lines("customer_id,sort", people)),
        export(tmp_path / "buys.csv", *lines("customer_id,date,amount", bought)),
    )
    assert proposal.config.customers.id_format == proposal.config.transactions.id_format == id_format
    assert "100.0% of ids are in both" in proposal.reasons["customers.id"]


def test_names_need_not_agree_and_a_card_may_be_who_it_is(tmp_path, proposed):
    people = [[f"{c:04x}", 100 + c, "ab"[c % 2]] for c in range(50)]
    bought = [[moment, i, f"{c:04x}", 5 + i % 9] for i, (c, moment) in enumerate(purchases())]
    config = proposed(
        export(tmp_path / "people.csv", *lines("loyalty_card_number,shop_id,sort", people)),
        export(tmp_path / "buys.csv", *lines("date,receipt_no,card,amount", bought)),
    ).config
    assert (config.customers.id, config.transactions.id) == ("loyalty_card_number", "card")


def test_customers_are_neither_orders_nor_things(tmp_path, proposed):
    bought = [[i, c, moment, 100 + i % 9, 5 + i % 7] for i, (c, moment) in enumerate(purchases())]
    config = proposed(
        export(tmp_path / "a.csv", *lines("order_id,user_id,date,product_id,amount", bought))
    ).config
    assert (config.transactions.id, config.transactions.order) == ("user_id", "order_id")


def test_an_id_that_went_through_a_floating_number_is_read_whole(tmp_path, proposed):
    rows = [[f"{1000 + i}.0", random.randrange(9), int(gone)] for i, random, gone in labelled_rows()]
    config = proposed(export(tmp_path / "a.csv", *lines("customer_id,calls,churned", rows))).config
    assert (config.customers.id, config.customers.id_format) == ("customer_id", "integer")


def test_of_two_names_the_one_that_never_repeats_is_whose_row_it_is(tmp_path, proposed):
    rows = [[i // 3, f"s{i}", random.randrange(9), int(gone)] for i, random, gone in labelled_rows()]
    config = proposed(export(tmp_path / "a.csv", *lines("account,user_id,calls,churned", rows))).config
    assert config.customers.id == "user_id"
