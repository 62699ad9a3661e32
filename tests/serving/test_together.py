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
from churnops.serving.model import Explained, Models, Served
from churnops.serving.protected import protected
from churnops.serving.protection import Protection
from churnops.serving.quick import Rows
from churnops.serving.together import Together

FLAT = COLUMNS[0].model_copy(update={"maximum": 1e-3})
EXTREME = 3e38
ZEROS = b'{"customers": [{"tenure months": 0, "b": 0}]}'


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


def test_a_request_keeps_the_model_it_began_with():
    old, new = Counting(threshold=0.5), Counting(threshold=0.6)

    async def both() -> list[float]:
        together = Together()
        scored = [together.score(served, served.read_quickly(ZEROS)) for served in (old, new, old, new)]
        return [float(found.score_N[0]) for _, found in await asyncio.gather(*scored)]

    assert len(set(asyncio.run(both()))) == 1
    assert old.sizes == new.sizes == [2]


def test_reasons_at_the_same_time_are_each_ones_own():
    served = Served(explained("logistic"))
    bodies = [b'{"customers": [{"recency_days": %d, "plan": "pro%d"}]}' % (90 * i, i % 2) for i in range(6)]

    async def all_of_them() -> list[tuple[Rows, Explained]]:
        together = Together()
        asked = (together.score(served, served.read_quickly(body), i % 3) for i, body in enumerate(bodies))
        return await asyncio.gather(*asked)

    for i, (one, found) in enumerate(asyncio.run(all_of_them())):
        alone = served.explained(served.read(bodies[i], i % 3))
        assert found.score_N == pytest.approx(alone.score_N, abs=1e-7)
        assert [len(each) for each in found.reasons] == [one.reasons] * bool(one.reasons)
        for each, wanted in zip(found.reasons, alone.reasons, strict=True):
            assert [reason.column for reason in each] == [reason.column for reason in wanted]
            assert [reason.effect for reason in each] == pytest.approx(
                [reason.effect for reason in wanted], abs=1e-6
            )


def test_a_caller_that_has_gone_takes_nobody_along():
    served = Counting()

    async def one_leaves() -> int:
        together = Together()
        customers = served.read_quickly(ZEROS)
        asked = [asyncio.ensure_future(together.score(served, customers)) for _ in range(3)]
        await asyncio.sleep(0)
        asked[1].cancel()
        done = await asyncio.gather(*asked, return_exceptions=True)
        return sum(isinstance(one, asyncio.CancelledError) for one in done)

    assert asyncio.run(one_leaves()) == 1


class Failing(Counting):
    """Fails where one of the customers has more than any other."""

    def score(self, rows: Rows):
        if (rows.numeric_NF == EXTREME).any():
            raise RuntimeError("the graph failed")
        return super().score(rows)


def test_texts_that_the_model_does_not_know_keep_their_rows():
    tier = COLUMNS[-1]
    served = Served(make_bundle([tier, tier.model_copy(update={"name": "plan"})]))
    asked = [["1", "new"], ["newer", "new"], ["2", None], ["newest", "other"]]
    customers = [dict(zip([tier.name, "plan"], texts, strict=True)) for texts in asked]

    async def all_of_them() -> list[tuple[Rows, Explained]]:
        together = Together()
        bodies = [json.dumps({"customers": [customer]}).encode() for customer in customers]
        return await asyncio.gather(*(together.score(served, served.read_quickly(body)) for body in bodies))

    for (rows, _), texts in zip(asyncio.run(all_of_them()), asked, strict=True):
        read = served.bundle.categories.texts(rows.category_NC, rows.others)
        assert read.tolist() == [[text or "" for text in texts]]


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
