"""A file, or a folder of them, as one Parquet file of the same columns, with where each row came from."""

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from churnops.data_config import SourceTable
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import EngineError, SourceError
from churnops.sources import csv_text
from churnops.sources.csv_text import literal

FILE, ROW = "_file", "_row"
"""The columns staging adds: the file's name, and the row's number in it, from 1, counted below the header."""

_UNION = " union all by name "
_MOST_AT_ONCE = 200  # files in one query: planning it takes time that grows faster than their number
_PARQUET = b"PAR1"
_OTHERS = {
    b"PK\x03\x04": "a zip or Excel file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"%PDF": "a PDF file",
    b"SQLite": "an SQLite database",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"BZh": "a bzip2 file",
}
_ENDINGS = {
    "csv": tuple(f".{ending}{packed}" for ending in ("csv", "tsv", "txt") for packed in ("", ".gz")),
    "parquet": (".parquet",),
}


@dataclass(frozen=True)
class SourceFile:
    """One file that was read, so that a later run can tell whether it is still the same."""

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


@dataclass(frozen=True)
class _Csv:
    """CSV files to read: under each name, where its text is now, and its columns."""

    paths: Mapping[str, Path]
    headers: Mapping[str, list[str]]
    delimiter: str


def stage(
    source: SourceTable,
    source_dir: Path,
    to: Path,
    *,
    engine: DuckDB | None = None,
    only: Collection[str] | None = None,
) -> Staged:
    """Write the table at `source.path` (relative paths start at `source_dir`) to the Parquet file `to`.

    Of a folder all files, or `only` those of some names. CSV columns stay text as written, an empty field is
    null; Parquet columns keep their types. `FILE` and `ROW` follow. A stream. Raises SourceError naming every
    file at fault; nothing is half-written.
    """
    engine = engine or DuckDB(spill_dir=to.parent)
    files = list_files(source, source_dir)
    if only is not None:
        files = {name: path for name, path in files.items() if name in only}
    headers = _headers(source, files)
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.format == "parquet":
        rows = _stage_parquet(source, files, to, engine=engine)
    else:
        rows = _stage_csv(_Csv(files, headers, source.delimiter), source, to, engine=engine)
    if rows == 0:
        to.unlink()
        raise SourceError(source.path, ["has a header but no rows: export it again"])
    columns = tuple(next(iter(headers.values())))
    return Staged(to, rows, columns, _identities(files))


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


def _headers(source: SourceTable, files: Mapping[str, Path]) -> dict[str, list[str]]:
    """The columns of each file, in its own order; the same ones in all."""
    problems: list[str] = []
    headers: dict[str, list[str]] = {}
    for name, path in files.items():
        try:
            headers[name] = _header(source, path)
        except SourceError as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
            continue
        problems += [f"{name}: {problem}" for problem in _header_problems(headers[name])]
    for column in dict.fromkeys(column for header in headers.values() for column in header if not problems):
        lacking = [name for name, header in headers.items() if column not in header]
        if lacking:
            others = f" (and {len(lacking) - 1} more files)" if lacking[1:] else ""
            problems.append(f"{lacking[0]}{others}: column '{column}' is missing, though other files have it")
    if problems:
        raise SourceError(source.path, problems)
    return headers


def _header(source: SourceTable, path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            start = file.read(max(map(len, _OTHERS)))
    except OSError as error:
        raise SourceError(path.name, [f"cannot be opened: {error.strerror}"]) from error
    other = next((what for magic, what in _OTHERS.items() if start.startswith(magic)), "")
    if not start:
        raise SourceError(path.name, [csv_text.EMPTY])
    if other:
        raise SourceError(path.name, [f"is {other}: export it as CSV or Parquet"])
    is_parquet = start.startswith(_PARQUET)
    if is_parquet and source.format == "csv":
        raise SourceError(path.name, ['is Parquet, not CSV: set `format = "parquet"`'])
    if not is_parquet and source.format == "parquet":
        raise SourceError(path.name, ['is not Parquet: set `format = "csv"`, or export it again'])
    if source.format == "csv":
        return csv_text.header(path, source)
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(path.name, ["is a truncated or damaged Parquet file: export it again"]) from error


def _header_problems(names: Sequence[str]) -> list[str]:
    if not any(names):
        return ["the first line is blank: it must name the columns"]
    # Names that differ in case only cannot be told apart in SQL.
    repeated = [name for name, times in Counter(name.lower() for name in names).items() if times > 1 and name]
    problems = [f"column {i} has no name in the header" for i, name in enumerate(names, 1) if not name]
    problems += [f"the header names column '{name}' more than once" for name in repeated]
    return problems + [f"column '{name}' must be renamed" for name in names if name.lower() in (FILE, ROW)]


def _stage_parquet(source: SourceTable, files: Mapping[str, Path], to: Path, *, engine: DuckDB) -> int:
    parts = [
        f"select * exclude (file_row_number), {literal(name)} as {FILE}, file_row_number + 1 as {ROW}"
        f" from read_parquet({literal(csv_text.glob_literal(path))}, file_row_number = true)"
        for name, path in files.items()
    ]
    try:
        return _write_all(parts, to, engine=engine)
    except (
        duckdb.InvalidInputException,
        duckdb.SerializationException,
        duckdb.NotImplementedException,
    ) as error:
        raise SourceError(source.path, [f"cannot be read: {_first_line(error)}"]) from error


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


def _stage_csv(files: _Csv, source: SourceTable, to: Path, *, engine: DuckDB) -> int:
    if not csv_text.needs_copy(source):
        rows = _write_csv(files, to, engine=engine)
        if rows is not None:
            return rows
    copies = {name: to.with_name(f"{to.name}.{os.getpid()}.{i}.copy") for i, name in enumerate(files.paths)}
    try:
        for name, path in files.paths.items():
            csv_text.plain_copy(path, source, to=copies[name])
        rows = _write_csv(replace(files, paths=copies), to, engine=engine)
    finally:
        for copy in copies.values():
            copy.unlink(missing_ok=True)
    if rows is None:
        raise SourceError(source.path, ["cannot be read as CSV: check its delimiter and quotation marks"])
    return rows


def _write_csv(files: _Csv, to: Path, *, engine: DuckDB) -> int | None:
    """The rows written; None when DuckDB fails without a row to blame, as it does on mixed line endings."""
    scans = {
        name: csv_text.Scan(path, tuple(files.headers[name]), files.delimiter)
        for name, path in files.paths.items()
    }
    parts = [
        f"select *, {literal(name)} as {FILE}, row_number() over () as {ROW} from {scan.sql()}"
        for name, scan in scans.items()
    ]
    try:
        return _write_all(parts, to, engine=engine)
    except EngineError:
        for path in files.paths.values():
            csv_text.unpack(path)  # raises where the file, rather than the disk, is at fault
        raise
    except duckdb.InvalidInputException as error:
        problems = [fault for name, scan in scans.items() for fault in scan.faults(name, engine)]
        if problems:
            raise SourceError(", ".join(files.paths), problems) from error
        return None


def _identities(files: Mapping[str, Path]) -> tuple[SourceFile, ...]:
    return tuple(_identity(name, path) for name, path in files.items())


def _identity(name: str, path: Path) -> SourceFile:
    with path.open("rb") as file:
        return SourceFile(name, hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
