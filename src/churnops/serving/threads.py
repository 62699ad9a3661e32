"""Long work, beside the loop that answers short requests."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from churnops.errors import Overloaded

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """So many at once, so many more waiting, and no others."""

    def __init__(self, most: int = 16, at_once: int | None = None) -> None:
        n = at_once or min(most, len(os.sched_getaffinity(0)))
        self._pool = ThreadPoolExecutor(n, thread_name_prefix="long")
        self._free = threading.Semaphore(most)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns; raises Overloaded at once where too many wait.

        Cancelled, it takes work that has not begun from the queue; work that has begun ends unheard.
        """
        if not self._free.acquire(blocking=False):
            raise Overloaded("too many long requests at once")
        try:
            future = self._pool.submit(function, *args, **kwargs)
        except RuntimeError:
            self._free.release()
            raise
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def _release(self, _: Any) -> None:
        self._free.release()
