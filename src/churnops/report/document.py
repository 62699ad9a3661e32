"""`docs/result.md`, out of the very models that write `result.json`."""

from collections.abc import Iterator
from typing import Any

from churnops.report.result import Result

_HEAD = """# result.json

What one run of `churnops run` found, in numbers. It lies in the run's folder; `churnops report` makes a page
of it. This document is generated from `churnops.report.result`; do not edit it.
"""


def result_document() -> str:
    """The document, each object after the one that first names it."""
    schema = Result.model_json_schema()
    definitions: dict[str, Any] = {"Result": schema, **schema["$defs"]}
    sections = [_section(name, definitions[name]) for name in _in_order(definitions)]
    return "\n".join([_HEAD, *sections])


def _in_order(definitions: dict[str, Any]) -> list[str]:
    """Breadth first from `Result`."""
    order = ["Result"]
    for name in order:  # grows while it is walked
        named = dict.fromkeys(_references(definitions[name]["properties"]))
        order += [found for found in named if found not in order]
    return order


def _references(part: Any) -> Iterator[str]:
    """Names of the objects a piece of schema refers to, as often as it does."""
    if isinstance(part, dict):
        if "$ref" in part:
            yield _name(part)
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _section(name: str, definition: dict[str, Any]) -> str:
    rows = [
        f"| `{field}` | {_type(part)} | {part.get('description', '')} |"
        for field, part in definition["properties"].items()
    ]
    head = [f"## {name}", "", definition["description"], "", "| field | type | meaning |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _type(part: dict[str, Any]) -> str:
    """A JSON type in words."""
    match part:
        case {"$ref": _}:
            return f"[{_name(part)}](#{_name(part).lower()})"
        case {"anyOf": choices}:
            return " or ".join(_type(choice) for choice in choices)
        case {"const": value}:
            return f"always `{value}`"
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": values}:
            return f"object, name to {_type(values)}"
        case _:
            return str(part["type"])


def _name(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rsplit("/", 1)[-1]
