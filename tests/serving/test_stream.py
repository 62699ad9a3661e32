"""Streams of Arrow: answered as they come, in bounded memory, and never half without saying so."""

import asyncio
import gc
import http.client
import json
import re
from pathlib import Path
from threading import Event

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from served import ARROW, arrow, served, stream_parts, streamed, views

from churnops.bundle.bundle import write_bundle
from churnops.serving.app import create_app
from churnops.serving.model import Models, Served
from churnops.serving.stream import FAULTS, STREAM, _Gone


@pytest.fixture(scope="module")
def client(tiny_bundle):
    with TestClient(create_app(Models(Served(tiny_bundle)))) as client:
        yield client


@pytest.fixture(scope="module")
def server(tiny_bundle, tmp_path_factory):
    with served(write_bundle(tiny_bundle, tmp_path_factory.mktemp("served") / "bundle")) as (process, url):
        yield process, url


def _table(n, **columns):
    good = {"customer_id": range(n), "tenure months": [i % 72 for i in range(n)], '1st "plan"': ["pro"] * n}
    return pa.table(good | columns)


def _sent(client, content, kind=ARROW):
    return client.post("/v1/score/stream", content=content, headers={"content-type": kind})


def _faults(content):
    return [(one.get("row"), one.get("column"), one["problem"]) for one in json.loads(content)["faults"]]


def test_the_key_comes_back_with_the_scores(client, tiny_bundle):
    day = pa.array([19_000] * 5, pa.date32())
    asked = _table(5, as_of=day)
    answer = pa.ipc.open_stream(_sent(client, arrow(asked, 2)).content).read_all()
    names = ["customer_id", "as_of", "score", "decision", "model_version", "prediction_id"]
    assert answer.schema.names == names
    assert answer.select(["customer_id", "as_of"]).equals(asked.select(["customer_id", "as_of"]))
    scores = tiny_bundle.score_rows(asked.to_pylist())
    assert answer["score"].to_pylist() == pytest.approx(scores, abs=1e-6)
    assert answer["decision"].to_pylist() == [score >= 0.5 for score in scores]
    assert set(answer["model_version"].to_pylist()) == {tiny_bundle.manifest.model_version}
    assert len(set(answer["prediction_id"].to_pylist())) == 5


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (arrow(_table(0)), [(None, None, "no customers")]),
        (arrow(_table(3, clas=[1, 2, 3])), [(None, "clas", "there is no 'clas'")]),
        (
            arrow(_table(3, **{"spend.30d": [1, 2, 1e39]})),
            [(2, "spend.30d", "not a finite number of 32 bits")],
        ),
    ],
)
def test_what_is_wrong_from_the_start_is_an_ordinary_refusal(client, content, faults):
    answer = _sent(client, content)
    assert answer.status_code == 422
    assert _faults(answer.content) == faults


@pytest.mark.parametrize("content", [b"", b"{}", bytes(100), arrow(_table(9))[:500]])
def test_what_is_no_stream_is_refused(client, content):
    answer = _sent(client, content)
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["problem"].startswith(("not an Arrow stream", "no customers"))


def test_another_form_is_refused(client):
    assert _sent(client, b"{}", "application/json").status_code == 415


def test_reasons_are_not_asked_for_in_vain(client):
    answer = client.post(f"{STREAM}?reasons=3", content=b"", headers={"content-type": ARROW})
    assert answer.status_code == 422
    assert "/v1/score" in answer.json()["faults"][0]["expected"]


def test_a_batch_that_would_not_fit_is_refused_before_it_is_read(client):
    wide = _table(1, notes=["x" * (65 << 20)])
    answer = _sent(client, arrow(wide)[:100_000])
    assert answer.status_code == 413
    assert "64" not in answer.json()["faults"][0]["problem"]


@pytest.mark.parametrize("columns", [{}, {"city_tier": pa.array(["1", "2"] * 500).dictionary_encode()}])
def test_a_compressed_batch_is_refused_since_it_may_unpack_to_any_size(client, columns):
    table = _table(1000, **columns)
    assert _sent(client, arrow(table)).status_code == 200
    answer = _sent(client, arrow(table, compression="zstd"))
    assert answer.status_code == 422
    assert _faults(answer.content) == [(None, None, "a batch is compressed")]


def test_rows_that_take_no_bytes_are_refused(client):
    nothing = pa.table({"tenure months": pa.nulls(2**31 - 1), '1st "plan"': pa.nulls(2**31 - 1)})
    answer = _sent(client, arrow(nothing))
    assert answer.status_code == 413
    assert _faults(answer.content) == [(None, None, "a batch has too many rows")]
    assert _faults(_sent(client, arrow(nothing.slice(0, 2))).content)[0][2] == "'tenure months' is missing"


def test_dictionaries_do_not_add_up(client):
    def pieces(*dictionaries, deltas):
        tiers = [pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), one) for one in dictionaries]
        tables = [_table(1, city_tier=tier) for tier in tiers]
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=deltas)
        with pa.ipc.new_stream(sink, tables[0].schema, options=options) as writer:
            for table in tables:
                writer.write_table(table)
        return sink.getvalue().to_pybytes()

    growing = (["1"], ["1", "2"], ["1", "2", "3"])
    assert _sent(client, pieces(*growing, deltas=False)).status_code == 200
    assert _sent(client, pieces(growing[0], deltas=True)).status_code == 200
    for path in ("/v1/score/stream", "/invocations"):
        headers = {"content-type": ARROW, "accept": ARROW}
        answer = client.post(path, content=pieces(*growing, deltas=True), headers=headers)
        assert "a dictionary is sent in pieces" in answer.text


def test_all_dictionaries_together_are_bounded(client):
    tiers = pa.array(["1", "x" * (33 << 20)]).dictionary_encode()
    plans = pa.array(["pro", "y" * (33 << 20)]).dictionary_encode()
    answer = _sent(client, arrow(_table(2, city_tier=tiers, **{'1st "plan"': plans})))
    assert answer.status_code == 413
    assert _faults(answer.content) == [(None, None, "the dictionaries are too large")]


def test_of_a_stream_that_is_broken_off_nothing_is_kept(tiny_bundle):
    content = arrow(_table(100), 10)
    received = [
        {"type": "http.request", "body": content[: len(content) // 2], "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent = []

    async def receive():
        return received.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/score/stream", "query_string": b""}
    scope |= {"headers": [(b"content-type", ARROW.encode())], "http_version": "1.1", "client": None}
    app = create_app(Models(Served(tiny_bundle)))
    gc.disable()
    try:
        asyncio.run(app(scope, receive, send))
        # Its traceback holds a batch. By `type`: `isinstance` asks each object, and some of torch's warn.
        assert not any(type(one) is _Gone for one in gc.get_objects())
    finally:
        gc.enable()
    assert sent[0]["type"] == "http.response.start"
    assert not any(message.get("more_body") is False for message in sent)


def test_a_fault_behind_the_first_batch_ends_the_answer_so_that_everybody_notices(server):
    plans = ["pro"] * 100
    plans[73] = " "
    content = arrow(_table(100, **{'1st "plan"': plans}), 10)
    with streamed(server[1], [content]) as answer, pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    assert answer.status == 200
    batches = [*pa.ipc.open_stream(cut.value.partial).iter_batches_with_custom_metadata()]
    assert [one.batch.num_rows for one in batches] == [10] * 7 + [0]
    assert _faults(batches[-1].custom_metadata[FAULTS]) == [(73, '1st "plan"', "'1st \"plan\"' is missing")]


def test_a_stream_that_ends_too_early_is_a_fault_too(server):
    content = arrow(_table(100), 10)
    half = content[: len(content) // 2]
    with streamed(server[1], [half]) as answer, pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    *_, last = pa.ipc.open_stream(cut.value.partial).iter_batches_with_custom_metadata()
    ((_, _, problem),) = _faults(last.custom_metadata[FAULTS])
    assert problem.startswith("not an Arrow stream")


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["c1", "c2"]),
        pa.array(["c1", "c2"], pa.string_view()),
        pa.nulls(2),
        *(
            pa.DictionaryArray.from_arrays(pa.array([0, 1], index), pa.array(["c1", "c2"], kind))
            for index, kind in [
                (pa.int8(), pa.string()),
                (pa.uint32(), pa.large_string()),
                (pa.uint32(), pa.string_view()),
            ]
        ),
    ],
)
@pytest.mark.parametrize("day", [pa.timestamp("us", "UTC"), pa.dictionary(pa.int8(), pa.date32())])
def test_a_late_fault_is_told_whatever_the_types_of_the_key(server, ids, day):
    days = pa.array([1, 2], pa.int32()).cast(pa.date32())
    as_of = days.dictionary_encode().cast(day) if pa.types.is_dictionary(day) else days.cast(day)
    content = arrow(_table(2, customer_id=ids, as_of=as_of, **{'1st "plan"': ["pro", None]}), 1)
    with streamed(server[1], [content]) as answer, pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    *scored, last = pa.ipc.open_stream(cut.value.partial).iter_batches_with_custom_metadata()
    assert [one.batch.num_rows for one in [*scored, last]] == [1, 0]
    assert scored[0].batch["customer_id"].to_pylist() == ids[:1].to_pylist()
    assert _faults(last.custom_metadata[FAULTS]) == [(1, '1st "plan"', "'1st \"plan\"' is missing")]


def test_what_fails_behind_the_first_batch_begins_no_second_answer(tiny_bundle):
    sent = []

    async def receive():
        return {"type": "http.request", "body": arrow(_table(20), 10)}

    async def send(message):
        sent.append(message["type"])
        if len(sent) > 2:
            raise OSError("the disk of a proxy is full")

    scope = {"type": "http", "method": "POST", "path": "/v1/score/stream", "query_string": b""}
    scope |= {"headers": [(b"content-type", ARROW.encode())], "http_version": "1.1", "client": None}
    with pytest.raises(OSError, match="full"):
        asyncio.run(create_app(Models(Served(tiny_bundle)))(scope, receive, send))
    assert sent == ["http.response.start", "http.response.body", "http.response.body"]


@pytest.mark.parametrize("path", ["/v1/score/stream", "/invocations"])
def test_an_arrow_file_is_told_from_a_stream(client, path):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _table(3).schema) as writer:
        writer.write_table(_table(3))
    answer = client.post(path, content=sink.getvalue().to_pybytes(), headers={"content-type": ARROW})
    assert answer.status_code == 422
    assert answer.json()["faults"] == [{"problem": "an Arrow file", "expected": "an Arrow IPC stream"}]


@pytest.mark.parametrize("path", ["/v1/score/stream", "/invocations"])
@pytest.mark.parametrize(
    ("name", "status"), [("customer_id", 413), ('1st "plan"', 413), ("city_tier", 413), ("notes", 200)]
)
@pytest.mark.parametrize("is_dictionary", [False, True])
def test_one_text_of_many_rows_counts_as_often_where_it_is_read(client, path, name, status, is_dictionary):
    column = views(1000, b"x" * 100_000)
    if is_dictionary:
        column = pa.DictionaryArray.from_arrays(pa.array([7] * 1000, pa.int32()), column)
    sent = arrow(_table(1000, **{name: column}))
    assert len(sent) < 200_000
    answer = client.post(path, content=sent, headers={"content-type": ARROW, "accept": ARROW})
    assert answer.status_code == status
    assert status == 200 or _faults(answer.content) == [(None, None, "the texts are too long")]


def test_answers_come_while_the_rest_is_being_sent(server):
    schema, batch, end = stream_parts(_table(10))
    answered = Event()

    def chunks():
        yield schema + batch
        answered.wait(timeout=30)
        yield batch + end

    with streamed(server[1], chunks()) as answer:
        stream = pa.ipc.open_stream(answer)
        assert stream.read_next_batch().num_rows == 10
        answered.set()
        assert stream.read_all().num_rows == 10


def _peak_kib(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))


def test_ten_times_the_rows_take_no_more_memory(server):
    process, url = server
    rows = 8192
    schema, batch, end = stream_parts(_table(rows, notes=["a note that nobody reads"] * rows))
    peaks = []
    for n in (20, 20, 200):
        with streamed(url, [schema, *[batch] * n, end]) as answer:
            scored = sum(part.num_rows for part in pa.ipc.open_stream(answer))
        assert scored == n * rows
        peaks.append(_peak_kib(process))
    sent_kib = len(batch) * 180 // 1024
    assert sent_kib > 60_000
    assert peaks[2] - peaks[1] < 20_000, peaks
