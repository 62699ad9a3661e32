"""The scoring service, through its real HTTP interface."""

import json
import math
from uuid import UUID

import pytest
from builders import COLUMNS, make_bundle
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from trained import explained

from churnops.bundle.manifest import InputColumn
from churnops.serving.app import create_app
from churnops.serving.model import Models, Served
from churnops.serving.payloads import MAX_BODY_BYTES

GOOD = {"tenure months": 12, "spend.30d": 3.5, "class": 1, '1st "plan"': "pro", "city_tier": "2"}
FLAT = InputColumn(name="a", kind="numeric", nullable=False, text="", minimum=0, maximum=1e-3)


@pytest.fixture(scope="module")
def client(tiny_bundle):
    with TestClient(create_app(Models(Served(tiny_bundle)))) as client:
        yield client


def _score(client, *customers):
    return client.post("/v1/score", json={"customers": customers})


def test_one_customer_gets_one_score(client, tiny_bundle):
    answer = _score(client, GOOD | {"customer_id": "0017"})
    assert answer.status_code == 200
    (scored,) = answer.json()["scores"]
    UUID(scored.pop("prediction_id"))
    (score,) = tiny_bundle.score_rows([GOOD])
    assert scored == {
        "customer_id": "0017",
        "score": score,
        "decision": bool(score >= 0.5),
        "model_version": tiny_bundle.manifest.model_version,
    }


def test_many_customers_are_answered_in_their_order(client, tiny_bundle):
    customers = [GOOD | {"customer_id": i, "tenure months": i % 72} for i in range(1000)]
    scores = _score(client, *customers).json()["scores"]
    assert [scored["customer_id"] for scored in scores] == list(range(1000))
    assert [scored["score"] for scored in scores] == pytest.approx(
        tiny_bundle.score_rows(customers), abs=1e-6
    )
    assert len({scored["prediction_id"] for scored in scores}) == 1000


def test_a_customer_without_an_id_is_answered_without_one(client):
    assert "customer_id" not in _score(client, GOOD).json()["scores"][0]


def test_a_score_at_the_threshold_is_a_decision(tiny_bundle):
    (score,) = tiny_bundle.score_rows([GOOD]).tolist()
    for threshold, decision in [(score, True), (math.nextafter(score, 1), False)]:
        client = TestClient(create_app(Models(Served(make_bundle(threshold=threshold)))))
        assert _score(client, GOOD).json()["scores"][0]["decision"] is decision


def test_a_bad_request_is_refused_with_every_fault(client):
    answer = _score(client, GOOD, GOOD | {"tenure months": "12", "clas": 1})
    assert answer.status_code == 422
    assert answer.json() == {
        "faults": [
            {
                "row": 1,
                "column": "tenure months",
                "problem": 'got the text "12"',
                "expected": "a number, in training 0 to 72",
            },
            {"row": 1, "column": "clas", "problem": "there is no 'clas'", "expected": "perhaps 'class'"},
        ]
    }


def test_numbers_the_model_cannot_bear_are_refused_by_row():
    # Scaled by the tiny range of training both overflow, and infinity minus infinity is not a number.
    bundle = make_bundle([FLAT, FLAT.model_copy(update={"name": "b"})])
    answer = _score(TestClient(create_app(Models(Served(bundle)))), {"a": 0, "b": 0}, {"a": 3e38, "b": 3e38})
    assert answer.status_code == 422
    (fault,) = answer.json()["faults"]
    assert fault["row"] == 1
    assert "extreme" in fault["problem"]


@pytest.mark.parametrize("size", [MAX_BODY_BYTES, MAX_BODY_BYTES + 1])
def test_a_body_has_a_largest_size(client, size):
    answer = client.post("/v1/score", content=b" " * size)
    assert answer.status_code == (422 if size == MAX_BODY_BYTES else 413)
    assert answer.json()["faults"]


def test_too_many_customers_are_refused(client):
    answer = _score(client, *[GOOD] * 1001)
    assert answer.status_code == 413
    assert answer.json()["faults"][0]["problem"] == "too many customers"


def test_the_probes_answer(client, tiny_bundle):
    assert client.get("/livez").json() == {"status": "alive"}
    assert [client.head(path).status_code for path in ("/livez", "/readyz")] == [200, 200]
    version = tiny_bundle.manifest.model_version
    assert client.get("/readyz").json() == {"status": "ready", "model_version": version}


def test_the_model_is_described(client, tiny_bundle):
    described = client.get("/v1/model").json()
    manifest = tiny_bundle.manifest
    assert described.pop("model_version") == manifest.model_version
    assert described.pop("content_hash") == manifest.content_hash
    assert described == manifest.model_dump(mode="json", exclude={"smoke"})


def test_what_only_loading_needs_is_not_described():
    client = TestClient(create_app(Models(Served(explained("recency")))))
    described = client.get("/v1/model").json()
    assert "smoke" not in described
    assert described["reasons"].keys() == {"base_score"}


def test_openapi_shows_the_columns_and_an_example_that_is_accepted(client):
    content = client.get("/openapi.json").json()["paths"]["/v1/score"]["post"]["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    customer = schema["properties"]["customers"]["items"]
    assert {column.name for column in COLUMNS} < set(customer["properties"])
    assert customer["required"] == ["tenure months", '1st "plan"']
    assert customer["properties"]["city_tier"]["examples"] == ["1", "2", "3"]
    assert "0 to 72" in customer["properties"]["tenure months"]["description"]
    assert {"type": "string", "minLength": 1, "maxLength": 200} in customer["properties"]["customer_id"][
        "anyOf"
    ]
    assert client.post("/v1/score", json=schema["example"]).status_code == 200


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400)
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
_NAMES = st.sampled_from([*GOOD, "customer_id", "notes", "class "])
_ODD = st.dictionaries(_NAMES, _LEAVES, max_size=3).map(lambda change: GOOD | change)
_FINE = st.builds(
    lambda tenure, plan, others: GOOD | {"tenure months": tenure, '1st "plan"': plan} | others,
    st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9),
    st.integers() | st.text().filter(lambda text: text.strip()),
    st.fixed_dictionaries({}, optional={"customer_id": st.text() | st.integers(), "notes": _JSON}),
)
_REQUESTS = st.lists(_FINE, min_size=1, max_size=3) | st.lists(_ODD | _JSON, max_size=3)
_BODIES = (_JSON | _REQUESTS.map(lambda customers: {"customers": customers})).map(
    lambda value: json.dumps(value).encode()
) | st.binary()


@given(body=_BODIES)
def test_no_body_at_all_breaks_the_service(client, body):
    answer = client.post("/v1/score", content=body)
    if answer.status_code == 200:
        assert all(0 <= scored["score"] <= 1 for scored in answer.json()["scores"])
    else:
        assert answer.status_code in {413, 422}
        assert all(fault["problem"] and fault["expected"] for fault in answer.json()["faults"])


def test_the_app_answers_below_a_prefix_too(tiny_bundle):
    outer = FastAPI()
    outer.mount("/churn", create_app(Models(Served(tiny_bundle))))
    answer = TestClient(outer).post("/churn/v1/score", json={"customers": [GOOD]})
    assert answer.status_code == 200
    assert TestClient(outer).get("/churn/v1/score").status_code == 405


def test_another_model_answers_from_the_next_request_on(tiny_bundle):
    models = Models(Served(tiny_bundle))
    client = TestClient(create_app(models))
    other = make_bundle(COLUMNS[:4], threshold=0.9)
    assert client.get("/openapi.json").json()["info"]["version"] == tiny_bundle.manifest.model_version
    models.current = Served(other)
    bare = {name: value for name, value in GOOD.items() if name != "city_tier"}
    (scored,) = _score(client, bare).json()["scores"]
    version = other.manifest.model_version
    assert scored["model_version"] == version
    assert client.get("/readyz").json()["model_version"] == version
    assert client.get("/v1/model").json()["model_version"] == version
    described = client.get("/openapi.json").json()
    assert described["info"]["version"] == version
    assert "city_tier" not in json.dumps(described)
