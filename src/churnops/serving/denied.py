"""Why a caller is not let in, and how it is told (RFC 6750)."""

import time
from collections import Counter

import structlog
from starlette.types import Send

from churnops.serving.around import refuse
from churnops.serving.payloads import Fault

_TOLD_SECONDS = 10
_HOW = "Authorization: Bearer <key or token>, as who runs this service gave it to you"


class Denied(Exception):
    """Why a caller is not let in: the HTTP status, what OAuth calls the error, and what it is in words.

    The words are for the caller, the log and a header: ours, without anything that the caller sent.
    With `retry_seconds` it is no fault of the caller: the same request may be good after them.
    """

    def __init__(self, status: int, error: str, problem: str, *, retry_seconds: int = 0) -> None:
        self.status, self.error, self.problem = status, error, problem
        self.retry_seconds = retry_seconds
        super().__init__(problem)


async def deny(send: Send, denied: Denied) -> None:
    """Answer a caller that is not let in."""
    if denied.retry_seconds:
        seconds = denied.retry_seconds
        later = Fault(problem=denied.problem, expected=f"the same request in {seconds} seconds")
        await refuse(send, denied.status, later, (b"retry-after", b"%d" % seconds))
        return
    error = f', error="{denied.error}", error_description="{denied.problem}"' if denied.error else ""
    challenge = (b"www-authenticate", f'Bearer realm="churnops"{error}'.encode())
    await refuse(send, denied.status, Fault(problem=denied.problem, expected=_HOW), challenge)


class Refusals:
    """What the log says of callers that are not let in.

    A line for each reason, and the next one for it ten seconds later with the number of all since, so that
    nobody fills the log.
    """

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}
        self._since: Counter[str] = Counter()

    def note(self, denied: Denied) -> None:
        """One more was not let in."""
        reason, now = denied.problem, time.monotonic()
        self._since[reason] += 1
        if now - self._told_at.get(reason, -_TOLD_SECONDS) >= _TOLD_SECONDS:
            self._told_at[reason] = now
            n = self._since.pop(reason)
            structlog.get_logger().info("not let in", status=denied.status, reason=reason, requests=n)
