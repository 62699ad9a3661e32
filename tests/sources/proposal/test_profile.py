"""Columns, counted."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from exports import export, export_parquet
from made_tables import lines

COLUMN = "_x"


@pytest.fixture
def column(tmp_path, looked_at):
    """The profile of one column of text."""

    def look(*values):
        return looked_at(
            export(tmp_path / "a.csv", f"id,{COLUMN}", *(f'{i},"{v}"' for i, v in enumerate(values)))
        ).columns[COLUMN]

    return look


def test_counts_are_exact(column):
    found = column("1", "2", "2.5", "007", "12.0", "", "  ", "NULL", "x")
    assert (found.present, found.distinct, found.numbers, found.whole) == (6, 6, 5, 4)
    assert (found.minimum, found.maximum, found.padded, found.pointed) == (1.0, 12.0, 1, 1)
    assert found.strays == (("x", 1),)


def test_levels_come_with_the_commonest_first_and_then_by_name(column):
    assert column("b", "c", "a", "c", "").levels == (("c", 2), ("a", 1), ("b", 1))


@pytest.mark.parametrize(
    ("values", "format_", "first"),
    [
        (("2021-01-04", "2021-02-28"), "%Y-%m-%d", "2021-01-04 00:00"),
        (("4/13/2021 9:30", "4/9/2021 9:30"), "%m/%d/%Y %H:%M", "2021-04-09 09:30"),
        (("13/4/2021", "9/4/2021"), "%d/%m/%Y", "2021-04-09 00:00"),
        (("19990228", "20210104"), "%Y%m%d", "1999-02-28 00:00"),
        (("1609752600", "1609752601"), "epoch", "2021-01-04 09:30"),
        (("1609752600000", "1609752601000"), "epoch_ms", "2021-01-04 09:30"),
        (("2021-01-04T10:30:00+01:00", "2021-01-04T09:30:01Z"), "%Y-%m-%dT%H:%M:%S%z", "2021-01-04 09:30"),
    ],
)
def test_the_best_format_reads_every_value(column, values, format_, first):
    time = column(*values).time
    assert (time.format, time.fits, f"{time.first:%Y-%m-%d %H:%M}") == (format_, len(values), first)


def test_a_format_that_finds_no_day_of_the_calendar_is_none(column):
    assert column("15634602", "15647311").time is None
    assert column("2021-02-30", "2021-13-01").time is None


@pytest.mark.parametrize(
    ("values", "decimal", "highest"),
    [
        (("12,50", "3,20"), ",", 12.5),
        (("1.234,56", "7,00"), ",", 1234.56),
        (("1,234.56", "7.00"), ".", 1234.56),
        (("1,234", "5"), ".", 1234.0),
        (("€ 5", "7"), ".", 7.0),
    ],
)
def test_the_decimal_sign_is_the_one_that_makes_numbers(tmp_path, looked_at, values, decimal, highest):
    table = looked_at(export(tmp_path / "a.csv", *lines("id;price", list(enumerate(values)), ";")))
    assert (table.source.decimal, table.columns["price"].maximum) == (decimal, highest)
    assert table.columns["price"].numbers == len(values)


def test_ids_that_end_in_a_point_and_zero_do_not_tell_the_decimal_sign(tmp_path, looked_at):
    rows = [(f"{i}.0", "6,95") for i in range(9)]
    assert looked_at(export(tmp_path / "a.csv", *lines("id;price", rows, ";"))).source.decimal == ","
    rows = [(f"{i}.0", "6,00") for i in range(9)]
    assert looked_at(export(tmp_path / "a.csv", *lines("price;id", rows, ";"))).source.decimal == "."


def test_typed_columns_need_no_guess(tmp_path, looked_at):
    moments = pa.array([dt.datetime(2021, 1, 4, 9, 30), None], pa.timestamp("ns"))
    table = looked_at(
        export_parquet(
            tmp_path / "a.parquet",
            when=moments,
            day=[dt.date(2021, 1, 4)] * 2,
            money=[Decimal("1.50"), Decimal("2")],
            rate=[float("nan"), 2.0],
            gone=[True, False],
            tags=[["a"], []],
        )
    )
    columns = table.columns
    assert (columns["when"].time.format, columns["when"].present, columns["when"].time.clocks) == (
        "native",
        1,
        1,
    )
    assert (columns["day"].time.days, columns["day"].time.clocks) == (1, 0)
    assert (columns["money"].numbers, columns["money"].whole, columns["rate"].present) == (2, 1, 1)
    assert columns["gone"].levels == (("false", 1), ("true", 1))
    assert columns["tags"].kind == "other"


def test_more_columns_than_are_counted_at_once(tmp_path, looked_at):
    names = [f"c{i}" for i in range(25)]
    table = looked_at(export(tmp_path / "a.csv", *lines(",".join(names), [range(25), range(25, 50)])))
    assert [column.maximum for column in table.columns.values()] == [float(i) for i in range(25, 50)]
    assert list(table.columns) == names


def test_names_with_quotation_marks_and_keywords_are_columns_like_others(tmp_path, looked_at):
    table = looked_at(export(tmp_path / "a.csv", 'select,"say ""hi""","it\'s"', "1,2,3", "1,3,5"))
    assert [column.whole for column in table.columns.values()] == [2, 2, 2]


def test_a_sample_of_a_long_table_does_not_miss_the_format(tmp_path, looked_at):
    days = [dt.date(2021, 1, 1) + dt.timedelta(days=i % 400) for i in range(12_000)]
    found = looked_at(export(tmp_path / "a.csv", *lines("id,day", list(enumerate(days))))).columns["day"]
    assert (found.time.fits, found.time.days) == (12_000, 400)
