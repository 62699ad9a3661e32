"""Reading a whole body of bounded size, and answering in words where it cannot be had."""

from starlette.responses import Response
from starlette.types import Receive

from churnops.serving.model import refused
from churnops.serving.payloads import Fault
from churnops.serving.request import Refusal


async def read_body(receive: Receive, most_bytes: int) -> bytes | Refusal | None:
    """The body that comes from `receive`; None where the caller has gone before its end."""
    message = await receive()
    body = message.get("body", b"")
    if message.get("more_body", False):
        body = bytearray(body)
    while True:
        if message["type"] == "http.disconnect":
            return None
        if len(body) > most_bytes:
            large = Fault(problem="the body is too large", expected=f"at most {most_bytes:,} bytes")
            return Refusal(413, (large,))
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()
        body += message.get("body", b"")


def refusal_response(refusal: Refusal) -> Response:
    """Every fault as JSON."""
    status, body = refused(refusal)
    return Response(body, status, media_type="application/json")
