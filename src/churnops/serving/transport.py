"""When a connection is read, and when what is written to it is sent."""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """As uvicorn's, but it does not read on while the connection `is_behind` with its answers.

    So what waits in one connection is bounded.
    """

    def __init__(self, transport: asyncio.Transport, is_behind: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._is_behind = is_behind

    def resume_reading(self) -> None:
        """Read on, if nothing waits that was read."""
        if self.read_paused and not self._is_behind():
            super().resume_reading()


class Corked:
    """A transport that sends the head of an answer and its body at once.

    uvicorn writes them one after the other: two system calls, two packets.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held = b""
        self.is_closing = transport.is_closing
        self.get_write_buffer_size = transport.get_write_buffer_size

    def write(self, data: bytes) -> None:
        """Send it with what comes next in this turn of the loop; nothing waits for another turn."""
        if not self._held:
            self._held = data
            self._loop.call_soon(self.uncork)
        elif not self.is_closing():  # else the caller has gone
            held, self._held = self._held, b""
            self._transport.writelines((held, data))

    def uncork(self) -> None:
        """Send what is held."""
        held, self._held = self._held, b""
        if held and not self.is_closing():
            self._transport.write(held)

    def close(self) -> None:
        """Send what is held, and no more."""
        self.uncork()
        self._transport.close()

    def abort(self) -> None:
        """Send nothing more."""
        self._held = b""
        self._transport.abort()
