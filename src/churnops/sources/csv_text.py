"""CSV as people export it: packed or not, in any encoding, with any of the usual delimiters."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import duckdb

from churnops.data_config import SourceTable
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import SourceError

_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
_SHOWN, _CHARACTERS = 5, 120


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
    """The column names of the first line, without the blanks around them; empty if that line is."""
    with open_text(path, source.encoding) as text:
        if source.delimiter == "whitespace":
            return text.readline().split()
        try:
            return [name.strip() for name in next(csv.reader(text, delimiter=source.delimiter), [])]
        except csv.Error as error:
            raise SourceError(path.name, [f"the first line is not a CSV header ({error})"]) from error


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
        """The first rows that cannot be read, in words: numbered as in `ROW`, the file called `name`."""
        reject = (
            f"select count(columns(*)) from {self.sql(f', store_rejects = true, rejects_limit = {_SHOWN}')}"
        )
        told = """
            select distinct line - 1 as row, csv_line,
                   case error_type when 'INVALID ENCODING' then 'not in utf-8, correct `encoding`'
                   else error_message end as message
            from reject_errors order by row, message limit ?
        """
        with engine.connect({}) as connection:
            try:
                connection.execute(reject).fetchall()  # until it is fetched, nothing is read
            except duckdb.InvalidInputException:
                return []
            faults = connection.execute(told, [_SHOWN]).fetchall()
        return [
            f"{name} row {row}: {message} in '{' '.join(line.split())[:_CHARACTERS]}'"
            for row, line, message in faults
        ]


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def glob_literal(path: Path) -> str:
    """`path` for a reader that would take `*`, `?` and `[` in a file's name for a pattern."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))
