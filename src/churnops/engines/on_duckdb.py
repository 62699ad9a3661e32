"""DuckDB, embedded: the engine of one machine."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import duckdb
import pyarrow as pa

from churnops.contracts.table import quoted
from churnops.errors import EngineError
from churnops.writing import naming


def parquet_glob(address: str) -> str:
    """The files of a Parquet dataset: the file itself, or all in the folder."""
    return f"{address}/**/*.parquet" if Path(address).is_dir() else address


@dataclass(frozen=True)
class DuckDB:
    """Runs SQL out of core: beyond `memory_limit` it spills to `spill_dir`.

    Every method raises EngineError where there is no room for that, or a file vanished; a file that cannot be
    written is an OSError naming it.
    """

    memory_limit: str = "4GB"
    spill_dir: Path = Path("var/spill")
    name: ClassVar[str] = "duckdb"
    distributed: ClassVar[bool] = False

    def write(self, sql: str, tables: Mapping[str, str], to: str) -> int:
        """Write the result of `sql` to the Parquet file `to` in one step; return its rows."""
        return self._write(sql, tables, to, "parquet, compression zstd")

    def write_csv(self, sql: str, tables: Mapping[str, str], to: str) -> int:
        """As `write`, in CSV with a header."""
        # With more threads, DuckDB 2.0.0 waits for ever, once in some hundred tries, where the disk is full.
        return self._write(sql, tables, to, "csv, header", threads=1)

    def _write(
        self, sql: str, tables: Mapping[str, str], to: str, form: str, *, threads: int | None = None
    ) -> int:
        unfinished = Path(f"{to}.{os.getpid()}.unfinished")
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        copy = f"copy ({sql}) to '{_literal(str(unfinished))}' (format {form})"
        with naming(Path(to), unfinished):
            try:
                with self.connect(tables) as connection, _told_of(unfinished):
                    if threads:
                        connection.execute(f"set threads = {threads}")
                    rows = connection.execute(copy).fetchone()
                unfinished.replace(to)  # a reader sees the old file or the new one
            finally:
                unfinished.unlink(missing_ok=True)
        return int(rows[0]) if rows else 0

    def query(self, sql: str, tables: Mapping[str, str]) -> pa.Table:
        """Run `sql` and return its (small) result."""
        with self.connect(tables) as connection:
            return connection.sql(sql).to_arrow_table()

    @contextmanager
    def connect(self, tables: Mapping[str, str]) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own, in UTC, on which each name of `tables` is a view."""
        with self._opened() as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute("set enable_progress_bar = false")  # where no script runs, it writes to stdout
            try:
                for name, address in tables.items():
                    # Of a folder as_of=2024-06-01 DuckDB would make a column, in place of the table's own.
                    files = f"'{_literal(parquet_glob(address))}', hive_partitioning = false"
                    view = f"create temp view {quoted(name)} as select * from read_parquet({files})"
                    connection.execute(view)
                yield connection
            except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
                raise EngineError(self._meaning(error)) from error

    def _opened(self) -> duckdb.DuckDBPyConnection:
        self.spill_dir.mkdir(parents=True, exist_ok=True)
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": self.memory_limit,
            "temp_directory": str(self.spill_dir),
        }
        return duckdb.connect(":memory:", config=config)

    def _meaning(self, error: duckdb.Error) -> str:
        said = str(error).splitlines()[0]
        if isinstance(error, duckdb.OutOfMemoryException) or str(self.spill_dir) in said:
            room = "Make room there, or raise CHURNOPS_MEMORY_LIMIT"
            return f"DuckDB with {self.memory_limit}, spilling to {self.spill_dir}: {said} {room}"
        return f"DuckDB: {said}"


@contextmanager
def _told_of(unfinished: Path) -> Iterator[None]:
    """What DuckDB says of the file that it writes, as the system would have said it."""
    try:
        yield
    except duckdb.IOException as error:
        said = str(error)
        if f".{os.getpid()}.unfinished" not in said:  # but for that, the name may stand in it escaped
            raise
        code = next((code for code in errno.errorcode if os.strerror(code) in said), errno.EIO)
        raise OSError(code, os.strerror(code), str(unfinished)) from error


def _literal(text: str) -> str:
    return text.replace("'", "''")
