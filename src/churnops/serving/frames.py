"""What passes of an Arrow IPC stream to Arrow's own reader: batches that fit into memory.

The format: arrow.apache.org/docs/format/Columnar.html, "Serialization and Interprocess Communication".
A message is two words of four bytes, its metadata (a flatbuffer) and its body; the reader asks for each.
"""

import struct
from collections.abc import Callable

from churnops.serving.payloads import Fault
from churnops.serving.request import Refusal

MAX_BATCH_BYTES = 64 << 20
_WORD = 4
_HEADER_TYPE, _HEADER = 1, 2  # fields of Message
_DICTIONARY_BATCH, _DATA = 2, 1  # a type of header, and its field that holds a RecordBatch
_COMPRESSION = 3  # a field of RecordBatch
_LARGE = Fault(problem="a batch is too large", expected=f"at most {MAX_BATCH_BYTES:,} bytes in each")
_PACKED = Fault(
    problem="a batch is compressed", expected="batches that are not: they may unpack to any size at all"
)


class StreamRefused(Exception):
    """What was read so far cannot be scored, or what comes must not be read."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


class Frames:
    """The file that Arrow's reader reads; raises StreamRefused for batches that are large or compressed."""

    closed = False

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._is_metadata_next = False

    def read(self, n: int) -> bytes:
        """So many bytes, fewer only at the end."""
        if n > MAX_BATCH_BYTES:
            raise StreamRefused(Refusal(413, (_LARGE,)))
        content = self._read(n)
        if self._is_metadata_next and n > _WORD:
            check_message(content)
        self._is_metadata_next = n == _WORD
        return content

    def close(self) -> None:
        """Nothing: whoever opened what is read closes it."""


def check_message(metadata: bytes, body_bytes: int = 0) -> None:
    """Raise StreamRefused for a message whose body is large or compressed."""
    if body_bytes > MAX_BATCH_BYTES:
        raise StreamRefused(Refusal(413, (_LARGE,)))
    if _is_compressed(metadata):
        raise StreamRefused(Refusal(422, (_PACKED,)))


def _is_compressed(message: bytes) -> bool:
    """Whether the body of a message is; not, where it is no message: Arrow will say so."""
    try:
        (root,) = struct.unpack_from("<I", message)
        kind, header = _field(message, root, _HEADER_TYPE), _field(message, root, _HEADER)
        batch = _followed(message, header)
        if message[kind] == _DICTIONARY_BATCH:
            batch = _followed(message, _field(message, batch, _DATA))
        return _field(message, batch, _COMPRESSION) != 0
    except (struct.error, IndexError):
        return False


def _field(message: bytes, table: int, number: int) -> int:
    """Where a field of the table is; 0 where it is not there."""
    (back,) = struct.unpack_from("<i", message, table)
    (size,) = struct.unpack_from("<H", message, table - back)
    if 4 + 2 * number >= size:
        return 0
    (offset,) = struct.unpack_from("<H", message, table - back + 4 + 2 * number)
    return table + int(offset) if offset else 0


def _followed(message: bytes, at: int) -> int:
    (offset,) = struct.unpack_from("<I", message, at)
    return at + int(offset)
