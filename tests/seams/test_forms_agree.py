"""One customer, many forms: whatever a customer is sent as, the score is the same."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import COLUMNS, make_bundle
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from served import ARROW, arrow

from churnops.serving.app import create_app
from churnops.serving.model import Models, Served
from churnops.serving.payloads import ID
from churnops.serving.request import SHOWN_FAULTS

_TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from(',"\n\r;\\ '), max_size=6)
_NUMBERS = st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6) | st.booleans()


def _values(column):
    filled = _TEXT.filter(lambda text: text.strip()) | st.integers(0, 9)
    filled = _NUMBERS if column.kind == "numeric" else st.sampled_from(column.levels) | filled
    if not column.nullable:
        return filled
    return filled | (st.none() if column.kind == "numeric" else st.sampled_from([None, "", " ", "\t", "\n"]))


_CUSTOMERS = st.lists(
    st.fixed_dictionaries({column.name: _values(column) for column in COLUMNS}), min_size=1, max_size=20
)


@pytest.fixture(scope="module")
def client(tiny_bundle):
    with TestClient(create_app(Models(Served(tiny_bundle)))) as client:
        yield client


def _table(customers):
    columns = {"customer_id": [f"c{i}" for i in range(len(customers))]}
    for column in COLUMNS:
        values = [row[column.name] for row in customers]
        text = column.kind == "categorical"
        as_type = str if text else float
        columns[column.name] = pa.array(
            [None if value is None else as_type(value) for value in values],
            pa.string() if text else pa.float64(),
        )
    return pa.table(columns)


def _csv(customers, *, has_header):
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    names = [column.name for column in COLUMNS]
    if has_header:
        lines.writerow(names[::-1])
    for row in customers:
        cells = [row[name] for name in (names[::-1] if has_header else names)]
        lines.writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue().encode()


def _parquet(table):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


_FORMS = {
    "a list": ("application/json", lambda rows: json.dumps(rows).encode()),
    "ours": ("application/json", lambda rows: json.dumps({"customers": rows}).encode()),
    "instances": ("application/json", lambda rows: json.dumps({"instances": rows}).encode()),
    "lines": ("application/jsonlines", lambda rows: b"\n".join(json.dumps(row).encode() for row in rows)),
    "CSV": ("text/csv", lambda rows: _csv(rows, has_header=False)),
    "CSV with a header": ("text/csv; header=present", lambda rows: _csv(rows, has_header=True)),
    "Parquet": ("application/x-parquet", lambda rows: _parquet(_table(rows))),
    "Arrow": (ARROW, lambda rows: arrow(_table(rows), 7)),
}


def _said(answer):
    """The scores of an answer in any form."""
    assert answer.status_code == 200, answer.text
    match answer.headers["content-type"].partition(";")[0]:
        case "application/json":
            return [one["score"] for one in answer.json()["scores"]]
        case "application/jsonlines":
            return [json.loads(line)["score"] for line in answer.text.splitlines()]
        case "text/csv":
            return [float(line.split(",")[0]) for line in answer.text.splitlines()]
    return pa.ipc.open_stream(answer.content).read_all()["score"].to_pylist()


@settings(max_examples=60)
@given(customers=_CUSTOMERS)
def test_a_customer_has_one_score_in_every_form(client, customers):
    expected = _said(client.post("/v1/score", json={"customers": customers}))
    for kind, written in _FORMS.values():
        answer = client.post("/invocations", content=written(customers), headers={"content-type": kind})
        assert _said(answer) == expected, kind
    stream = client.post(
        "/v1/score/stream", content=arrow(_table(customers), 7), headers={"content-type": ARROW}
    )
    assert _said(stream) == expected


@pytest.mark.parametrize("form", ["a list", "ours", "instances", "lines", "Parquet", "Arrow", "stream"])
@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int8(), pa.string())])
def test_an_empty_id_is_refused_in_the_same_words_in_every_form_but_csv(client, form, kind):
    """In CSV an empty cell is no id, which is allowed."""
    customers = [{"tenure months": 1, '1st "plan"': "pro", "customer_id": one} for one in ("a", None, "")]
    ids = pa.array(["a", None, ""]).cast(kind)
    table = pa.Table.from_pylist(customers).set_column(2, "customer_id", ids)
    tables = {"Parquet": _parquet, "Arrow": arrow, "stream": arrow}
    kind, written = _FORMS.get(form, (ARROW, None))
    content = tables[form](table) if form in tables else written(customers)
    path = "/v1/score/stream" if form == "stream" else "/invocations"
    answer = client.post(path, content=content, headers={"content-type": kind})
    assert answer.status_code == 422
    said = {"row": 2, "column": "customer_id", "problem": "empty text", "expected": ID}
    assert answer.json()["faults"] == [said]


def test_of_many_refused_ids_it_is_said_that_there_are_more(client):
    n = SHOWN_FAULTS + 1
    table = pa.table({"customer_id": [""] * n, "tenure months": [1] * n, '1st "plan"': ["pro"] * n})
    answer = client.post("/invocations", content=arrow(table), headers={"content-type": ARROW})
    assert answer.json()["faults"][-1]["problem"] == "and more faults"


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/jsonlines", ARROW])
@pytest.mark.parametrize("form", _FORMS)
def test_a_form_may_be_answered_in_another(client, form, accept):
    customers = [
        {"tenure months": i, '1st "plan"': "pro", "spend.30d": None, "class": 1, "city_tier": "2"}
        for i in range(3)
    ]
    kind, written = _FORMS[form]
    headers = {"content-type": kind, "accept": accept}
    answer = client.post("/invocations", content=written(customers), headers=headers)
    assert answer.headers["content-type"].partition(";")[0] == accept
    lines = answer.text.splitlines() if accept == "text/csv" and form in {"Parquet", "Arrow"} else []
    assert all(line.startswith(f"c{i},") for i, line in enumerate(lines))  # their ids were sent
    if not lines:
        assert len(_said(answer)) == 3


@settings(max_examples=40)
@given(customers=_CUSTOMERS)
def test_tensors_of_every_kind_give_that_score_too(client, customers):
    expected = _said(client.post("/v1/score", json={"customers": customers}))
    n = len(customers)
    plain, heads, blobs = [], [], []
    for column in COLUMNS:
        values = [row[column.name] for row in customers]
        if column.kind == "numeric":
            plain.append(
                {
                    "name": column.name,
                    "shape": [n, 1],
                    "datatype": "FP64",
                    "data": [[None if v is None else float(v)] for v in values],
                }
            )
            blob = (
                pa.array([float("nan") if v is None else float(v) for v in values], pa.float64())
                .buffers()[1]
                .to_pybytes()[: 8 * n]
            )
            kind = "FP64"
        else:
            texts = ["" if v is None else str(v) for v in values]
            plain.append({"name": column.name, "shape": [n], "datatype": "BYTES", "data": texts})
            blob = b"".join(len(t.encode()).to_bytes(4, "little") + t.encode() for t in texts)
            kind = "BYTES"
        heads.append(
            {
                "name": column.name,
                "shape": [n],
                "datatype": kind,
                "parameters": {"binary_data_size": len(blob)},
            }
        )
        blobs.append(blob)
    header = json.dumps({"inputs": heads}).encode()
    for content, headers in (
        (json.dumps({"inputs": plain}).encode(), {}),
        (header + b"".join(blobs), {"Inference-Header-Content-Length": str(len(header))}),
    ):
        answer = client.post("/v2/models/tiny/infer", content=content, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"][0]["data"] == expected


@pytest.mark.parametrize("form", _FORMS)
def test_a_column_that_only_the_model_before_took_may_still_be_sent(tiny_bundle, form):
    content_type, encoded = _FORMS[form]
    gone = COLUMNS[1].name
    bundle = make_bundle([column for column in COLUMNS if column.name != gone])
    served = Served(bundle, names=frozenset(column.name for column in COLUMNS))
    rows = [{column.name: tiny_bundle.manifest.example[column.name] for column in COLUMNS}] * 2
    with TestClient(create_app(Models(served))) as client:
        answer = client.post("/invocations", content=encoded(rows), headers={"content-type": content_type})
    if form == "CSV":  # without a header it is the columns of the model and no others
        assert answer.status_code == 422
    else:
        assert _said(answer) == pytest.approx(bundle.score_rows(rows).tolist(), abs=1e-6)
