"""A file, or a folder of them, as one Parquet file of the same columns, with where each row came from."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from churnops.contracts.table import quoted
from churnops.data_config import SourceTable
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import EngineError, SourceError
from churnops.sources import csv_text
from churnops.sources.csv_text import literal
from churnops.sources.headers import (
    ALL_ALIKE,
    DAMAGED_PARQUET,
    FILE,
    ROW,
    Header,
    Terms,
    common,
    header_problems,
    headers_of,
)

_UNION = " union all by name "
_FILLED = f"select distinct {FILE} as name from staged"
_MOST_AT_ONCE = 200  # files in one query: planning it takes time that grows faster than their number
_ENDINGS = {
    "csv": tuple(f".{ending}{packed}" for ending in ("csv", "tsv", "txt") for packed in ("", ".gz")),
    "parquet": (".parquet",),
}


@dataclass(frozen=True)
class SourceFile:
    """One file as it was, so that a later run can tell whether it is still the same."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Staged:
    """A staged table: `columns` are the source's own, in the order of its first file."""

    path: Path
    rows: int
    columns: tuple[str, ...]
    files: tuple[SourceFile, ...]
    damaged: tuple[str, ...] = ()
    """Of each file that was left out as it could not be read: its name, and what is wrong with it."""
    empty: tuple[str, ...] = ()
    """The names of files that have a header, and no rows."""
    sparse: Mapping[str, str] = field(default_factory=dict)
    """Columns that were left out, as not all files have them: of each, the first file that has it."""


class _Damage(Exception):
    """Files that cannot be read, and in words why, each time with the name."""

    def __init__(self, files: Mapping[str, Sequence[str]]) -> None:
        self.files = files
        super().__init__(files)


@dataclass(frozen=True)
class _Files:
    """Files to read: under each name where it is now, and its header; `columns` are those that are taken."""

    source: SourceTable
    paths: Mapping[str, Path]
    headers: Mapping[str, Header]
    columns: tuple[str, ...]

    def selects(self, scans: Mapping[str, str], row: str) -> list[str]:
        """For each of `scans`, SQL by the files' names, all its rows and where each came from."""
        taken = ", ".join(map(quoted, self.columns))
        return [
            f"select {taken}, {literal(name)} as {FILE}, {row} as {ROW} from {scan}"
            for name, scan in scans.items()
        ]


def stage(
    source: SourceTable,
    source_dir: Path,
    to: Path,
    *,
    engine: DuckDB | None = None,
    terms: Terms = ALL_ALIKE,
) -> Staged:
    """Write the table at `source.path` (relative paths start at `source_dir`) to the Parquet file `to`.

    CSV columns stay text as written, an empty field is null; Parquet columns keep their types. `FILE`
    and `ROW` follow. A stream. Some of the files may hold no rows; of a whole table that is an error. Raises
    SourceError naming every file at fault; nothing is half-written.
    """
    engine = engine or DuckDB(spill_dir=to.parent)
    files = {name: path for name, path in list_files(source, source_dir).items() if terms.takes_file(name)}
    headers, damaged = headers_of(source, files)
    if damaged and not (terms.drop_damaged and headers):
        raise SourceError(source.path, [*_each(damaged), *header_problems(headers)])
    to.parent.mkdir(parents=True, exist_ok=True)
    while True:
        columns, sparse = common(source, headers, terms)
        read = _Files(source, {name: files[name] for name in headers}, headers, columns)
        try:
            rows = _write(read, to, engine=engine)
        except _Damage as damage:
            if not terms.drop_damaged or damage.files.keys() >= headers.keys():
                raise SourceError(source.path, _each(damage.files)) from damage
            damaged |= damage.files
            headers = {name: header for name, header in headers.items() if name not in damage.files}
        else:
            break
    if rows == 0 and terms.takes_all_files:
        to.unlink()
        raise SourceError(source.path, ["has a header but no rows: export it again"])
    left_out = tuple(problems[0] for _, problems in sorted(damaged.items()))
    return Staged(to, rows, columns, _identities(files), left_out, _empty(headers, to, engine), sparse)


def identify(source: SourceTable, source_dir: Path) -> tuple[SourceFile, ...]:
    """The files of the table as they are now; raises SourceError where there is none."""
    return _identities(list_files(source, source_dir))


def list_files(source: SourceTable, source_dir: Path) -> dict[str, Path]:
    """The files of the table by name, sorted; named from the folder; hidden ones (`.`, `_`) left out."""
    root = source_dir / source.path
    if root.is_file():
        return {root.name: root}
    if not root.is_dir():
        raise SourceError(source.path, [f"no such file or folder in {source_dir.resolve()}"])
    endings = _ENDINGS[source.format]
    files = {path.relative_to(root): path for path in root.rglob("*") if path.name.lower().endswith(endings)}
    shown = {
        name.as_posix(): path for name, path in files.items() if not any(p[0] in "._" for p in name.parts)
    }
    if not shown:
        raise SourceError(source.path, [f"the folder holds no {' or '.join(endings)} file"])
    return dict(sorted(shown.items()))


def _empty(names: Collection[str], staged: Path, engine: DuckDB) -> tuple[str, ...]:
    """Those of the files of which no row was staged."""
    filled = set(engine.query(_FILLED, {"staged": str(staged)})["name"].to_pylist())
    return tuple(name for name in names if name not in filled)


def _each(problems: Mapping[str, Sequence[str]]) -> list[str]:
    return [problem for of in problems.values() for problem in of]


def _write(files: _Files, to: Path, *, engine: DuckDB) -> int:
    """The rows written; raises _Damage for files that cannot be read, once there is no doubt which."""
    if files.source.format == "parquet":
        return _write_parquet(files, to, engine=engine)
    if not csv_text.needs_copy(files.source):
        rows = _write_csv(files, to, engine=engine)
        if rows is not None:
            return rows
    copies = {name: to.with_name(f"{to.name}.{os.getpid()}.{i}.copy") for i, name in enumerate(files.paths)}
    try:
        _for_each(files.paths, lambda name, path: csv_text.plain_copy(path, files.source, to=copies[name]))
        rows = _write_csv(replace(files, paths=copies), to, engine=engine)
    finally:
        for copy in copies.values():
            copy.unlink(missing_ok=True)
    if rows is None:
        problem = "cannot be read as CSV: check its delimiter and quotation marks"
        raise SourceError(files.source.path, [problem])
    return rows


def _write_all(selects: Sequence[str], to: Path, *, engine: DuckDB) -> int:
    """Write the rows of all `selects` to the Parquet file `to`, columns by name; how many."""
    parts = list(selects)
    with tempfile.TemporaryDirectory(dir=to.parent) as folder:
        while len(parts) > _MOST_AT_ONCE:
            some = [parts[start : start + _MOST_AT_ONCE] for start in range(0, len(parts), _MOST_AT_ONCE)]
            paths = [Path(folder, f"{i}.parquet") for i, _ in enumerate(some)]
            for path, few in zip(paths, some, strict=True):
                engine.write(_UNION.join(few), {}, str(path))
            parts = [f"select * from read_parquet({literal(str(path))})" for path in paths]
        return engine.write(_UNION.join(parts), {}, str(to))


def _write_parquet(files: _Files, to: Path, *, engine: DuckDB) -> int:
    scans = {
        name: f"read_parquet({literal(csv_text.glob_literal(path))}, file_row_number = true)"
        for name, path in files.paths.items()
    }
    try:
        return _write_all(files.selects(scans, "file_row_number + 1"), to, engine=engine)
    except EngineError:
        _for_each(files.paths, _read_parquet)  # raises where a file, rather than the disk, is at fault
        raise
    except duckdb.Error as error:  # garbled pages have no class of their own
        _for_each(files.paths, _read_parquet)
        raise SourceError(files.source.path, [f"cannot be read: {_first_line(error)}"]) from error


def _read_parquet(name: str, path: Path) -> None:
    """Read the whole content for nothing; raise SourceError for a damaged file."""
    try:
        with pq.ParquetFile(path) as file:
            for _ in file.iter_batches():
                pass
    except (pa.ArrowException, OSError) as error:
        raise SourceError(name, [DAMAGED_PARQUET]) from error


def _write_csv(files: _Files, to: Path, *, engine: DuckDB) -> int | None:
    """The rows written; None when DuckDB fails without a row to blame, as it does on mixed line endings."""
    scans = {
        name: csv_text.Scan(path, tuple(column for column, _ in files.headers[name]), files.source.delimiter)
        for name, path in files.paths.items()
    }
    try:
        sql = files.selects({name: scan.sql() for name, scan in scans.items()}, "row_number() over ()")
        return _write_all(sql, to, engine=engine)
    except EngineError:
        _for_each(files.paths, lambda _, path: csv_text.unpack(path))  # as above
        raise
    except duckdb.InvalidInputException as error:
        faults = {name: problems for name, scan in scans.items() if (problems := scan.faults(name, engine))}
        if faults:
            raise _Damage(faults) from error
        return None


def _for_each(paths: Mapping[str, Path], work: Callable[[str, Path], None]) -> None:
    """Do `work` on every file; raise _Damage naming all for which it raised SourceError."""
    faults: dict[str, list[str]] = {}
    for name, path in paths.items():
        try:
            work(name, path)
        except SourceError as error:
            faults[name] = [f"{name}: {problem}" for problem in error.problems]
    if faults:
        raise _Damage(faults)


def _identities(files: Mapping[str, Path]) -> tuple[SourceFile, ...]:
    return tuple(_identity(name, path) for name, path in files.items())


def _identity(name: str, path: Path) -> SourceFile:
    with path.open("rb") as file:
        return SourceFile(name, hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
