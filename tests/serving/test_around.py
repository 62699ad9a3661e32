"""What surrounds every request: time, failures, headers, the log."""

import asyncio
import json
import re
import threading

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from churnops.errors import Overloaded
from churnops.serving import around
from churnops.serving.around import Around
from churnops.serving.metrics import ERRORS, SECONDS, Meter
from churnops.serving.protection import Limits
from churnops.serving.threads import Threads


def _around(app, *, ratio=0.0, **limits):
    return Around(app, Meter(), paths={"/known"}, limits=Limits(**limits), log_ratio=ratio)


async def _fine(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b"{}"})


def test_answers_have_headers_that_keep_browsers_from_guessing():
    headers = TestClient(_around(_fine)).get("/known").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert headers["a"] == "b"


def test_a_failure_is_told_by_its_name_in_the_log_and_nothing_else():
    async def fails(*_):
        raise KeyError("the customer's secret")

    with capture_logs() as logs:
        answer = TestClient(_around(fails)).get("/known")
    assert answer.status_code == 500
    (fault,) = answer.json()["faults"]
    (name,) = re.findall(r"[0-9a-f]{32}", fault["problem"])
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert logs[0]["id"] == name
    assert logs[0]["exc_info"]


def test_too_much_at_once_is_503_and_asks_to_come_back():
    async def full(*_):
        raise Overloaded("full")

    answer = TestClient(_around(full)).get("/known")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["faults"]


def test_a_request_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(around, "_SWEEP_SECONDS", 0.01)
    ended = threading.Event()

    async def slow(*_):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    app = _around(slow, answer_seconds=0.02)
    answer = TestClient(app).get("/known")
    assert answer.status_code == 503
    assert "no answer in 0.02 seconds" in answer.text
    assert ended.is_set()
    assert app.meter.samples()[ERRORS.name, ("unavailable",)] == [1]
    assert app.meter.in_flight() == 0


def test_an_answer_that_stands_still_is_cut_short_counted_and_logged(monkeypatch):
    monkeypatch.setattr(around, "_SWEEP_SECONDS", 0.01)

    async def stands(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.Event().wait()

    app = _around(stands, answer_seconds=0.02)
    with capture_logs() as logs:
        TestClient(app).get("/known")
    assert logs == [
        {"event": "an answer stood still", "method": "GET", "status": 200, "log_level": "warning"}
    ]
    assert app.meter.samples()[ERRORS.name, ("cut_short",)] == [1]


def test_the_route_is_told_and_never_what_a_caller_makes_up():
    app = _around(_fine, ratio=1.0)
    with capture_logs() as logs:
        client = TestClient(app)
        client.get("/known?customer_id=secret")
        client.get("/customers/secret")
        client.request("FROB", "/known")
    assert [one["route"] for one in logs] == ["/known", "", "/known"]
    assert "secret" not in json.dumps(logs)
    seen = {key[1] for key in app.meter.samples() if key[0] == SECONDS.name}
    assert seen == {("GET", "/known", "200"), ("GET", "", "200"), ("_OTHER", "/known", "200")}


@pytest.mark.parametrize(("ratio", "most", "least"), [(0.0, 0, 0), (1.0, 200, 200), (0.5, 150, 50)])
def test_a_share_of_requests_is_logged(ratio, most, least):
    with capture_logs() as logs:
        client = TestClient(_around(_fine, ratio=ratio))
        for _ in range(200):
            client.get("/known")
    assert least <= len(logs) <= most
    assert all(
        set(one) == {"method", "route", "status", "milliseconds", "caller", "event", "log_level"}
        for one in logs
    )


def test_threads_take_no_more_than_they_bear():
    async def scenario():
        threads, gate = Threads(2), threading.Event()
        long = [asyncio.create_task(threads.run(gate.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await threads.run(len, "third")
        gate.set()
        assert await asyncio.gather(*long) == [True, True]
        assert await threads.run(len, "four") == 4

    asyncio.run(scenario())


def test_work_that_was_given_up_before_it_began_is_not_done():
    async def scenario():
        threads, gate, done = Threads(64), threading.Event(), []
        running = [asyncio.create_task(threads.run(gate.wait)) for _ in range(63)]
        waiting = asyncio.create_task(threads.run(done.append, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        await asyncio.gather(*running)
        assert done == []
        assert await threads.run(len, "x") == 1

    asyncio.run(scenario())
