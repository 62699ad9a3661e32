"""Requests that come at the same time."""

import asyncio
import json
import re

import httpx2
import pytest
from builders import COLUMNS, make_bundle
from trained import explained

from churnops.serving.app import PATHS, create_app
from churnops.serving.metrics import Meter
from churnops.serving.model import Answer, Models, Served
from churnops.serving.protected import protected
from churnops.serving.protection import Protection
from churnops.serving.quick import Rows
from churnops.serving.together import Together

FLAT = COLUMNS[0].model_copy(update={"maximum": 1e-3})
EXTREME = 3e38


class Counting(Served):
    """Remembers how many rows the graph was given each time."""

    def __init__(self, **fields) -> None:
        self.sizes: list[int] = []
        numbers = [FLAT, FLAT.model_copy(update={"name": "b"})]
        super().__init__(make_bundle(numbers, **fields))
        self.sizes.clear()

    def score(self, rows: Rows):
        self.sizes.append(len(rows))
        return super().score(rows)


def _customer(number: int, size: float = 0.0) -> dict:
    return {"customer_id": number, FLAT.name: number * 1e-5 or size, "b": size}


async def _asked(app, *requests) -> list[httpx2.Response]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        posts = [client.post("/v1/score", json={"customers": customers}) for customers in requests]
        return await asyncio.gather(*posts)


def test_requests_at_the_same_time_are_scored_at_once_and_each_gets_its_own():
    served = Counting()
    requests = [[_customer(10 * i + j) for j in range(i % 3 + 1)] for i in range(20)]
    answers = asyncio.run(_asked(create_app(Models(served)), *requests))
    for customers, answer in zip(requests, answers, strict=True):
        scores = answer.json()["scores"]
        assert [scored["customer_id"] for scored in scores] == [one["customer_id"] for one in customers]
        alone = served.bundle.score_rows(customers)
        assert [scored["score"] for scored in scores] == pytest.approx(alone.tolist(), abs=1e-7)
    assert sum(served.sizes) == sum(map(len, requests))
    assert len(served.sizes) < len(requests)


def test_an_overflow_is_the_fault_of_its_own_request():
    asked = [[_customer(1)], [_customer(2), _customer(0, EXTREME)], [_customer(3)]]
    answers = asyncio.run(_asked(create_app(Models(Counting())), *asked))
    assert [answer.status_code for answer in answers] == [200, 422, 200]
    assert [fault["row"] for fault in answers[1].json()["faults"]] == [1]


def _told(asked: list[tuple[Served, dict, int]]) -> list[dict]:
    """What each of these models says of its customer, all being asked together, with so many reasons."""

    async def all_of_them() -> list[Answer]:
        together = Together()
        bodies = [json.dumps({"customers": [customer]}).encode() for _, customer, _ in asked]
        return await asyncio.gather(
            *(
                together.answer(served, served.read_quickly(body), n_reasons)
                for (served, _, n_reasons), body in zip(asked, bodies, strict=True)
            )
        )

    return [json.loads(answer.body)["scores"][0] for answer in asyncio.run(all_of_them())]


def test_a_request_keeps_the_model_it_began_with():
    old, new = Counting(threshold=0.5), Counting(threshold=0.6)
    told = _told([(served, _customer(0), 0) for served in (old, new, old, new)])
    assert [one["model_version"] for one in told] == [old.model_version, new.model_version] * 2
    assert old.sizes == new.sizes == [2]


def test_reasons_at_the_same_time_are_each_ones_own():
    served = Served(explained("logistic"))
    customers = [{"recency_days": 90 * i, "plan": f"pro{i % 2}"} for i in range(6)]
    told = _told([(served, customer, i % 3) for i, customer in enumerate(customers)])
    for i, (one, customer) in enumerate(zip(told, customers, strict=True)):
        alone = json.loads(served.answer(json.dumps({"customers": [customer]}).encode(), i % 3).body)
        (wanted,) = alone["scores"]
        assert one["score"] == pytest.approx(wanted["score"], abs=1e-7)
        assert len(one.get("reasons", [])) == i % 3
        for reason, same in zip(one.get("reasons", []), wanted.get("reasons", []), strict=True):
            assert reason["column"] == same["column"]
            assert reason["effect"] == pytest.approx(same["effect"], abs=1e-6)


def test_no_two_answers_have_one_name():
    told = _told([(served, _customer(0), 0) for served in [Counting()] * 40])
    assert len({one["prediction_id"] for one in told}) == len(told)


def test_a_caller_that_has_gone_takes_nobody_along():
    served = Counting()

    async def one_leaves() -> int:
        together = Together()
        customers = served.read_quickly(json.dumps({"customers": [_customer(0)]}).encode())
        asked = [asyncio.ensure_future(together.answer(served, customers)) for _ in range(3)]
        await asyncio.sleep(0)
        asked[1].cancel()
        done = await asyncio.gather(*asked, return_exceptions=True)
        return sum(isinstance(one, asyncio.CancelledError) for one in done)

    assert asyncio.run(one_leaves()) == 1


class Reading(Served):
    """Remembers the texts that the graph was given."""

    texts: list[list[str]]

    def score(self, rows: Rows):
        self.texts = self.bundle.categories.texts(rows.category_NC, rows.others).tolist()
        return super().score(rows)


def test_texts_that_the_model_does_not_know_keep_their_rows():
    tier = COLUMNS[-1]
    served = Reading(make_bundle([tier, tier.model_copy(update={"name": "plan"})]))
    asked = [["1", "new"], ["newer", "new"], ["2", None], ["newest", "other"]]
    _told([(served, dict(zip([tier.name, "plan"], texts, strict=True)), 0) for texts in asked])
    assert served.texts == [[text or "" for text in texts] for texts in asked]


class Failing(Counting):
    """Fails where one of the customers has more than any other."""

    def score(self, rows: Rows):
        if (rows.numeric_NF == EXTREME).any():
            raise RuntimeError("the graph failed")
        return super().score(rows)


def test_a_failure_of_the_graph_is_told_to_whoever_caused_it_and_stands_in_the_log(capsys):
    served = Failing()
    asked = [[_customer(1)], [_customer(0, EXTREME)], [_customer(3)]]
    app = protected(create_app(Models(served)), Meter(), Protection(access_log_ratio=0), paths=PATHS)
    answers = asyncio.run(_asked(app, *asked))
    assert [answer.status_code for answer in answers] == [200, 500, 200]
    (name,) = re.findall(r"[0-9a-f]{32}", answers[1].text)
    assert "the graph failed" not in answers[1].text
    log = capsys.readouterr().out
    assert name in log
    assert "RuntimeError: the graph failed" in log
