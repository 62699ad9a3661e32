"""A config that does not fit its files is told so before any row is read."""

import datetime as dt

import pytest
from exports import export, export_parquet, labelled, purchases

from churnops.errors import ContractError


def test_missing_columns_of_all_tables_are_named_with_the_nearest(tmp_path, clean_in):
    export(tmp_path / "orders.csv", "Customer,date,total", "a,2024-01-01,5")
    export(tmp_path / "customers.csv", "customer,age", "a,30")
    customers = {
        "path": "customers.csv",
        "format": "csv",
        "id": "customer",
        "columns": {"aeg": {"role": "numeric"}, "gone": {"role": "dropped"}},
    }
    with pytest.raises(ContractError) as error:
        clean_in(tmp_path, purchases(customers=customers))
    assert error.value.problems == (
        "orders.csv: there is no column 'customer'; did you mean 'Customer'?",
        "orders.csv: there is no column 'amount'; there are Customer, date, total",
        "customers.csv: there is no column 'aeg'; did you mean 'age'?",
    )


def test_a_wrong_delimiter_is_suspected(tmp_path, clean_in):
    export(tmp_path / "orders.csv", "customer;date;amount", "a;2024-01-01;5")
    with pytest.raises(ContractError, match="only one, 'customer;date;amount': correct `delimiter`"):
        clean_in(tmp_path, purchases())


@pytest.mark.parametrize(
    ("time", "says"),
    [
        (
            {"format": "native"},
            "'date' is not stored as a time: give a format, such as '%Y-%m-%d', not 'native'",
        ),
        ({"format": "%q"}, "'date' has the format '%q', which strptime does not know"),
        ({"format": ""}, "'date' has the format '', which strptime does not know"),
        (
            {"format": "%Y-%m-%d", "timezone": "Mars/Olympus"},
            "'date' has the timezone 'Mars/Olympus', which does not exist",
        ),
    ],
)
def test_times_that_cannot_be_read_are_named(tmp_path, time, says, clean_in):
    export(tmp_path / "orders.csv", "customer,date,amount", "a,2024-01-01,5")
    with pytest.raises(ContractError) as error:
        clean_in(tmp_path, purchases(time={"column": "date"} | time))
    assert error.value.problems == (f"orders.csv: {says}",)


def test_typed_times_need_no_format(tmp_path, clean_in):
    export_parquet(tmp_path / "orders.parquet", customer=["a"], date=[dt.date(2024, 1, 1)], amount=[5])
    time = {"column": "date", "format": "native"}
    assert clean_in(tmp_path, purchases(path="orders.parquet", format="parquet", time=time)).repairs == ()


def test_names_and_words_that_collide_are_named(tmp_path, clean_in):
    export(tmp_path / "customers.csv", "customer,left,Churned,since", "a,yes,1,2024")
    roles = {"left": {"role": "categorical"}, "Churned": {"role": "numeric"}, "since": {"role": "date"}}
    label = {"column": "left", "churned": ["1", "yes"], "stayed": ["no", "TRUE"]}
    with pytest.raises(ContractError) as error:
        clean_in(tmp_path, labelled(columns=roles, label=label))
    assert error.value.problems == (
        "customers.csv: 'since' has the format '', which strptime does not know",
        "customers.csv: 'left' is the label: give it the role \"dropped\"",
        "customers.csv: 'Churned' is a name of ours: rename the column, or give it the role \"dropped\"",
        "customers.csv: 1 is in both `label.churned` and `label.stayed`",
    )
