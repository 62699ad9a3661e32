"""Shapes, and tables that have none."""

import pytest
from exports import export
from made_tables import labelled_rows, lines, purchases

from churnops.errors import ConfigError
from churnops.sources.clean import clean


def test_a_table_that_is_neither_is_refused_with_what_was_looked_for(tmp_path, proposed):
    rows = [[random.random(), random.random()] for _, random, _ in labelled_rows()]
    with pytest.raises(ConfigError) as error:
        proposed(export(tmp_path / "a.csv", *lines("height,weight", rows)))
    assert "neither a log of purchases nor a table of labelled customers" in str(error.value)
    assert "height, weight" in str(error.value)


def test_two_tables_that_do_not_belong_together_are_refused(tmp_path, proposed):
    bought = [[f"x{customer}", moment, 5] for customer, moment in purchases()]
    people = [[f"y{i}", i] for i in range(60)]
    with pytest.raises(ConfigError, match="no two columns hold the same customer ids"):
        proposed(
            export(tmp_path / "people.csv", *lines("customer_id,age", people)),
            export(tmp_path / "buys.csv", *lines("customer_id,date,amount", bought)),
        )


def test_ids_of_orders_where_those_of_persons_belong_are_told(tmp_path, proposed):
    """As in exports where `customer_id` is made anew for every order."""
    bought = [[f"x{i}", moment, 5] for i, (_, moment) in enumerate(purchases())]
    people = [[f"x{i}", f"u{customer}"] for i, (customer, _) in enumerate(purchases())]
    with pytest.raises(ConfigError, match=r"'customer_id' never repeats.*customer_unique_id"):
        proposed(
            export(tmp_path / "people.csv", *lines("customer_id,customer_unique_id", people)),
            export(tmp_path / "buys.csv", *lines("customer_id,date,amount", bought)),
        )


def test_a_label_in_a_log_of_purchases_is_not_used(tmp_path, proposed):
    bought = [[customer, moment, 5, customer % 2] for customer, moment in purchases()]
    proposal = proposed(export(tmp_path / "a.csv", *lines("customer_id,date,amount,churned", bought)))
    assert proposal.config.shape == "purchases"
    assert "'churned' is not used as a label" in "\n".join(proposal.warnings)


def test_a_labelled_table_without_an_id_has_none(tmp_path, proposed):
    rows = [[random.randrange(5), random.random(), int(gone)] for _, random, gone in labelled_rows()]
    config = proposed(export(tmp_path / "a.csv", *lines("calls,spend,churn", rows))).config
    assert (config.shape, config.customers.id) == ("labelled", "")


def test_two_ids_that_are_as_sure_are_asked_about(tmp_path, proposed):
    bought = [[customer, customer // 2, moment, 5] for customer, moment in purchases()]
    path = export(tmp_path / "a.csv", *lines("customer_id,household_id,date,amount", bought))
    (question,) = proposed(path).questions
    assert (question.key, question.options) == ("transactions.id", ("customer_id", "household_id"))
    answered = proposed(path, **{"transactions.id": "household_id"})
    assert (answered.config.transactions.id, answered.questions) == ("household_id", ())


def test_a_column_never_filled_and_a_name_of_ours_do_no_harm(tmp_path, proposed, engine):
    rows = [[i, "", random.randrange(9), int(gone)] for i, random, gone in labelled_rows()]
    config = proposed(export(tmp_path / "a.csv", *lines("customer_id,as_of,x,churned", rows))).config
    assert config.customers.columns["as_of"].role == "dropped"
    clean(config, engine, source_dir=tmp_path, to=tmp_path / "clean")


def test_several_contracts_of_a_customer_are_no_purchases(tmp_path, proposed):
    rows = [
        [f"s{i}", f"c{i // 2}", f"2019-{i % 12 + 1:02d}-03", "cancelled" if gone else "active", i % 9]
        for i, _, gone in labelled_rows()
    ]
    path = export(tmp_path / "a.csv", *lines("subscription_id,customer_id,start_date,status,calls", rows))
    customers = proposed(path).config.customers
    assert (customers.id, customers.label.churned) == ("subscription_id", ("cancelled",))


def test_a_status_of_orders_is_no_label(tmp_path, proposed):
    words = ("complete", "complete", "cancelled")
    bought = [[customer, moment, 5 + i % 9, words[i % 3]] for i, (customer, moment) in enumerate(purchases())]
    proposal = proposed(export(tmp_path / "a.csv", *lines("customer_id,date,amount,status", bought)))
    assert (proposal.config.shape, proposal.warnings) == ("purchases", ())
