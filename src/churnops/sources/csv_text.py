"""CSV as people export it: packed or not, in any encoding, with any of the usual delimiters."""

import csv
import gzip
import io
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import duckdb

from churnops.data_config import SourceTable
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import SourceError

EMPTY = "is empty: export it again"
"""What is wrong with a file of nothing, or of nothing but blanks."""

_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
_SHOWN, _CHARACTERS = 3, 80
_MOST_FAULTS = 1000  # are counted
_LOOK, _BEGINNING = 4096, 20  # characters at the beginning tell whether it is text; so many are shown
_UNEVEN = ("have more or fewer fields than the header", "correct them, or `delimiter`")
_FAULTS = {
    "TOO MANY COLUMNS": _UNEVEN,
    "MISSING COLUMNS": _UNEVEN,
    "UNQUOTED VALUE": ("have a quotation mark that is never closed", "correct them"),
    "INVALID ENCODING": ("are not in utf-8", "correct `encoding`"),
}
"""What DuckDB calls a fault: what we say of such rows, and what to do about them."""


def is_gzip(path: Path) -> bool:
    """Whether the content is gzip, whatever the name says."""
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The unpacked content; raise SourceError, at whichever read meets it, for a damaged gzip file."""
    try:
        with cast(BinaryIO, gzip.open(path)) if is_gzip(path) else path.open("rb") as file:
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(
            path.name, [f"is a truncated or damaged gzip file ({error}): export it again"]
        ) from error


@contextmanager
def open_text(path: Path, encoding: str, *, newline: str | None = "") -> Iterator[TextIO]:
    """The content as text without its byte order mark; raise SourceError when it is not in `encoding`."""
    try:
        with open_bytes(path) as file, io.TextIOWrapper(file, encoding, newline=newline) as text:
            if text.read(1) != "\ufeff":
                text.seek(0)
            yield text
    except LookupError as error:
        raise SourceError(path.name, [f"there is no encoding '{encoding}': correct `encoding`"]) from error
    except UnicodeError as error:
        raise SourceError(path.name, [f"is not in {encoding} ({error}): correct `encoding`"]) from error


def header(path: Path, source: SourceTable) -> list[str]:
    """The column names of the first line, without the blanks around them; empty if that line is.

    Raises SourceError for a file that is no text.
    """
    _check_text(path, source.encoding)
    with open_text(path, source.encoding) as text:
        if source.delimiter == "whitespace":
            return text.readline().split()
        try:
            return [name.strip() for name in next(csv.reader(text, delimiter=source.delimiter), [])]
        except csv.Error as error:
            raise SourceError(path.name, [f"the first line is not a CSV header ({error})"]) from error


def _check_text(path: Path, encoding: str) -> None:
    with open_text(path, encoding) as text:
        start = text.read(_LOOK)
    if not start.strip():
        raise SourceError(path.name, [EMPTY])
    # Text may hold what controls a terminal, but columns are not named so.
    if "\0" in start or any(c < " " and not c.isspace() for c in start.lstrip().splitlines()[0]):
        problem = (
            f"does not look like text, as it begins with {start[:_BEGINNING]!r}: export it as CSV or Parquet"
        )
        raise SourceError(path.name, [problem])


def needs_copy(source: SourceTable) -> bool:
    """Whether DuckDB cannot read such files as they are."""
    utf8 = source.encoding.lower().replace("_", "-") in {"utf-8", "utf8", "utf-8-sig"}
    return source.delimiter == "whitespace" or not utf8


def plain_copy(path: Path, source: SourceTable, *, to: Path) -> None:
    """Write the content as UTF-8 with one kind of line ending, and tabs for runs of blanks; a stream."""
    with (
        open_text(path, source.encoding, newline=None) as text,
        to.open("w", encoding="utf-8", newline="\n") as copy,
    ):
        if source.delimiter == "whitespace":
            copy.writelines("\t".join(fields) + "\n" for line in text if (fields := line.split()))
        else:
            while chunk := text.read(_CHUNK):
                copy.write(chunk)


def unpack(path: Path) -> None:
    """Read the whole content for nothing; raise SourceError for a damaged gzip file."""
    with open_bytes(path) as file:
        while file.read(_CHUNK):
            pass


@dataclass(frozen=True)
class Scan:
    """How DuckDB reads one file: every column as text, rows in the order of the file."""

    path: Path
    columns: tuple[str, ...]
    delimiter: str

    def sql(self, options: str = "") -> str:
        """The table function; a row with too few or too many fields is an error."""
        types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in self.columns)
        # Nothing is quoted between blanks: a quotation mark there is an inch.
        separator, quote = ("\t", "") if self.delimiter == "whitespace" else (self.delimiter, '"')
        return (
            f"read_csv({literal(glob_literal(self.path))}, auto_detect = false, header = true,"
            f" columns = {{{types}}}, delim = {literal(separator)}, quote = '{quote}', escape = '{quote}',"
            f" compression = '{'gzip' if is_gzip(self.path) else 'none'}'{options})"
        )

    def faults(self, name: str, engine: DuckDB) -> list[str]:
        """In words, each fault that keeps rows of the file called `name` from being read: how many rows have
        it, and the first of them, numbered as in `ROW`."""
        options = f", store_rejects = true, rejects_limit = {_MOST_FAULTS}"
        with engine.connect({}) as connection:
            connection.execute("set threads = 1")  # the first faults, and not those a thread was first to see
            try:
                connection.execute(f"select count(columns(*)) from {self.sql(options)}").fetchall()
            except duckdb.InvalidInputException:
                return []
            found = connection.execute(
                "select cast(error_type as varchar), line - 1 as row, csv_line, error_message"
                " from reject_errors order by row, error_message"
            ).fetchall()
        faults: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
        for kind, row, line, message in found:
            fault = _FAULTS.get(kind, (f"cannot be read, as DuckDB says: {message}", "correct them"))
            faults[fault].setdefault(row, line)
        at_least = "at least " if len(found) >= _MOST_FAULTS else ""
        return [
            f"{name}: {at_least}{len(rows)} rows {says} ({_first(rows)}): {way_out}"
            for (says, way_out), rows in faults.items()
        ]


def _first(rows: Mapping[int, str]) -> str:
    return "; ".join(f"row {row}: {_shown(line)}" for row, line in islice(rows.items(), _SHOWN))


def _shown(line: str) -> str:
    """What a terminal may show of a line: not all, and what would control the terminal written out."""
    return repr(line) if len(line) <= _CHARACTERS else f"{line[:_CHARACTERS]!r}..."


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def glob_literal(path: Path) -> str:
    """`path` for a reader that would take `*`, `?` and `[` in a file's name for a pattern."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))
