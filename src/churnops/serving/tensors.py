"""Tensors of the Open Inference Protocol: one per column in, scores out, as JSON or as binary data."""

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from churnops.bundle.bundle import Bundle
from churnops.bundle.categories import MISSING
from churnops.bundle.manifest import InputColumn
from churnops.serving.columns import (
    MAX_ROWS,
    NOBODY,
    TOO_MANY,
    misread,
    refused_names,
    refused_values,
)
from churnops.serving.payloads import Fault
from churnops.serving.quick import Rows
from churnops.serving.request import SHOWN_FAULTS, Refusal

_INTEGERS = {
    f"{sign}INT{8 * size}": f"<{kind}{size}"
    for sign, kind in (("", "i"), ("U", "u"))
    for size in (1, 2, 4, 8)
}
_FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
_DTYPES = {"BOOL": "?", **_INTEGERS, **_FLOATS}
_ACCEPTED = {"numeric": [*_FLOATS, *_INTEGERS, "BOOL"], "categorical": ["BYTES", *_INTEGERS]}
_PYTHON: Mapping[str, set[type]] = {
    "BOOL": {bool},
    "BYTES": {str, type(None)},
    **{name: {int, type(None)} for name in _INTEGERS},
    **{name: {int, float, type(None)} for name in _FLOATS},
}
_RANGES = {name: range(np.iinfo(kind).min, np.iinfo(kind).max + 1) for name, kind in _INTEGERS.items()}
_SIZE = "binary_data_size"
_LENGTH = re.compile(r"[0-9]{1,12}")


class Tensor(Struct):
    """An input: its `data`, flat or a list per row, or so many bytes after the JSON as `parameters` say."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | UnsetType = UNSET


class Output(Struct):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class Inference(Struct):
    """A request; what else is in it is not looked at."""

    inputs: list[Tensor]
    outputs: list[Output] = []
    id: str = ""
    parameters: dict[str, Any] = {}


class Malformed(ValueError):
    """A request that is not as the protocol says."""


_REQUEST = msgspec.json.Decoder(Inference)


def read_inference(body: bytes, json_bytes: str | None) -> tuple[Inference, list[bytes | None]]:
    """The request and, of each input, its binary data, which follow the JSON where its length is given.

    Raises Malformed.
    """
    start = len(body) if json_bytes is None else int(json_bytes) if _LENGTH.fullmatch(json_bytes) else -1
    if not 0 <= start <= len(body):
        raise Malformed(f"Inference-Header-Content-Length is not that of a body of {len(body)} bytes")
    try:
        request = _REQUEST.decode(body[:start])
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not an inference request: {error}") from error
    sizes = [tensor.parameters.get(_SIZE) for tensor in request.inputs]
    if any(size is not None and (type(size) is not int or size < 0) for size in sizes):
        raise Malformed(f"{_SIZE} is a number of bytes")
    ends = [*accumulate((size or 0 for size in sizes), initial=start)]
    if ends[-1] != len(body):
        after = (
            ""
            if json_bytes
            else ": Inference-Header-Content-Length, which says where they begin, is not sent"
        )
        raise Malformed(
            f"the inputs' {_SIZE} add up to {ends[-1] - start} bytes, not {len(body) - start}{after}"
        )
    blobs = (body[first:last] for first, last in pairwise(ends))
    return request, [None if size is None else blob for size, blob in zip(sizes, blobs, strict=True)]


def rows_of(bundle: Bundle, request: Inference, blobs: Sequence[bytes | None]) -> Rows | Refusal:
    """The customers of a request, or every fault."""
    manifest = bundle.manifest
    names = [tensor.name for tensor in request.inputs]
    refused = refused_names(manifest, names)
    if refused:
        return refused
    n = request.inputs[0].shape[0] if request.inputs and request.inputs[0].shape else 0
    if n > MAX_ROWS:
        return TOO_MANY
    if n < 1:
        return NOBODY
    numeric_NF = np.full((n, len(manifest.numeric)), np.nan, dtype=np.float32)
    category_NC = np.full((n, len(manifest.categorical)), MISSING, dtype=np.intp)
    sent = {tensor.name: (tensor, blob) for tensor, blob in zip(request.inputs, blobs, strict=True)}
    faults: list[Fault] = []
    for j, column in enumerate(manifest.numeric):
        values = _values(column, *sent[column.name], n, faults) if column.name in sent else None
        if values is not None:
            numeric_NF[:, j] = _numbers(values)
    others: dict[str, int] = {}
    for j, column in enumerate(manifest.categorical):
        values = _values(column, *sent[column.name], n, faults) if column.name in sent else None
        if values is not None:
            texts = values.tolist() if isinstance(values, np.ndarray) else values
            category_NC[:, j] = bundle.categories.numbers(texts, others)
    rows = Rows(numeric_NF, category_NC, [None] * n, (*others,))
    return refused_values(bundle, rows, faults) or rows


def output(
    name: str, values: Sequence[Any], datatype: str, *, is_binary: bool
) -> tuple[dict[str, Any], bytes]:
    """An output, described, with its binary data (empty where it is in the JSON)."""
    described: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [len(values)]}
    if not is_binary:
        return described | {"data": values}, b""
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        blob = b"".join([len(text).to_bytes(4, "little") + text for text in texts])
    else:
        blob = np.array(values, dtype=_DTYPES[datatype]).tobytes()
    return described | {"parameters": {_SIZE: len(blob)}}, blob


def _values(
    column: InputColumn, tensor: Tensor, blob: bytes | None, n: int, faults: list[Fault]
) -> np.ndarray | list[Any] | None:
    """`n` values of the right kind; None where `faults` say why there are none."""
    accepted = _ACCEPTED[column.kind]
    if tensor.datatype not in accepted:
        faults.append(_fault(column, f"datatype is {tensor.datatype[:20]}", f"one of {', '.join(accepted)}"))
        return None
    if tensor.shape not in ([n], [n, 1]):
        faults.append(_fault(column, f"shape is {tensor.shape[:4]}", f"[{n}] or [{n}, 1], as of the others"))
        return None
    try:
        values = _from_json(tensor) if blob is None else _from_binary(tensor.datatype, blob)
    except Malformed as error:
        faults.append(_fault(column, str(error), f"{n} values"))
        return None
    if len(values) != n:
        faults.append(_fault(column, f"{len(values)} values", f"{n}, as the shape says"))
        return None
    if isinstance(values, list):
        wrong = _misfits(tensor.datatype, values)
        if wrong:
            faults += [misread(column, row, values[row]) for row in wrong[: SHOWN_FAULTS + 1]]
            return None
    return values


def _misfits(datatype: str, values: list[Any]) -> list[int]:
    """Where values are of another type, or more than it holds."""
    kinds, within = _PYTHON[datatype], _RANGES.get(datatype)
    return [
        row
        for row, value in enumerate(values)
        if type(value) not in kinds or (within and value is not None and value not in within)
    ]


def _numbers(values: np.ndarray | list[float | None]) -> np.ndarray:
    """In 32 bits; what is too large becomes infinite, and a fault."""
    wide_N = values if isinstance(values, np.ndarray) else np.array([*map(_number, values)])
    with np.errstate(over="ignore"):  # by way of 64 bits, as in JSON, where whole numbers are rounded twice
        return wide_N.astype(np.float64).astype(np.float32)


def _number(value: float | None) -> float:
    try:
        return np.nan if value is None else float(value)
    except OverflowError:
        return np.inf


def _from_json(tensor: Tensor) -> list[Any]:
    if isinstance(tensor.data, UnsetType):
        raise Malformed("no data")
    if len(tensor.shape) == 2 and all(isinstance(row, list) for row in tensor.data):
        if any(len(row) != 1 for row in tensor.data):
            raise Malformed("rows of another length than 1")
        return [value for (value,) in tensor.data]
    return tensor.data


def _from_binary(datatype: str, blob: bytes) -> np.ndarray | list[str]:
    if datatype != "BYTES":
        dtype = np.dtype(_DTYPES[datatype])
        if len(blob) % dtype.itemsize:
            raise Malformed(f"{len(blob)} bytes are no whole number of {datatype}")
        return np.frombuffer(blob, np.uint8) != 0 if datatype == "BOOL" else np.frombuffer(blob, dtype)
    texts, start = [], 0
    while start < len(blob):
        end = start + 4 + int.from_bytes(blob[start : start + 4], "little")
        if start + 4 > len(blob) or end > len(blob):
            raise Malformed("a text ends after the data")
        try:
            texts.append(blob[start + 4 : end].decode())
        except UnicodeDecodeError:
            raise Malformed(f"text {len(texts)} is not UTF-8") from None
        start = end
    return texts


def _fault(column: InputColumn, problem: str, wanted: str) -> Fault:
    return Fault(column=column.name, problem=problem, expected=wanted)
