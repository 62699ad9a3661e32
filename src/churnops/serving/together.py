"""Scoring together what is asked at the same time: ten rows take the graph little longer than one."""

import asyncio

import numpy as np

from churnops.serving.model import Served
from churnops.serving.quick import Rows


class Together:
    """Scores once for all requests that were read in the same turn of the event loop.

    Nothing waits for others to come: a request that is alone is scored at once.
    """

    def __init__(self) -> None:
        self._asked: dict[Served, list[tuple[Rows, asyncio.Future[np.ndarray]]]] = {}

    async def score(self, served: Served, rows: Rows) -> np.ndarray:
        """As `served.score`, for a few rows."""
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._answer)
        scored: asyncio.Future[np.ndarray] = loop.create_future()
        self._asked.setdefault(served, []).append((rows, scored))
        return await scored

    def _answer(self) -> None:
        asked, self._asked = self._asked, {}
        try:
            for served, requests in asked.items():
                score_N = served.score(joined([rows for rows, _ in requests]))
                first = 0
                for rows, scored in requests:
                    last = first + len(rows)
                    if not scored.done():  # its caller may have gone
                        scored.set_result(score_N[first:last])
                    first = last
        finally:  # had the graph failed, nobody must wait for ever
            for requests in asked.values():
                for _, scored in requests:
                    scored.cancel()


def joined(parts: list[Rows]) -> Rows:
    """All rows, in their order."""
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
    )
