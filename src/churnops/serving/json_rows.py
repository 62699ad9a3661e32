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

_ENVELOPE = re.compile(rb'\s*\{\s*"(?:customers|instances)"\s*:\s*(?=\[)')
_SHAPES = 'one customer, a list of them, or {"customers": [...]} or {"instances": [...]} with nothing else'
_LINE = "one customer, as a JSON object, on every line"

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_VALUE = msgspec.json.Decoder(msgspec.Raw)


def read_json(served: Served, body: bytes) -> Rows | Refusal:
    """The customers in `body`: one object, a list, or a list under `customers` or `instances`."""
    listed = body.strip()
    envelope = _ENVELOPE.match(listed)
    if envelope and listed.endswith(b"}"):
        listed = listed[envelope.end() : -1]
    try:
        customers = [_VALUE.decode(listed)] if listed[:1] == b"{" else _LIST.decode(listed)
    except (ValueError, RecursionError) as error:
        return Refusal(422, (Fault(problem=f"not JSON of this shape: {error}", expected=_SHAPES),))
    return _read(served, customers)


def read_json_lines(served: Served, body: bytes) -> Rows | Refusal:
    """The customers in `body`, one on each line; blank lines at the end are none."""
    customers = []
    faults = []
    for row, line in enumerate(body.rstrip().split(b"\n")):
        try:
            customers.append(_VALUE.decode(line.strip()))
        except (ValueError, RecursionError) as error:
            faults.append(Fault(row=row, problem=f"not JSON: {error}", expected=_LINE))
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
