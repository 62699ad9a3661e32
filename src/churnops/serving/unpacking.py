"""Parquet, unpacked in a process of its own that has so much memory and no more.

A few kilobytes may unpack to any size, and what a file says of its own size can be forged. The same process
bears what a damaged file might do to the reader; the server itself parses nothing of a file.
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
from typing import TYPE_CHECKING

import msgspec

from churnops.serving.payloads import Fault
from churnops.serving.request import Refusal

if TYPE_CHECKING:
    import pyarrow.parquet as pq

MAX_UNPACKED_BYTES = 256 << 20
MAX_DESCRIPTION_BYTES = 1 << 20  # the footer, and what it says of columns: a thousand take a fifth of it
_WORKING_BYTES = 512 << 20  # beside what the process takes before it reads
_WORK_SECONDS = 5.0  # of a processor: what is allowed takes one
_SECONDS = 20.0  # on a busy machine, which may have to start the process, too
_SIZE_BYTES = 8
_ALIGNED_ROWS = 16_384
_GOOD, _MALFORMED, _LARGE = b"+", b"-", b"!"

LARGE = Refusal(
    413,
    (Fault(problem="the file unpacks to too much", expected=f"at most {MAX_UNPACKED_BYTES >> 20} MiB"),),
)
LONG_FOOTER = Refusal(
    413,
    (Fault(problem="the file's footer is too long", expected=f"at most {MAX_DESCRIPTION_BYTES >> 20} MiB"),),
)


class Malformed(ValueError):
    """A file that is no Parquet, or damaged."""


class Unpacker:
    """The process, which is started when first asked for, and anew after a file that was too much for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    def described(self, body: bytes) -> tuple[int, bytes] | Refusal:
        """How many rows a Parquet file says it has, and its schema as a message of Arrow IPC.

        Raises Malformed.
        """
        footer_bytes = int.from_bytes(body[-8:-4], "little") if body.endswith(b"PAR1") else 0
        if MAX_DESCRIPTION_BYTES < footer_bytes < len(body):
            return LONG_FOOTER
        said = self._said(b"null", body)
        if isinstance(said, Refusal):
            return said
        return int.from_bytes(said[:_SIZE_BYTES], "little", signed=True), said[_SIZE_BYTES:]

    def columns(self, body: bytes, names: Sequence[str]) -> bytes | Refusal:
        """These columns of a Parquet file, as an Arrow IPC stream whose texts are dictionaries.

        Raises Malformed.
        """
        return self._said(msgspec.json.encode(names), body)

    def close(self) -> None:
        """End the process."""
        if self._process and self._connection:
            self._connection.close()
            self._process.kill()
            self._process.join()
        self._process = self._connection = None

    def _said(self, *parts: bytes) -> bytes | Refusal:
        with self._lock:
            if self._process and not self._process.is_alive():  # ended by another, without work
                self.close()
            try:
                said = self._asked(*parts) or _LARGE
            except (OSError, EOFError):  # it has died of the file
                said = _LARGE
            kind, content = said[:1], said[1:]
            if kind == _LARGE:  # what it has kept of the file would count against the next
                self.close()
                return LARGE
        if kind == _MALFORMED:
            raise Malformed(content.decode())
        return content

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
    import pyarrow.parquet as pq  # before the bound

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks will end it
    pa.set_cpu_count(1)
    pa.set_memory_pool(pa.system_memory_pool())  # others keep what is free, and that counts
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _WORKING_BYTES,) * 2)
    with suppress(EOFError):
        while True:
            names = msgspec.json.decode(connection.recv_bytes(), type=list[str] | None)
            body = connection.recv_bytes()
            signal.setitimer(signal.ITIMER_PROF, _WORK_SECONDS)  # the signal ends the process
            try:
                # A long text, repeated, is small in the file and would not be in memory: hence dictionaries.
                with pq.ParquetFile(pa.BufferReader(body), read_dictionary=names) as file:
                    answer = _GOOD + (
                        _described(file) if names is None else _unpacked(file, names, len(body))
                    )
            except MemoryError:
                answer = _LARGE
            except (pa.ArrowException, OSError, LookupError, UnicodeDecodeError) as error:
                said = str(error)  # Thrift tells of memory in words only
                answer = _LARGE if "bad_alloc" in said else _MALFORMED + said.encode()
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send_bytes(answer)


def _described(file: "pq.ParquetFile") -> bytes:
    schema: bytes = file.schema_arrow.remove_metadata().serialize().to_pybytes()
    if len(schema) > MAX_DESCRIPTION_BYTES:
        raise MemoryError
    n_rows: int = file.metadata.num_rows
    return n_rows.to_bytes(_SIZE_BYTES, "little", signed=True) + schema


def _unpacked(file: "pq.ParquetFile", names: Sequence[str], file_bytes: int) -> bytes:
    """Raises MemoryError for what is too much, before it is unpacked where the footer does not lie."""
    import pyarrow as pa

    packed, unpacked = _sizes(file.metadata, names)
    if packed > file_bytes or unpacked > MAX_UNPACKED_BYTES:  # more than is there: the same bytes many times
        raise MemoryError
    written = io.BytesIO()
    schema = pa.schema([file.schema_arrow.field(name) for name in names])
    with pa.ipc.new_stream(written, schema) as stream:
        for batch in file.iter_batches(_ALIGNED_ROWS, columns=names, use_threads=False):
            stream.write_batch(batch)
            if written.tell() > MAX_UNPACKED_BYTES:
                raise MemoryError
    return written.getvalue()


def _sizes(metadata: "pq.FileMetaData", names: Sequence[str]) -> tuple[int, int]:
    """How many bytes these columns have, packed and unpacked, as the footer says."""
    wanted = {*names}
    columns = [j for j in range(metadata.num_columns) if metadata.schema.column(j).path in wanted]
    packed = unpacked = 0
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        for j in columns:
            chunk = group.column(j)
            packed += max(chunk.total_compressed_size, 0)
            unpacked += max(chunk.total_uncompressed_size, 0)
    return packed, unpacked
