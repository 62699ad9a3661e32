"""What a table holds, as one hash that does not know its files: same rows in the same order, same hash.

Neither how the rows are cut into files and row groups, nor which engine wrote them, nor how they are packed,
shows.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churnops.config import FrozenModel
from churnops.errors import StorageError

_BATCH_ROWS = 65_536


class Content(FrozenModel):
    """How many rows, of which columns, and the hash of both."""

    rows: int
    columns: dict[str, str]
    """Types by name, in order."""
    sha256: str


def read_back(paths: Sequence[Path], *, merged: Path | None = None, called: Sequence[str] = ()) -> Content:
    """Read the Parquet files of a table in order, all of it once; write it as one file, where that is asked.
    Errors name the files as they are `called`, where they are copies.

    Raises StorageError naming a file that cannot be read, or whose columns are not those of the first, and
    a column of a type that no table of ours has.
    """
    files = dict(zip(called or map(str, paths), paths, strict=True))
    schema = _schema(*next(iter(files.items())))
    for field in schema:
        if not _is_known(field.type):
            raise StorageError(
                f"{next(iter(files))}: {field.name} is {field.type}, and has no hash: cast it before"
            )
    columns = [_Column(field.type) for field in schema]
    rows = 0
    writer = pq.ParquetWriter(merged, schema, compression="zstd") if merged else None
    try:
        for batch in _batches(files, schema):
            rows += batch.num_rows
            for column, values in zip(columns, batch.columns, strict=True):
                column.add(values)
            if writer:
                writer.write_batch(batch)
    finally:
        if writer:
            writer.close()
    types = {field.name: str(field.type) for field in schema}
    digest = hashlib.sha256(str(rows).encode())
    for (name, kind), column in zip(types.items(), columns, strict=True):
        digest.update(f"{name}\0{kind}\0{column.digest()}\0".encode())
    return Content(rows=rows, columns=types, sha256=digest.hexdigest())


def _schema(name: str, path: Path) -> pa.Schema:
    try:
        found = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{name}: {_damage(error)}") from error
    return pa.schema([(field.name, _plain(field.type)) for field in found])


def _batches(files: Mapping[str, Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for name, path in files.items():
        if _schema(name, path) != schema:
            raise StorageError(f"{name}: its columns are not those of {next(iter(files))}")
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_BATCH_ROWS):
                    yield batch.cast(schema)
        except (pa.ArrowException, OSError) as error:
            raise StorageError(f"{name}: {_damage(error)}") from error


def _damage(error: Exception) -> str:
    what = str(error).splitlines()[0]
    return f"is truncated or damaged ({what}): bring it back from a backup, or make it anew"


def _is_known(kind: pa.DataType) -> bool:
    known = (pa.types.is_string, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)
    rest = (pa.types.is_decimal, pa.types.is_temporal, pa.types.is_null)
    return any(is_one(kind) for is_one in (*known, *rest)) and not pa.types.is_interval(kind)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Text is text, however it is kept."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


class _Column:
    """The values of one column so far: which are null, and of the others the bytes."""

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._hashes = [hashlib.sha256() for _ in range(3)]

    def add(self, values: pa.Array) -> None:
        """Append values."""
        valid, lengths, content = self._hashes
        valid.update(values.is_valid().cast(pa.uint8()).to_numpy().tobytes())
        if values.null_count:
            values = values.drop_null()
        if pa.types.is_string(self._kind):
            lengths.update(pc.binary_length(values).to_numpy().astype("<i4").tobytes())
            content.update(_text(values))
        else:
            content.update(_bytes(values, self._kind))

    def digest(self) -> str:
        """Their hash."""
        return "".join(one.hexdigest() for one in self._hashes)


def _text(values: pa.StringArray) -> memoryview:
    _, offsets, data = values.buffers()
    if not len(values) or data is None:
        return memoryview(b"")
    ends = np.frombuffer(offsets, dtype=np.int32)[values.offset : values.offset + len(values) + 1]
    return memoryview(data)[ends[0] : ends[-1]]


def _bytes(values: pa.Array, kind: pa.DataType) -> bytes:
    if pa.types.is_decimal(kind):
        if not len(values):  # it may have no buffer
            return b""
        start, end = (at * kind.byte_width for at in (values.offset, values.offset + len(values)))
        return bytes(memoryview(values.buffers()[1])[start:end])
    if pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    elif pa.types.is_temporal(kind):
        values = values.cast(pa.int64() if kind.bit_width == 64 else pa.int32())
    numbers: np.ndarray[Any, Any] = values.to_numpy()
    if pa.types.is_floating(kind):  # one NaN, one zero
        numbers = np.where(np.isnan(numbers), np.nan, numbers + 0.0).astype(numbers.dtype)
    return numbers.tobytes()
