"""A table in parts: small enough for several processes to share it, and to be scored again after a fault."""

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
_LEAST_ROWS = 5_000  # with reasons: what is worth a process; smaller ones read too much for nothing


@dataclass(frozen=True)
class Part:
    """Row groups of one Parquet file that follow one another, or rows of one group."""

    number: int
    """Its place in the table, from 1."""
    file: Path
    groups: tuple[int, ...]
    first_row: int
    """Of the file, from 1."""
    rows: int
    skipped: int = 0
    """Rows of its group that stand before its first."""
    before: tuple[Path, int, int] | None = None
    """The row that its first follows: file, row group, and place in the group, from 0."""

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
        return _batches(self.file, self.groups, columns, self.skipped, self.rows)

    def last_before(self, columns: Collection[str]) -> pa.RecordBatch | None:
        """The row before its first, of these columns; raises SourceError."""
        if self.before is None:
            return None
        file, group, place = self.before
        return next(_batches(file, (group,), columns, place, 1))


def columns_of(file: Path) -> pa.Schema:
    """The columns of a Parquet file; raises SourceError."""
    with _reading(file):
        return pq.read_schema(file)


def plan(files: Sequence[Path], *, reasons: bool) -> list[Part]:
    """The parts of the table in `files`: the same for the same files, whoever scores them; at least one.

    Rows with `reasons` take so long that row groups are cut, though each part reads its group from the start.
    Raises SourceError.
    """
    sizes = {file: _group_rows(file) for file in files}
    most = min(sum(map(sum, sizes.values())) // _PARTS, _MOST_ROWS)
    most = max(most, _LEAST_ROWS) if reasons else most
    parts: list[Part] = []
    before = None
    for file, rows in sizes.items():
        for groups in _joined(rows, most):
            first, n = 1 + sum(rows[: groups[0]]), sum(rows[i] for i in groups)
            for piece in _cut(n, most) if reasons else [range(n)]:
                start = piece.start
                parts.append(Part(len(parts) + 1, file, groups, first + start, len(piece), start, before))
                before = file, groups[-1], piece.stop - 1 - sum(rows[i] for i in groups[:-1])
    return parts or [Part(1, files[0], (), 1, 0)]


def dealt(parts: Sequence[Part], n: int) -> list[list[Part]]:
    """To `n` processes about as many rows each: the largest part first, to whoever has least."""
    shares: list[list[Part]] = [[] for _ in range(n)]
    for part in sorted(parts, key=lambda part: -part.rows):
        min(shares, key=lambda share: sum(held.rows for held in share)).append(part)
    return [sorted(share, key=lambda part: part.number) for share in shares]


def _batches(
    file: Path, groups: Sequence[int], columns: Collection[str], skipped: int, rows: int
) -> Iterator[pa.RecordBatch]:
    """So many rows of these groups, after those that are skipped."""
    schema = columns_of(file)
    names = [name for name in schema.names if name in columns]
    texts = [name for name in names if name != "customer_id" and schema.field(name).type == pa.string()]
    with _reading(file), pq.ParquetFile(file, read_dictionary=texts) as table:
        for batch in table.iter_batches(_BATCH_ROWS, row_groups=groups, columns=names, use_threads=False):
            piece = batch.slice(min(skipped, batch.num_rows), rows)
            skipped -= min(skipped, batch.num_rows)
            rows -= piece.num_rows
            if piece.num_rows:
                yield piece
            if not rows:
                return


def _cut(rows: int, most: int) -> Iterator[range]:
    """So many rows in pieces of about the same size, none of more than `most`."""
    n = -(-rows // most)
    return (range(rows * i // n, rows * (i + 1) // n) for i in range(n))


def _joined(rows: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
    """Row groups that are not empty, as many together as have no more than `most` rows, or one."""
    joined: list[int] = []
    held = 0
    for i, n in enumerate(rows):
        if not n:
            continue
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
