"""Customers as Arrow and Parquet, and scores as Arrow. Only what gets or gives a table imports this."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as is_type

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
from churnops.serving.model import Served, prediction_ids
from churnops.serving.payloads import Fault
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


def read_arrow(manifest: Manifest, body: bytes) -> Rows | Refusal:
    """The customers in `body`, an Arrow IPC stream."""
    try:
        with pa.ipc.open_stream(body) as stream:
            return _read(manifest, stream.schema, _no_more(stream))
    except (pa.ArrowException, OSError) as error:
        return not_arrow(error)


def read_parquet(manifest: Manifest, body: bytes) -> Rows | Refusal:
    """The customers in `body`, a Parquet file."""
    try:
        with pq.ParquetFile(pa.BufferReader(body)) as file:
            metadata = file.metadata
            unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
            if metadata.num_rows > MAX_ROWS or unpacked > _MAX_UNPACKED_BYTES:
                return TOO_MANY
            return _read(manifest, file.schema_arrow, file.iter_batches(PIECE_ROWS))
    except (pa.ArrowException, OSError) as error:
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


def rows_of(manifest: Manifest, batch: pa.RecordBatch) -> Rows | Refusal:
    """The customers of a batch whose schema is good."""
    ids = batch["customer_id"].to_pylist() if "customer_id" in batch.schema.names else [None] * batch.num_rows
    rows = Rows(*matrices(manifest, batch), ids)
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
    return Refusal(422, (Fault(problem=f"not an Arrow stream: {error}", expected="a whole Arrow IPC stream"),))


def _ids(ids: list[str | int | None]) -> pa.Array:
    """Whole numbers where all are, else text."""
    if all(one is None or isinstance(one, int) for one in ids):
        return pa.array(ids, pa.int64())
    return pa.array([None if one is None else str(one) for one in ids], pa.string())


def _read(manifest: Manifest, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Rows | Refusal:
    refused = refused_schema(manifest, schema)
    if refused:
        return refused
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    if table.num_rows > MAX_ROWS:
        return TOO_MANY
    return rows_of(manifest, table.to_batches()[0]) if table.num_rows else NOBODY


def _no_more(stream: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches, up to one more than may come."""
    rows = 0
    for batch in stream:
        batch.validate(full=True)  # what points outside of its own buffers would end the process
        yield batch
        rows += batch.num_rows
        if rows > MAX_ROWS:
            return
