"""What other servers answer: by the address that was named, in bounded time, and so many bytes at most."""

import io
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.client import HTTPException, HTTPResponse
from socket import socket
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

_PART_BYTES = 1 << 16


class Refused(OSError):
    """An answer whose status is none of success; the text has what it says."""


def fetched(request: str | Request, *, until: float, most_bytes: int) -> Iterator[bytes]:
    """The parts of an answer's body as they come, the last before `until`, by the monotonic clock.

    Raises TimeoutError after that, also where the head trickles in; ValueError for more bytes; Refused also
    where it sends elsewhere, since what was asked, and a login, is for that server alone; OSError and
    HTTPException for an answer that cannot be had, or is not whole.
    """
    opener = build_opener(_NoRedirect, _Handler(until))
    try:
        with opener.open(request, timeout=_left(until)) as answer:
            n_bytes = 0
            while part := answer.read1(_PART_BYTES):
                n_bytes += len(part)
                if n_bytes > most_bytes:
                    raise ValueError(f"there is no end after {most_bytes:,} bytes")
                yield part
            if answer.length:
                raise ConnectionError(f"the answer lacks {answer.length:,} bytes at its end")
    except HTTPError as error:
        with error:
            raise Refused(f"status {error.code}: {_said(error)}") from None


def _said(error: HTTPError) -> str:
    if 300 <= error.code < 400:
        # Without the query: it may be what opens that address.
        to = error.headers.get("location", "").partition("?")[0][:200]
        return f"it sends to {to!r}, which is not followed: name the address that answers"
    with suppress(OSError, HTTPException):
        return error.read(1000).decode(errors="replace")
    return ""


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the answer takes too long")
    return left


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """None: the address was checked, another was not."""


class _Handler(HTTPHandler, HTTPSHandler):
    """For both schemes."""

    def __init__(self, until: float) -> None:
        super().__init__()
        self._until = until

    def do_open(self, http_class: Any, req: Request, **arguments: Any) -> HTTPResponse:
        def connection(*args: Any, **named: Any) -> Any:
            made = http_class(*args, **named)
            made.response_class = partial(_Response, self._until)
            return made

        return super().do_open(connection, req, **arguments)


class _Response(HTTPResponse):
    def __init__(self, until: float, sock: socket, **named: Any) -> None:
        super().__init__(sock, **named)
        self.fp = io.BufferedReader(_Incoming(sock, self.fp.detach(), until))


class _Incoming(io.RawIOBase):
    """What comes on a socket until a moment; the socket's own timeout is one for each part."""

    def __init__(self, sock: socket, raw: io.RawIOBase, until: float) -> None:
        self._socket, self._raw, self._until = sock, raw, until

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """How many bytes came."""
        self._socket.settimeout(_left(self._until))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """End the connection."""
        self._raw.close()
        super().close()
