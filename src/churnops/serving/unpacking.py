"""Parquet, unpacked in a process of its own that has so much memory and no more.

A few kilobytes may unpack to any size, and what a file says of its own size can be forged. The same process
bears what a damaged file might do to the reader.
"""

import io
import multiprocessing
import resource
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import msgspec

from churnops.serving.payloads import Fault
from churnops.serving.request import Refusal

MAX_UNPACKED_BYTES = 256 << 20
_WORKING_BYTES = 512 << 20  # beside what the process takes before it reads
_SECONDS = 20.0
_ALIGNED_ROWS = 16_384
_GOOD, _MALFORMED, _LARGE = b"+", b"-", b"!"

LARGE = Refusal(
    413,
    (Fault(problem="the file unpacks to too much", expected=f"at most {MAX_UNPACKED_BYTES >> 20} MiB"),),
)


class Malformed(ValueError):
    """A file that is no Parquet, or damaged."""


class Unpacker:
    """The process, which is started when first asked for, and anew after a file that was too much for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    def columns(self, body: bytes, names: Sequence[str]) -> bytes | Refusal:
        """These columns of a Parquet file, as an Arrow IPC stream whose texts are dictionaries.

        Raises Malformed.
        """
        with self._lock:
            if self._process and not self._process.is_alive():  # ended by another, without work
                self.close()
            try:
                said = self._asked(msgspec.json.encode(names), body)
            except (OSError, EOFError):  # it has died of the file
                said = None
            if said is None:
                self.close()
                return LARGE
        kind, content = said[:1], said[1:]
        if kind == _MALFORMED:
            raise Malformed(content.decode())
        return content if kind == _GOOD else LARGE

    def close(self) -> None:
        """End the process."""
        if self._process and self._connection:
            self._connection.close()
            self._process.kill()
            self._process.join()
        self._process = self._connection = None

    def _asked(self, *parts: bytes) -> bytes | None:
        """Its answer; None where it takes too long."""
        if self._connection is None:
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_unpack_all, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        for part in parts:
            self._connection.send_bytes(part)
        return self._connection.recv_bytes() if self._connection.poll(_SECONDS) else None


@cache
def unpacker() -> Unpacker:
    """The one of this process."""
    return Unpacker()


def _unpack_all(connection: Connection) -> None:
    """What the process does: it ends when nobody is left to ask."""
    import pyarrow as pa
    import pyarrow.parquet  # before the bound

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks will end it
    pa.set_cpu_count(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _WORKING_BYTES,) * 2)
    with suppress(EOFError):
        while True:
            names, body = (
                msgspec.json.decode(connection.recv_bytes(), type=list[str]),
                connection.recv_bytes(),
            )
            try:
                answer = _GOOD + _unpacked(body, names)
            except MemoryError:
                answer = _LARGE
            except (pa.ArrowException, OSError) as error:
                answer = _MALFORMED + str(error).encode()
            connection.send_bytes(answer)


def _unpacked(body: bytes, names: Sequence[str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = io.BytesIO()
    # One long text, repeated, is small in the file and would not be in memory: texts stay dictionaries.
    with pq.ParquetFile(pa.BufferReader(body), read_dictionary=names) as file:
        schema = pa.schema([file.schema_arrow.field(name) for name in names])
        with pa.ipc.new_stream(written, schema) as stream:
            for batch in file.iter_batches(_ALIGNED_ROWS, columns=names, use_threads=False):
                stream.write_batch(batch)
                if written.tell() > MAX_UNPACKED_BYTES:
                    raise MemoryError
    return written.getvalue()
