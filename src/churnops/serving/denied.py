"""Why a caller is not let in, and how it is told (RFC 6750)."""

from starlette.types import Send

from churnops.serving.around import refuse
from churnops.serving.payloads import Fault


class Denied(Exception):
    """Why a caller is not let in: the HTTP status and what OAuth calls the error."""

    def __init__(self, status: int, error: str, problem: str) -> None:
        self.status, self.error, self.problem = status, error, problem
        super().__init__(problem)


async def deny(send: Send, denied: Denied) -> None:
    """Answer a caller that is not let in."""
    error = f', error="{denied.error}"' if denied.error else ""
    challenge = (b"www-authenticate", f'Bearer realm="churnops"{error}'.encode())
    expected = "Authorization: Bearer <key or token>, as who runs this service gave it to you"
    await refuse(send, denied.status, Fault(problem=denied.problem, expected=expected), challenge)
