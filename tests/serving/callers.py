"""A server in a process of its own, and callers as good and as bad as they come."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2

from churnops.bundle.bundle import Bundle, write_bundle


@dataclass(frozen=True)
class Server:
    """A server that listens."""

    pid: int
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def resident_bytes(self) -> int:
        """The memory it holds."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * 4096


@contextmanager
def serving(bundle: Bundle, folder: Path, config: str = "", *options: str) -> Iterator[Server]:
    """`churnops serve` of `bundle`, with `config` as its file; ended at the end."""
    write_bundle(bundle, folder / "bundle")
    (folder / "serving.toml").write_text(config)
    log = folder / "serving.log"
    command = [sys.executable, "-m", "churnops", "serve", "--bundle", str(folder / "bundle"), "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--config", str(folder / "serving.toml"), *options],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Server(process.pid, _port(process, log), log)
        httpx2.get(f"{server.url}/livez", timeout=30)  # the port is open before workers are there
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        found = re.search(rb"http://127\.0\.0\.1:(\d+)", log.read_bytes())
        if found:
            return int(found[1])
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def request_bytes(body: bytes, path: str = "/v1/score", headers: str = "") -> bytes:
    """A POST as it goes over the wire."""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Answered:
    """What one request came to."""

    status: int
    seconds: float
    head: bytes


class Caller:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, wire: bytes) -> Answered:
        """Send a request and read its answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        begun = time.perf_counter()
        writer.write(wire)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        return Answered(int(head[9:12]), time.perf_counter() - begun, head)

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()
            self._streams = None


async def closed_loop(port: int, wire: bytes, callers: int, seconds: float, *, kept: bool) -> list[Answered]:
    """Callers that ask again once they are answered, each on a connection that is `kept`, or on new ones."""
    until = time.perf_counter() + seconds

    async def one() -> list[Answered]:
        caller, answers = Caller(port), []
        while time.perf_counter() < until:
            answers.append(await _timed(caller, wire))
            if not kept:
                await caller.close()
        await caller.close()
        return answers

    return [
        answer for answers in await asyncio.gather(*(one() for _ in range(callers))) for answer in answers
    ]


async def at_rate(port: int, wire: bytes, rate: float, seconds: float, *, kept: bool) -> list[Answered]:
    """Requests that come whether or not others were answered.

    Each comes on a connection of its own or, `kept`, on a free one of those that are open.
    """
    free: list[Caller] = []
    answers: list[Answered] = []

    async def one() -> None:
        caller = free.pop() if free else Caller(port)
        answers.append(await _timed(caller, wire))
        if kept:
            free.append(caller)
        else:
            await caller.close()

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for i in range(int(rate * seconds)):
            due = begun + i / rate
            if due > time.perf_counter() + 0.001:
                await asyncio.sleep(due - time.perf_counter())
            tasks.create_task(one())
    for caller in free:
        await caller.close()
    return answers


async def _timed(caller: Caller, wire: bytes) -> Answered:
    """With the time that a connection takes."""
    begun = time.perf_counter()
    answer = await caller.ask(wire)
    return replace(answer, seconds=time.perf_counter() - begun)


@contextmanager
def apart(server: Server) -> Iterator[None]:
    """The server on one core and its callers on another, where there are two: else each waits for each."""
    cores = os.sched_getaffinity(0)
    first, *others = sorted(cores)
    for thread in Path(f"/proc/{server.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {first})
    os.sched_setaffinity(0, {*others[:1]} or {first})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
