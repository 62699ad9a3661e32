"""The headers of a table's files: what each holds, and whether together they are one table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from churnops.data_config import SourceTable
from churnops.errors import SourceError
from churnops.sources import csv_text
from churnops.sources.mapping import Kind, kind_of

FILE, ROW = "_file", "_row"
"""The columns staging adds: the file's name, and the row's number in it, from 1, counted below the header."""

_PARQUET = b"PAR1"
_OTHERS = {
    b"PK\x03\x04": "a zip or Excel file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"%PDF": "a PDF file",
    b"SQLite": "an SQLite database",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"BZh": "a bzip2 file",
}
DAMAGED_PARQUET = "is a truncated or damaged Parquet file: export it again"
_HOLDS: dict[Kind, str] = {
    "text": "text",
    "floating": "a number",
    "exact": "a number",
    "boolean": "true or false",
    "date": "a time",
    "instant": "a time",
    "zoned": "a time with a zone",
    "other": "something else",
}


Header = Sequence[tuple[str, str]]
"""The columns of one file, in its own order: of each the name, and in words what it holds."""


@dataclass(frozen=True)
class Only:
    """Some files of a table, by name, and some columns; None: all."""

    files: frozenset[str] | None = None
    columns: frozenset[str] | None = None


@dataclass(frozen=True)
class Terms:
    """What is asked of the files of one table; by default, that each can be read and all are alike."""

    needed: frozenset[str] | None = None
    """Columns every file must have; a column that only some have is left out then. None: all columns."""
    drop_damaged: bool = False
    """Whether files that cannot be read are left out, where there are others."""
    only: Only | None = None

    def takes_file(self, name: str) -> bool:
        """Whether the file is one of those to read."""
        return self.only is None or self.only.files is None or name in self.only.files

    @property
    def takes_all_files(self) -> bool:
        """Whether no file is left aside."""
        return self.only is None or self.only.files is None

    def takes_column(self, name: str) -> bool:
        """Whether the column is one of those to read."""
        return self.only is None or self.only.columns is None or name in self.only.columns

    @property
    def expected(self) -> list[str]:
        """Columns that are needed, and that files which are not read now have."""
        columns = self.only.columns if self.only else None
        return sorted((self.needed or frozenset()) & (columns or frozenset()))


ALL_ALIKE = Terms()


def headers_of(
    source: SourceTable, files: Mapping[str, Path]
) -> tuple[dict[str, Header], dict[str, Sequence[str]]]:
    """The header of each file that has one, and of the others what is wrong with them."""
    headers: dict[str, Header] = {}
    damaged: dict[str, Sequence[str]] = {}
    for name, path in files.items():
        try:
            headers[name] = _header(source, path)
        except SourceError as error:
            damaged[name] = [f"{name}: {problem}" for problem in error.problems]
    return headers, damaged


def common(
    source: SourceTable, headers: Mapping[str, Header], terms: Terms
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The columns to take, in the order of the first file, and those that only some files have.

    Raises SourceError where a column that is needed is missing in a file, or holds another kind of thing
    there than in the first that has it.
    """
    if problems := header_problems(headers):
        raise SourceError(source.path, problems)
    holding: dict[str, dict[str, str]] = {}
    for name, header in headers.items():
        for column, holds in header:
            holding.setdefault(column, {})[name] = holds
    for column in terms.expected:
        holding.setdefault(column, {})
    sparse = {}
    for column, files in holding.items():
        lacking = [name for name in headers if name not in files]
        if not terms.takes_column(column) or (
            lacking and terms.needed is not None and column not in terms.needed
        ):
            sparse[column] = next(iter(files))
            continue
        if lacking:
            problems.append(f"{_many(lacking)}: column '{column}' is missing, though other files have it")
        if terms.needed is None or column in terms.needed:
            problems += _retyped(column, {name: holds for name, holds in files.items() if holds})
    if problems:
        raise SourceError(source.path, problems)
    return tuple(column for column in holding if column not in sparse), sparse


def _retyped(column: str, holds: Mapping[str, str]) -> list[str]:
    first = next(iter(holds), "")
    others = [name for name in holds if holds[name] != holds[first]]
    if not others:
        return []
    return [f"{_many(others)}: column '{column}' holds {holds[others[0]]}, and {holds[first]} in {first}"]


def _many(names: Sequence[str]) -> str:
    return f"{names[0]} (and {len(names) - 1} more files)" if names[1:] else names[0]


def _header(source: SourceTable, path: Path) -> Header:
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
        raise SourceError(path.name, ['is Parquet, not CSV: set `format = "parquet"` in the data config'])
    if not is_parquet and source.format == "parquet":
        way_out = 'set `format = "csv"` in the data config, or export it again'
        raise SourceError(path.name, [f"is not Parquet: {way_out}"])
    if source.format == "csv":
        return [(name, "text") for name in csv_text.header(path, source)]
    try:
        return [(column.name, _holds(column.type)) for column in pq.read_schema(path)]
    except (pa.ArrowException, OSError) as error:
        raise SourceError(path.name, [DAMAGED_PARQUET]) from error


def _holds(kind: pa.DataType) -> str:
    """What a column of Parquet holds, in words; empty where that is nothing."""
    if pa.types.is_dictionary(kind):
        return _holds(kind.value_type)
    return "" if pa.types.is_null(kind) else _HOLDS[kind_of(kind)]


def header_problems(headers: Mapping[str, Header]) -> list[str]:
    """In words, what is wrong with the names of columns."""
    return [
        f"{name}: {problem}"
        for name, header in headers.items()
        for problem in _name_problems([column for column, _ in header])
    ]


def _name_problems(names: Sequence[str]) -> list[str]:
    if not any(names):
        return ["the first line is blank: it must name the columns"]
    # Names that differ in case only cannot be told apart in SQL.
    repeated = [name for name, times in Counter(name.lower() for name in names).items() if times > 1 and name]
    problems = [f"column {i} has no name in the header" for i, name in enumerate(names, 1) if not name]
    problems += [f"the header names column '{name}' more than once" for name in repeated]
    return problems + [f"column '{name}' must be renamed" for name in names if name.lower() in (FILE, ROW)]
