"""Connections that cannot be held open, nor filled without end, nor queue more than is borne."""

import asyncio
import re
from collections.abc import Set
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from churnops.serving.around import Around
from churnops.serving.metrics import ERRORS
from churnops.serving.transport import Corked, Flow

_MAX_HEADER_BYTES = 64 << 10
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")
_UPGRADE = re.compile(rb"(?i)(?<=\n)upgrade(?=[ \t]*:)")
_SLOWEST_BYTES_PER_SECOND = 64_000
_SWEEP_SECONDS = 1.0
# As many requests as these may hold wait parsed; what comes after them waits as bytes.
_PIECE_BYTES = 16 << 10


class GuardedConnection(HttpToolsProtocol):
    """uvicorn's connection, with the limits of the app it serves, which is an `Around`.

    uvicorn itself waits for ever for headers and bodies, and for callers to read their answers.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        around = config.loaded_app
        if not isinstance(around, Around):
            raise TypeError(f"{type(self).__name__} serves an app that is an Around, not {around}")
        self._around = around
        self._limits = around.limits
        self._since: float | None = None  # when what is awaited was begun: a request's headers and body
        self._bytes = 0
        self._no_body = 0  # bytes since the last one of a body: headers, what stands around chunks, trailers
        self._header_bytes = 0
        self._in_headers = True
        self._is_between = True  # no part of the next request was parsed yet
        self._idle_since: float | None = None
        self._unread, self._unread_since = 0, 0.0
        self._unparsed = b""
        self._is_broken = False  # what comes now is not heard
        self._is_ended = False  # the connection ends once everything is answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or close it where there are too many."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it
        self.flow = Flow(self.transport, self._is_behind)
        self._corked = Corked(self.transport, self.loop)
        self.transport = self._corked  # type: ignore[assignment]
        self._since = self.loop.time()
        if len(self.connections) > self._limits.connections:
            self._around.meter.count(ERRORS, "too_many_connections")
            self.transport.close()
        if not self._around.watched:
            self._around.watched = True
            self._around.meter.in_flight = self._unfinished
            self.loop.call_later(_SWEEP_SECONDS, _sweep, self._around, self.connections, self.loop)

    def data_received(self, data: bytes) -> None:
        """Parse, or keep for later where requests wait already."""
        if self._unparsed:
            self._unparsed += data
            return
        start = 0
        while start < len(data) and not (self._is_broken or self.transport.is_closing()):
            if self.pipeline:
                self._unparsed = data[start:]
                self.flow.pause_reading()
                return
            end = start + _PIECE_BYTES
            if self._is_between and end < len(data):  # headers stay in one piece
                end = max(end, 3 + data.find(b"\n\r\n", start, start + _MAX_HEADER_BYTES))
            self._parse(data[start:end])
            start = end

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for it
        """The caller sends no more. It gets what it asked for; the connection ends then, or now."""
        self._is_ended = True
        self._corked.uncork()
        is_answering = self._is_answering()
        if is_answering:
            self._since = None  # what was begun after that is not waited for
        return is_answering

    def on_response_complete(self) -> None:
        """Go on with what came after the request that was answered."""
        super().on_response_complete()
        if self._unparsed and not self.pipeline:
            self.loop.call_soon(self._parse_on)
        self.flow.resume_reading()
        self._end_if_asked()

    def _parse_on(self) -> None:
        data, self._unparsed = self._unparsed, b""
        self.data_received(data)
        self.flow.resume_reading()
        self._end_if_asked()

    def _is_behind(self) -> bool:
        return bool(self.pipeline or self._unparsed)

    def _is_answering(self) -> bool:
        """Whether a request is whole and has no answer yet."""
        cycle = self.cycle
        return self._is_behind() or bool(cycle and not cycle.response_complete and not cycle.more_body)

    def _end_if_asked(self) -> None:
        if self._is_ended and not self._is_answering():
            self.transport.close()

    def _ends_later(self) -> bool:
        """Whether earlier requests have to be answered first. What came now is not heard then."""
        if self._is_answering():
            self._is_broken = self._is_ended = True
            self._unparsed, self._since = b"", None
        return self._is_broken

    def _parse(self, data: bytes) -> None:
        """End a connection whose headers or trailers have no end."""
        self._bytes += len(data)
        self._no_body += len(data)
        super().data_received(_not_upgrading(data) if self._is_between else data)
        if self._since and self.cycle and self.cycle.response_started and not self.cycle.response_complete:
            # A stream, which is answered as it comes: it may last, but not stand still.
            self._since, self._bytes = self.loop.time(), 0
        if self._no_body > _MAX_HEADER_BYTES:
            self._drop("headers_too_large")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._since = self.loop.time()
        self._bytes = self._no_body = self._header_bytes = 0
        self._is_between = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is there; trailers, which come after the body, are nobody's."""
        if self._in_headers:
            self._header_bytes += len(name) + len(value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start to answer, or say at once that there is too much of it, or that too many wait."""
        self._in_headers = False
        if self._is_broken:
            return
        if self._header_bytes > _MAX_HEADER_BYTES:
            self._turn_away(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large")
            return
        if self.parser.should_upgrade():  # its body would not be read, and pass for the next request
            self._turn_away(HTTPStatus.BAD_REQUEST, "upgrade")
            return
        over = len(self.tasks) >= self._limits.in_flight <= self._unfinished()
        self.app = self._around.overloaded if over else self._around
        super().on_headers_complete()

    def _unfinished(self) -> int:
        # Those that are done go in the next turn of the loop.
        return sum(not task.done() for task in self.tasks)

    def on_body(self, body: bytes) -> None:
        """A part of the body is there."""
        self._no_body = 0
        if not (self._is_broken or self.transport.is_closing()):
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is there."""
        self._since = None
        self._no_body = 0
        self._is_between = self._in_headers = True  # of the next one
        if not (self._is_broken or self.transport.is_closing()):
            super().on_message_complete()

    def resume_writing(self) -> None:
        """The caller reads."""
        self._unread_since = self.loop.time()
        super().resume_writing()

    def check(self, now: float) -> None:
        """End the connection of a caller that sends or reads too slowly."""
        if self.flow.read_paused:
            self._since = None if self._since is None else now  # it is we who are slow
        allowed = self._limits.arrival_seconds + self._bytes / _SLOWEST_BYTES_PER_SECOND
        if self._since is not None and now - self._since > allowed:
            self._drop("slow_caller")
            return
        if self._is_idle(now):
            self.transport.close()
        unread = self.transport.get_write_buffer_size()
        if not unread or unread < self._unread or not self._unread:
            self._unread_since = now
        self._unread = unread
        if now - self._unread_since > self._limits.arrival_seconds:
            self._drop("slow_reader")

    def _is_idle(self, now: float) -> bool:
        """Whether nothing was asked for long. uvicorn's own timer ends with any byte that comes."""
        waits = self._since is not None or self.timeout_keep_alive_task is not None
        if waits or self._is_behind() or (self.cycle and not self.cycle.response_complete):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        return self._idle_since is not None and now - self._idle_since > self._limits.idle_seconds

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP."""
        self._around.meter.count(ERRORS, "not_http")
        if self._ends_later():
            return
        if self.cycle and self.cycle.more_body and self.cycle.response_started:
            self.transport.close()  # it has an answer, or a part of one
        else:
            super().send_400_response(msg)

    def _turn_away(self, status: HTTPStatus, cause: str) -> None:
        self._around.meter.count(ERRORS, cause)
        if self._ends_later():
            return
        line = f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        self.transport.write(f"{line}content-length: 0\r\nconnection: close\r\n\r\n".encode())
        self.transport.close()

    def _drop(self, cause: str) -> None:
        if not self.transport.is_closing() or self._unread:
            self._around.meter.count(ERRORS, cause)
            self.transport.abort()


def _not_upgrading(data: bytes) -> bytes:
    """The wish to go on in another protocol is not heard, as it need not be (RFC 9110, 7.8).

    The parser would stop after the headers, with the body unread; Java's client asks it of every server.
    """
    most = data.find(b"\n\r\n", 0, _MAX_HEADER_BYTES)  # the body may be long
    most = _MAX_HEADER_BYTES if most < 0 else most
    if data.find(b"pgrade", 0, most) < 0 and data.find(b"PGRADE", 0, most) < 0:
        return data
    end = _HEAD_ENDS.search(data)
    head = end.end() if end else len(data)
    return _UPGRADE.sub(b"ignored", data[:head]) + data[head:]


def _sweep(around: Around, connections: Set[object], loop: asyncio.AbstractEventLoop) -> None:
    now = loop.time()
    for connection in [*connections]:
        if isinstance(connection, GuardedConnection):
            connection.check(now)
    around.watched = bool(connections)
    if connections:
        loop.call_later(_SWEEP_SECONDS, _sweep, around, connections, loop)
