"""An event loop that takes up the connections that wait as fast as they come.

libuv takes up one in each turn of its loop. Where a turn takes ten milliseconds that is a hundred a second:
the others wait in the kernel, for seconds, and a server that does not see them never finds itself overloaded.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

import structlog
import uvloop

_MOST_AT_ONCE = 256
_OUT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_SECONDS = 0.1


class Loop(uvloop.Loop):
    """uvloop's, whose servers on a socket that listens are `Listening`."""

    async def create_server(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        """As asyncio has it; what uvicorn asks of a server, a `Listening` can do."""
        sock = options.get("sock")
        if sock is None or options.get("ssl"):
            return await super().create_server(protocol_factory, *args, **options)
        return Listening(self, protocol_factory, sock)


class Listening:
    """Takes up connections: twice as many in a turn as in the one before where that was not enough.

    An idle process begins with one, so that others that share the socket have theirs.
    """

    def __init__(self, loop: Loop, factory: Callable[[], asyncio.BaseProtocol], sock: socket.socket) -> None:
        self._loop, self._factory, self._socket = loop, factory, sock
        self._at_once = 1
        self._opening: set[asyncio.Task[Any]] = set()
        self._paused: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Take up no more; what was taken up goes on."""
        if self._paused:
            self._paused.cancel()
        self._loop.remove_reader(self._socket)

    async def wait_closed(self) -> None:
        """Until connections that were being taken up are."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _listen(self) -> None:
        self._paused = None
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        try:
            for _ in range(self._at_once):
                connection, _ = self._socket.accept()
                opening = self._loop.create_task(
                    self._loop.connect_accepted_socket(self._factory, connection)
                )
                self._opening.add(opening)
                opening.add_done_callback(self._opened)
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            self._at_once = max(1, self._at_once // 2)
        except OSError as error:
            if error.errno not in _OUT_OF:
                raise
            # They wait in the kernel until others end; looking at once again would take all time there is.
            structlog.get_logger().error("connections cannot be taken up", error=str(error))
            self._loop.remove_reader(self._socket)
            self._paused = self._loop.call_later(_PAUSE_SECONDS, self._listen)
        else:
            self._at_once = min(2 * self._at_once, _MOST_AT_ONCE)

    def _opened(self, opening: asyncio.Task[Any]) -> None:
        self._opening.discard(opening)
        if not opening.cancelled() and (error := opening.exception()):
            structlog.get_logger().warning("a connection was lost at once", error=str(error))
