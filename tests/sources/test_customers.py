"""Customers: attributes by role, labels in words."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exports import export, export_parquet, labelled, purchases, rows

from churnops.errors import ContractError

DAY = dt.datetime(2024, 1, 5)


def test_attributes_follow_the_id_by_role(tmp_path, clean_in):
    export(tmp_path / "orders.csv", "customer,date,amount", "17,2024-01-01,5")
    export(
        tmp_path / "customers.csv",
        'customer;"total, all";plan;since;secret;extra',
        *["017; ;None;05.01.2024;x;1", "18;1.234,5; pro ;;x;2"],
    )
    customers = {
        "path": "customers.csv",
        "format": "csv",
        "delimiter": ";",
        "decimal": ",",
        "id": "customer",
        "id_format": "integer",
        "columns": {
            "total, all": {"role": "numeric"},
            "plan": {"role": "categorical"},
            "since": {"role": "date", "format": "%d.%m.%Y"},
            "secret": {"role": "dropped"},
        },
    }
    report = clean_in(tmp_path, purchases(customers=customers))
    table = pq.read_table(tmp_path / "clean" / "customers.parquet")
    assert [field.type for field in table.schema] == [
        pa.string(),
        pa.float64(),
        pa.string(),
        pa.timestamp("us"),
    ]
    assert table.to_pylist() == [
        {"customer_id": "17", "total, all": None, "plan": "None", "since": DAY},
        {"customer_id": "18", "total, all": 1234.5, "plan": "pro", "since": None},
    ]
    assert "customers: columns the config does not mention are left out: extra" in report.notes


def test_typed_attributes_are_read_as_what_they_are(tmp_path, clean_in):
    export_parquet(
        tmp_path / "customers.parquet",
        customer=[1.0, 2.0],
        left=[True, False],
        tier=[1.0, None],
        member=[True, None],
        joined=[DAY.date(), None],
        visits=pa.array([3, 4], pa.uint8()),
    )
    roles = {
        "tier": {"role": "categorical"},
        "member": {"role": "numeric"},
        "joined": {"role": "date", "format": "native"},
        "visits": {"role": "numeric"},
    }
    label = {"column": "left", "churned": ["1"], "stayed": ["0"]}
    clean_in(tmp_path, labelled(path="customers.parquet", format="parquet", columns=roles, label=label))
    common = {"as_of": None}
    assert rows(tmp_path / "clean" / "labelled.parquet") == [
        common
        | {"customer_id": "1", "churned": True, "tier": "1", "member": 1.0, "joined": DAY, "visits": 3.0},
        common
        | {"customer_id": "2", "churned": False, "tier": None, "member": None, "joined": None, "visits": 4.0},
    ]


def test_labels_are_words_in_any_case(tmp_path, clean_in):
    words = ["Yes", " YES ", "1.0", "true", "no", "0", "False"]
    export(tmp_path / "customers.csv", "customer,left", *[f"{i},{word}" for i, word in enumerate(words)])
    clean_in(tmp_path, labelled(label={"column": "left", "churned": ["yes", "1"], "stayed": ["NO", "false"]}))
    found = [row["churned"] for row in rows(tmp_path / "clean" / "labelled.parquet")]
    assert found == [True] * 4 + [False] * 3


def test_words_that_are_no_label_are_named_with_their_counts(tmp_path, clean_in):
    export(tmp_path / "customers.csv", "customer,left", "1,yes", "2,maybe", "3,maybe", "4,perhaps", "5,")
    with pytest.raises(ContractError) as error:
        clean_in(tmp_path, labelled())
    assert error.value.problems == (
        "labelled: unknown_label: 3 rows have a 'left' in neither `label.churned` nor `label.stayed`"
        " (customers.csv row 2: left='maybe'; customers.csv row 3: left='maybe';"
        " customers.csv row 4: left='perhaps'; most often 'maybe' 2 times, 'perhaps' 1 times):"
        ' add each of its words to one of them, or set `repairs.unknown_label = "drop"`',
    )


def test_a_label_may_be_a_word_that_stands_for_nothing_elsewhere(tmp_path, clean_in):
    export(tmp_path / "customers.csv", "customer,left", "1,gone", "2,None")
    clean_in(tmp_path, labelled(label={"column": "left", "churned": ["gone"], "stayed": ["none"]}))
    assert [row["churned"] for row in rows(tmp_path / "clean" / "labelled.parquet")] == [True, False]


def test_rows_without_a_label_are_dropped_and_counted(tmp_path, clean_in):
    export(tmp_path / "customers.csv", "customer,left", "1,yes", "2,", "3, NULL", "4,no")
    (repair,) = clean_in(tmp_path, labelled()).repairs
    assert (repair.rule, repair.rows, repair.action) == ("missing_label", 2, "dropped")
    with pytest.raises(ContractError, match="missing_label: 2 rows have no 'left'"):
        clean_in(tmp_path, labelled(repairs={"missing_label": "error"}))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("yes", "YES", ""), "all 2 rows of customers.csv left, none has a 'left' of 'no' or 'never', so"),
        (("no", "no", "no"), "all 3 rows of customers.csv stayed, none has a 'left' of 'yes', so"),
    ],
)
def test_nothing_can_be_learned_where_all_left_or_all_stayed(tmp_path, clean_in, words, says):
    export(tmp_path / "customers.csv", "customer,left", *[f"{i},{word}" for i, word in enumerate(words)])
    label = {"column": "left", "churned": ["yes"], "stayed": ["no", "never"]}
    with pytest.raises(ContractError) as error:
        clean_in(tmp_path, labelled(label=label))
    way_out = " there is nothing to learn: correct the words of `customers.label`, or add the others"
    assert error.value.problems == (f"labelled: {says}{way_out}",)
    assert not list((tmp_path / "clean").iterdir())


def test_without_an_id_the_number_of_the_row_serves(tmp_path, clean_in):
    export(tmp_path / "all" / "a.csv", "age,left", "30,yes", "30,yes")
    export(tmp_path / "all" / "b.csv", "age,left", "30,no")
    roles = {"age": {"role": "numeric"}}
    report = clean_in(
        tmp_path, labelled(path="all", id="", columns=roles, repairs={"exact_duplicates": "keep"})
    )
    assert [row["customer_id"] for row in rows(tmp_path / "clean" / "labelled.parquet")] == ["1", "2", "3"]
    assert [(repair.rule, repair.rows, repair.action) for repair in report.repairs] == [
        ("exact_duplicates", 1, "kept")
    ]


def test_a_customer_may_be_asked_about_at_several_instants(tmp_path, clean_in):
    export(tmp_path / "customers.csv", "customer,on,left", "1,2024-01-05,no", "1,2024-02-05,yes", "1,,yes")
    as_of = {"column": "on", "format": "%Y-%m-%d"}
    report = clean_in(tmp_path, labelled(as_of=as_of, repairs={"bad_time": "drop"}))
    found = rows(tmp_path / "clean" / "labelled.parquet")
    assert [(row["as_of"], row["churned"]) for row in found] == [(DAY, False), (DAY.replace(month=2), True)]
    assert [(repair.rule, repair.rows) for repair in report.repairs] == [("bad_time", 1)]


def test_two_rows_of_one_customer_that_differ_are_an_error_or_the_first_is_kept(tmp_path, clean_in):
    export(tmp_path / "customers.csv", "customer,left", "1,no", "2,yes", "1,yes", "1,no", ",no")
    with pytest.raises(ContractError) as error:
        clean_in(tmp_path, labelled())
    assert error.value.problems == (
        "labelled: repeated_customer: 1 rows have the 'customer' of an earlier row and differ from it"
        " (customers.csv row 3: customer='1'):"
        ' keep one of each, or set `repairs.repeated_customer = "first"`',
    )
    report = clean_in(tmp_path, labelled(repairs={"repeated_customer": "first"}))
    assert [(repair.rule, repair.rows, repair.action) for repair in report.repairs] == [
        ("exact_duplicates", 1, "dropped"),
        ("missing_id", 1, "dropped"),
        ("repeated_customer", 1, "dropped"),
    ]
    assert [row["customer_id"] for row in rows(tmp_path / "clean" / "labelled.parquet")] == ["1", "2"]


def test_a_removed_row_does_not_count_as_the_first_of_its_customer(tmp_path, clean_in):
    export(tmp_path / "customers.csv", "customer,left", "1,", "1,yes", "2,no")
    assert [repair.rule for repair in clean_in(tmp_path, labelled()).repairs] == ["missing_label"]
    assert [row["churned"] for row in rows(tmp_path / "clean" / "labelled.parquet")] == [True, False]
