"""Reading a scoring request, or saying everything that is wrong with it."""

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from churnops.bundle.manifest import Manifest
from churnops.serving.payloads import ID, SHAPE, Customer, Fault, expected, request_type

_CUSTOMER = "an object: column name -> value"
_TWICE = "'{}' is sent more than once"
_TOO_DEEP = Fault(problem="nested too deeply to see whether a name is sent twice", expected=SHAPE)
_SHOWN_TEXT = 60
# Of each request: comparing names is slow, and a hostile request holds hundreds of thousands.
_SUGGESTIONS = 50
_MOST_FAULTS = 100_000  # a full batch with every column wrong is looked at
_TOO_LARGE = 413
_LONGEST_NAME = 100
SHOWN_FAULTS = 1000
KNOWN_ONLY = "only the columns of GET /v1/model"

_Place = tuple[int | str, ...]


@dataclass(frozen=True)
class Refusal:
    """An answer other than scores: an HTTP status and every reason."""

    status: int
    faults: tuple[Fault, ...]


NO_REASONS_HERE = Refusal(
    422, (Fault(problem="reasons in the query", expected="POST /v1/score, which tells them"),)
)


class RequestReader:
    """Reads the requests for one model. Made once: building the validator takes milliseconds."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._reader = TypeAdapter[dict[str, list[Customer]]](request_type(manifest))

    def read(self, body: bytes) -> list[Customer] | Refusal:
        """The customers in the JSON `body`, good in every column, or every fault."""
        try:
            customers = self._reader.validate_json(body)["customers"]
        except ValidationError as error:
            refused = refusal(error, self._manifest)
            if refused.status == _TOO_LARGE or len(refused.faults) > SHOWN_FAULTS:
                return shown(refused)  # there is enough to say
            return shown(replace(refused, faults=refused.faults + (repeated_names(body) or ())))
        # A colon follows every name: no more colons than names read means that none was sent twice.
        if body.count(b":") == 1 + sum(map(len, customers)):
            return customers
        repeated = repeated_names(body)
        if repeated is None:
            return Refusal(422, (_TOO_DEEP,))
        return shown(Refusal(422, repeated)) if repeated else customers

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
    expectations["customer_id"] = ID
    unknown = {
        str(place[2]) for place, detail in found.items() if place[2:] and detail["type"] == "extra_forbidden"
    }
    expectations |= suggestions(sorted(unknown), [*expectations, *manifest.ignored_columns])
    faults = (_fault(detail, expectations) for detail in found.values())
    too_many = any(detail["type"] == "too_long" for detail in found.values())
    return Refusal(_TOO_LARGE if too_many else 422, tuple(faults))


def shown(refusal: Refusal) -> Refusal:
    """With no more faults than anybody reads."""
    if len(refusal.faults) <= SHOWN_FAULTS:
        return refusal
    rest = Fault(problem="and more faults", expected="fewer customers in a request show them")
    return replace(refusal, faults=(*refusal.faults[:SHOWN_FAULTS], rest))


def repeated_names(body: bytes) -> tuple[Fault, ...] | None:
    """Names sent more than once in the request or in one customer: JSON readers keep the last value.

    Takes thrice as long as reading the request. None where nobody can tell: the body is nested too deeply,
    or not JSON.
    """
    try:
        request = json.loads(body, object_pairs_hook=tuple)  # arrays are lists, so a tuple is an object
    except (ValueError, RecursionError):
        return None
    if not isinstance(request, tuple):
        return ()
    faults = [Fault(problem=_TWICE.format(name), expected=SHAPE) for name in _repeated(request)]
    customers = dict(request).get("customers")
    for row, customer in enumerate(customers if isinstance(customers, list) else ()):
        if isinstance(customer, tuple):
            for name in _repeated(customer):
                faults.append(Fault(row=row, column=name, problem=_TWICE.format(name), expected="one value"))
    return tuple(faults[:_MOST_FAULTS])


def _repeated(pairs: Sequence[tuple[str, object]]) -> list[str]:
    return [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]


def suggestions(unknown: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """For the first of the unknown columns, the known one that each may be a misspelling of."""
    nearest = {
        name: difflib.get_close_matches(name[:_LONGEST_NAME], known, n=1) for name in unknown[:_SUGGESTIONS]
    }
    return {name: f"perhaps '{close[0]}'" for name, close in nearest.items() if close}


def _fault(detail: ErrorDetails, expectations: Mapping[str, str]) -> Fault:
    place = detail["loc"]
    if len(place) < 3:
        row = int(place[1]) if place[1:] else None
        return Fault(row=row, problem=_problem(detail), expected=SHAPE if row is None else _CUSTOMER)
    column = str(place[2])
    wanted = expectations.get(column, KNOWN_ONLY)
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
        case "string_too_short":
            return "empty text"
        case "string_too_long":
            return f"text of {len(detail['input'])} characters, more than {detail['ctx']['max_length']}"
        case "string_pattern_mismatch":
            return "blank text, which means missing"
        case "finite_number" | "less_than_equal" | "greater_than_equal":
            return f"{described(detail['input'])} is not a finite number of 32 bits"
        case _:
            return f"got {described(detail['input'])}"


def described(value: object) -> str:
    """What was sent instead, in words."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "the text " + json.dumps(value[:_SHOWN_TEXT], ensure_ascii=False)
        case _:
            return json.dumps(value)[:_SHOWN_TEXT]
