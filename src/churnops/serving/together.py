"""Scoring together what is asked at the same time: ten rows take the graph little longer than one."""

import asyncio
from itertools import chain
from typing import Any

from churnops.serving.model import OK, Answer, Served, refused
from churnops.serving.quick import Customers
from churnops.serving.request import Refusal

_Asked = tuple[Customers, asyncio.Future[Answer]]


class Together:
    """Scores once for all requests that were read in the same turn of the event loop.

    Nothing waits for others to come: a request that is alone is scored at once.
    """

    def __init__(self) -> None:
        self._asked: dict[tuple[Served, int], list[_Asked]] = {}
        self._loop: asyncio.AbstractEventLoop  # of those who ask

    async def answer(self, served: Served, customers: Customers, n_reasons: int = 0) -> Answer:
        """What `served` says of a few customers; raises what the graph raises for them."""
        if not self._asked:
            self._loop = asyncio.get_running_loop()  # a system call, in Python 3.11
            self._loop.call_soon(self._answer_all)
        answered: asyncio.Future[Answer] = self._loop.create_future()
        self._asked.setdefault((served, n_reasons), []).append((customers, answered))
        return await answered

    def _answer_all(self) -> None:
        asked, self._asked = self._asked, {}
        for (served, n_reasons), requests in asked.items():
            _answer(served, n_reasons, requests)


def _answer(served: Served, n_reasons: int, requests: list[_Asked]) -> None:
    told: list[dict[str, Any]] | Refusal | Exception
    try:
        rows = served.rows(_joined([customers for customers, _ in requests]), n_reasons)
        told = served.told(rows, served.explained(rows))
    except Exception as error:  # noqa: BLE001  # whoever asked hears of it
        told = error
    if len(requests) > 1 and not isinstance(told, list):
        for one in requests:  # so that one that makes the graph fail takes nobody along
            _answer(served, n_reasons, [one])
        return
    first = 0
    for customers, answered in requests:
        last = first + len(customers.ids)
        if answered.done():  # its caller has gone
            pass
        elif isinstance(told, Exception):
            answered.set_exception(told)
        elif isinstance(told, Refusal):
            answered.set_result(refused(told))
        else:
            answered.set_result(Answer(OK, served.written(told[first:last])))
        first = last


def _joined(parts: list[Customers]) -> Customers:
    if len(parts) == 1:
        return parts[0]
    return Customers(*([*chain.from_iterable(values)] for values in zip(*parts, strict=True)))
