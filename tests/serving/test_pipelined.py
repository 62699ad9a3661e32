"""Callers that ask again before they are answered, end their side early, or go away."""

import json
import os
import re
import signal
import socket
import time
from contextlib import suppress

import httpx2
import pyarrow as pa
import pytest
from builders import COLUMNS, make_bundle
from callers import request_bytes, serving
from served import ARROW, stream_parts

pytestmark = pytest.mark.servers

NAMES = [column.name for column in COLUMNS]
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


def _body(*ids) -> bytes:
    customer = dict(zip(NAMES, [12, 3.5, 1, "pro", "2"], strict=True))
    return json.dumps({"customers": [customer | {"customer_id": one} for one in ids]}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    config = "access_log_ratio = 0\n[limits]\narrival_seconds = 5\n"
    with serving(make_bundle(), tmp_path_factory.mktemp("pipelined"), config) as server:
        yield server


def _said(server, *parts, half_closed=False) -> bytes:
    """All that a connection answers until the server ends it."""
    said = b""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(60)
        for part in parts:
            connection.sendall(part)
        if half_closed:
            connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65_536):
            said += piece
    return said


def _ids(said: bytes) -> list[int]:
    """Of whom it tells, in its order."""
    return [int(one) for one in re.findall(rb'"customer_id":(\d+)', said)]


@pytest.mark.parametrize("n", [1, 5, 3000])
def test_a_caller_that_sends_no_more_gets_all_it_asked_for_in_its_order(server, n):
    mixed = [request_bytes(_body(i), "/v1/score" if i % 3 else "/invocations") for i in range(n)]
    assert _ids(_said(server, b"".join(mixed), half_closed=True)) == [*range(n)]


@pytest.mark.parametrize("wait", [0, 0.001, 0.003])
def test_what_has_no_body_reaches_a_caller_that_sends_no_more(server, wait):
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.settimeout(5)
            connection.sendall(LIVEZ.replace(b"GET", b"HEAD"))
            time.sleep(wait)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1000).startswith(b"HTTP/1.1 ")


def test_a_request_that_will_not_be_whole_is_not_waited_for(server):
    begun = time.monotonic()
    said = _said(server, request_bytes(_body(1)), request_bytes(_body(2))[:-5], half_closed=True)
    assert _ids(said) == [1]
    assert time.monotonic() - begun < 4  # arrival_seconds


@pytest.mark.parametrize(
    "last",
    [
        b"not http\r\n\r\n" + LIVEZ,
        b"POST /v1/score HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef" + LIVEZ,
        b"GET /livez HTTP/1.1\r\nX: %s\r\n\r\n" % (b"x" * 70_000) + LIVEZ,
        LIVEZ.replace(b"\r\n\r\n", b"\r\nConnection: up\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")[:-2]
        + b"\r\n",
    ],
    ids=["no HTTP", "two lengths", "long headers", "another protocol"],
)
def test_what_cannot_be_read_is_never_answered_in_the_place_of_what_was_asked_before(server, last):
    said = _said(server, request_bytes(_body(1), "/invocations") + last, half_closed=True)
    assert said.startswith(b"HTTP/1.1 200")
    assert _ids(said) == [1]


def test_a_connection_is_not_read_far_ahead_of_its_answers(server):
    """Else a caller without a key fills the memory, and all others wait for the reading of it."""
    before, sent, until = server.resident_bytes, 0, time.monotonic() + 8
    crowd = LIVEZ * 2000
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setblocking(False)
        while time.monotonic() < until:
            with suppress(BlockingIOError):
                sent += connection.send(crowd)
            with suppress(BlockingIOError):
                connection.recv(1 << 20)
            if not sent % 7:
                assert httpx2.get(f"{server.url}/livez", timeout=5).status_code == 200
    assert sent > len(crowd)
    assert server.resident_bytes < before + (16 << 20)


def test_callers_that_go_away_are_no_failures_of_ours(server):
    many = b"".join(request_bytes(_body(i)) for i in range(20))
    for i in range(60):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            if i % 2:  # a reset, as of a process that was killed
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(many)
            time.sleep(i % 20 * 0.0005)
    assert httpx2.get(f"{server.url}/livez").status_code == 200
    assert "rror" not in server.log.read_text()


@pytest.mark.parametrize(
    ("asked", "after"),
    [
        (LIVEZ, b"\r\n"),
        (b"POST /v1/score HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n12345", b"67890"),
    ],
    ids=["an empty line", "the rest of a refused body"],
)
def test_a_connection_on_which_nothing_is_asked_is_idle_whatever_comes(tmp_path, asked, after):
    with (
        serving(make_bundle(), tmp_path, "[limits]\nidle_seconds = 1\n") as server,
        socket.create_connection(("127.0.0.1", server.port)) as connection,
    ):
        connection.settimeout(8)
        connection.sendall(asked)
        assert connection.recv(10_000).startswith(b"HTTP/1.1 ")
        connection.sendall(after)
        assert connection.recv(1) == b""


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_a_body_is_left_as_it_is_wherever_packets_end(server, cut):
    wire = request_bytes(
        b'customer_id,tenure months,"1st ""plan"""\nupgrade:1,5,pro\n',
        "/invocations",
        "Content-Type: text/csv; header=present\r\n",
    )
    head = wire.index(b"\r\n\r\n") + 4
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(5)
        connection.sendall(wire[: head - cut])
        time.sleep(0.1)
        connection.sendall(wire[head - cut :])
        assert b"upgrade:1,0." in connection.recv(10_000)


@pytest.mark.parametrize("n", range(16_380, 16_390))
def test_headers_are_read_whole_however_many_come_before(server, n):
    """Bytes are parsed some at a time."""
    fill = LIVEZ[:-2] + b"X: %s\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    before = n - fill.index(b"Upgrade: ") + 2
    said = _said(server, fill % (b"x" * before) + LIVEZ * 3, half_closed=True)
    assert said.count(b"HTTP/1.1 200") == 4


@pytest.mark.parametrize("last", [b"GET /li", b"\x16\x03\x01"])
def test_who_waits_long_for_an_answer_gets_it_whatever_came_after(tmp_path, last):
    config = "access_log_ratio = 0\n[limits]\narrival_seconds = 0.3\n"
    many = request_bytes(_body(*range(1000)))
    with serving(make_bundle(layers=500), tmp_path, config) as server:
        said = _said(server, many + last, half_closed=True)
    assert len(_ids(said)) == 1000


def test_a_stream_that_breaks_is_cut_and_nothing_written_into_it(server):
    table = pa.table({"tenure months": [12, 24], '1st "plan"': ["pro", "basic"]})
    schema, batch, _ = stream_parts(table)
    head = f"POST /v1/score/stream HTTP/1.1\r\nHost: x\r\nContent-Type: {ARROW}\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(5)
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for part in (schema, batch):
            connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        said = connection.recv(65_536)
        connection.sendall(b"zz\r\n")
        while piece := connection.recv(65_536):
            said += piece
    assert said.count(b"HTTP/1.1 ") == 1
    assert not said.endswith(b"0\r\n\r\n")


def test_at_the_end_who_still_waits_is_told_to_ask_another_server(tmp_path):
    with serving(make_bundle(), tmp_path, "[limits]\ndrain_seconds = 1\n") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.settimeout(10)
            connection.sendall(request_bytes(_body(1))[:-5])
            time.sleep(0.2)
            os.kill(server.pid, signal.SIGTERM)
            said = b""
            while piece := connection.recv(65_536):
                said += piece
        assert said.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in said
        assert os.waitstatus_to_exitcode(os.waitpid(server.pid, 0)[1]) == 0
    assert "Traceback" not in server.log.read_text()
