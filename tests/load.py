"""Requests without end over kept-alive connections, and a look at every answer."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Expected = Mapping[str, Mapping[int, float]]
"""Model version -> customer -> score."""


@dataclass
class Load:
    """Asks for scores from `connections` at once, in a thread, until `stop`, and counts what is wrong."""

    port: int
    bodies: Sequence[bytes]
    expected: Expected
    connections: int = 16
    answered: int = 0
    by_version: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Requests that failed, and answers of no one model."""
    closed: int = 0
    """Connections that the server closed between two answers, as it may when it ends."""

    def __enter__(self) -> "Load":
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=60)

    async def _run(self) -> None:
        await asyncio.gather(*(self._ask(number) for number in range(self.connections)))

    async def _ask(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            while not self._ended.is_set():
                number += 1
                body = self.bodies[number % len(self.bodies)]
                head = b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
                writer.write(head + body)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self._look(head, await reader.readexactly(length))
        except asyncio.IncompleteReadError as error:
            self.closed += 1
            if error.partial:
                self.wrong.append(f"half an answer: {error.partial!r}")
        except ConnectionError:
            self.closed += 1
        finally:
            writer.close()

    def _look(self, head: bytes, answer: bytes) -> None:
        self.answered += 1
        if not head.startswith(b"HTTP/1.1 200"):
            self.wrong.append(f"{head!r} {answer!r}")
            return
        scores = json.loads(answer)["scores"]
        version = scores[0]["model_version"]
        self.by_version[version] += 1
        known = self.expected.get(version, {})
        for row in scores:
            if row["model_version"] != version or row["score"] != known.get(row["customer_id"]):
                self.wrong.append(f"mixed: {row}")
