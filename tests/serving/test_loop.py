"""Connections that wait are taken up in time."""

import asyncio
import os
import resource
import socket
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from churnops.serving.loop import Loop

CALLERS = 120


@pytest.fixture
def waiting():
    """A socket that listens, and callers whose connections wait there."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=CALLERS))
        address = listener.getsockname()
        callers = [stack.enter_context(socket.create_connection(address)) for _ in range(CALLERS)]
        yield listener, callers


class _Greets(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"hello")
        transport.close()


def _run(scenario):
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(scenario())


def test_a_crowd_is_taken_up_in_a_few_turns_of_the_loop(waiting):
    listener, callers = waiting

    async def turns():
        met = []
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: met.append(1) or _Greets(), sock=listener)
        taken = 0
        while len(met) < CALLERS:
            await asyncio.sleep(0)
            taken += 1
        server.close()
        await server.wait_closed()
        return taken

    assert _run(turns) < CALLERS / 3
    assert {caller.recv(5) for caller in callers} == {b"hello"}


def test_an_idle_process_leaves_connections_to_the_others(waiting):
    listener, _ = waiting

    async def shared():
        loop, by = asyncio.get_running_loop(), []
        with listener.dup() as same:
            servers = [
                await loop.create_server(lambda i=i: by.append(i) or _Greets(), sock=one)
                for i, one in enumerate([listener, same])
            ]
            while len(by) < CALLERS:
                await asyncio.sleep(0)
            for server in servers:
                server.close()
        return min(by.count(0), by.count(1))

    assert _run(shared) > CALLERS / 4


def test_connections_for_which_there_are_no_files_wait_until_there_are(waiting):
    listener, callers = waiting
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def scarce():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Greets, sock=listener)
        open_files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names of numbers
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, before[1]))
        await asyncio.sleep(0.3)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for caller in callers:
            caller.setblocking(False)
            assert await asyncio.wait_for(loop.sock_recv(caller, 5), 5) == b"hello"
        server.close()

    try:
        with capture_logs() as logs:
            _run(scarce)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    told = [one for one in logs if one["event"] == "connections cannot be taken up"]
    assert 1 <= len(told) < 6


def test_a_closed_server_takes_up_nobody(waiting):
    listener, callers = waiting

    async def closed():
        server = await asyncio.get_running_loop().create_server(_Greets, sock=listener)
        server.close()
        await asyncio.sleep(0.05)
        await server.wait_closed()

    _run(closed)
    callers[0].settimeout(0.05)
    with pytest.raises(TimeoutError):
        callers[0].recv(1)
