"""Scoring together what is asked at the same time: ten rows take the graph little longer than one."""

import asyncio

import numpy as np

from churnops.serving.model import Explained, Served
from churnops.serving.quick import Rows

_Asked = tuple[Rows, asyncio.Future[Explained]]


class Together:
    """Scores once for all requests that were read in the same turn of the event loop.

    Nothing waits for others to come: a request that is alone is scored at once.
    """

    def __init__(self) -> None:
        self._asked: dict[tuple[Served, int], list[_Asked]] = {}

    async def score(self, served: Served, rows: Rows) -> Explained:
        """As `served.explained`, for a few rows; raises what the graph raises for them."""
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._answer)
        scored: asyncio.Future[Explained] = loop.create_future()
        self._asked.setdefault((served, rows.reasons), []).append((rows, scored))
        return await scored

    def _answer(self) -> None:
        asked, self._asked = self._asked, {}
        for (served, _), requests in asked.items():
            _score(served, requests)


def _score(served: Served, requests: list[_Asked]) -> None:
    try:
        score_N, reasons = served.explained(joined([rows for rows, _ in requests]))
    except Exception as error:  # noqa: BLE001  # whoever asked hears of it
        if len(requests) > 1:
            for one in requests:  # so that one that makes the graph fail takes nobody along
                _score(served, [one])
            return
        if not requests[0][1].done():
            requests[0][1].set_exception(error)
        return
    first = 0
    for rows, scored in requests:
        last = first + len(rows)
        if not scored.done():  # its caller may have gone
            scored.set_result(Explained(score_N[first:last], reasons[first:last]))
        first = last


def joined(parts: list[Rows]) -> Rows:
    """All rows, in their order; each part asks for as many reasons as the first."""
    others: list[str] = []
    categories = []
    for rows in parts:
        category_NC = rows.category_NC
        categories.append(
            np.where(category_NC < 0, category_NC - len(others), category_NC) if others else category_NC
        )
        others += rows.others
    return Rows(
        np.concatenate([rows.numeric_NF for rows in parts]),
        np.concatenate(categories),
        [customer_id for rows in parts for customer_id in rows.customer_ids],
        others,
        parts[0].reasons,
    )
