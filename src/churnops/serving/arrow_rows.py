"""Customers as Arrow and Parquet, and scores as Arrow. Only what gets or gives a table imports this."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churnops.bundle.manifest import Manifest
from churnops.bundle.tables import column_kinds, matrices, misfits
from churnops.serving.columns import (
    MAX_ROWS,
    NOBODY,
    PIECE_ROWS,
    TOO_MANY,
    Parts,
    refused_names,
    refused_values,
)
from churnops.serving.frames import Frames, StreamRefused
from churnops.serving.model import Served, prediction_ids
from churnops.serving.payloads import ID, MAX_ID_CHARACTERS, Fault
from churnops.serving.quick import Rows
from churnops.serving.request import Refusal

_MAX_UNPACKED_BYTES = 256 << 20
_ANSWER = (
    pa.field("score", pa.float64(), nullable=False),
    pa.field("decision", pa.bool_(), nullable=False),
    pa.field("model_version", pa.dictionary(pa.int8(), pa.string()), nullable=False),
    pa.field("prediction_id", pa.string(), nullable=False),
)
_KEY = ("customer_id", "as_of")

NOT_ARROW = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What Arrow raises for bytes that are not what they should be."""


def read_arrow(manifest: Manifest, body: bytes) -> Rows | Refusal:
    """The customers in `body`, an Arrow IPC stream."""
    file = pa.PythonFile(Frames(io.BytesIO(body).read), mode="r")
    try:
        with pa.ipc.open_stream(file) as stream:
            return refused_schema(manifest, stream.schema) or _read(manifest, stream.schema, stream)
    except StreamRefused as ended:
        return ended.refusal
    except NOT_ARROW as error:
        return not_arrow(error)


def read_parquet(manifest: Manifest, body: bytes) -> Rows | Refusal:
    """The customers in `body`, a Parquet file."""
    inputs = {column.name for column in manifest.inputs}
    try:
        metadata = pq.read_metadata(pa.BufferReader(body))
        schema = metadata.schema.to_arrow_schema()
        refused = refused_schema(manifest, schema)
        if refused:
            return refused
        unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if metadata.num_rows > MAX_ROWS or unpacked > _MAX_UNPACKED_BYTES:
            return TOO_MANY
        names = [name for name in schema.names if name in {*inputs, "customer_id"}]
        # Texts stay dictionaries: one long text, repeated, is small in the file and would not be in memory.
        with pq.ParquetFile(pa.BufferReader(body), read_dictionary=names) as file:
            kept = pa.schema([file.schema_arrow.field(name) for name in names])
            return _read(manifest, kept, file.iter_batches(PIECE_ROWS, columns=names))
    except NOT_ARROW as error:
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


def validate(batch: pa.RecordBatch) -> None:
    """Raise, if anything in it points outside of its own bytes: to read that would end the process."""
    batch.validate(full=True)


def rows_of(manifest: Manifest, batch: pa.RecordBatch) -> Rows | Refusal:
    """The customers of a batch whose schema is good, without their ids."""
    rows = Rows(*matrices(manifest, batch), [None] * batch.num_rows)
    return refused_values(manifest, rows) or rows


def answer_schema(asked: pa.Schema) -> pa.Schema:
    """Of the scores of such a table: its key as it came, where it has one, and what `Scores` holds."""
    return pa.schema([*(field for field in asked if field.name in _KEY), *_ANSWER])


def answered(served: Served, batch: pa.RecordBatch, scores: list[float]) -> pa.RecordBatch:
    """The scores of the customers of `batch`."""
    schema = answer_schema(batch.schema)
    threshold = served.manifest.threshold
    columns = {
        "score": pa.array(scores, pa.float64()),
        "decision": pa.array([score >= threshold for score in scores], pa.bool_()),
        "model_version": pa.DictionaryArray.from_arrays(
            pa.repeat(pa.scalar(0, pa.int8()), len(scores)), [served.model_version]
        ),
        "prediction_id": pa.array(prediction_ids(len(scores)), pa.string()),
    }
    arrays = [columns[name] if name in columns else batch[name] for name in schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def written(served: Served, parts: Parts) -> bytes:
    """The scores of customers that came in any form, as an Arrow IPC stream."""
    ids = [one for rows, _ in parts for one in rows.customer_ids]
    keys = pa.table({} if all(one is None for one in ids) else {"customer_id": _ids(ids)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, answer_schema(keys.schema)) as stream:
        start = 0
        for _, scores in parts:
            (key,) = keys.slice(start, len(scores)).to_batches() or [keys]
            stream.write_batch(answered(served, key, scores))
            start += len(scores)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def not_arrow(error: Exception) -> Refusal:
    """What is said of a body that is no Arrow stream."""
    return Refusal(
        422, (Fault(problem=f"not an Arrow stream: {error}", expected="a whole Arrow IPC stream"),)
    )


def _ids(ids: list[str | int | None]) -> pa.Array:
    """Whole numbers of 64 bits where all are, else text."""
    if all(one is None or (isinstance(one, int) and -(1 << 63) <= one < 1 << 63) for one in ids):
        return pa.array(ids, pa.int64())
    return pa.array([None if one is None else str(one) for one in ids], pa.string())


def _read(manifest: Manifest, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Rows | Refusal:
    table = pa.Table.from_batches(_no_more(batches), schema)
    if table.num_rows > MAX_ROWS:
        return TOO_MANY
    if not table.num_rows:
        return NOBODY
    (batch,) = table.combine_chunks().to_batches()
    rows = rows_of(manifest, batch)
    if isinstance(rows, Refusal) or "customer_id" not in schema.names:
        return rows
    ids = batch["customer_id"]
    if pa.types.is_dictionary(ids.type) and _longest(ids.dictionary) > MAX_ID_CHARACTERS:
        long = Fault(column="customer_id", problem="text that is too long", expected=ID)
        return Refusal(422, (long,))
    return replace(rows, customer_ids=ids.to_pylist())


def _longest(texts: pa.Array) -> int:
    return int(pc.max(pc.utf8_length(texts.cast(pa.string()))).as_py() or 0)


def _no_more(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Good batches, up to one more than may come."""
    rows = 0
    for batch in batches:
        validate(batch)
        yield batch
        rows += batch.num_rows
        if rows > MAX_ROWS:
            return
