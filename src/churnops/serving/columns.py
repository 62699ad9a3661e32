"""Customers that come as columns (CSV, tables, tensors): what is wrong with names and values, by row."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from churnops.bundle.bundle import Bundle
from churnops.bundle.categories import MISSING
from churnops.bundle.manifest import InputColumn, Manifest
from churnops.serving.model import Served, checked
from churnops.serving.payloads import ID, MAX_TEXT_CHARACTERS, Fault, expected
from churnops.serving.quick import Rows
from churnops.serving.request import KNOWN_ONLY, SHOWN_FAULTS, Refusal, described, shown, suggestions

PIECE_ROWS = 16_384  # read, scored and written at once: more are no faster, and take memory
MAX_ROWS = 100_000
_KEY = ("customer_id", "as_of")

Parts = list[tuple[Rows, list[float]]]
"""Customers and their scores, some thousand at a time."""

TOO_MANY = Refusal(413, (Fault(problem="too many customers", expected=f"at most {MAX_ROWS:,} in a request"),))
NOBODY = Refusal(422, (Fault(problem="no customers", expected="at least one"),))


def refused_names(manifest: Manifest, names: Sequence[str]) -> Refusal | None:
    """What is wrong with the names of columns: unknown, repeated or missing.

    The key and the columns that the model ignores may come along; a nullable column may be left out.
    """
    inputs = [column.name for column in manifest.inputs]
    known = {*inputs, *_KEY, *manifest.ignored_columns}
    times = Counter(names)
    unknown = [name for name in times if name not in known]
    perhaps = suggestions(unknown, [*inputs, *_KEY])
    faults = [
        Fault(column=name, problem=f"there is no '{name}'", expected=perhaps.get(name, KNOWN_ONLY))
        for name in unknown[: SHOWN_FAULTS + 1]
    ]
    repeated = [name for name, n in times.items() if n > 1]
    faults += [
        Fault(column=name, problem=f"'{name}' is sent more than once", expected="one column")
        for name in repeated[: SHOWN_FAULTS + 1]
    ]
    for column in manifest.inputs:
        if column.name not in times and not column.nullable:
            faults.append(missing(column))
    return shown(Refusal(422, tuple(faults))) if faults else None


def refused_values(bundle: Bundle, rows: Rows, found: Sequence[Fault] = ()) -> Refusal | None:
    """What is wrong with the values of `rows`, beside what was `found` when they were read."""
    unread = {fault.column for fault in found if fault.row is None}
    faults = {
        (fault.row, fault.column): fault
        for fault in _value_faults(bundle, rows)
        if fault.column not in unread
    }
    faults |= {(fault.row, fault.column): fault for fault in found}
    if not faults:
        return None
    return shown(Refusal(422, tuple(sorted(faults.values(), key=lambda fault: fault.row or 0))))


def misread(column: InputColumn, row: int, value: object) -> Fault:
    """The fault of a value that is of another kind than its column."""
    return Fault(row=row, column=column.name, problem=f"got {described(value)}", expected=expected(column))


def missing(column: InputColumn, row: int | None = None) -> Fault:
    """The fault of a value that must be there, or of a whole column."""
    problem = f"'{column.name}' is missing"
    return Fault(row=row, column=column.name, problem=problem, expected=expected(column))


def refused_id(row: int, n: int) -> Fault:
    """The fault of an id of `n` characters, which are too many, or none."""
    problem = f"text of {n} characters" if n else "empty text"
    return Fault(row=row, column="customer_id", problem=problem, expected=ID)


def scored(served: Served, rows: Rows) -> Parts | Refusal:
    """The scores of any number of customers, some thousand at a time."""
    parts: Parts = []
    faults: list[Fault] = []
    for start in range(0, len(rows), PIECE_ROWS):
        piece = rows[start : start + PIECE_ROWS]
        scores = checked(served.score(piece))
        if isinstance(scores, Refusal):
            faults += moved(scores, start).faults
        else:
            parts.append((piece, scores))
    if faults:
        return shown(Refusal(422, tuple(faults)))
    for piece, scores in parts:
        served.note(served.manifest, piece, scores)
    return parts


def moved(refusal: Refusal, by: int) -> Refusal:
    """The refusal of rows that `by` others stand before."""
    faults = (
        fault if fault.row is None else fault.model_copy(update={"row": fault.row + by})
        for fault in refusal.faults
    )
    return replace(refusal, faults=tuple(faults))


def _value_faults(bundle: Bundle, rows: Rows) -> Iterator[Fault]:
    for column, row in _where(bundle.numeric, np.isinf(rows.numeric_NF)):
        problem = "not a finite number of 32 bits"
        yield Fault(row=row, column=column.name, problem=problem, expected=expected(column))
    numbers = [j for j, column in enumerate(bundle.numeric) if not column.nullable]
    texts = [j for j, column in enumerate(bundle.categorical) if not column.nullable]
    for columns, filled, absent_NX in (
        (bundle.numeric, numbers, np.isnan(rows.numeric_NF[:, numbers])),
        (bundle.categorical, texts, rows.category_NC[:, texts] == MISSING),
    ):
        for column, row in _where([columns[j] for j in filled], absent_NX):
            yield missing(column, row)
    is_long = np.array([False, *(len(text) > MAX_TEXT_CHARACTERS for text in reversed(rows.others))])
    if is_long.any():
        # The number of a text beside the known ones is its place from the end; all known ones have the first.
        long_NC = is_long[np.minimum(rows.category_NC, 0)]
        places = {column.name: j for j, column in enumerate(bundle.categorical)}
        for column, row in _where(bundle.categorical, long_NC):
            text = rows.others[-1 - rows.category_NC[row, places[column.name]]]
            problem = f"text of {len(text)} characters, more than {MAX_TEXT_CHARACTERS}"
            yield Fault(row=row, column=column.name, problem=problem, expected=expected(column))


def _where(columns: Sequence[InputColumn], mask_NX: np.ndarray) -> Iterator[tuple[InputColumn, int]]:
    """By column, as many rows of each as are shown, and one more."""
    if not mask_NX.any():
        return
    for j in np.flatnonzero(mask_NX.any(axis=0)).tolist():
        for row in np.flatnonzero(mask_NX[:, j])[: SHOWN_FAULTS + 1].tolist():
            yield columns[j], row
