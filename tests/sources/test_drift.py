"""Files of one table that are not alike: what is left out and counted, and what is an error."""

import gzip

import pyarrow as pa
import pytest
from exports import csv, export, export_parquet, purchases, rows

from churnops.data_config import SourceTable
from churnops.errors import SourceError
from churnops.sources.files import stage
from churnops.sources.headers import Terms
from churnops.sources.repairs import Repair, RowCount

DROP = Terms(frozenset({"id", "n"}), drop_damaged=True)
LENIENT = Terms(frozenset({"id", "n"}))
PARQUET = SourceTable(path="t", format="parquet")
DAMAGED = "is a truncated or damaged Parquet file: export it again"


def good(folder, name, format_="csv", **more):
    columns = {"id": ["a", "b"] * 500, "n": list(range(1000))} | more
    if format_ == "parquet":
        return export_parquet(folder / f"{name}.parquet", **columns)
    lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    return export(folder / f"{name}.csv", ",".join(columns), *lines)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-20])


def garbled(path):
    content = path.read_bytes()
    path.write_bytes(content[:30] + b"\xff" * 200 + content[230:])


def emptied(path):
    path.write_bytes(b"")


def half_packed(path):
    path.write_bytes(gzip.compress(path.read_bytes(), mtime=0)[:-9])


def uneven(path):
    path.write_bytes(path.read_bytes() + b"a,1,2\n")


@pytest.mark.parametrize(
    ("format_", "spoil", "says"),
    [
        ("parquet", truncated, DAMAGED),
        ("parquet", garbled, DAMAGED),
        ("parquet", emptied, "is empty: export it again"),
        ("csv", emptied, "is empty: export it again"),
        ("csv", garbled, "is not in utf-8"),
        ("csv", half_packed, "is a truncated or damaged gzip file"),
        ("csv", uneven, "1 rows have more or fewer fields than the header"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_damaged_file_among_good_ones_is_named_or_left_out(
    tmp_path, engine, format_, spoil, says, encoding
):
    if encoding != "utf-8" and (format_ == "parquet" or spoil is garbled):
        return  # no difference, and bytes that mean something
    for name in ("good", "poor", "well"):
        good(tmp_path / "t", name, format_)
    spoil(tmp_path / "t" / f"poor.{format_}")
    source, to = SourceTable(path="t", format=format_, encoding=encoding), tmp_path / "out" / "to.parquet"

    with pytest.raises(SourceError, match=says) as error:
        stage(source, tmp_path, to, engine=engine, terms=LENIENT)
    staged = stage(source, tmp_path, to, engine=engine, terms=DROP)

    assert [problem.partition(":")[0] for problem in error.value.problems] == [f"poor.{format_}"]
    assert [name.partition(":")[0] for name in staged.damaged] == [f"poor.{format_}"]
    assert says in staged.damaged[0]
    assert [file.name for file in staged.files] == [f"{name}.{format_}" for name in ("good", "poor", "well")]
    assert staged.rows == 2000
    assert [path.name for path in to.parent.iterdir()] == ["to.parquet"]


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_where_all_files_are_damaged_that_is_an_error(tmp_path, engine, format_):
    for name in "ab":
        emptied(good(tmp_path / "t", name, format_))
    source = SourceTable(path="t", format=format_)

    with pytest.raises(SourceError) as error:
        stage(source, tmp_path, tmp_path / "to.parquet", engine=engine, terms=DROP)

    assert error.value.problems == tuple(f"{name}.{format_}: is empty: export it again" for name in "ab")


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_a_column_of_later_files_is_left_out_where_nobody_names_it(tmp_path, engine, format_):
    good(tmp_path / "t", "a", format_)
    good(tmp_path / "t", "b", format_, coupon=["x"] * 1000)
    source = SourceTable(path="t", format=format_)

    staged = stage(source, tmp_path, tmp_path / "to.parquet", engine=engine, terms=LENIENT)

    assert staged.columns == ("id", "n")
    assert staged.sparse == {"coupon": f"b.{format_}"}
    assert list(rows(staged.path)[0]) == ["id", "n", "_file", "_row"]


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_a_named_column_that_a_file_lacks_is_an_error(tmp_path, engine, format_):
    for name in "abc":
        good(tmp_path / "t", name, format_, **({"m": [1] * 1000} if name == "a" else {}))
    source, terms = SourceTable(path="t", format=format_), Terms(frozenset({"id", "m"}))

    with pytest.raises(SourceError) as error:
        stage(source, tmp_path, tmp_path / "to.parquet", engine=engine, terms=terms)

    named = f"b.{format_} (and 1 more files): column 'm' is missing, though other files have it"
    assert error.value.problems == (named,)


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        (pa.string(), ["1"], "holds text, and a number in a.parquet"),
        (pa.bool_(), [True], "holds true or false, and a number in a.parquet"),
        (pa.timestamp("us"), [0], "holds a time, and a number in a.parquet"),
        (pa.int16(), [1], ""),
        (pa.float64(), [1.5], ""),
        (pa.decimal128(21, 2), [1], ""),
        (pa.null(), [None], ""),
    ],
)
def test_a_column_that_changes_its_kind_is_an_error_where_it_is_named(tmp_path, engine, kind, values, says):
    export_parquet(tmp_path / "t" / "a.parquet", id=["a"], n=[1], x=[1])
    changed = pa.array(values).cast(kind)
    export_parquet(tmp_path / "t" / "b.parquet", id=pa.array(["b"]).dictionary_encode(), n=changed, x=changed)

    if not says:
        staged = stage(PARQUET, tmp_path, tmp_path / "to.parquet", engine=engine, terms=LENIENT)
        assert [row["id"] for row in rows(staged.path)] == ["a", "b"]
        return
    with pytest.raises(SourceError) as error:
        stage(PARQUET, tmp_path, tmp_path / "to.parquet", engine=engine, terms=LENIENT)
    assert error.value.problems == (f"b.parquet: column 'n' {says}",)


def test_what_was_left_out_is_counted_and_noted(tmp_path, clean_in):
    export(tmp_path / "orders" / "1.csv", "customer,date,amount", "a,2024-01-01,5")
    export(tmp_path / "orders" / "2.csv", "customer,date,amount,coupon", "a,2024-01-02,5,x")
    export(tmp_path / "orders" / "3.csv")

    report = clean_in(tmp_path, purchases(path="orders", repairs={"damaged_file": "drop"}))

    assert report.repairs == (
        Repair("transactions", "damaged_file", "", 1, "dropped", ("3.csv: is empty: export it again",)),
    )
    assert report.tables == {"transactions": RowCount(2, 2)}
    assert report.notes[0] == (
        "transactions: column 'coupon' is left out: some files have it (2.csv), others do not"
    )
    with pytest.raises(SourceError, match=r"3\.csv: is empty"):
        clean_in(tmp_path, purchases(path="orders"))


def test_by_itself_a_table_wants_all_files_alike(tmp_path, engine):
    good(tmp_path / "t", "a")
    good(tmp_path / "t", "b", m=[1] * 1000)

    with pytest.raises(SourceError, match=r"a\.csv: column 'm' is missing"):
        stage(csv("t"), tmp_path, tmp_path / "to.parquet", engine=engine)


@pytest.mark.parametrize("packed", [False, True])
def test_files_of_a_header_only_are_kept_and_counted_where_others_have_rows(tmp_path, clean_in, packed):
    header = "customer,date,amount"
    export(tmp_path / "tx" / "a.csv", header, "ann,2024-01-01,5")
    path = export(tmp_path / "tx" / "b.csv", header)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    export(tmp_path / "tx" / "c.csv", header, end="")

    report = clean_in(tmp_path, purchases(path="tx"))

    assert report.repairs == (Repair("transactions", "empty_file", "", 2, "kept", ("b.csv", "c.csv")),)
    assert report.tables["transactions"] == RowCount(1, 1)


def test_a_header_that_was_cut_off_is_an_error_that_names_the_file(tmp_path, clean_in):
    export(tmp_path / "tx" / "a.csv", "customer,date,amount", "ann,2024-01-01,5")
    export(tmp_path / "tx" / "b.csv", "customer,date,am", end="")

    with pytest.raises(SourceError, match=r"b\.csv: column 'amount' is missing, though other files have it"):
        clean_in(tmp_path, purchases(path="tx"))
