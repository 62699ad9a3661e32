"""The file with the scores of one part: it appears whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from churnops.writing import naming

_GROUP_ROWS = 122_880
_EACH_ITS_OWN = {"customer_id", "score", "prediction_id"}  # a dictionary of them would only cost
_SEARCHED = ["customer_id", "as_of", "score"]


class PartFile:
    """Gathers rows into row groups: small batches are quicker to score, and large groups to read."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._held: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._held.append(batch)
        self._rows += batch.num_rows
        if self._rows >= _GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is held as a row group."""
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held))
        self._held, self._rows = [], 0


@contextmanager
def part_file(to: Path, schema: pa.Schema) -> Iterator[PartFile]:
    """A file that has its name when the block ends well; dictionaries of texts are read back as texts."""
    to.parent.mkdir(parents=True, exist_ok=True)
    unfinished = to.with_name(f".{to.name}.{os.getpid()}.unfinished")
    repeated = [name for name in schema.names if name not in _EACH_ITS_OWN]
    try:
        with naming(to, unfinished):
            with unfinished.open("wb") as file:
                with pq.ParquetWriter(
                    file,
                    schema,
                    compression="zstd",
                    use_dictionary=repeated,
                    write_statistics=_SEARCHED,
                    store_schema=False,
                ) as writer:
                    part = PartFile(writer)
                    yield part
                    part.flush()
                file.flush()
                os.fsync(file.fileno())  # what has its name is believed, whatever ends the machine
            unfinished.replace(to)
    finally:
        unfinished.unlink(missing_ok=True)
