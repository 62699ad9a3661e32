"""Reading a scoring request, or saying everything that is wrong with it."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from churnops.bundle.manifest import Manifest
from churnops.serving.payloads import SHAPE, Customer, Fault, expected, request_type

_CUSTOMER = "an object: column name -> value"
_SHOWN_TEXT = 60
_SUGGESTIONS = 50  # comparing names is slow, and a hostile request holds hundreds of thousands
_MOST_FAULTS = 100_000  # a full batch with every column wrong fits

_Place = tuple[int | str, ...]


@dataclass(frozen=True)
class Refusal:
    """An answer other than scores: an HTTP status and every reason."""

    status: int
    faults: tuple[Fault, ...]


class RequestReader:
    """Reads the requests for one model. Made once: building the validator takes milliseconds."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._reader = TypeAdapter[dict[str, list[Customer]]](request_type(manifest))

    def read(self, body: bytes) -> list[Customer] | Refusal:
        """The customers in the JSON `body`, good in every column, or every fault."""
        try:
            return self._reader.validate_json(body)["customers"]
        except ValidationError as error:
            return refusal(error, self._manifest)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI `requestBody`, with the model's own columns."""
        schema = self._reader.json_schema()
        # A `$ref` would be looked up in the whole OpenAPI document: the one definition goes in its place.
        schema["properties"]["customers"]["items"] = schema.pop("$defs")["Customer"]
        schema["example"] = {"customers": [{"customer_id": "17", **self._manifest.example}]}
        return {"required": True, "content": {"application/json": {"schema": schema}}}


def refusal(error: ValidationError, manifest: Manifest) -> Refusal:
    """Every fault pydantic found, in words, once each: status 413 for too many customers, else 422."""
    if error.error_count() > _MOST_FAULTS:
        problem = f"{error.error_count()} faults, too many to list"
        return Refusal(422, (Fault(problem=problem, expected="one customer at a time shows them"),))
    found: dict[_Place, ErrorDetails] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(detail["loc"][:3], detail)  # a value fails once for each type it might have had
    expectations = {column.name: expected(column) for column in manifest.inputs}
    expectations["customer_id"] = "text or a whole number"
    expectations |= _similar(found, [*expectations, *manifest.ignored_columns])
    faults = (_fault(detail, expectations) for detail in found.values())
    too_many = any(detail["type"] == "too_long" for detail in found.values())
    return Refusal(413 if too_many else 422, tuple(faults))


def _similar(found: Mapping[_Place, ErrorDetails], known: Sequence[str]) -> dict[str, str]:
    """For each unknown column the known one it may be a misspelling of."""
    unknown = {
        str(place[2]) for place, detail in found.items() if place[2:] and detail["type"] == "extra_forbidden"
    }
    nearest = {name: difflib.get_close_matches(name, known, n=1) for name in sorted(unknown)[:_SUGGESTIONS]}
    return {name: f"perhaps '{close[0]}'" for name, close in nearest.items() if close}


def _fault(detail: ErrorDetails, expectations: Mapping[str, str]) -> Fault:
    place = detail["loc"]
    if len(place) < 3:
        row = int(place[1]) if place[1:] else None
        return Fault(row=row, problem=_problem(detail), expected=SHAPE if row is None else _CUSTOMER)
    column = str(place[2])
    wanted = expectations.get(column, "only the columns of GET /v1/model")
    return Fault(row=int(place[1]), column=column, problem=_problem(detail), expected=wanted)


def _problem(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "json_invalid":
            return f"not JSON: {detail['ctx']['error']}"
        case "missing":
            return f"'{detail['loc'][-1]}' is missing"
        case "extra_forbidden":
            return f"there is no '{detail['loc'][-1]}'"
        case "too_long":
            return "too many customers"
        case "too_short":
            return "no customers"
        case "string_pattern_mismatch":
            return "blank text, which means missing"
        case "finite_number" | "less_than_equal" | "greater_than_equal":
            return f"{_described(detail['input'])} is not a finite number of 32 bits"
        case _:
            return f"got {_described(detail['input'])}"


def _described(value: object) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "the text " + json.dumps(value[:_SHOWN_TEXT], ensure_ascii=False)
        case _:
            return json.dumps(value)[:_SHOWN_TEXT]
