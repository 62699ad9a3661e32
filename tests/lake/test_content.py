"""The hash of a table's content: it knows rows, columns and their order, and nothing of how they are kept."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnops.errors import StorageError
from churnops.lake.content import read_back

VALUES = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int16(): st.integers(-100, 100),
    pa.float64(): st.floats(width=64),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    pa.decimal128(18, 4): st.decimals(-1000, 1000, places=4),
    pa.date32(): st.dates(dt.date(1960, 1, 1), dt.date(2100, 1, 1)),
    pa.timestamp("us"): st.datetimes(dt.datetime(1960, 1, 1), dt.datetime(2100, 1, 1)),
}
KEPT = {pa.string(): [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]}


@st.composite
def columns(draw):
    """Rows of every type, nulls among them."""
    n_rows = draw(st.integers(0, 30))
    rows = {
        str(kind): pa.array(draw(st.lists(st.none() | values, min_size=n_rows, max_size=n_rows)), kind)
        for kind, values in VALUES.items()
    }
    return pa.table(rows)


def content_of(folder, *tables, **options):
    paths = [folder / f"{i}.parquet" for i, _ in enumerate(tables)]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path, **options)
    return read_back(paths)


@settings(max_examples=40)
@given(columns(), st.data())
def test_how_rows_are_cut_and_kept_does_not_show(tmp_path_factory, table, data):
    folder = tmp_path_factory.mktemp("content")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(table)), max_size=3)))
    pieces = [table[start:end] for start, end in zip([0, *cuts], [*cuts, len(table)], strict=True)]
    text = data.draw(st.sampled_from(KEPT[pa.string()]))
    other = [piece.set_column(4, "string", piece["string"].cast(text)) for piece in pieces]
    packed = {"row_group_size": data.draw(st.integers(1, 8)), "compression": "gzip", "use_dictionary": False}

    whole = content_of(folder, table)

    assert content_of(folder, *other, **packed) == whole
    assert whole.rows == len(table)
    assert list(whole.columns) == table.column_names


@settings(max_examples=40)
@given(columns(), st.data())
def test_one_other_value_shows(tmp_path_factory, table, data):
    folder = tmp_path_factory.mktemp("content")
    if len(table) == 0:
        return
    name = data.draw(st.sampled_from(table.column_names))
    row = data.draw(st.integers(0, len(table) - 1))
    rows = table.to_pylist()
    old, new = rows[row][name], data.draw(st.none() | VALUES[table.schema.field(name).type])
    rows[row][name] = new
    same = old == new or (old != old and new != new)

    assert (content_of(folder, table) == content_of(folder, pa.Table.from_pylist(rows, table.schema))) == same


def test_a_merged_file_holds_what_its_pieces_held(tmp_path):
    pieces = [pa.table({"s": ["a", None]}), pa.table({"s": pa.array(["b"], pa.large_string())})]
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path, piece in zip(paths, pieces, strict=True):
        pq.write_table(piece, path)

    content = read_back(paths, merged=tmp_path / "all.parquet")

    assert pq.read_table(tmp_path / "all.parquet")["s"].to_pylist() == ["a", None, "b"]
    assert read_back([tmp_path / "all.parquet"]) == content


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"n": [1, 2]}, {"n": [2, 1]}),
        ({"n": [1, 2]}, {"m": [1, 2]}),
        ({"a": ["x"], "b": ["y"]}, {"b": ["y"], "a": ["x"]}),
        ({"s": ["ab", "c"]}, {"s": ["a", "bc"]}),
        ({"s": ["", None]}, {"s": [None, ""]}),
        ({"n": [1]}, {"n": [1.0]}),
        ({"n": [Decimal("1.0")]}, {"n": [Decimal("1.00")]}),
    ],
)
def test_order_names_and_types_show(tmp_path, one, other):
    assert content_of(tmp_path, pa.table(one)) != content_of(tmp_path, pa.table(other))


def test_zero_is_zero_and_no_number_is_no_number(tmp_path):
    nan = pa.array([float("nan"), -0.0])
    other_nan = pa.Array.from_buffers(
        pa.float64(), 2, [None, pa.py_buffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff" + b"\x00" * 8)]
    )
    assert content_of(tmp_path, pa.table({"x": nan})) == content_of(tmp_path, pa.table({"x": other_nan}))


def test_a_type_that_has_no_hash_is_refused(tmp_path):
    with pytest.raises(StorageError, match=r"blob is binary"):
        content_of(tmp_path, pa.table({"blob": [b"x"]}))


@pytest.mark.parametrize("damage", ["truncated", "garbled", "empty", "other columns"])
def test_a_damaged_file_among_good_ones_is_named(tmp_path, damage):
    paths = [tmp_path / f"{i}.parquet" for i in range(3)]
    for path in paths:
        pq.write_table(pa.table({"n": list(range(20_000))}), path)
    whole = paths[1].read_bytes()
    match damage:
        case "truncated":
            paths[1].write_bytes(whole[: len(whole) // 2])
        case "garbled":
            paths[1].write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
        case "empty":
            paths[1].write_bytes(b"")
        case _:
            pq.write_table(pa.table({"m": [1]}), paths[1])

    with pytest.raises(StorageError, match=r"b\.parquet"):
        read_back(paths, called=["a.parquet", "b.parquet", "c.parquet"])
