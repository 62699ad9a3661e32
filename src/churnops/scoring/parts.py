"""A table in parts: small enough for several processes to share it, and to be scored again after a fault."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from churnops.errors import SourceError

_BATCH_ROWS = 16_384  # larger ones leave the processor's cache between reading and writing
_PARTS = 32  # or more: so that all cores are busy until the end
_MOST_ROWS = 1_000_000  # what a killed process does again


@dataclass(frozen=True)
class Part:
    """Row groups of one Parquet file that follow one another."""

    number: int
    """Its place in the table, from 1."""
    file: Path
    groups: tuple[int, ...]
    first_row: int
    """Of the file, from 1."""
    rows: int
    before: tuple[Path, int] | None = None
    """The file and row group that its first row follows."""

    @property
    def name(self) -> str:
        """Of the file with its scores: by name they are in the order of the table."""
        return f"{self.number:06}.parquet"

    def __str__(self) -> str:
        return f"{self.file}, rows {self.first_row:,} to {self.first_row + self.rows - 1:,}"

    def batches(self, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
        """Its rows, some at a time, and of `columns` those that are there, texts but the id as dictionaries.

        Raises SourceError where it cannot be read.
        """
        return _batches(self.file, self.groups, columns)

    def last_before(self, columns: Collection[str]) -> pa.RecordBatch | None:
        """The row before its first, of these columns; raises SourceError."""
        last = deque(_batches(self.before[0], self.before[1:], columns) if self.before else (), maxlen=1)
        return last[0].slice(last[0].num_rows - 1) if last else None


def columns_of(file: Path) -> pa.Schema:
    """The columns of a Parquet file; raises SourceError."""
    with _reading(file):
        return pq.read_schema(file)


def plan(files: Sequence[Path]) -> list[Part]:
    """The parts of the table in `files`: the same for the same files, whoever scores them; at least one.

    Raises SourceError.
    """
    sizes = {file: _group_rows(file) for file in files}
    most = min(sum(map(sum, sizes.values())) // _PARTS, _MOST_ROWS)
    parts: list[Part] = []
    before = None
    for file, rows in sizes.items():
        for groups in _joined(rows, most):
            first, n = 1 + sum(rows[: groups[0]]), sum(rows[i] for i in groups)
            parts.append(Part(len(parts) + 1, file, groups, first, n, before))
            before = file, groups[-1]
    return parts or [Part(1, files[0], (), 1, 0)]


def dealt(parts: Sequence[Part], n: int) -> list[list[Part]]:
    """To `n` processes about as many rows each: the largest part first, to whoever has least."""
    shares: list[list[Part]] = [[] for _ in range(n)]
    for part in sorted(parts, key=lambda part: -part.rows):
        min(shares, key=lambda share: sum(held.rows for held in share)).append(part)
    return [sorted(share, key=lambda part: part.number) for share in shares]


def _batches(file: Path, groups: Sequence[int], columns: Collection[str]) -> Iterator[pa.RecordBatch]:
    schema = columns_of(file)
    names = [name for name in schema.names if name in columns]
    texts = [name for name in names if name != "customer_id" and schema.field(name).type == pa.string()]
    with _reading(file), pq.ParquetFile(file, read_dictionary=texts) as table:
        for batch in table.iter_batches(_BATCH_ROWS, row_groups=groups, columns=names, use_threads=False):
            if batch.num_rows:
                yield batch


def _joined(rows: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
    """Row groups, as many together as have no more than `most` rows, or one."""
    joined: list[int] = []
    held = 0
    for i, n in enumerate(rows):
        if joined and held + n > most:
            yield tuple(joined)
            joined, held = [], 0
        joined.append(i)
        held += n
    if joined:
        yield tuple(joined)


def _group_rows(file: Path) -> list[int]:
    with _reading(file):
        metadata = pq.read_metadata(file)
    return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise SourceError(str(file), ["no such file or folder"]) from None
    except (pa.ArrowException, OSError) as error:
        raise SourceError(str(file), [f"is not Parquet, or damaged: {error}"]) from error
