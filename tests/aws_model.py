"""AWS's own description of its requests, as botocore carries it: emulators check far less."""

import re

import botocore.session
from botocore.validate import ParamValidator

_CLASSES = {"Z": r"\s", "P": r"!-/:-@\[-`{-~", "S": r"$+<=>^`|~"}
SERVICE = botocore.session.get_session().get_service_model("sagemaker")


def faults(operation, request):
    """Everything AWS would refuse: wrong types, missing fields, lengths, ranges, patterns and values."""
    shape = SERVICE.operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    return [report.generate_report()] * report.has_errors() + list(_broken(request, shape, operation))


def _broken(value, shape, where):
    match shape.type_name:
        case "structure":
            for name, inner in value.items():
                yield from _broken(inner, shape.members[name], f"{where}.{name}")
            return
        case "list":
            inside = [(inner, shape.member) for inner in value]
        case "map":
            inside = [(name, shape.key) for name in value] + [(one, shape.value) for one in value.values()]
        case "string":
            yield from _text(value, shape, where)
            inside = []
        case _:
            inside = []
    if shape.type_name != "boolean":
        yield from _size(len(value) if hasattr(value, "__len__") else value, shape, where)
    for i, (inner, kind) in enumerate(inside):
        yield from _broken(inner, kind, f"{where}[{i}]")


def _text(value, shape, where):
    # Java's classes, which Python's expressions do not know; and a slip of AWS's: `*)${1,256}`.
    java = shape.metadata.get("pattern", "").replace("*)${", "){")
    pattern = re.sub(r"\\p\{(\w+)\}", lambda found: _CLASSES.get(found[1], r"\w"), java)
    if pattern and not re.fullmatch(pattern, value, re.DOTALL):
        yield f"{where}: {value!r} does not match {pattern}"
    if shape.enum and value not in shape.enum:
        yield f"{where}: {value!r} is none of {shape.enum}"


def _size(size, shape, where):
    if not shape.metadata.get("min", size) <= size <= shape.metadata.get("max", size):
        yield f"{where}: {size} is out of {shape.metadata}"
