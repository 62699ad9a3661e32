"""Parquet that was made to cost much, and what the files after it notice of that."""

import gzip
import io
import multiprocessing
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from churnops.serving.app import create_app
from churnops.serving.model import Models, Served
from churnops.serving.unpacking import LARGE, LONG_FOOTER, Malformed, Unpacker

MB = 1 << 20


@pytest.fixture
def unpacker():
    unpacker = Unpacker()
    yield unpacker
    unpacker.close()


def test_a_file_is_described_and_unpacked(unpacker):
    table = pa.table({"a": [1.0, 2.0], "b.c": ["x", "x"], "d": [1, 2]})
    n_rows, message = unpacker.described(_parquet(table))
    assert n_rows == 2
    assert pa.ipc.read_schema(pa.BufferReader(message)) == table.schema
    unpacked = pa.ipc.open_stream(unpacker.columns(_parquet(table), ["a", "b.c"])).read_all()
    assert unpacked.to_pydict() == table.select(["a", "b.c"]).to_pydict()


def test_a_long_footer_is_refused_unread(unpacker):
    before = {*multiprocessing.active_children()}
    assert unpacker.described(_footer_of(chunks=MB)) == LONG_FOOTER
    assert {*multiprocessing.active_children()} <= before


def test_a_footer_that_takes_much_memory_takes_none_of_the_servers(unpacker):
    assert unpacker.described(_parquet(pa.table({"a": [1]})))[0] == 1
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _peak_bytes()
    unpacker.described(_footer_of(chunks=170_000))  # just what the process bears, or just not
    assert _peak_bytes() < before + 32 * MB
    assert unpacker.described(_parquet(pa.table({"a": [1]})))[0] == 1


def test_a_schema_larger_than_the_footer_may_be_is_refused(unpacker):
    wide = pa.schema([(f"c{i}", pa.float64()) for i in range(20_000)]).empty_table()
    assert unpacker.described(_parquet(wide, store_schema=False)) in (LARGE, LONG_FOOTER)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(lambda: _padded(MB, groups=300), id="more than is allowed"),
        pytest.param(lambda: _padded(60 * MB, groups=450, said=1), id="one page, named by many"),
    ],
)
def test_what_the_footer_says_is_too_much_is_not_unpacked(unpacker, body):
    made = body()
    assert unpacker.described(made)[0] == 1
    began = monotonic()
    assert unpacker.columns(made, ["a"]) == LARGE
    assert monotonic() - began < 3


def test_a_file_whose_footer_lies_is_given_up_after_some_seconds_of_work(unpacker, monkeypatch):
    monkeypatch.setattr("churnops.serving.unpacking._SECONDS", 120.0)  # so that it is work that counts
    assert unpacker.columns(_padded(100 * MB, groups=200, said=1, is_repeated=True), ["a"]) == LARGE
    assert unpacker.described(_parquet(pa.table({"a": [1]})))[0] == 1


def test_a_file_that_is_good_once_is_good_after_one_that_was_too_much(unpacker):
    before = {*multiprocessing.active_children()}
    good, large = _padded(150 * MB, groups=1), _padded(450 * MB, groups=1, said=1)
    for _ in range(3):
        assert isinstance(unpacker.columns(good, ["a"]), bytes)
        assert unpacker.columns(large, ["a"]) == LARGE
        assert {*multiprocessing.active_children()} <= before


def test_what_is_no_parquet_is_told(unpacker):
    for body in (b"", b"PAR1", b"PAR1" * 3, b"x" * 100):
        with pytest.raises(Malformed):
            unpacker.described(body)


def test_files_that_wait_to_be_unpacked_hold_up_no_other_form(tiny_bundle, monkeypatch):
    begun, gate, waited = threading.Semaphore(0), threading.Event(), []

    def described(*_):
        begun.release()
        waited.append(gate.wait(10))
        return LARGE

    def sent(content, kind):
        return client.post("/invocations", content=content, headers={"content-type": kind}).status_code

    monkeypatch.setattr(Unpacker, "described", described)
    with TestClient(create_app(Models(Served(tiny_bundle)))) as client, ThreadPoolExecutor(16) as callers:
        files = [callers.submit(sent, b"PAR1", "application/x-parquet") for _ in range(16)]
        for _ in range(2):
            begun.acquire(timeout=5)
        assert sent("12,3.5,1,pro,2\n", "text/csv") == 200
        gate.set()
        assert [file.result() for file in files] == [413] * 16
    assert all(waited)


def _parquet(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _peak_bytes():
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def _padded(size, *, groups, said=None, is_repeated=False):
    """One column, a, of one customer in each of many row groups, whose pages are of `size` bytes.

    It says that a page has `said` bytes. The page is there once, or repeated for each of the groups.
    """
    packed = gzip.compress(bytes(size))
    page = _number(5, 0) + _number(5, size) + _number(5, len(packed))
    values = _number(5, 1) + _number(5, 0) + _number(5, 3) + _number(5, 3) + b"\0"
    page += b"\x2c" + values + b"\0" + packed
    column = _number(5, 5) + _list(5, [_zigzag(0)]) + _list(8, [b"\x01a"]) + _number(5, 2) + _number(6, 1)
    column += _number(6, said or size) + _number(6, len(page))
    written = []
    for i in range(groups):
        at = _number(6, 4 + i * len(page) * is_repeated)
        chunk = at + b"\x1c" + column + at.replace(b"\x16", b"\x26", 1) + b"\0" + b"\0"
        written.append(_list(12, [b"\x26" + chunk[1:]]) + _number(6, said or size) + _number(6, 1) + b"\0")
    return _file(page * (groups if is_repeated else 1), written)


def _footer_of(*, chunks):
    """Of two row groups, with so many columns of which nothing is said."""
    return _file(b"", [_list(12, [b"\x26\0\0"] * chunks) + _number(6, 0) + _number(6, 0) + b"\0"] * 2)


def _file(pages, groups):
    root = b"\x48\x01r" + _number(5, 1) + b"\0"
    column = _number(5, 5) + b"\x25\0" + b"\x18\x01a" + b"\0"
    footer = _number(5, 1) + _list(12, [root, column]) + _number(6, 1) + _list(12, groups) + b"\0"
    return b"PAR1" + pages + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _number(kind, value):
    """A field of Thrift's compact protocol, the next one of its structure."""
    return bytes([0x10 | kind]) + _zigzag(value)


def _list(kind, items):
    return b"\x19" + bytes([0xF0 | kind]) + _varint(len(items)) + b"".join(items)


def _zigzag(value):
    return _varint(2 * value)


def _varint(value):
    low = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(digit | 128 for digit in low[:-1]), low[-1]])
