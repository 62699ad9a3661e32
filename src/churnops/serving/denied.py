"""Why a caller is not let in, and how it is told (RFC 6750)."""

from starlette.types import Send

from churnops.serving.around import refuse
from churnops.serving.payloads import Fault

_HOW = "Authorization: Bearer <key or token>, as who runs this service gave it to you"


class Denied(Exception):
    """Why a caller is not let in: the HTTP status and what OAuth calls the error.

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
    error = f', error="{denied.error}"' if denied.error else ""
    challenge = (b"www-authenticate", f'Bearer realm="churnops"{error}'.encode())
    await refuse(send, denied.status, Fault(problem=denied.problem, expected=_HOW), challenge)
