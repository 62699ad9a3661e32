"""Reasons over HTTP: asked for in the query, and only then."""

import pytest
from customers import COLUMNS
from fastapi.testclient import TestClient
from trained import explained

from churnops.serving.app import create_app
from churnops.serving.model import Models, Served

CUSTOMER = {"recency_days": 400, "age": 30.5, "plan": "pro", "city": "nowhere"}


@pytest.fixture(scope="module")
def client():
    with TestClient(create_app(Models(Served(explained("logistic"))))) as client:
        yield client


def ask(client, query, *customers):
    return client.post(f"/v1/score{query}", json={"customers": customers or [CUSTOMER]})


def test_all_effects_and_the_base_score_add_up_to_the_score(client):
    answer = ask(client, f"?reasons={len(COLUMNS.numeric) + len(COLUMNS.categorical)}").json()

    (scored,) = answer["scores"]
    effects = [reason["effect"] for reason in scored["reasons"]]
    assert answer["base_score"] + sum(effects) == pytest.approx(scored["score"], abs=1e-4)
    assert sorted(map(abs, effects), reverse=True) == list(map(abs, effects))


def test_each_customer_has_its_own_reasons_with_value_and_words(client):
    others = [CUSTOMER | {"recency_days": i} for i in range(200)]
    scores = ask(client, "?reasons=2", *others).json()["scores"]

    assert {len(one["reasons"]) for one in scores} <= {1, 2}
    told = [reason for one in scores for reason in one["reasons"] if reason["column"] == "recency_days"]
    assert told
    assert all(reason["text"] == "The recency_days" for reason in told)


@pytest.mark.parametrize("query", ["", "?reasons=0", "?other=3"])
def test_nobody_is_told_who_did_not_ask(client, query):
    answer = ask(client, query).json()

    assert set(answer) == {"scores"}
    assert "reasons" not in answer["scores"][0]


@pytest.mark.parametrize("asked", ["many", "-1", "101", "", "1e1", "\u0663"])
def test_a_number_that_is_none_is_refused(client, asked):
    answer = ask(client, f"?reasons={asked}")

    assert answer.status_code == 422
    (fault,) = answer.json()["faults"]
    assert (fault["column"], fault["expected"]) == ("reasons", "a whole number from 0 to 100")


def test_a_model_without_reasons_says_so_and_still_scores(tiny_bundle):
    client = TestClient(create_app(Models(Served(tiny_bundle))))
    row = tiny_bundle.manifest.example

    assert ask(client, "", row).status_code == 200
    refused = ask(client, "?reasons=3", row)
    assert refused.status_code == 422
    assert refused.json()["faults"][0]["problem"] == "the model gives no reasons"


def test_openapi_knows_the_question_and_its_answer(client):
    described = client.get("/openapi.json").json()

    (parameter,) = described["paths"]["/v1/score"]["post"]["parameters"]
    assert (parameter["name"], parameter["in"], parameter["schema"]["maximum"]) == ("reasons", "query", 100)
    assert "reasons" in described["components"]["schemas"]["CustomerScore"]["properties"]
