"""What a graph would reach beside itself, read from its bytes: the server has no `onnx`."""

from collections.abc import Iterator

from churnops.errors import BundleError

_DOMAINS = {b"", b"ai.onnx", b"ai.onnx.ml"}

_VARINT, _LENGTH, _FOUR_BYTES = 0, 2, 5

# Field numbers of onnx.proto: which messages hold which others, down to nodes and tensors ...
_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "tensor": {},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
# ... and what else they have, by how it is written. Left out is what no bundle needs: graphs for training,
# parts of tensors, devices.
_PLAIN: dict[str, dict[int, set[int]]] = {
    "model": {_VARINT: {1, 5}, _LENGTH: {2, 3, 4, 6, 8, 14}},
    "graph": {_LENGTH: {2, 10, 11, 12, 13, 14, 16}},
    "function": {_LENGTH: {1, 4, 5, 6, 8, 9, 10, 12, 13, 14}},
    "node": {_LENGTH: {1, 2, 3, 4, 6, 7, 8, 9}},
    "attribute": {_VARINT: {3, 8, 20}, _FOUR_BYTES: {2, 7}, _LENGTH: {1, 4, 9, 13, 14, 15, 21}},
    "tensor": {_VARINT: {1, 2, 14}, _LENGTH: {4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16}},
    "sparse tensor": {_VARINT: {3}},
}
_TAGS = {
    kind: {number << 3 | _LENGTH for number in _PARTS[kind]}
    | {number << 3 | wire for wire, numbers in plain.items() for number in numbers}
    for kind, plain in _PLAIN.items()
}
"""Every tag that a message may have. Any other is refused: another reader might see in it what we do not."""

_NODE_DOMAIN = 7
_TENSOR_OUTSIDE = {13, 14}  # where its data are; that they are elsewhere: 1, as against 0


def check_stands_alone(model: bytes, where: str) -> None:
    """Raise BundleError for a graph that reads other files, or runs operators beside ONNX's own.

    Those of ONNX Runtime itself (`com.microsoft`) are refused too: no bundle needs them, and they are less
    looked at. So is whatever ONNX does not write as we read it, lest ONNX Runtime reads something else.
    """
    parts = [("model", memoryview(model))]
    while parts:
        kind, content = parts.pop()
        inside = _PARTS[kind]
        try:
            for number, value in _fields(kind, content):
                if kind == "tensor" and number in _TENSOR_OUTSIDE and value != 0:
                    raise BundleError(f"{where} keeps weights in another file; export it as one file")
                if isinstance(value, int):
                    continue
                if number in inside:
                    parts.append((inside[number], value))
                elif kind == "node" and number == _NODE_DOMAIN and bytes(value) not in _DOMAINS:
                    domain = bytes(value).decode(errors="replace")
                    raise BundleError(f"{where} runs operators of '{domain}'; only ONNX's own are run")
        except IndexError as error:
            raise BundleError(f"{where} is damaged, or no ONNX graph: {error}") from None


def _fields(kind: str, content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message, in protobuf's encoding. Raises IndexError for bytes that are none."""
    tags, at = _TAGS[kind], 0
    while at < len(content):
        tag, at = _varint(content, at)
        if tag not in tags:
            raise IndexError(f"a {kind} has no field {tag >> 3} of kind {tag & 7}")
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(content, at)
            yield tag >> 3, value
            continue
        size = 4
        if wire == _LENGTH:
            size, at = _varint(content, at)
        if at + size > len(content):
            raise IndexError("ends too early")
        yield tag >> 3, content[at : at + size]
        at += size


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            if shift and not byte:
                raise IndexError("a number is longer than it need be")
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError("a number is too long")
