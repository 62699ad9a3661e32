"""Whatever a brand exports becomes one Parquet file, or an error that names the file and the way out."""

import gzip
import hashlib

import pyarrow as pa
import pytest
from exports import csv, export, export_parquet, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from churnops.data_config import SourceTable
from churnops.errors import SourceError
from churnops.sources.files import SourceFile, stage

ROWS = [("0017", "Zoë"), ("0018", None)]


@pytest.fixture
def staged(tmp_path, engine):
    """Stage a table of the test's folder and return its rows as tuples."""

    def read(source):
        table = stage(source, tmp_path, tmp_path / "out" / "staged.parquet", engine=engine)
        return [tuple(row.values()) for row in rows(table.path)]

    return read


@pytest.mark.parametrize(
    ("lines", "fields", "encoding", "end"),
    [
        (["id,name", "0017,Zoë", "0018,"], {}, "utf-8", "\n"),
        (["id,name", "0017,Zoë", "0018,"], {}, "utf-8-sig", "\r\n"),
        (['"id","name"', '"0017","Zoë"', '"0018",""'], {}, "utf-8-sig", "\n"),
        (["id,name", "0017,Zoë", "0018,"], {}, "utf-8", "\r"),
        ([" id , name ", "0017,Zoë", "0018,", ""], {}, "utf-8", "\n"),
        (["id;name", "0017;Zoë", "0018;"], {"delimiter": ";"}, "utf-8", "\n"),
        (["id\tname", "0017\tZoë", "0018\t"], {"delimiter": "\t"}, "utf-8", "\n"),
        (["id|name", "0017|Zoë", "0018|"], {"delimiter": "|"}, "utf-8", "\n"),
        (["id,name", "0017,Zoë", "0018,"], {"encoding": "cp1252"}, "cp1252", "\r\n"),
        (["id,name", "0017,Zoë", "0018,"], {"encoding": "utf-16"}, "utf-16", "\n"),
        (["id;name", "0017;Zoë", "0018;"], {"delimiter": ";", "encoding": "mac_roman"}, "mac_roman", "\n"),
    ],
)
def test_csv_is_read_however_it_is_written(tmp_path, staged, lines, fields, encoding, end):
    export(tmp_path / "people.csv", *lines, encoding=encoding, end=end)
    assert staged(csv("people.csv", **fields)) == [
        (*values, "people.csv", i) for i, values in enumerate(ROWS, 1)
    ]


def test_columns_between_runs_of_blanks_are_read_and_quotation_marks_are_text(tmp_path, staged):
    export(tmp_path / "log.txt", " id   size ", ' 00001  5"', "", "00002 \t 12 ")
    assert staged(csv("log.txt", delimiter="whitespace")) == [
        ("00001", '5"', "log.txt", 1),
        ("00002", "12", "log.txt", 2),
    ]


def test_values_are_untouched(tmp_path, staged):
    export(tmp_path / "odd.csv", "id,note", '1," a ""b"", c\n d "', "2,NULL")
    assert [row[1] for row in staged(csv("odd.csv"))] == [' a "b", c\n d ', "NULL"]


def test_line_endings_may_change_within_a_file(tmp_path, staged):
    (tmp_path / "mixed.csv").write_bytes(b"id,name\r\n1,a\n2,b\r\n")
    assert [row[:2] for row in staged(csv("mixed.csv"))] == [("1", "a"), ("2", "b")]


@pytest.mark.parametrize("name", ["people.csv.gz", "people.csv"])
def test_gzip_is_known_by_its_content(tmp_path, staged, name):
    packed = gzip.compress(b"id,name\n1,a\n") + gzip.compress(b"2,b\n")
    (tmp_path / name).write_bytes(packed)
    assert [row[:2] for row in staged(csv(name))] == [("1", "a"), ("2", "b")]


def test_file_names_are_no_patterns(tmp_path, staged):
    for name in ("a[b]*'s.csv", "ab*'s.csv"):
        export(tmp_path / name, "id", name)
    assert [row[0] for row in staged(csv("a[b]*'s.csv"))] == ["a[b]*'s.csv"]


def test_parquet_keeps_its_types(tmp_path, engine):
    columns = {
        "id": pa.array([17.0, None]),
        "tags": pa.array([["a"], []]),
        "point": pa.array([{"x": 1}, None]),
        "raw": pa.array([b"a", b"\xff"]),
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "when": pa.array([0, 1], pa.timestamp("ns", "Europe/Berlin")),
    }
    export_parquet(tmp_path / "odd.parquet", **columns)
    staged = stage(
        SourceTable(path="odd.parquet", format="parquet"), tmp_path, tmp_path / "to.parquet", engine=engine
    )
    assert staged.columns == tuple(columns)
    assert rows(staged.path)[0]["id"] == 17.0
    assert [(row["_file"], row["_row"]) for row in rows(staged.path)] == [
        ("odd.parquet", 1),
        ("odd.parquet", 2),
    ]


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_a_folder_is_one_table_whatever_the_order_of_its_columns(tmp_path, engine, format_):
    folder = tmp_path / "orders"
    if format_ == "csv":
        export(folder / "2024" / "b.csv", "amount,id", "5,b", "6,c")
        export(folder / "a.txt", "id,amount", "a,4")
    else:
        export_parquet(folder / "2024" / "b.parquet", amount=[5, 6], id=["b", "c"])
        export_parquet(folder / "a.parquet", id=["a"], amount=[4.0])
    for ignored in ("_SUCCESS.csv", ".hidden.parquet", ".tmp/x.csv", "readme.md"):
        export(folder / ignored, "nonsense")
    staged = stage(
        SourceTable(path="orders", format=format_), tmp_path, tmp_path / "to.parquet", engine=engine
    )
    first, second = [file.name for file in staged.files]
    assert staged.rows == 3
    assert [(float(row["amount"]), row["id"], row["_file"], row["_row"]) for row in rows(staged.path)] == [
        *[(5, "b", first, 1), (6, "c", first, 2)],
        (4, "a", second, 1),
    ]


def test_files_are_told_apart_by_their_content(tmp_path, engine):
    content = export(tmp_path / "a.csv", "id", "1").read_bytes()
    staged = stage(csv("a.csv"), tmp_path, tmp_path / "to.parquet", engine=engine)
    assert staged.files == (SourceFile("a.csv", hashlib.sha256(content).hexdigest(), len(content)),)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "bad.csv: is empty: export it again"),
        (b"\n \n", "bad.csv: is empty: export it again"),
        (b"id,name\n", "has a header but no rows: export it again"),
        (b"\nid,name\n1,a\n", "bad.csv: the first line is blank: it must name the columns"),
        (b"id,,Name,name\n1,2,3,4\n", "bad.csv: column 2 has no name in the header"),
        (b"id,,Name,name\n1,2,3,4\n", "bad.csv: the header names column 'name' more than once"),
        (b"id,_row\n1,2\n", "bad.csv: column '_row' must be renamed"),
        (
            b'id,name\n1,"a\nb"\n2,c,d,e\n3\n4,\x1b[31m,!\n5,' + b"x" * 100 + b",!\n6,7,8\n",
            "bad.csv: 5 rows have more or fewer fields than the header (row 2: '2,c,d,e'; row 3: '3';"
            " row 4: '4,\\x1b[31m,!'): correct them, or `delimiter`",
        ),
        (b"id,name\n" + b"x" * 90 + b",,!\n", f"(row 1: '{'x' * 80}'...): correct them, or `delimiter`"),
        (b"id,name\n" + b"1\n" * 1001, "bad.csv: at least 1000 rows have more or fewer fields"),
        (
            b'id,name\n1,a\n2,"b\n',
            "bad.csv: 1 rows have a quotation mark that is never closed (row 2: '2,\"b\\n'): correct them",
        ),
        (b"id,name\n1,\xe9\n", "is not in utf-8"),
        (
            b"id,name\n" + b"1,a\n" * 90000 + b"2,\xe9\n",
            "bad.csv: 1 rows are not in utf-8 (row 90001: '2,",
        ),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".ljust(99, b"\0"), "bad.csv: is not in utf-8"),
        (
            b"\x7fELF\x02\x01\x01\0\x1b]0;\x07".ljust(99, b"\1"),
            "bad.csv: does not look like text, as it begins with '\\x7fELF\\x02\\x01\\x01\\x00\\x1b]0;\\x07",
        ),
        (gzip.compress(b"id,name\n1,a\n" * 99, mtime=0)[:-9], "is a truncated or damaged gzip file"),
        (b"PK\x03\x04whatever", "bad.csv: is a zip or Excel file: export it as CSV or Parquet"),
        (b"SQLite format 3\0", "bad.csv: is an SQLite database: export it as CSV or Parquet"),
        (b"PAR1whatever", 'bad.csv: is Parquet, not CSV: set `format = "parquet"` in the data config'),
    ],
)
def test_bad_csv_is_named_with_the_way_out(tmp_path, engine, content, says):
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(SourceError) as error:
        stage(csv("bad.csv"), tmp_path, tmp_path / "out" / "to.parquet", engine=engine)
    assert says in str(error.value)
    assert str(error.value).startswith("bad.csv")
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("encoding", "says"),
    [("ascii", "is not in ascii"), ("klingon", "there is no encoding 'klingon': correct `encoding`")],
)
def test_a_wrong_encoding_is_named(tmp_path, engine, encoding, says):
    export(tmp_path / "a.csv", "id", "é")
    with pytest.raises(SourceError, match=says):
        stage(csv("a.csv", encoding=encoding), tmp_path, tmp_path / "to.parquet", engine=engine)


def _damage(content):
    """Overwrite the data and leave the footer as it is."""
    return content[:30] + b"\xff" * 200 + content[230:]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda content: content[: len(content) // 2],
            "is a truncated or damaged Parquet file: export it again",
        ),
        (lambda content: b"id,name\n1,a\n", 'is not Parquet: set `format = "csv"` in the data config, or'),  # noqa: ARG005
        (_damage, "is a truncated or damaged Parquet file"),
    ],
)
def test_bad_parquet_is_named_with_the_way_out(tmp_path, engine, spoil, says):
    path = export_parquet(tmp_path / "bad.parquet", id=[f"{i:040}" for i in range(999)])
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(SourceError, match=r"bad\.parquet") as error:
        stage(
            SourceTable(path="bad.parquet", format="parquet"),
            tmp_path,
            tmp_path / "out" / "to.parquet",
            engine=engine,
        )
    assert says in str(error.value)
    assert not list((tmp_path / "out").glob("*"))


def test_every_bad_file_of_a_folder_is_named_at_once(tmp_path, engine):
    export(tmp_path / "orders" / "a.csv", "id,amount", "1,2")
    export(tmp_path / "orders" / "b.csv")
    export(tmp_path / "orders" / "c.csv", "id,", "1,2")
    with pytest.raises(SourceError) as error:
        stage(csv("orders"), tmp_path, tmp_path / "to.parquet", engine=engine)
    assert error.value.problems == (
        "b.csv: is empty: export it again",
        "c.csv: column 2 has no name in the header",
    )


def test_a_file_that_lacks_a_column_is_named(tmp_path, engine):
    export(tmp_path / "orders" / "a.csv", "id,amount", "1,2")
    export(tmp_path / "orders" / "b.csv", "id", "1")
    with pytest.raises(SourceError, match=r"b\.csv: column 'amount' is missing, though other files have it"):
        stage(csv("orders"), tmp_path, tmp_path / "to.parquet", engine=engine)


def test_what_does_not_exist_is_named(tmp_path, engine):
    (tmp_path / "empty").mkdir()
    for path, says in (("nowhere.csv", "no such file or folder"), ("empty", "the folder holds no")):
        with pytest.raises(SourceError, match=says):
            stage(csv(path), tmp_path, tmp_path / "to.parquet", engine=engine)


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1)] * 2),
        min_size=1,
        max_size=20,
    )
)
def test_what_a_program_writes_comes_back(tmp_path_factory, engine, values):
    folder = tmp_path_factory.mktemp("written")
    lines = [",".join('"' + value.replace('"', '""') + '"' for value in row) for row in values]
    export(folder / "a.csv", "x,y", *lines)
    staged = stage(csv("a.csv"), folder, folder / "to.parquet", engine=engine)
    assert [(row["x"], row["y"], row["_row"]) for row in rows(staged.path)] == [
        (*row, i) for i, row in enumerate(values, 1)
    ]


def test_many_small_files_are_one_table(tmp_path, engine):
    for i in range(203):
        export(tmp_path / "orders" / f"{i:03}.csv", "customer,amount", f"{i},1", f"{i},2")

    staged = stage(csv("orders"), tmp_path, tmp_path / "staged.parquet", engine=engine)

    found = [(row["customer"], row["amount"], row["_file"], row["_row"]) for row in rows(staged.path)]
    assert sorted(found) == sorted((f"{i}", f"{n}", f"{i:03}.csv", n) for i in range(203) for n in (1, 2))
