"""How a file is written, told from its content: format, encoding, delimiter."""

import codecs
import csv
from pathlib import Path

from charset_normalizer import from_bytes

from churnops.data_config import SourceTable
from churnops.errors import SourceError
from churnops.sources.csv_text import EMPTY, open_bytes, open_text

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_CHARACTERS = 1 << 18
_SAMPLE_LINES = 500
_CHUNK = 1 << 20
_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# What exports are found in; rarer code pages only make short samples ambiguous.
_WESTERN, _EASTERN = ("cp1252", "cp1250", "cp1254", "mac_roman"), ("cp1251", "cp1253", "koi8_r")
_ASIAN = ("cp932", "gb18030", "big5", "cp949")


def detect(path: Path) -> SourceTable:
    """How `path`, a file or a folder, can be read; of a folder the first file that is not hidden tells.

    The decimal sign and the format of ids are left as they are. Raises SourceError where there is nothing.
    """
    file = _first_file(path)
    with file.open("rb") as content:
        if content.read(4) == b"PAR1":
            return SourceTable(path=str(path), format="parquet")
    encoding = detect_encoding(file)
    return SourceTable(
        path=str(path), format="csv", encoding=encoding, delimiter=detect_delimiter(file, encoding)
    )


def detect_encoding(path: Path) -> str:
    """`utf-8` if every byte of the file is; else the likeliest, Western European (cp1252) where many fit."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    foreign = bytearray()  # lines with more than ASCII: these tell encodings apart
    with open_bytes(path) as file:
        start = file.read(4)
        marked = next((name for mark, name in _BYTE_ORDER_MARKS.items() if start.startswith(mark)), "")
        if marked or b"\0" in start:
            return marked or ("utf-16-be" if start[0] == 0 else "utf-16-le")
        file.seek(0)
        valid = True
        while chunk := file.read(_CHUNK):
            valid = valid and _decodes(decoder, chunk)
            if len(foreign) < _SAMPLE_CHARACTERS:
                foreign += b"\n".join(line for line in chunk.splitlines() if not line.isascii())
            elif not valid:
                break
    return "utf-8" if valid else _likeliest(bytes(foreign[:_SAMPLE_CHARACTERS]))


def detect_delimiter(path: Path, encoding: str) -> str:
    """The delimiter that splits most lines into as many fields as the header has; a comma if none does."""
    with open_text(path, encoding) as text:
        sample = text.read(_SAMPLE_CHARACTERS).splitlines()[:_SAMPLE_LINES]
    # The sample may end within a line.
    lines = [line for line in sample if line.strip()][: -1 if len(sample) > 2 else None]
    if not lines:
        raise SourceError(path.name, [EMPTY])
    fit = {delimiter: _fit(_split(lines, delimiter)) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: fit[delimiter])
    if fit[best] == (0.0, 0) and _fit(_split(lines, "whitespace"))[0] > 0.9:
        return "whitespace"
    return best


def _split(lines: list[str], delimiter: str) -> list[list[str]]:
    if delimiter == "whitespace":
        return [line.split() for line in lines]
    try:
        return list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:  # a quotation mark that is never closed
        return [[]]


def _fit(rows: list[list[str]]) -> tuple[float, int]:
    """The share of rows with as many fields as the header, and how many these are; nothing for one field."""
    fields = len(rows[0])
    if fields < 2:
        return 0.0, 0
    # A lone quotation mark in a field: the delimiter was found within quotation marks.
    whole = [row for row in rows if len(row) == fields and all(field.count('"') % 2 == 0 for field in row)]
    return round(len(whole) / len(rows), 2), fields


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes) -> bool:
    try:
        decoder.decode(chunk)
    except UnicodeDecodeError:
        return False
    return True


def _likeliest(sample: bytes) -> str:
    matches = from_bytes(sample, cp_isolation=[*_WESTERN, *_EASTERN, *_ASIAN])
    best = matches.best()
    if best is None:
        return "latin-1"  # reads any byte
    tied = (name for match in matches if match.chaos <= best.chaos for name in match.could_be_from_charset)
    return "cp1252" if "cp1252" in tied else best.encoding


def _first_file(path: Path) -> Path:
    if path.is_file():
        return path
    shown = (file for file in path.rglob("*") if file.is_file() and file.name[0] not in "._")
    first = min(shown, default=None)
    if first is None:
        raise SourceError(
            str(path), ["no such file or folder" if not path.exists() else "the folder holds no file"]
        )
    return first
