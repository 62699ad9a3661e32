"""The Open Inference Protocol: as it is published, and as Triton's client speaks it."""

import json

import numpy as np
import pytest
from builders import COLUMNS
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from served import served

from churnops import __version__
from churnops.bundle.bundle import write_bundle
from churnops.serving.app import create_app
from churnops.serving.columns import MAX_ROWS
from churnops.serving.model import Models, Served
from churnops.serving.tensors import _numbers

TENURE = {"name": "tenure months", "shape": [2], "datatype": "FP32", "data": [12, 1]}
PLAN = {"name": '1st "plan"', "shape": [2], "datatype": "BYTES", "data": ["pro", "other"]}
TIER = {"name": "city_tier", "shape": [2, 1], "datatype": "INT64", "data": [[2], [3]]}
ROWS = [
    {"tenure months": 12, '1st "plan"': "pro", "city_tier": "2"},
    {"tenure months": 1, '1st "plan"': "other", "city_tier": "3"},
]
INFER = "/v2/models/tiny/infer"


@pytest.fixture(scope="module")
def client(tiny_bundle):
    with TestClient(create_app(Models(Served(tiny_bundle)))) as client:
        yield client


def _infer(client, *inputs, **others):
    return client.post(INFER, json={"inputs": inputs, **others})


def _faults(answer):
    assert answer.json()["error"]
    return [(one.get("row"), one.get("column"), one["problem"]) for one in answer.json()["faults"]]


def test_the_server_and_its_health_are_described(client):
    assert client.get("/v2").json() == {
        "name": "churnops",
        "version": __version__,
        "extensions": ["binary_tensor_data"],
    }
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}


def test_the_model_is_described_with_and_without_its_version(client, tiny_bundle):
    version = tiny_bundle.manifest.model_version
    described = client.get("/v2/models/tiny").json()
    assert described == client.get(f"/v2/models/tiny/versions/{version}").json()
    assert described["versions"] == [version]
    assert [one["name"] for one in described["inputs"]] == [column.name for column in COLUMNS]
    assert {one["datatype"] for one in described["inputs"]} == {"FP32", "BYTES"}
    assert [one["name"] for one in described["outputs"]] == ["score", "decision", "prediction_id"]
    for path in ("ready", f"versions/{version}/ready"):
        assert client.get(f"/v2/models/tiny/{path}").json() == {"name": "tiny", "ready": True}


@pytest.mark.parametrize("path", ["large", "tiny/versions/1", "large/ready", "tiny/versions/1/ready"])
def test_another_model_or_version_is_not_found(client, path):
    answer = client.get(f"/v2/models/{path}")
    assert answer.status_code == 404
    assert "there is no model" in answer.json()["error"]
    assert client.post("/v2/models/large/infer", json={}).status_code == 404


def test_a_tensor_for_each_column_gets_scores_and_decisions(client, tiny_bundle):
    answer = _infer(client, TENURE, PLAN, TIER, id="17").json()
    scores = tiny_bundle.score_rows(ROWS).tolist()
    assert answer == {
        "model_name": "tiny",
        "model_version": tiny_bundle.manifest.model_version,
        "id": "17",
        "outputs": [
            {"name": "score", "datatype": "FP64", "shape": [2], "data": scores},
            {
                "name": "decision",
                "datatype": "BOOL",
                "shape": [2],
                "data": [score >= 0.5 for score in scores],
            },
        ],
    }


def test_outputs_that_are_asked_for_are_given_in_that_order(client):
    answer = _infer(client, TENURE, PLAN, outputs=[{"name": "prediction_id"}, {"name": "score"}]).json()
    assert [one["name"] for one in answer["outputs"]] == ["prediction_id", "score"]
    assert (
        "there is no output 'reason'"
        in _infer(client, TENURE, PLAN, outputs=[{"name": "reason"}]).json()["error"]
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"datatype": "BYTES"}, (None, "tenure months", "datatype is BYTES")),
        ({"shape": [2, 2]}, (None, "tenure months", "shape is [2, 2]")),
        ({"shape": [2], "data": [1]}, (None, "tenure months", "1 values")),
        ({"shape": [2, 1], "data": [[1, 2], []]}, (None, "tenure months", "rows of another length than 1")),
        ({"data": [1, None]}, (1, "tenure months", "'tenure months' is missing")),
        ({"data": [1, "2"]}, (1, "tenure months", 'got the text "2"')),
        ({"data": [1, 10**30], "datatype": "FP64"}, None),
        ({"data": [1, 1e39], "datatype": "FP64"}, (1, "tenure months", "not a finite number of 32 bits")),
        ({"data": [1, 2.5], "datatype": "INT32"}, (1, "tenure months", "got 2.5")),
        ({"data": [1, 128], "datatype": "INT8"}, (1, "tenure months", "got 128")),
        ({"data": [-1, 1], "datatype": "UINT8"}, (0, "tenure months", "got -1")),
        ({"data": [True, 1], "datatype": "BOOL"}, (1, "tenure months", "got 1")),
        ({"name": "tenure month"}, (None, "tenure month", "there is no 'tenure month'")),
    ],
)
def test_a_tensor_that_is_wrong_is_refused_by_row_and_column(client, change, fault):
    answer = _infer(client, PLAN, TENURE | change)
    assert answer.status_code == (200 if fault is None else 422)
    assert fault is None or fault in _faults(answer)


def test_a_tensor_without_data_is_refused(client):
    answer = _infer(client, PLAN, {"name": "tenure months", "shape": [2], "datatype": "FP32"})
    assert _faults(answer)[0] == (None, "tenure months", "no data")


@pytest.mark.parametrize("inputs", [[], [TENURE | {"shape": []}, PLAN], [TENURE | {"shape": [-1]}, PLAN]])
def test_nobody_is_refused(client, inputs):
    assert _infer(client, *inputs).status_code == 422


def test_no_more_faults_are_named_than_anybody_reads(client):
    tenure = TENURE | {"shape": [3000], "data": ["x"] * 3000}
    assert len(_faults(_infer(client, tenure, PLAN | {"shape": [3000], "data": [""] * 3000}))) == 1001


def test_too_many_customers_are_refused(client):
    assert _infer(client, TENURE | {"shape": [MAX_ROWS + 1]}, PLAN).status_code == 413


def _binary(client, parts, header_bytes=None, **request):
    inputs = [head | {"parameters": {"binary_data_size": len(blob)}} for head, blob in parts]
    header = json.dumps({"inputs": inputs} | request).encode()
    headers = {"Inference-Header-Content-Length": str(header_bytes or len(header))}
    return client.post(INFER, content=header + b"".join(blob for _, blob in parts), headers=headers)


def _texts(*texts):
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


_TENURE = {"name": "tenure months", "shape": [2]}
_PLAN = {"name": '1st "plan"', "shape": [2], "datatype": "BYTES"}


@pytest.mark.parametrize("kind", ["FP16", "FP32", "FP64", "INT8", "INT64", "UINT16", "UINT64"])
def test_binary_numbers_of_every_kind_are_read(client, tiny_bundle, kind):
    dtype = np.dtype(
        {"FP": "float", "IN": "int", "UI": "uint"}[kind[:2]] + kind[2:].removeprefix("NT").removeprefix("T")
    )
    blob = np.array([12, 1], dtype).tobytes()
    answer = _binary(client, [(_TENURE | {"datatype": kind}, blob), (_PLAN, _texts(b"pro", b"other"))]).json()
    expected = tiny_bundle.score_rows([{name: row[name] for name in list(row)[:2]} for row in ROWS])
    assert answer["outputs"][0]["data"] == expected.tolist()


def test_whole_numbers_are_rounded_the_same_in_both_forms():
    number = 2**60 + 2**36 + 1  # to 32 bits by way of 64 it is another than at once
    assert _numbers(np.array([number])) == _numbers([number])


def test_reasons_are_not_asked_for_in_vain(client):
    answer = client.post(f"{INFER}?reasons=3", json={"inputs": [TENURE, PLAN]})
    assert answer.status_code == 422
    assert "/v1/score" in answer.json()["error"]


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ([(_TENURE | {"datatype": "FP32"}, bytes(7))], "7 bytes are no whole number of FP32"),
        ([(_TENURE | {"datatype": "FP32"}, bytes(4))], "1 values"),
        ([(_PLAN, _texts(b"pro", b"\xff"))], "text 1 is not UTF-8"),
        ([(_PLAN, _texts(b"pro", b"basic")[:-1])], "a text ends after the data"),
        ([(_PLAN, b"\1\0")], "a text ends after the data"),
    ],
)
def test_binary_data_that_are_wrong_are_refused(client, parts, problem):
    rest = (
        (_PLAN, _texts(b"pro", b"pro"))
        if parts[0][0] is not _PLAN
        else (_TENURE | {"datatype": "FP32"}, bytes(8))
    )
    assert problem in [one for _, _, one in _faults(_binary(client, [*parts, rest]))]


@pytest.mark.parametrize("header_bytes", ["0", "99999", "x", "-1"])
def test_a_header_of_another_length_is_refused(client, header_bytes):
    answer = _binary(client, [(_TENURE | {"datatype": "FP32"}, bytes(8))], header_bytes)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("size", [1, -1, "8", None, 1.5])
def test_sizes_that_do_not_add_up_are_refused(client, size):
    header = json.dumps({"inputs": [TENURE | {"parameters": {"binary_data_size": size}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(header))}
    answer = client.post(INFER, content=header + bytes(8), headers=headers)
    assert answer.status_code == 400
    assert "binary_data_size" in answer.json()["error"]


def test_large_bodies_are_refused(client):
    assert client.post(INFER, content=bytes((4 << 20) + 1)).status_code == 413


_TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["tenure months", '1st "plan"', "x"]),
        "shape": st.lists(st.integers(-2, 3), max_size=3),
        "datatype": st.sampled_from(["FP32", "BYTES", "BOOL", "INT8", ""]),
        "data": st.lists(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.lists(st.integers(), max_size=2),
            max_size=3,
        ),
        "parameters": st.dictionaries(st.just("binary_data_size"), st.integers(-1, 9)),
    },
)
_REQUESTS = st.fixed_dictionaries({"inputs": st.lists(_TENSORS, max_size=3)}).map(
    lambda one: json.dumps(one).encode()
)


@given(body=_REQUESTS | st.binary(), length=st.none() | st.integers(0, 300))
def test_no_request_at_all_breaks_the_service(client, body, length):
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    answer = client.post(INFER, content=body, headers=headers)
    assert answer.status_code in {200, 400, 413, 422}
    assert answer.status_code == 200 or answer.json()["error"]


@pytest.fixture(scope="module")
def triton(tiny_bundle, tmp_path_factory):
    http = pytest.importorskip("tritonclient.http")
    with served(write_bundle(tiny_bundle, tmp_path_factory.mktemp("served") / "bundle")) as (_, url):
        client = http.InferenceServerClient(url.removeprefix("http://"))
        yield http, client
        client.close()


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_gets_the_scores(triton, tiny_bundle, binary):
    http, client = triton
    version = tiny_bundle.manifest.model_version
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny", version)
    assert client.get_model_metadata("tiny")["versions"] == [version]
    tenure = http.InferInput("tenure months", [2], "FP32")
    tenure.set_data_from_numpy(np.array([12, 1], np.float32), binary_data=binary)
    plan = http.InferInput('1st "plan"', [2, 1], "BYTES")
    plan.set_data_from_numpy(np.array([["pro"], ["other"]], dtype=object), binary_data=binary)
    tier = http.InferInput("city_tier", [2], "INT64")
    tier.set_data_from_numpy(np.array([2, 3]), binary_data=binary)
    names = ("score", "decision", "prediction_id")
    outputs = [http.InferRequestedOutput(name, binary_data=binary) for name in names]
    answer = client.infer("tiny", [tenure, plan, tier], version, outputs, request_id="17")
    scores = tiny_bundle.score_rows(ROWS)
    assert answer.get_response()["id"] == "17"
    assert answer.as_numpy("score").tolist() == scores.tolist()
    assert answer.as_numpy("decision").tolist() == [score >= 0.5 for score in scores]
    assert len(answer.as_numpy("prediction_id")) == 2
    assert client.infer("tiny", [tenure, plan, tier]).as_numpy("score").tolist() == scores.tolist()


def test_tritons_client_is_told_what_is_wrong(triton):
    http, client = triton
    tenure = http.InferInput("tenure months", [1], "FP32")
    tenure.set_data_from_numpy(np.array([np.inf], np.float32))
    with pytest.raises(Exception, match=r"column 1st \"plan\": .* is missing"):
        client.infer("tiny", [tenure])
