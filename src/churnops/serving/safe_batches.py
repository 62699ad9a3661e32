"""Batches that callers sent, as they may be read: what they say of themselves is not believed."""

from collections.abc import Container
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.types as is_type

from churnops.bundle.views import claimed_bytes, without_null_views
from churnops.serving.frames import StreamRefused
from churnops.serving.payloads import Fault
from churnops.serving.request import Refusal


@dataclass(frozen=True)
class _Levels:
    """Of a dictionary."""

    sent: pa.Array
    checked: pa.Array
    claimed_bytes: int


class SafeBatches:
    """Of one stream, whose schema is good: columns of numbers, times and texts, plain or as dictionaries.

    The other columns may be of any type, and cost more to check than they have bytes: they are left out.
    """

    def __init__(self, names: Container[str], most_bytes: int, *, are_kept: bool = False) -> None:
        """Views may claim `most_bytes`, in each batch or, where these are kept, in all of them."""
        self._names, self._most_bytes, self._are_kept = names, most_bytes, are_kept
        self._levels: dict[str, _Levels] = {}
        self._claimed_bytes = 0
        """Beside those of the levels."""

    def checked(self, sent: pa.RecordBatch) -> pa.RecordBatch:
        """The columns that are read, if nothing in them points outside of its bytes: that ends the process.

        Raises ArrowInvalid where something does, and StreamRefused where views claim too much.
        """
        names = [name for name in sent.schema.names if name in self._names]
        batch = sent.select(names) if len(names) < sent.num_columns else sent
        if not any(map(_may_claim_more, batch.schema.types)):
            batch.validate(full=True)
            return batch
        batch.validate()  # that no buffer is too short, and not yet what is in them
        if not self._are_kept:
            self._claimed_bytes = 0
        columns = [self._column(*named) for named in zip(names, batch.columns, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    def _column(self, name: str, sent: pa.Array) -> pa.Array:
        if is_type.is_dictionary(sent.type) and (
            is_type.is_string_view(sent.type.value_type) or len(sent.dictionary) > len(sent)
        ):
            sent.indices.validate(full=True)
            levels = self._levels_of(name, sent.dictionary)
            # This looks whether the indices are those of levels.
            return pa.DictionaryArray.from_arrays(sent.indices, levels, ordered=sent.type.ordered)
        column, claimed = self._values(sent)
        self._claimed_bytes += claimed
        return column

    def _levels_of(self, name: str, sent: pa.Array) -> pa.Array:
        """Checked once, not once a batch: there may be millions, and a batch may have one row."""
        known = self._levels.get(name)
        if known and _are_same(known.sent, sent):
            return known.checked
        if known:
            del self._levels[name]
            self._claimed_bytes += known.claimed_bytes * self._are_kept
        levels = self._levels[name] = _Levels(sent, *self._values(sent))
        return levels.checked

    def _values(self, sent: pa.Array) -> tuple[pa.Array, int]:
        if not is_type.is_string_view(sent.type):
            sent.validate(full=True)
            return sent, 0
        column = without_null_views(sent)
        claimed = claimed_bytes(column)
        others = self._claimed_bytes + sum(levels.claimed_bytes for levels in self._levels.values())
        if others + claimed > self._most_bytes:
            expected = f"at most {self._most_bytes:,} bytes together, each as often as it stands there"
            raise StreamRefused(Refusal(413, (Fault(problem="the texts are too long", expected=expected),)))
        column.validate(full=True)  # reads each text, also where many are the same bytes
        return column, claimed


def _may_claim_more(kind: pa.DataType) -> bool:
    """Than there are bytes in a batch."""
    return bool(is_type.is_dictionary(kind) or is_type.is_string_view(kind))


def _are_same(one: pa.Array, other: pa.Array) -> bool:
    """Whether both are the same bytes in memory."""
    return _places(one) == _places(other)


def _places(array: pa.Array) -> list[object]:
    buffers = [(buffer.address, buffer.size) if buffer else None for buffer in array.buffers()]
    return [len(array), array.offset, *buffers]
