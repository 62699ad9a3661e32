"""What a graph would reach beside itself, read from its bytes: the server has no `onnx`."""

from collections.abc import Iterator

from churnops.errors import BundleError

_DOMAINS = {b"", b"ai.onnx", b"ai.onnx.ml"}

# Field numbers of onnx.proto: which messages hold which others, down to nodes and tensors.
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
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
_NODE_DOMAIN = 7
_TENSOR_OUTSIDE = {13, 14}  # where its data are; that they are elsewhere: 1, as against 0
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def check_stands_alone(model: bytes, where: str) -> None:
    """Raise BundleError for a graph that reads other files, or runs operators beside ONNX's own.

    Those of ONNX Runtime itself (`com.microsoft`) are refused too: no bundle needs them, and they are less
    looked at.
    """
    parts = [("model", memoryview(model))]
    while parts:
        kind, content = parts.pop()
        inside = _PARTS.get(kind, {})
        try:
            for number, value in _fields(content):
                if kind == "tensor" and number in _TENSOR_OUTSIDE and value != 0:
                    raise BundleError(f"{where} keeps weights in another file; export it as one file")
                if isinstance(value, int):
                    continue
                if number in inside:
                    parts.append((inside[number], value))
                elif kind == "node" and number == _NODE_DOMAIN and bytes(value) not in _DOMAINS:
                    domain = bytes(value).decode(errors="replace")
                    raise BundleError(f"{where} runs operators of '{domain}'; only ONNX's own are run")
        except IndexError:
            raise BundleError(f"{where} is damaged, or no ONNX graph") from None


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message, in protobuf's encoding. Raises IndexError where it ends too early."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(content, at)
            yield tag >> 3, value
            continue
        if wire == _LENGTH:
            size, at = _varint(content, at)
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if wire == _EIGHT_BYTES else 4
        else:
            raise IndexError("groups are not in ONNX")
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
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError("a number too long")
