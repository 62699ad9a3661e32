"""Format, encoding and delimiter, told from content."""

import gzip

import pytest
from exports import export, export_parquet

from churnops.errors import SourceError
from churnops.sources.detect import detect

NAMES = ("1,Hélène,Orléans", "2,Jérôme,Nîmes", "3,Müller,Köln", "4,Peña,Logroño")


@pytest.mark.parametrize(
    ("lines", "delimiter"),
    [
        (("id,name", "1,a"), ","),
        (("id;price;text", "1;2,50;a,b", "2;3,50;c,d"), ";"),
        (("id\tname", "1\ta b"), "\t"),
        (("id|name", "1|a,b"), "|"),
        (('id,"a;b;c"', '1,"x;y;z"'), ","),
        ((" id  date   cds", " 00001 19970101  1", " 00002 19970112  1"), "whitespace"),
        (("name", "Ann Lee", "John Q. Smith"), ","),
        (("id,name", '1,"never closed', *["2,b"] * 40_000), ","),
    ],
)
def test_delimiter_is_what_splits_every_line_as_the_header(tmp_path, lines, delimiter):
    assert detect(export(tmp_path / "a.csv", *lines)).delimiter == delimiter


@pytest.mark.parametrize(
    ("lines", "written", "told"),
    [
        (NAMES, "utf-8", "utf-8"),
        (NAMES, "utf-8-sig", "utf-8"),
        (NAMES, "cp1252", "cp1252"),
        (NAMES, "latin-1", "cp1252"),
        (NAMES, "utf-16", "utf-16"),
        (NAMES, "utf-16-le", "utf-16-le"),
        (NAMES, "utf-16-be", "utf-16-be"),
        (("1,Иванов,Москва", "2,Петров,Казань"), "cp1251", "cp1251"),
        (("1,田中,東京", "2,鈴木さん,大阪"), "shift_jis", "cp932"),
    ],
)
def test_encoding_is_utf_8_or_the_likeliest(tmp_path, lines, written, told):
    assert detect(export(tmp_path / "a.csv", "id,name,town", *lines, encoding=written)).encoding == told


def test_one_foreign_byte_at_the_end_of_a_large_file_is_found(tmp_path):
    path = export(tmp_path / "a.csv", "id,name", *["1,a"] * 600_000, "2,Café", encoding="cp1252")
    assert detect(path).encoding == "cp1252"


def test_content_counts_and_not_the_name(tmp_path):
    packed = tmp_path / "a.txt"
    packed.write_bytes(gzip.compress(b"id;name\n1;a\n"))
    assert (detect(packed).format, detect(packed).delimiter) == ("csv", ";")
    assert detect(export_parquet(tmp_path / "b.csv", id=[1])).format == "parquet"


def test_a_folder_is_as_its_first_file(tmp_path):
    export(tmp_path / "orders" / "_first", "id,name")
    export(tmp_path / "orders" / "b.csv", "id,name")
    export(tmp_path / "orders" / "a.csv", "id;name")
    found = detect(tmp_path / "orders")
    assert (found.path, found.delimiter) == (str(tmp_path / "orders"), ";")


def test_nothing_to_look_at_is_an_error(tmp_path):
    (tmp_path / "folder").mkdir()
    for path, says in (
        ("nowhere", "no such file"),
        ("folder", "holds no file"),
        ("empty.csv", "is empty: export it again"),
    ):
        export(tmp_path / "empty.csv")
        with pytest.raises(SourceError, match=says):
            detect(tmp_path / path)
