"""Customers as CSV."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice

import numpy as np

from churnops.bundle.bundle import Bundle
from churnops.bundle.categories import MISSING
from churnops.bundle.manifest import InputColumn
from churnops.serving.columns import (
    MAX_ROWS,
    NOBODY,
    TOO_MANY,
    misread,
    refused_id,
    refused_names,
    refused_values,
)
from churnops.serving.payloads import MAX_ID_CHARACTERS, Fault
from churnops.serving.quick import Rows
from churnops.serving.request import SHOWN_FAULTS, Refusal, shown

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_OF_NUMBERS = frozenset("0123456789+-.eE")
_NO_HEADER = (
    "none where files are sent in parts; `text/csv; header=present` where each is sent whole, with a header"
)
_FLAGS = {"true": 1.0, "false": 0.0}


def read_csv(
    bundle: Bundle, body: bytes, *, has_header: bool | None, is_part: bool = False
) -> Rows | Refusal:
    """The customers in `body`, UTF-8 as in RFC 4180, or every fault; an empty cell is missing.

    Without a header the cells are the columns of the manifest, in its order, and no others. Where it is not
    known (None), a first line is the header if half of it are names of columns, or any where there are not as
    many cells as columns. If `body` may be a part of a file, such a line is refused: the other parts lack it,
    and would be read in another order.
    """
    manifest = bundle.manifest
    try:
        lines = _lines(body)
        first = next(lines, None)
        if first is None:
            return NOBODY
        names = [column.name for column in manifest.inputs]
        if has_header is None:
            known = {*names, *manifest.ignored_columns, "customer_id", "as_of"}
            named = sum(cell in known for cell in first)
            has_header = 2 * named >= len(first) or (named > 0 and len(first) != len(names))
            if has_header and is_part:
                return Refusal(422, (Fault(row=0, problem="a header", expected=_NO_HEADER),))
        if has_header:
            names = first
            refused = refused_names(manifest, names)
            if refused:
                return refused
        else:
            lines = chain([first], lines)
        cells = [*islice(lines, MAX_ROWS + 1)]
    except UnicodeDecodeError as error:
        return _refused(f"not UTF-8: {error.reason} at byte {error.start}")
    except csv.Error as error:
        return _refused(f"not CSV: {error}")
    if len(cells) > MAX_ROWS:
        return TOO_MANY
    return _rows(bundle, names, cells)


def _lines(body: bytes) -> Iterator[list[str]]:
    """The cells of each line; empty lines at the end are none."""
    text = body.decode("utf-8-sig").rstrip("\r\n")
    return csv.reader(io.StringIO(text, newline=""), strict=True) if text else iter(())


def _rows(bundle: Bundle, names: Sequence[str], cells: list[list[str]]) -> Rows | Refusal:
    if not cells:
        return NOBODY
    uneven = [(row, len(line)) for row, line in enumerate(cells) if len(line) != len(names)]
    if uneven:
        said = f"{len(names)}: {', '.join(names)}"
        faults = (
            Fault(row=row, problem=f"{n} cells" if n else "an empty line", expected=said)
            for row, n in uneven[: SHOWN_FAULTS + 1]
        )
        return shown(Refusal(422, tuple(faults)))
    manifest = bundle.manifest
    columns = dict(zip(names, zip(*cells, strict=True), strict=True))
    numeric_NF = np.full((len(cells), len(manifest.numeric)), np.nan, dtype=np.float32)
    category_NC = np.full((len(cells), len(manifest.categorical)), MISSING, dtype=np.intp)
    others: dict[str, int] = {}
    wrong: list[Fault] = []
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and a fault
        for j, column in enumerate(manifest.numeric):
            if column.name in columns:
                numeric_NF[:, j] = _numbers(column, columns[column.name], wrong)
    for j, column in enumerate(manifest.categorical):
        if column.name in columns:
            category_NC[:, j] = bundle.categories.numbers(columns[column.name], others)
    ids = [one or None for one in columns.get("customer_id", [""] * len(cells))]
    long = [(row, len(one)) for row, one in enumerate(ids) if one and len(one) > MAX_ID_CHARACTERS]
    wrong += [refused_id(row, n) for row, n in long]
    rows = Rows(numeric_NF, category_NC, ids, (*others,))
    return refused_values(bundle, rows, wrong) or rows


def _numbers(column: InputColumn, cells: Sequence[str], faults: list[Fault]) -> np.ndarray:
    """In float64, NaN for empty cells and for those that are added to `faults`."""
    if _OF_NUMBERS.issuperset("".join(cells)):
        try:
            return np.array([float(cell) if cell else np.nan for cell in cells])
        except ValueError:  # as 1-2
            pass
    read = [_number(cell.strip()) for cell in cells]
    wrong = [row for row, number in enumerate(read) if number is None]
    faults += [misread(column, row, cells[row]) for row in wrong[: SHOWN_FAULTS + 1]]
    return np.array([np.nan if number is None else number for number in read])


def _number(cell: str) -> float | None:
    if not cell:
        return np.nan
    return float(cell) if _NUMBER.fullmatch(cell) else _FLAGS.get(cell.lower())


def _refused(problem: str) -> Refusal:
    return Refusal(422, (Fault(problem=problem, expected="CSV as in RFC 4180, in UTF-8"),))
