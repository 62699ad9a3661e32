"""Files that come day by day, beside the same files cleaned at once."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exports import purchases
from hypothesis import given, settings
from hypothesis import strategies as st

from churnops.contracts.tables import ORDERS
from churnops.data_config import Repairs
from churnops.errors import ContractError, SourceError
from churnops.sources.clean import clean
from churnops.sources.files import identify
from churnops.sources.increment import Growth, Whole, add_files, first_change

LINES = st.lists(
    st.fixed_dictionaries(
        {
            "customer": st.sampled_from(["ann", "bob", "cyd", ""]),
            "hour": st.integers(0, 23),
            "amount": st.integers(-2, 5),
            "order": st.integers(1, 4),
            "category": st.sampled_from(["tea", "mugs", "cake", ""]),
            "late": st.integers(0, 2),
        }
    ),
    min_size=1,
    max_size=12,
)
DAYS = st.lists(LINES, min_size=2, max_size=4)
SCHEMA = pa.schema(
    {
        **dict.fromkeys(("customer", "order", "category"), pa.string()),
        **dict.fromkeys(("date", "seen"), pa.timestamp("us")),
        "amount": pa.decimal128(8, 2),
    }
)
MONDAY = dt.datetime(2024, 4, 8)


def write_day(folder, day, lines):
    """A file of the orders that became known on one day, whose order numbers are its own."""
    rows = [
        {
            "customer": line["customer"],
            "order": f"{day}-{line['order']}",
            "category": line["category"],
            "date": MONDAY + dt.timedelta(days=day, hours=line["hour"] - 24 * line["late"]),
            "seen": MONDAY + dt.timedelta(days=day, hours=line["hour"]),
            "amount": Decimal(line["amount"]),
        }
        for line in lines
    ]
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / f"day={day}.parquet")


def config_of(known_at):
    fields = {"path": "raw", "format": "parquet", "category": "category", "order": "order"}
    fields["time"] = {"column": "date", "format": "native"}
    if known_at:
        fields["known_at"] = {"column": "seen", "format": "native"}
    return purchases(**fields)


def growth_of(config, folder, report):
    return Growth(folder / "clean", report, {"transactions": identify(config.transactions, folder)})


def rows_of(folder, table):
    rows = pq.read_table(folder / f"{table}.parquet", schema=None).to_pylist()
    return sorted(rows, key=lambda row: tuple(map(str, row.values())))


@given(DAYS, st.booleans())
@settings(max_examples=15)
def test_day_by_day_and_all_at_once_make_the_same_tables(tmp_path_factory, engine, days, known_at):
    folder, config = tmp_path_factory.mktemp("days"), config_of(known_at)
    write_day(folder / "raw", 0, [*days[0], {**days[0][0], "customer": "dan"}])
    report = clean(config, engine, source_dir=folder, to=folder / "clean")
    for day, lines in enumerate(days[1:], start=1):
        on_time = [line if known_at else {**line, "late": 0} for line in lines]
        write_day(folder / "raw", day, on_time)
        grown = add_files(
            config, engine, growth_of(config, folder, report), source_dir=folder, to=folder / f"clean {day}"
        )
        assert not isinstance(grown, Whole)
        report = grown
        (folder / "clean").rename(folder / f"before {day}")
        (folder / f"clean {day}").rename(folder / "clean")

    whole = clean(config, engine, source_dir=folder, to=folder / "whole")

    for table in ("orders", "numbers", "categories"):
        assert rows_of(folder / "clean", table) == rows_of(folder / "whole", table)
    assert changed(engine, folder / "clean", folder / "whole") is None
    assert (report.tables, report.notes, report.files) == (whole.tables, whole.notes, whole.files)
    assert {(one.rule, one.rows) for one in report.repairs} == {(one.rule, one.rows) for one in whole.repairs}


def changed(engine, before, now):
    tables = (str(folder / "orders.parquet") for folder in (before, now))
    columns = [column.name for column in ORDERS.columns]
    return first_change(*tables, engine.query, columns=columns)


ON_TIME = {"customer": "ann", "hour": 9, "amount": 3, "order": 1, "category": "tea", "late": 0}


@pytest.fixture
def shop(tmp_path, engine):
    """A folder whose first day is cleaned, and what adds the files that come to it."""
    config = config_of(known_at=False)
    write_day(tmp_path / "raw", 0, [ON_TIME, {**ON_TIME, "customer": "bob", "hour": 20, "order": 2}])
    report = clean(config, engine, source_dir=tmp_path, to=tmp_path / "clean")

    def add():
        growth = growth_of(config, tmp_path, report)
        return add_files(config, engine, growth, source_dir=tmp_path, to=tmp_path / "grown")

    return tmp_path, add


def test_a_late_line_asks_for_everything_to_be_cleaned(shop):
    folder, add = shop
    write_day(folder / "raw", 1, [ON_TIME, {**ON_TIME, "hour": 18, "late": 1, "order": 7}])

    assert add() == Whole("1 lines of 1 customers are no later than what was there")
    assert not (folder / "grown" / "orders.parquet").exists()


def test_more_lines_of_an_order_that_was_there_ask_for_everything(shop):
    folder, add = shop
    write_day(folder / "raw", 1, [ON_TIME])
    table = pq.read_table(folder / "raw" / "day=1.parquet")
    again = table.set_column(table.column_names.index("order"), "order", pa.array(["0-1"]))
    pq.write_table(again, folder / "raw" / "day=1.parquet")

    assert add() == Whole("1 orders that were there have more lines")


def test_a_file_that_changed_or_comes_twice_asks_for_everything(shop):
    folder, add = shop
    content = (folder / "raw" / "day=0.parquet").read_bytes()
    (folder / "raw" / "day=9.parquet").write_bytes(content)
    assert isinstance(add(), Whole)

    (folder / "raw" / "day=9.parquet").unlink()
    write_day(folder / "raw", 0, [ON_TIME])
    assert add() == Whole("day=0.parquet has changed or is gone")


def test_a_column_nobody_named_is_noted_and_left_out(shop):
    folder, add = shop
    write_day(folder / "raw", 1, [ON_TIME])
    path = folder / "raw" / "day=1.parquet"
    pq.write_table(pq.read_table(path).append_column("shade", pa.array(["red"])), path)

    report = add()

    assert "transactions: column 'shade' is left out: some files have it (day=1.parquet)" in report.notes[0]
    assert "shade" not in report.columns["transactions"]


def test_columns_of_another_type_ask_for_everything(shop):
    folder, add = shop
    write_day(folder / "raw", 1, [ON_TIME])
    path = folder / "raw" / "day=1.parquet"
    table = pq.read_table(path)
    amounts = table["amount"].cast(pa.float64())
    pq.write_table(table.set_column(table.column_names.index("amount"), "amount", amounts), path)

    assert add() == Whole("new files of transactions lack columns, or have some of other types")


def test_new_lines_that_break_a_rule_are_told_as_ever(shop):
    folder, add = shop
    write_day(folder / "raw", 1, [ON_TIME])
    path = folder / "raw" / "day=1.parquet"
    nowhen = pa.array([None], pa.timestamp("us"))
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("date"), "date", nowhen), path)

    with pytest.raises(ContractError, match=r"bad_time.*day=1\.parquet row 1"):
        add()


def test_files_that_were_there_are_linked_and_not_written_again(shop):
    folder, add = shop
    write_day(folder / "raw", 1, [ON_TIME])
    assert not isinstance(add(), Whole)

    first, second = sorted((folder / "grown" / "orders.parquet").iterdir())
    assert first.samefile(folder / "clean" / "orders.parquet")
    assert pq.read_table(second).num_rows == 1


def test_a_day_without_purchases_adds_no_part_and_is_counted(shop, engine):
    folder, add = shop
    write_day(folder / "raw", 1, [])

    report = add()

    assert report == clean(config_of(known_at=False), engine, source_dir=folder, to=folder / "whole")
    assert [(one.rule, one.rows, one.action, one.examples) for one in report.repairs] == [
        ("empty_file", 1, "kept", ("day=1.parquet",))
    ]
    assert (folder / "grown" / "orders.parquet").samefile(folder / "clean" / "orders.parquet")


def test_a_new_file_without_a_column_that_is_named_is_an_error_that_names_it(shop, engine):
    folder, add = shop
    write_day(folder / "raw", 1, [])
    path = folder / "raw" / "day=1.parquet"
    pq.write_table(pq.read_table(path).drop_columns("order"), path)
    says = "day=1.parquet: column 'order' is missing, though other files have it"

    with pytest.raises(SourceError, match=says):
        add()
    with pytest.raises(SourceError, match=says):
        clean(config_of(known_at=False), engine, source_dir=folder, to=folder / "whole")


@pytest.mark.parametrize("damaged_file", ["drop", "error"])
def test_a_new_file_that_is_damaged_is_left_out_where_that_is_allowed(tmp_path, engine, damaged_file):
    config = config_of(known_at=False).model_copy(update={"repairs": Repairs(damaged_file=damaged_file)})
    write_day(tmp_path / "raw", 0, [ON_TIME])
    report = clean(config, engine, source_dir=tmp_path, to=tmp_path / "clean")
    (tmp_path / "raw" / "day=1.parquet").write_bytes(b"PAR1")
    growth = growth_of(config, tmp_path, report)

    def add():
        return add_files(config, engine, growth, source_dir=tmp_path, to=tmp_path / "grown")

    if damaged_file == "drop":
        assert add() == Whole("the new files cannot be read as they are")
    else:
        with pytest.raises(SourceError, match=r"day=1\.parquet: is a truncated or damaged Parquet file"):
            add()


@pytest.mark.parametrize(
    ("hours", "since"),
    [
        ([9, 9, 30], None),
        ([9, 9, 30, 80], MONDAY.date() + dt.timedelta(days=3)),
        ([9, 9, 31], MONDAY.date() + dt.timedelta(days=1)),
        ([9, 9], MONDAY.date() + dt.timedelta(days=1)),
        ([9, 30], MONDAY.date()),
        ([9, 9, 9, 9, 30], MONDAY.date()),
    ],
)
def test_the_first_day_that_differs_is_found_in_whatever_order_rows_are(tmp_path, engine, hours, since):
    for name, each in (("before", [30, 9, 9]), ("now", hours)):
        (tmp_path / name).mkdir()
        moments = pa.array([MONDAY + dt.timedelta(hours=hour) for hour in each])
        columns = [pa.array(["ann"] * len(each)), moments, moments, *[pa.nulls(len(each))] * 6]
        names = [column.name for column in ORDERS.columns]
        pq.write_table(pa.table(columns, names=names), tmp_path / name / "orders.parquet")

    assert changed(engine, tmp_path / "before", tmp_path / "now") == since
