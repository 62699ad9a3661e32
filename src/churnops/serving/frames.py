"""What passes of an Arrow IPC stream to Arrow's own reader: batches that fit into memory.

The format: arrow.apache.org/docs/format/Columnar.html, "Serialization and Interprocess Communication".
A message is two words of four bytes, its metadata (a flatbuffer) and its body; the reader asks for each.
"""

import struct
from collections.abc import Callable

from churnops.serving.payloads import Fault
from churnops.serving.request import Refusal

MAX_BATCH_BYTES = 64 << 20
MAX_BATCH_ROWS = 1_000_000
FILE_START = b"ARRO"
"""Of the word "ARROW1". No stream begins so: it would be the length of metadata of more than a gigabyte."""

FILE = Refusal(422, (Fault(problem="an Arrow file", expected="an Arrow IPC stream"),))

_WORD = 4
_HEADER_TYPE, _HEADER = 1, 2  # fields of Message
_DICTIONARY_BATCH = 2  # a type of header
_ID, _DATA, _IS_DELTA = 0, 1, 2  # its fields; the second holds a RecordBatch
_COMPRESSION = 3  # a field of RecordBatch
_LARGE = Fault(problem="a batch is too large", expected=f"at most {MAX_BATCH_BYTES:,} bytes in each")
_LARGE_TOGETHER = Fault(
    problem="the dictionaries are too large", expected=f"at most {MAX_BATCH_BYTES:,} bytes in all of them"
)
_GROWS = Fault(problem="a dictionary is sent in pieces", expected="whole dictionaries, without deltas")
_PACKED = Fault(
    problem="a batch is compressed", expected="batches that are not: they may unpack to any size at all"
)


class StreamRefused(Exception):
    """What was read so far cannot be scored, or what comes must not be read."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


class Frames:
    """The file that Arrow's reader reads; raises StreamRefused for what may take any amount of memory."""

    closed = False

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._has_begun = self._is_metadata_next = False
        self._dictionary: int | None = None
        """Whose values come next."""
        self._dictionary_bytes: dict[int, int] = {}

    def read(self, n: int) -> bytes:
        """So many bytes, fewer only at the end."""
        if n > MAX_BATCH_BYTES:
            raise StreamRefused(Refusal(413, (_LARGE,)))
        if self._dictionary is not None:
            self._dictionary_bytes[self._dictionary] = n  # in the place of those it had
            self._dictionary = None
            if sum(self._dictionary_bytes.values()) > MAX_BATCH_BYTES:
                raise StreamRefused(Refusal(413, (_LARGE_TOGETHER,)))
        content = self._read(n)
        if not self._has_begun and content == FILE_START:
            raise StreamRefused(FILE)
        self._has_begun = True
        if self._is_metadata_next and n > _WORD:
            self._dictionary = check_message(content)
        self._is_metadata_next = n == _WORD
        return content

    def close(self) -> None:
        """Nothing: whoever opened what is read closes it."""


def check_message(metadata: bytes, body_bytes: int = 0) -> int | None:
    """The id of the dictionary in it, if it holds one.

    Raises StreamRefused for a message whose body is large or compressed, or adds to a dictionary: one that
    grows is copied for each batch.
    """
    if body_bytes > MAX_BATCH_BYTES:
        raise StreamRefused(Refusal(413, (_LARGE,)))
    try:
        (root,) = struct.unpack_from("<I", metadata)
        kind, header = _field(metadata, root, _HEADER_TYPE), _field(metadata, root, _HEADER)
        batch = _followed(metadata, header)
        dictionary = None
        if metadata[kind] == _DICTIONARY_BATCH:
            dictionary, grows = _number(metadata, batch, _ID), _field(metadata, batch, _IS_DELTA)
            if grows and metadata[grows]:
                raise StreamRefused(Refusal(422, (_GROWS,)))
            batch = _followed(metadata, _field(metadata, batch, _DATA))
        if _field(metadata, batch, _COMPRESSION):
            raise StreamRefused(Refusal(422, (_PACKED,)))
    except (struct.error, IndexError):  # it is no message, as Arrow will say
        return None
    return dictionary


def _number(message: bytes, table: int, number: int) -> int:
    """The value of a field of eight bytes."""
    at = _field(message, table, number)
    return int(struct.unpack_from("<q", message, at)[0]) if at else 0


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
