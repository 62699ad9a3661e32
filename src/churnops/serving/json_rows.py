"""Customers as JSON, of any number, in the shapes that SageMaker's callers use."""

import re
from collections.abc import Sequence
from itertools import chain

import msgspec
import numpy as np

from churnops.serving.columns import MAX_ROWS, NOBODY, TOO_MANY, moved
from churnops.serving.model import Served
from churnops.serving.payloads import MAX_CUSTOMERS, Fault
from churnops.serving.quick import Rows
from churnops.serving.request import SHOWN_FAULTS, Refusal, shown

_ENVELOPE = re.compile(rb'\{\s*"(customers|instances)"\s*:')
_SHAPES = 'one customer, a list of them, or {"customers": [...]} or {"instances": [...]} with nothing else'
_LINE = "one customer, as a JSON object, on every line"

_MOST_BRACES = 10 * MAX_ROWS  # few texts hold any


class _Counted(msgspec.Struct, gc=False):
    """Any object, of which nothing is kept."""


_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECTS = msgspec.json.Decoder(list[_Counted])
_VALUE = msgspec.json.Decoder(msgspec.Raw)


def read_json(served: Served, body: bytes) -> Rows | Refusal:
    """The customers in `body`: one object, a list, or a list under `customers` or `instances`."""
    listed = body.strip()
    envelope = _ENVELOPE.match(listed) if listed.endswith(b"}") else None
    if envelope:
        content = listed[envelope.end() : -1].strip()
        if content.startswith(b"[") or envelope[1].decode() not in served.names:
            listed = content
        else:  # one customer, and the model has a column by this name
            envelope = None
    try:
        is_one = listed.startswith(b"{") and not envelope
        if not is_one and _are_too_many(listed):
            return TOO_MANY
        customers = [_VALUE.decode(listed)] if is_one else _LIST.decode(listed)
    except (ValueError, RecursionError) as error:
        problem = f"not JSON of this shape: {error}"
        if envelope and _is_json(body):
            problem = f"'{envelope[1].decode()}' is no list, or there is something beside it"
        return Refusal(422, (Fault(problem=problem, expected=_SHAPES),))
    return _read(served, customers)


def read_json_lines(served: Served, body: bytes) -> Rows | Refusal:
    """The customers in `body`, one on each line; blank lines at the end are none."""
    listed = body.rstrip()
    if listed.count(b"\n") >= MAX_ROWS:
        return TOO_MANY
    customers = []
    faults = []
    for row, line in enumerate(listed.split(b"\n")):
        try:
            customers.append(_VALUE.decode(line.strip()))
        except (ValueError, RecursionError) as error:
            problem = f"not JSON: {error}" if line.strip() else "an empty line"
            faults.append(Fault(row=row, problem=problem, expected=_LINE))
            if len(faults) > SHOWN_FAULTS:
                break
    return shown(Refusal(422, tuple(faults))) if faults else _read(served, customers)


def _read(served: Served, customers: Sequence[msgspec.Raw]) -> Rows | Refusal:
    """As many at a time as one request of `POST /v1/score` may hold, by its readers."""
    if not customers:
        return NOBODY
    if len(customers) > MAX_ROWS:
        return TOO_MANY
    read: list[Rows] = []
    faults: list[Fault] = []
    for start in range(0, len(customers), MAX_CUSTOMERS):
        listed = b",".join(customers[start : start + MAX_CUSTOMERS])
        rows = served.read(b'{"customers":[' + listed + b"]}")
        if isinstance(rows, Refusal):
            faults += moved(rows, start).faults
            if len(faults) > SHOWN_FAULTS:
                break
        else:
            read.append(rows)
    if faults:
        return shown(Refusal(422, tuple(faults)))
    return _joined(read)


def _are_too_many(listed: bytes) -> bool:
    """Whether a list holds more objects than may come, for the memory that it has itself; raises ValueError
    for what is no list, and at once for a list of anything else."""
    if listed.count(b",") < MAX_ROWS:
        return False
    return listed.count(b"{") > _MOST_BRACES or len(_OBJECTS.decode(listed)) > MAX_ROWS


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return False
    return True


def _joined(parts: Sequence[Rows]) -> Rows:
    """All of them; texts that the model does not know are numbered anew."""
    others: list[str] = []
    categories = []
    for rows in parts:
        category_NC = rows.category_NC
        categories.append(np.where(category_NC < 0, category_NC - len(others), category_NC))
        others += rows.others
    ids = [*chain.from_iterable(rows.customer_ids for rows in parts)]
    return Rows(np.concatenate([rows.numeric_NF for rows in parts]), np.concatenate(categories), ids, others)
