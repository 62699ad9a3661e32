"""Scoring together what is asked at the same time: ten rows take the graph little longer than one."""

import asyncio
from itertools import chain

from churnops.serving.model import Explained, Served
from churnops.serving.quick import Customers, Rows

_Found = tuple[Rows, Explained]
_Asked = tuple[Customers, asyncio.Future[_Found]]


class Together:
    """Scores once for all requests that were read in the same turn of the event loop.

    Nothing waits for others to come: a request that is alone is scored at once.
    """

    def __init__(self) -> None:
        self._asked: dict[tuple[Served, int], list[_Asked]] = {}
        self._loop: asyncio.AbstractEventLoop  # of those who ask

    async def score(self, served: Served, customers: Customers, n_reasons: int = 0) -> _Found:
        """The rows of a few customers, and what `served` says of them; raises what the graph raises."""
        if not self._asked:
            self._loop = asyncio.get_running_loop()  # a system call, in Python 3.11
            self._loop.call_soon(self._answer)
        found: asyncio.Future[_Found] = self._loop.create_future()
        self._asked.setdefault((served, n_reasons), []).append((customers, found))
        return await found

    def _answer(self) -> None:
        asked, self._asked = self._asked, {}
        for (served, n_reasons), requests in asked.items():
            _score(served, n_reasons, requests)


def _score(served: Served, n_reasons: int, requests: list[_Asked]) -> None:
    try:
        rows = served.rows(_joined([customers for customers, _ in requests]), n_reasons)
        score_N, reasons = served.explained(rows)
    except Exception as error:  # noqa: BLE001  # whoever asked hears of it
        if len(requests) > 1:
            for one in requests:  # so that one that makes the graph fail takes nobody along
                _score(served, n_reasons, [one])
            return
        if not requests[0][1].done():
            requests[0][1].set_exception(error)
        return
    first = 0
    for customers, found in requests:
        part = slice(first, first + len(customers.ids))
        if not found.done():  # its caller may have gone
            found.set_result((rows[part], Explained(score_N[part], reasons[part])))
        first = part.stop


def _joined(parts: list[Customers]) -> Customers:
    if len(parts) == 1:
        return parts[0]
    return Customers(*([*chain.from_iterable(values)] for values in zip(*parts, strict=True)))
