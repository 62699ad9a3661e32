"""Streams of Arrow: answered as they come, in bounded memory, and never half without saying so."""

import http.client
import json
import re
from pathlib import Path
from threading import Event

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from served import ARROW, arrow, served, stream_parts, streamed

from churnops.bundle.bundle import write_bundle
from churnops.serving.app import create_app
from churnops.serving.model import Models, Served
from churnops.serving.stream import FAULTS


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
