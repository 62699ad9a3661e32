"""What SageMaker asks of a container that serves, and what its callers get wrong."""

import io
import json
import multiprocessing
import re
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from builders import COLUMNS, make_bundle
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from served import ARROW, arrow

from churnops.bundle.bundle import write_bundle
from churnops.serving.app import create_app
from churnops.serving.columns import MAX_ROWS
from churnops.serving.json_rows import read_json
from churnops.serving.media import media, preferred
from churnops.serving.model import Models, Served
from churnops.serving.sagemaker import READ, payload_mb

GOOD = {"tenure months": 12, "spend.30d": 3.5, "class": 1, '1st "plan"': "pro", "city_tier": "2"}
LINE = "12,3.5,1,pro,2\n"
JSON, LINES, CSV, PARQUET = "application/json", "application/jsonlines", "text/csv", "application/x-parquet"
INPUTS = [column.name for column in COLUMNS]


@pytest.fixture(scope="module")
def client(tiny_bundle):
    with TestClient(create_app(Models(Served(tiny_bundle)))) as client:
        yield client


def _sent(client, content, kind, **headers):
    return client.post("/invocations", content=content, headers={"content-type": kind} | headers)


def _faults(answer):
    return [(one.get("row"), one.get("column"), one["problem"]) for one in answer.json()["faults"]]


def _parquet(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _csv(table):
    sink = io.BytesIO()
    pa_csv.write_csv(table, sink)
    return sink.getvalue()


def test_a_ping_is_answered(client):
    assert (client.get("/ping").status_code, client.get("/ping").content) == (200, b"")


def test_a_transform_job_learns_how_much_to_send(client):
    said = client.get("/execution-parameters").json()
    assert said.pop("MaxConcurrentTransforms") >= 1
    assert said == {"BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}


@pytest.mark.parametrize(("said", "megabytes"), [(None, 6), ("20", 20), ("0", 100), ("400", 100), ("x", 6)])
def test_a_transform_job_says_how_large_a_payload_may_be(said, megabytes):
    assert payload_mb({} if said is None else {"SAGEMAKER_MAX_PAYLOAD_IN_MB": said}) == megabytes


def test_what_is_sent_without_a_content_type_is_json(client):
    assert client.post("/invocations", content=json.dumps(GOOD)).json()["scores"][0]["score"] > 0


@pytest.mark.parametrize("kind", ["application/xml", "text/csv; charset=latin-1", "application/x-npy", "csv"])
def test_an_unknown_form_is_refused_with_the_known_ones(client, kind):
    answer = _sent(client, LINE, kind)
    assert answer.status_code == 415
    assert all(one in answer.json()["faults"][0]["expected"] for one in READ)


@pytest.mark.parametrize("accept", ["application/xml", "image/*", "application/json;q=0", PARQUET])
def test_an_answer_that_cannot_be_written_is_refused_with_those_that_can(client, accept):
    answer = _sent(client, LINE, CSV, accept=accept)
    assert answer.status_code == 406
    assert "text/csv" in answer.json()["faults"][0]["expected"]


@pytest.mark.parametrize(
    ("kind", "answered"), [(JSON, JSON), (CSV, CSV), (LINES, LINES), (PARQUET, ARROW), (ARROW, ARROW)]
)
def test_who_does_not_mind_is_answered_in_the_form_they_sent(client, kind, answered):
    table = pa.Table.from_pylist([GOOD])
    content = {CSV: LINE, PARQUET: _parquet(table), ARROW: arrow(table)}.get(kind, json.dumps(GOOD))
    for accept in ("", "*/*", "text/html, */*;q=0.5"):
        answer = _sent(client, content, kind, accept=accept)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith(answered)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/csv;q=0.4, application/json;q=0.6", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("application/x-ndjson", LINES),
        ("*/*, text/csv", CSV),
        ("application/json;q=x", None),
    ],
)
def test_the_best_of_several_answers_is_chosen(accept, wanted):
    chosen = preferred(accept, [JSON, CSV, LINES])
    assert (chosen and chosen.name) == wanted


def test_a_csv_has_a_header_where_it_is_asked_for(client):
    answer = _sent(client, LINE, CSV, accept="text/csv; header=present").text.splitlines()
    assert answer[0] == "score,decision,model_version,prediction_id"
    assert len(answer) == 2


def test_ids_of_a_csv_come_back_in_front(client):
    sent = 'customer_id,tenure months,"1st ""plan""",notes\r\n0017,1,pro,x\r\n,2,pro,\r\n'
    first, second = _sent(client, sent, CSV).text.splitlines()
    assert first.startswith("0017,0.")
    assert second.startswith(",0.")


@pytest.mark.parametrize(
    ("lines", "faults"),
    [
        ("", [(None, None, "no customers")]),
        ("\n\n", [(None, None, "no customers")]),
        (",".join(INPUTS[:3]) + "\n", [(None, '1st "plan"', "'1st \"plan\"' is missing")]),
        ("12,3.5,1,pro\n" + LINE, [(0, None, "4 cells")]),
        (LINE + "\n" + LINE, [(1, None, "an empty line")]),
        (LINE + "many,3.5,1,pro,2\n", [(1, "tenure months", 'got the text "many"')]),
        (
            LINE + ",3.5,1, ,2\n",
            [
                (1, "tenure months", "'tenure months' is missing"),
                (1, '1st "plan"', "'1st \"plan\"' is missing"),
            ],
        ),
        (
            "1e99,1_0,nan,pro,2\n",
            [
                (0, "tenure months", "not a finite number of 32 bits"),
                (0, "spend.30d", 'got the text "1_0"'),
                (0, "class", 'got the text "nan"'),
            ],
        ),
        ("1-2,,,pro,\n", [(0, "tenure months", 'got the text "1-2"')]),
        ("tenure months,clas,1st plan\n1,2,3\n", None),
        ('12,3.5,1,"pro"x,2\n', [(None, None, "not CSV: ',' expected after '\"'")]),
        (b"12,3.5,1,pro\xff,2\n", [(None, None, "not UTF-8: invalid start byte at byte 12")]),
    ],
)
def test_a_csv_that_is_wrong_is_refused_by_row_and_column(client, lines, faults):
    answer = _sent(client, lines, CSV)
    assert answer.status_code == 422
    assert faults is None or sorted(_faults(answer), key=str) == sorted(faults, key=str)


def test_a_misspelt_name_of_a_header_is_named(client):
    plan = '"1st ""plan"""'
    answer = _sent(client, f"tenure months,clas,{plan},class,class\n1,2,pro,1,1\n", CSV)
    assert _faults(answer) == [
        (None, "clas", "there is no 'clas'"),
        (None, "class", "'class' is sent more than once"),
    ]
    assert answer.json()["faults"][0]["expected"] == "perhaps 'class'"


def test_flags_and_blanks_around_numbers_are_read(client):
    plain = _sent(client, "1,2.5,1,pro,2\n", CSV).text.partition(",")[0]
    assert _sent(client, " +1.0 , 25e-1,True,pro,2\n", CSV).text.partition(",")[0] == plain


def test_a_header_in_a_transform_job_is_refused_since_later_parts_have_none(client, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BATCH", "true")
    header = '"1st ""plan""",tenure months\n'
    assert _faults(_sent(client, header + "pro,1\n", CSV)) == [(0, None, "a header")]
    assert _sent(client, header + "pro,1\n", "text/csv; header=present").status_code == 200


@pytest.mark.parametrize("split", [1, 3])
@pytest.mark.parametrize("kind", [CSV, LINES])
def test_a_transform_job_gets_a_line_for_a_line(client, tiny_bundle, monkeypatch, kind, split):
    """SageMaker cuts files between lines, sends so many of them at a time, and puts the answers together."""
    monkeypatch.setenv("SAGEMAKER_BATCH", "true")
    customers = [GOOD | {"tenure months": i} for i in range(10)]
    lines = [
        f"{i},3.5,1,pro,2\n" if kind == CSV else json.dumps(row) + "\n" for i, row in enumerate(customers)
    ]
    parts = ["".join(lines[i : i + split]) for i in range(0, len(lines), split)]
    together = "".join(_sent(client, part, kind, accept=kind).text for part in parts)
    scores = [
        json.loads(line)["score"] if kind == LINES else float(line.split(",")[0])
        for line in together.splitlines()
    ]
    assert scores == pytest.approx(tiny_bundle.score_rows(customers), abs=1e-6)


def test_more_customers_than_one_reader_takes_are_answered_in_their_order(client, tiny_bundle):
    customers = [{"customer_id": i, "tenure months": i % 72, '1st "plan"': "pro"} for i in range(2500)]
    answers = _sent(client, json.dumps({"customers": customers}), JSON).json()["scores"]
    assert [one["customer_id"] for one in answers] == list(range(2500))
    assert [one["score"] for one in answers] == pytest.approx(tiny_bundle.score_rows(customers), abs=1e-6)


def test_a_fault_far_behind_is_named_by_its_row(client):
    customers = [GOOD] * 2000 + [GOOD | {"class": "x"}]
    answer = _sent(client, json.dumps(customers), JSON)
    assert _faults(answer) == [(2000, "class", 'got the text "x"')]
    answer = _sent(client, "\n".join(map(json.dumps, customers)) + "\n{\n", LINES)
    assert [row for row, _, _ in _faults(answer)] == [2001]


def test_a_request_that_is_wrong_in_every_row_is_refused_without_reading_all_of_it(client):
    body = json.dumps([GOOD | {"class": "x", "spend.30d": "y"}] * 10_000)
    assert len(_faults(_sent(client, body, JSON))) == 1001


def test_two_customers_on_a_line_are_not_read_as_two(client):
    line = json.dumps(GOOD)
    assert [row for row, _, _ in _faults(_sent(client, f"{line}\n{line},{line}\n", LINES))] == [1]


def test_no_more_faults_are_named_than_anybody_reads(client):
    faults = _faults(_sent(client, "x,,,pro,\n" * 1500, CSV))
    assert len(faults) == 1001
    assert faults[-1] == (None, None, "and more faults")


def test_too_many_customers_or_bytes_are_refused(client):
    assert _sent(client, LINE * (MAX_ROWS + 1), CSV).status_code == 413
    assert _sent(client, "[" + "{}," * MAX_ROWS + "{}]", JSON).status_code == 413
    table = pa.table({"tenure months": [1] * (MAX_ROWS + 1), '1st "plan"': ["pro"] * (MAX_ROWS + 1)})
    assert _sent(client, _parquet(table), PARQUET).status_code == 413
    assert _sent(client, arrow(table), ARROW).status_code == 413
    assert _sent(client, b" " * ((6 << 20) + 1), JSON).status_code == 413


@pytest.mark.parametrize("value", [b"0", b"[]", b"{}", b'"{"', b'{"a":{}}'])
def test_a_list_of_any_length_takes_little_memory_before_it_is_refused(tiny_bundle, value):
    served, body = Served(tiny_bundle), b"[" + b",".join([value] * 500_000) + b"]"
    tracemalloc.start()
    refused = read_json(served, body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.status in {413, 422}
    assert peak < 25_000_000


def test_a_number_of_any_length_is_read_at_once(client):
    for cell in ("1" * 130_000 + "x", "1" * 130_000 + ".e", "." + "1" * 130_000 + "e"):
        answer = _sent(client, f'tenure months,1st "plan"\n{cell},pro\n', "text/csv; header=present")
        assert answer.status_code == 422


@pytest.mark.parametrize("kind", [PARQUET, ARROW])
@pytest.mark.parametrize(
    ("columns", "faults"),
    [
        ({"tenure months": ["x"]}, [(None, "tenure months", "type is string")]),
        ({"tenure months": [None]}, [(0, "tenure months", "'tenure months' is missing")]),
        ({'1st "plan"': ["\t"]}, [(0, '1st "plan"', "'1st \"plan\"' is missing")]),
        ({"spend.30d": [1e39]}, [(0, "spend.30d", "not a finite number of 32 bits")]),
        ({"clas": [1]}, [(None, "clas", "there is no 'clas'")]),
        ({"customer_id": [1.5]}, [(None, "customer_id", "type is double")]),
        (
            {name: [] for name in GOOD}
            | {
                "tenure months": pa.array([], pa.int64()),
                "spend.30d": pa.array([], pa.int64()),
                "class": pa.array([], pa.int64()),
                '1st "plan"': pa.array([], pa.string()),
            },
            [(None, None, "no customers")],
        ),
    ],
)
def test_a_table_that_is_wrong_is_refused_by_row_and_column(client, kind, columns, faults):
    table = pa.table({name: [value] for name, value in GOOD.items()} | columns)
    answer = _sent(client, (_parquet if kind == PARQUET else arrow)(table), kind)
    assert answer.status_code == 422
    assert _faults(answer) == faults


@pytest.mark.parametrize("kind", [PARQUET, ARROW])
def test_a_damaged_table_is_refused(client, kind):
    table = pa.Table.from_pylist([GOOD] * 100)
    whole = (_parquet if kind == PARQUET else arrow)(table)
    for content in (
        b"",
        b"PAR1",
        whole[: len(whole) // 2],
        whole[: len(whole) // 3] + bytes(8) + whole[len(whole) // 3 + 8 :],
    ):
        assert _sent(client, content, kind).status_code in {200, 413, 422}
    assert _sent(client, whole[: len(whole) // 2], kind).status_code == 422


def test_text_that_points_outside_of_its_own_bytes_is_refused(client):
    table = pa.table({"tenure months": [1, 2], '1st "plan"': ["p" * 77, "pro"]})
    offsets, outside = (pa.array([0, n, 80], pa.int32()).buffers()[1].to_pybytes() for n in (77, 1 << 30))
    assert offsets[:12] in arrow(table)
    assert _sent(client, arrow(table).replace(offsets[:12], outside[:12]), ARROW).status_code == 422


@pytest.mark.parametrize(
    ("ids", "answered"),
    [
        (pa.array([17, None]), [17, None]),
        (pa.array([1 << 63, 17], pa.uint64()), [1 << 63, 17]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    ],
)
def test_ids_of_a_table_come_back(client, ids, answered):
    table = pa.table({"customer_id": ids, "tenure months": [1, 2], '1st "plan"': ["pro", "pro"]})
    for kind, content in ((ARROW, arrow(table)), (PARQUET, _parquet(table))):
        answer = pa.ipc.open_stream(_sent(client, content, kind).content).read_all()
        assert answer["customer_id"].to_pylist() == answered


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("kind", [PARQUET, ARROW, CSV])
def test_texts_that_are_too_long_are_refused(client, kind, shared):
    table = pa.table(
        {"customer_id": ["a", "x" * 201], "tenure months": [1, 2], '1st "plan"': ["y" * 1001, "pro"]}
    )
    if shared:
        table = pa.table([column.dictionary_encode() for column in table.columns], table.column_names)
    content = {PARQUET: _parquet, ARROW: arrow, CSV: _csv}[kind](table)
    assert _faults(_sent(client, content, kind)) == [
        (0, '1st "plan"', "text of 1001 characters, more than 1000"),
        (1, "customer_id", "text of 201 characters"),
    ]


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_and_the_next_is_answered(client):
    """What it says of its own size is forged: that is not believed."""
    good = pa.table({"tenure months": [1], '1st "plan"': ["pro"]})
    bomb = _parquet(pa.table({"tenure months": [1], '1st "plan"': ["x" * (600 << 20)]}), compression="zstd")
    said = pq.read_metadata(pa.BufferReader(bomb)).row_group(0)
    for size in (said.total_byte_size, said.column(1).total_uncompressed_size):
        bomb = bomb.replace(_varint(size), _varint(500, like=_varint(size)))
    assert pq.read_metadata(pa.BufferReader(bomb)).row_group(0).total_byte_size == 500
    assert len(bomb) < 100_000
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _peak_bytes()
    assert _sent(client, bomb, PARQUET).status_code == 413
    assert _peak_bytes() < before + (64 << 20)
    assert _sent(client, _parquet(good), PARQUET).status_code == 200


def test_an_unpacking_process_that_something_ended_costs_no_file(client):
    good = _parquet(pa.table({"tenure months": [1], '1st "plan"': ["pro"]}))
    assert _sent(client, good, PARQUET).status_code == 200
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    assert _sent(client, good, PARQUET).status_code == 200


def _varint(number, like=b""):
    """As Thrift writes a whole number; `like` another of as many bytes."""
    number, written = 2 * number, b""
    while number or len(written) < len(like) or not written:
        number, low = divmod(number, 128)
        is_last = not number and len(written) + 1 >= len(like)
        written += bytes([low if is_last else low | 128])
    return written


def _peak_bytes():
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def test_reasons_are_not_asked_for_in_vain(client):
    answer = client.post("/invocations?reasons=3", content=json.dumps(GOOD))
    assert answer.status_code == 422
    assert "/v1/score" in answer.json()["faults"][0]["expected"]


def test_a_header_with_strange_names_is_known_for_one(client):
    assert _faults(_sent(client, "tenure months,foo,bar\n1,2,3\n", CSV))[0] == (
        None,
        "foo",
        "there is no 'foo'",
    )


def test_codes_of_levels_are_read_whether_they_are_text_or_numbers(client):
    texts = pa.Table.from_pylist([GOOD])
    numbers = texts.set_column(4, "city_tier", pa.array([2]))
    shared = texts.set_column(3, '1st "plan"', texts['1st "plan"'].dictionary_encode())
    answers = [
        _sent(client, arrow(table), ARROW, accept=CSV).text.split(",")[0]
        for table in (texts, numbers, shared)
    ]
    assert len(set(answers)) == 1


_KINDS = st.sampled_from([*READ, "text/csv; header=absent", "text/csv; header=present"])
_BYTES = (
    st.binary() | st.text().map(str.encode) | st.sampled_from([LINE.encode(), json.dumps([GOOD]).encode()])
)


@given(kind=_KINDS, body=_BYTES, accept=st.sampled_from(["*/*", CSV, ARROW, "a/b"]))
def test_no_body_at_all_breaks_the_service(client, kind, body, accept):
    answer = _sent(client, body, kind, accept=accept)
    assert answer.status_code in {200, 406, 413, 422}


def test_a_bundle_of_numbers_alone_and_of_texts_alone_is_served():
    for inputs, line in ((COLUMNS[:3], "1,2,3\n"), (COLUMNS[3:], "pro,2\n")):
        client = TestClient(create_app(Models(Served(make_bundle(inputs)))))
        assert _sent(client, line, CSV).status_code == 200


def test_numbers_the_model_cannot_bear_are_refused_by_row():
    flat = COLUMNS[0].model_copy(update={"name": "a", "minimum": 0, "maximum": 1e-3})
    bundle = make_bundle([flat, flat.model_copy(update={"name": "b"})])
    client = TestClient(create_app(Models(Served(bundle))))
    ((row, _, problem),) = _faults(_sent(client, "0,0\n" * 20_000 + "3e38,3e38\n", CSV))
    assert (row, "extreme" in problem) == (20_000, True)


_WITHOUT_ARROW = """
import sys
from pathlib import Path
from fastapi.testclient import TestClient
from churnops.bundle.bundle import read_bundle
from churnops.serving.app import create_app
from churnops.serving.model import Models, Served
client = TestClient(create_app(Models(Served(read_bundle(Path(sys.argv[1]))))))
for kind in ("application/json", "text/csv", "application/jsonlines"):
    client.post("/invocations", content=b"{}", headers={"content-type": kind})
client.post("/v2/models/tiny/infer", json={"inputs": []})
print("pyarrow" in sys.modules)
"""


def test_arrow_is_loaded_only_by_who_sends_or_asks_for_it(tiny_bundle, tmp_path):
    folder = write_bundle(tiny_bundle, tmp_path / "bundle")
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_ARROW, folder], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_media_type_is_read_as_people_write_it():
    assert media('Text/CSV ; Header="Present"').has_header is True
    assert media("application/jsonl").name == LINES


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (CSV, ",".join(f"n{i}" for i in range(5000)) + "\n"),
        (ARROW, arrow(pa.table({f"n{i}": [1] for i in range(5000)}))),
        (JSON, json.dumps({f"n{i}": 1 for i in range(5000)})),
    ],
)
def test_of_thousands_of_names_nobody_knows_the_first_are_told_and_few_are_compared(
    client, kind, content, monkeypatch
):
    """To compare one name takes long: a header of 200,000 held a thread for a minute."""
    compared = []
    monkeypatch.setattr("difflib.get_close_matches", lambda name, *_, **__: compared.append(name) or [])
    faults = _faults(_sent(client, content, f"{kind};header=present"))
    assert len(faults) == 1001
    assert faults[-1] == (None, None, "and more faults")
    assert len(compared) <= 50


def test_of_thousands_of_uneven_lines_the_first_are_told(client):
    faults = _faults(_sent(client, LINE + "1,2\n" * 5000, CSV))
    assert len(faults) == 1001
    assert faults[0] == (1, None, "2 cells")


def test_empty_lines_by_the_million_are_refused_without_a_look(client):
    answer = _sent(client, "\n" * 3_000_000 + "{}", LINES)
    assert answer.status_code == 413
    faults = _faults(_sent(client, "\n" * 50_000 + "{}", LINES))
    assert len(faults) == 1001
    assert faults[0] == (0, None, "an empty line")


@pytest.mark.parametrize("name", ["customer_id", "city_tier"])
@pytest.mark.parametrize("is_dictionary", [False, True])
def test_what_stands_where_a_view_is_null_is_not_followed(client, name, is_dictionary):
    text, astray = struct.pack("<i12s", 1, b"a"), struct.pack("<iiii", -65536, 0, 7, -1)
    buffers = [pa.py_buffer(b"\x05"), pa.py_buffer(text + astray + text)]
    column = pa.Array.from_buffers(pa.string_view(), 3, buffers, null_count=1)
    if is_dictionary:
        column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int8()), column)
    table = pa.Table.from_pylist([GOOD] * 3).drop_columns([name] if name in GOOD else [])
    answer = _sent(client, arrow(table.append_column(name, column)), ARROW, accept=JSON)
    assert answer.status_code == 200, answer.text
    told = answer.json()["scores"]
    assert len(told) == 3
    if name == "customer_id":
        assert [one.get("customer_id") for one in told] == ["a", None, "a"]


def test_ids_as_polars_writes_them_are_read(client):
    table = pa.Table.from_pylist([GOOD | {"customer_id": "0017"}])
    views = [pa.string_view() if field.type == pa.string() else field.type for field in table.schema]
    sent = table.cast(pa.schema([*zip(table.schema.names, views, strict=True)]))
    (told,) = _sent(client, arrow(sent), ARROW, accept=JSON).json()["scores"]
    assert told["customer_id"] == "0017"
    long = sent.set_column(sent.schema.names.index("customer_id"), "customer_id", [pa.array(["x" * 201])])
    assert _faults(_sent(client, arrow(long), ARROW)) == [(0, "customer_id", "text of 201 characters")]


@pytest.mark.parametrize(
    ("content", "kind", "problem"),
    [
        ('{"customers": [{}], "x": 1}', JSON, "'customers' is no list, or there is something beside it"),
        ('{"instances": null}', JSON, "'instances' is no list, or there is something beside it"),
        ('{"customers": {"class": 1}}', JSON, "'customers' is no list, or there is something beside it"),
        ('{"customers": [{}', JSON, "not JSON of this shape: "),
        ('{"instances": [{}]x', JSON, "not JSON of this shape: "),
        ('{"instances": [{}]]', JSON, "not JSON of this shape: "),
        (f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD)}", LINES, "an empty line"),
    ],
)
def test_json_of_another_shape_is_told_what_it_is(client, content, kind, problem):
    (fault,) = _faults(_sent(client, content, kind))
    assert fault[2].startswith(problem)


def test_a_column_may_have_the_name_of_the_list():
    column = COLUMNS[0].model_copy(update={"name": "customers"})
    with TestClient(create_app(Models(Served(make_bundle([column]))))) as client:
        assert _sent(client, '{"customers": 5}', JSON).status_code == 200
        assert _sent(client, '{"customers": [{"customers": 5}]}', JSON).status_code == 200
