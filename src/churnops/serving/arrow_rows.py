"""Customers as Arrow and Parquet, and scores as Arrow. Only what gets or gives a table imports this."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churnops.bundle.bundle import Bundle
from churnops.bundle.manifest import Manifest
from churnops.bundle.tables import category_numbers, column_kinds, misfits, numeric_matrix, with_used_levels
from churnops.bundle.whole_numbers import whole_numbers
from churnops.serving.columns import (
    MAX_ROWS,
    NOBODY,
    PIECE_ROWS,
    TOO_MANY,
    Parts,
    refused_id,
    refused_names,
    refused_values,
)
from churnops.serving.frames import FILE, FILE_START, MAX_BATCH_BYTES, Frames, StreamRefused, check_message
from churnops.serving.model import ROW_DIGITS, Served, prediction_start
from churnops.serving.payloads import MAX_ID_CHARACTERS, Fault
from churnops.serving.quick import Rows
from churnops.serving.request import SHOWN_FAULTS, Refusal
from churnops.serving.safe_batches import SafeBatches
from churnops.serving.unpacking import Malformed, unpacker

_ANSWER = (
    pa.field("score", pa.float64(), nullable=False),
    pa.field("decision", pa.bool_(), nullable=False),
    pa.field("model_version", pa.dictionary(pa.int8(), pa.string()), nullable=False),
    pa.field("prediction_id", pa.string(), nullable=False),
)
_KEY = ("customer_id", "as_of")
_HEXADECIMAL = np.frombuffer(b"0123456789abcdef", np.uint8)
_ONE_THREAD = pa.ipc.IpcReadOptions(use_threads=False)

NOT_ARROW = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What Arrow raises for bytes that are not what they should be."""


@dataclass(frozen=True)
class _Ids(Sequence[str | int | None]):
    """Those of a table, made Python's own only where they are asked for."""

    column: pa.Array

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, which: Any) -> Any:
        return _Ids(self.column[which]) if isinstance(which, slice) else self.column[which].as_py()

    def __iter__(self) -> Iterator[str | int | None]:
        return iter(self.column.to_pylist())


def open_arrow(read: Callable[[int], bytes]) -> pa.RecordBatchReader:
    """The Arrow IPC stream that `read` gives; raises StreamRefused for what must not be read."""
    return pa.ipc.open_stream(pa.PythonFile(Frames(read), mode="r"), options=_ONE_THREAD)


def read_arrow(bundle: Bundle, body: bytes) -> Rows | Refusal:
    """The customers in `body`, an Arrow IPC stream."""
    if body.startswith(FILE_START):
        return FILE
    try:
        for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(body)):
            check_message(message.metadata, message.body.size if message.body else 0)
        with pa.ipc.open_stream(pa.BufferReader(body), options=_ONE_THREAD) as stream:
            return refused_schema(bundle.manifest, stream.schema) or _read(bundle, stream, len(body))
    except StreamRefused as ended:
        return ended.refusal
    except NOT_ARROW as error:
        return not_arrow(error)


def read_parquet(bundle: Bundle, body: bytes) -> Rows | Refusal:
    """The customers in `body`, a Parquet file."""
    inputs = {column.name for column in bundle.manifest.inputs}
    try:
        described = unpacker().described(body)
        if isinstance(described, Refusal):
            return described
        n_rows, message = described
        schema = pa.ipc.read_schema(pa.BufferReader(message))
        refused = refused_schema(bundle.manifest, schema)
        if refused:
            return refused
        if n_rows > MAX_ROWS:
            return TOO_MANY
        names = [name for name in schema.names if name in {*inputs, "customer_id"}]
        content = unpacker().columns(body, names)
        if isinstance(content, Refusal):
            return content
        with pa.ipc.open_stream(pa.BufferReader(content), options=_ONE_THREAD) as stream:
            return _read(bundle, stream, len(content))
    except StreamRefused as ended:
        return ended.refusal
    except (Malformed, *NOT_ARROW) as error:
        return Refusal(422, (Fault(problem=f"not Parquet: {error}", expected="a whole Parquet file"),))


def refused_schema(manifest: Manifest, schema: pa.Schema) -> Refusal | None:
    """What is wrong with the columns of a table, but for their values."""
    refused = refused_names(manifest, schema.names)
    if refused:
        return refused
    wanted = column_kinds(manifest) | {"customer_id": "text or whole numbers"}
    faults = [
        Fault(column=name, problem=f"type is {kind}", expected=wanted[name])
        for name, kind in misfits(wanted, schema).items()
    ]
    return Refusal(422, tuple(faults)) if faults else None


def safe_batches(manifest: Manifest, most_bytes: int, *, are_kept: bool = False) -> SafeBatches:
    """With the columns that are read: those of the model, and the key."""
    names = {*_KEY, *(column.name for column in manifest.inputs)}
    return SafeBatches(names, most_bytes, are_kept=are_kept)


def rows_of(bundle: Bundle, batch: pa.RecordBatch) -> Rows | Refusal:
    """The customers of a batch whose schema is good."""
    others: dict[str, int] = {}
    category_NC = category_numbers(bundle.categorical, batch, bundle.categories, others=others)
    has_ids = "customer_id" in batch.schema.names
    ids: Sequence[str | int | None] = _Ids(batch["customer_id"]) if has_ids else [None] * batch.num_rows
    rows = Rows(numeric_matrix(bundle.numeric, batch), category_NC, ids, (*others,))
    faults = _refused_ids(batch["customer_id"]) if has_ids else []
    return refused_values(bundle, rows, faults) or rows


def answer_schema(asked: pa.Schema) -> pa.Schema:
    """Of the scores of such a table: its key as it came, where it has one, and what `Scores` holds."""
    return pa.schema([*(field for field in asked if field.name in _KEY), *_ANSWER])


def answered(
    served: Served, schema: pa.Schema, key: Mapping[str, pa.Array] | pa.RecordBatch, scores: list[float]
) -> pa.RecordBatch:
    """Scores as `schema` (of `answer_schema`) has them, with the customers' `key`."""
    n = len(scores)
    score_N = np.array(scores, dtype=np.float64)
    is_decided = np.packbits(score_N >= served.manifest.threshold, bitorder="little")
    version = served.model_version.encode()
    columns = {
        "score": _array(pa.float64(), n, score_N),
        "decision": _array(pa.bool_(), n, is_decided),
        "model_version": pa.DictionaryArray.from_arrays(
            _array(pa.int8(), n, np.zeros(n, np.int8)),
            _array(pa.string(), 1, np.array([0, len(version)], np.int32), version),
        ),
        "prediction_id": _prediction_ids(n),
    }
    arrays = [columns[name] if name in columns else key[name] for name in schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def written(served: Served, parts: Parts) -> bytes:
    """The scores of customers that came in any form, as an Arrow IPC stream."""
    ids = _ids_of([rows.customer_ids for rows, _ in parts])
    schema = answer_schema(pa.schema([] if ids is None else [("customer_id", ids.type)]))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        start = 0
        for _, scores in parts:
            key = {} if ids is None else {"customer_id": ids.slice(start, len(scores))}
            stream.write_batch(answered(served, schema, key, scores))
            start += len(scores)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def not_arrow(error: Exception) -> Refusal:
    """What is said of a body that is no Arrow stream."""
    return Refusal(
        422, (Fault(problem=f"not an Arrow stream: {error}", expected="a whole Arrow IPC stream"),)
    )


def _ids_of(parts: Sequence[Sequence[str | int | None]]) -> pa.Array | None:
    """As they came in a table; else whole numbers of 64 bits where all are, or text. None: there are none."""
    columns = [ids.column for ids in parts if isinstance(ids, _Ids)]
    if columns:
        return columns[0] if len(columns) == 1 else pa.concat_arrays(columns)
    ids = [*chain.from_iterable(parts)]
    if all(one is None for one in ids):
        return None
    if all(one is None or (isinstance(one, int) and -(1 << 63) <= one < 1 << 63) for one in ids):
        return pa.array(ids, pa.int64())
    return pa.array([None if one is None else str(one) for one in ids], pa.string())


@cache
def _row_digits() -> np.ndarray:
    """In hexadecimal, for as many rows as are answered at once."""
    shifts_D = 4 * np.arange(ROW_DIGITS)[::-1]
    digits_ND: np.ndarray = _HEXADECIMAL[np.arange(PIECE_ROWS)[:, None] >> shifts_D & 15]
    return digits_ND


def _prediction_ids(n: int) -> pa.Array:
    """As `prediction_ids`, in a tenth of the time."""
    start = np.frombuffer(prediction_start().encode(), np.uint8)
    written_ND = np.empty((n, len(start) + ROW_DIGITS), np.uint8)
    written_ND[:, : len(start)] = start
    written_ND[:, len(start) :] = _row_digits()[:n]
    ends = np.arange(n + 1, dtype=np.int32) * written_ND.shape[1]
    return _array(pa.string(), n, ends, written_ND)


def _array(kind: pa.DataType, n: int, *buffers: Any) -> pa.Array:
    """Of `n` values without a null, from its buffers."""
    return pa.Array.from_buffers(kind, n, [None, *map(pa.py_buffer, buffers)])


def _read(bundle: Bundle, stream: pa.RecordBatchReader, n_bytes: int) -> Rows | Refusal:
    batches = safe_batches(bundle.manifest, max(MAX_BATCH_BYTES, n_bytes), are_kept=True)
    read = [batches.checked(batch) for batch in _no_more(stream)]
    n = sum(batch.num_rows for batch in read)
    if n > MAX_ROWS:
        return TOO_MANY
    if not n:
        return NOBODY
    read = [batch for batch in read if batch.num_rows]
    (batch,) = read if len(read) == 1 else pa.Table.from_batches(read).combine_chunks().to_batches()
    rows = rows_of(bundle, batch)
    if isinstance(rows, Refusal) or not isinstance(rows.customer_ids, _Ids):
        return rows
    ids = rows.customer_ids.column
    if pa.types.is_dictionary(ids.type):
        used = with_used_levels(ids)
        levels = used.dictionary
        texts = levels.cast(pa.string()) if pa.types.is_string_view(levels.type) else levels
        ids = pa.DictionaryArray.from_arrays(used.indices, texts).dictionary_decode()
        return replace(rows, customer_ids=_Ids(ids))
    return rows


def _refused_ids(ids: pa.Array) -> list[Fault]:
    if pa.types.is_dictionary(ids.type):
        used = with_used_levels(ids)
        lengths = pc.utf8_length(used.dictionary.cast(pa.large_string())).take(used.indices)
    elif pa.types.is_integer(ids.type) or pa.types.is_null(ids.type):
        return []
    else:  # there is no such function of views
        lengths = pc.utf8_length(ids.cast(pa.string()) if pa.types.is_string_view(ids.type) else ids)
    length_N = whole_numbers(lengths, null=1)
    rows = np.flatnonzero((length_N == 0) | (length_N > MAX_ID_CHARACTERS))[: SHOWN_FAULTS + 1].tolist()
    return [refused_id(row, int(length_N[row])) for row in rows]


def _no_more(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Up to one more than may come."""
    rows = 0
    for batch in batches:
        yield batch
        rows += batch.num_rows
        if rows > MAX_ROWS:
            return
