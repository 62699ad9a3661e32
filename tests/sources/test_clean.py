"""Cleaning as a whole: every bad row is counted, all problems are named at once, nothing is half-written."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from exports import export, export_parquet, labelled, purchases, rows

from churnops.errors import ContractError, SourceError
from churnops.sources.repairs import Repair, RowCount

HEADER = "customer,date,amount"
DIRTY = [
    "a,2024-01-01,5",
    "a,2024-01-01,5",  # 2: repeats row 1
    ",2024-01-01,5",  # 3: nobody's
    "null,2024-01-02,5",  # 4: nobody's
    "a,31/31/2020,5",  # 5: no date
    "a,,5",  # 6: no date
    "a,2024-01-03,five",  # 7: no number
    "a,2024-01-04,  ",  # 8: blank, so missing
    "a,2024-01-05,0.00",  # 9: worth nothing
    ",31/31/2020,five",  # 10: nobody's, and looked at no further
]


def test_what_breaks_a_rule_is_repaired_as_the_config_says_and_counted(tmp_path, clean_in):
    export(tmp_path / "orders.csv", HEADER, *DIRTY)
    report = clean_in(
        tmp_path, purchases(repairs={"bad_time": "drop", "bad_number": "null", "zero_amount": "drop"})
    )
    assert report.tables == {"transactions": RowCount(rows_read=10, rows_kept=3)}
    assert report.repairs == tuple(
        Repair("transactions", *repair)
        for repair in [
            ("exact_duplicates", "", 1, "dropped", ("orders.csv row 2",)),
            (
                "missing_id",
                "customer",
                3,
                "dropped",
                (
                    "orders.csv row 3: customer=''",
                    "orders.csv row 4: customer='null'",
                    "orders.csv row 10: customer=''",
                ),
            ),
            (
                "bad_time",
                "date",
                2,
                "dropped",
                ("orders.csv row 5: date='31/31/2020'", "orders.csv row 6: date=''"),
            ),
            ("bad_number", "amount", 1, "made missing", ("orders.csv row 7: amount='five'",)),
            ("zero_amount", "amount", 1, "dropped", ("orders.csv row 9: amount='0.00'",)),
        ]
    )
    assert [order["amount"] for order in rows(tmp_path / "clean" / "orders.parquet")] == [5, None, None]
    assert report.notes == (
        "orders: 3 orders of 1 customers, 0 of them returns, from 2024-01-01 00:00 to 2024-01-04 00:00 UTC",
    )
    assert json.loads(json.dumps(report.to_dict()))["files"]["transactions"][0]["name"] == "orders.csv"


def test_zero_amounts_and_duplicates_that_are_kept_are_counted_too(tmp_path, clean_in):
    export(tmp_path / "orders.csv", HEADER, "a,2024-01-01,0", "a,2024-01-01,0")
    report = clean_in(tmp_path, purchases(repairs={"exact_duplicates": "keep"}))
    assert [(repair.rule, repair.rows, repair.action) for repair in report.repairs] == [
        ("exact_duplicates", 1, "kept"),
        ("zero_amount", 2, "kept"),
    ]
    assert report.tables["transactions"].rows_kept == 2


def test_every_problem_of_every_table_is_named_at_once_and_nothing_is_written(tmp_path, clean_in):
    export(tmp_path / "orders.csv", HEADER, *DIRTY)
    export(tmp_path / "customers.csv", "customer,age", "a,30", "a,31", "b,old", "c,old", "d,young")
    customers = {
        "path": "customers.csv",
        "format": "csv",
        "id": "customer",
        "columns": {"age": {"role": "numeric"}},
    }
    repairs = {"exact_duplicates": "error", "missing_id": "error"}
    with pytest.raises(ContractError) as error:
        clean_in(tmp_path, purchases(repairs=repairs, customers=customers))
    assert error.value.where == "shop"
    assert error.value.problems == (
        "transactions: exact_duplicates: 1 rows repeat an earlier row in every column (orders.csv row 2):"
        ' correct them, or set `repairs.exact_duplicates` to "drop" or "keep"',
        "transactions: missing_id: 3 rows have no 'customer' (orders.csv row 3: customer='';"
        " orders.csv row 4: customer='null'; orders.csv row 10: customer=''):"
        ' fill it in, or set `repairs.missing_id = "drop"`',
        "transactions: bad_time: 2 rows have a 'date' that is missing, not '%Y-%m-%d', or outside"
        " 1900-01-01 to 2199-12-31 (orders.csv row 5: date='31/31/2020'; orders.csv row 6: date=''):"
        ' correct them or the format, or set `repairs.bad_time = "drop"`',
        "transactions: bad_number: 1 rows have a 'amount' that is not a number"
        " (orders.csv row 7: amount='five'; most often 'five' 1 times):"
        ' correct them, or set `repairs.bad_number = "null"`',
        "customers: bad_number: 3 rows have a 'age' that is not a number (customers.csv row 3: age='old';"
        " customers.csv row 4: age='old'; customers.csv row 5: age='young';"
        " most often 'old' 2 times, 'young' 1 times): correct them, or set `repairs.bad_number = \"null\"`",
        "customers: repeated_customer: 1 rows have the 'customer' of an earlier row and differ from it"
        " (customers.csv row 2: customer='a'):"
        ' keep one of each, or set `repairs.repeated_customer = "first"`',
    )
    assert not list((tmp_path / "clean").iterdir())


def test_unreadable_files_of_all_tables_are_named_at_once(tmp_path, clean_in):
    path = export_parquet(tmp_path / "customers.parquet", customer=["a"] * 99)
    path.write_bytes(path.read_bytes()[:-20])
    export(tmp_path / "orders.csv")
    customers = {"path": "customers.parquet", "format": "parquet", "id": "customer"}
    with pytest.raises(SourceError) as error:
        clean_in(tmp_path, purchases(customers=customers))
    assert error.value.where == "orders.csv, customers.parquet"
    assert error.value.problems == (
        "orders.csv: is empty: export it again",
        "customers.parquet: is a truncated or damaged Parquet file: export it again",
    )


def test_a_table_of_which_nothing_is_left_is_an_error(tmp_path, clean_in):
    export(tmp_path / "orders.csv", HEADER, ",2024-01-01,5")
    with pytest.raises(ContractError, match="transactions: no row is left"):
        clean_in(tmp_path, purchases())


def test_duplicates_are_found_across_files_and_in_nested_columns(tmp_path, clean_in):
    for name in ("a", "b"):
        export_parquet(
            tmp_path / "orders" / f"{name}.parquet",
            customer=["x", "x"],
            date=["2024-01-01"] * 2,
            amount=[1, 1],
            tags=[["t"], [name]],
        )
    report = clean_in(tmp_path, purchases(path="orders", format="parquet"))
    assert [(repair.rule, repair.rows, repair.examples) for repair in report.repairs] == [
        ("exact_duplicates", 1, ("b.parquet row 1",))
    ]


def test_customers_and_purchases_that_do_not_meet_are_noted(tmp_path, clean_in):
    export(tmp_path / "orders.csv", HEADER, "a,2024-01-01,5", "x,2024-01-01,5", "x,2024-01-02,-5")
    export(tmp_path / "customers.csv", "customer", "a", "b", "c")
    report = clean_in(
        tmp_path, purchases(customers={"path": "customers.csv", "format": "csv", "id": "customer"})
    )
    assert report.notes == (
        "orders: 3 orders of 2 customers, 1 of them returns, from 2024-01-01 00:00 to 2024-01-02 00:00 UTC",
        "orders: 2 orders of 1 customers who are not in the customer table",
        "customers: 2 of 3 have no order",
    )


def test_what_an_earlier_config_made_goes(tmp_path, clean_in):
    export(tmp_path / "orders.csv", HEADER, "a,2024-01-01,5")
    export(tmp_path / "customers.csv", "customer,left", "a,yes", "b,no")
    clean_in(tmp_path, purchases(customers={"path": "customers.csv", "format": "csv", "id": "customer"}))
    clean_in(tmp_path, labelled())
    assert [path.name for path in (tmp_path / "clean").iterdir()] == ["labelled.parquet"]


def test_an_error_leaves_the_tables_of_an_earlier_run(tmp_path, clean_in):
    export(tmp_path / "orders.csv", HEADER, "a,2024-01-01,5")
    clean_in(tmp_path, purchases())
    before = (tmp_path / "clean" / "orders.parquet").read_bytes()
    export(tmp_path / "orders.csv", HEADER, "a,2024-01-01,five")
    with pytest.raises(ContractError):
        clean_in(tmp_path, purchases())
    assert [path.name for path in (tmp_path / "clean").iterdir()] == ["orders.parquet"]
    assert (tmp_path / "clean" / "orders.parquet").read_bytes() == before


def test_the_same_files_make_the_same_tables(tmp_path, clean_in):
    lines = [f"{i % 700},2024-01-{1 + i % 28:02},{i % 13}" for i in range(20_000)]
    export(tmp_path / "orders.csv", HEADER, *lines)
    first, second = (
        (clean_in(tmp_path, purchases()), (tmp_path / "clean" / "orders.parquet").read_bytes())
        for _ in range(2)
    )
    assert first == second


# Text that is not UTF-8 is first copied by us; the other is written by DuckDB alone.
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_full_disk_leaves_nothing_behind(tmp_path, encoding):
    noise = [f"{i * 2654435761 % 2**32},2024-01-{1 + i % 28:02},{i * 40503 % 9973}" for i in range(60_000)]
    export(tmp_path / "orders.csv", HEADER, *noise, encoding=encoding)
    program = f"""
        import resource
        from pathlib import Path
        from exports import purchases
        from churnops.engines.on_duckdb import DuckDB
        from churnops.sources.clean import clean

        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        folder = Path({str(tmp_path)!r})
        engine = DuckDB(memory_limit="1GB", spill_dir=folder / "spill")
        clean(purchases(encoding={encoding!r}), engine, source_dir=folder, to=folder / "clean")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert not list((tmp_path / "clean").iterdir())
