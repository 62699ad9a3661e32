"""The shape of a scoring request and of its answers; the columns come from the manifest."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, with_config
from typing_extensions import TypedDict

from churnops.bundle.manifest import InputColumn, Manifest
from churnops.bundle.reasons import Reason

MAX_CUSTOMERS = 1000
MAX_REASONS = 100
MAX_BODY_BYTES = 4 << 20
MAX_ID_CHARACTERS = 200
MAX_TEXT_CHARACTERS = 1000
SHAPE = f'{{"customers": [{{...}}, ...]}} with 1 to {MAX_CUSTOMERS} customers'

ID = f"text of 1 to {MAX_ID_CHARACTERS} characters, or a whole number of 64 bits"

LARGEST = float(np.finfo(np.float32).max)
_SHOWN_LEVELS = 5

# Text is never read as a number. True is a number, because exports write flags both ways. A category may be
# a whole number, because exports write codes both ways; 3.0 may not: training saw either '3' or '3.0'.
_NUMBER: Any = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)] | StrictBool
_CATEGORY: Any = Annotated[StrictStr, Field(max_length=MAX_TEXT_CHARACTERS)] | StrictInt
_ID: Any = (
    Annotated[StrictStr, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
    | Annotated[StrictInt, Field(ge=-(1 << 63), lt=1 << 63)]
)
_FILLED_CATEGORY: Any = Annotated[StrictStr, Field(pattern=r"\S", max_length=MAX_TEXT_CHARACTERS)] | StrictInt

Customer = Mapping[str, Any]
"""One customer as sent: raw column name -> value, and perhaps `customer_id`."""


class Fault(BaseModel):
    """One thing wrong with a request."""

    row: int | None = Field(default=None, description="Which of `customers`, counted from 0.")
    column: str | None = None
    problem: str
    expected: str


class Faults(BaseModel):
    """Why a request was refused: everything that is wrong with it."""

    faults: tuple[Fault, ...]


class CustomerScore(BaseModel):
    """The answer for one customer."""

    model_config = ConfigDict(protected_namespaces=())

    customer_id: str | int | None = Field(default=None, description="As sent; absent if it was not.")
    score: float = Field(description="Probability of churn, 0 to 1.")
    decision: bool = Field(description="Whether the score reaches the model's threshold.")
    model_version: str
    prediction_id: str = Field(description="Names this one answer: asking again gives another.")
    reasons: tuple[Reason, ...] | None = Field(
        default=None, description="The columns that move the score most, the first most of all; if asked for."
    )


class Scores(BaseModel):
    """One answer per customer, in the order they were sent.

    With reasons, `base_score` and the effects of all columns add up to a score.
    """

    base_score: float | None = None

    scores: tuple[CustomerScore, ...]


def expected(column: InputColumn) -> str:
    """What a value of `column` must be, with what training saw; other numbers and levels are accepted too."""
    or_null = ", or null" if column.nullable else ""
    if column.kind == "numeric":
        seen = (
            "" if column.minimum is None else f", in training {column.minimum:.10g} to {column.maximum:.10g}"
        )
        return f"a number{seen}{or_null}"
    levels = ", ".join(json.dumps(level, ensure_ascii=False) for level in column.levels[:_SHOWN_LEVELS])
    more = len(column.levels) - _SHOWN_LEVELS
    return f"text{f' such as {levels}' * bool(levels)}{f' and {more} more' * (more > 0)}{or_null}"


def customer_type(manifest: Manifest) -> Any:
    """What pydantic reads one customer as.

    A TypedDict rather than a model: its keys are the columns' own names, whatever is in them (blanks, dots,
    keywords). Any other name is refused, because a misspelt nullable column would pass for missing.
    """
    fields: dict[str, Any] = {
        name: NotRequired[Annotated[Any, Field(title=name, description="Accepted, not looked at.")]]
        for name in manifest.ignored_columns
    }
    echoed = Field(title="customer_id", description="Returned with the score; the model does not see it.")
    fields["customer_id"] = NotRequired[Annotated[_ID | None, echoed]]
    fields |= {column.name: _field(column) for column in manifest.inputs}
    return _closed("Customer", fields)


def request_type(manifest: Manifest) -> Any:
    """What pydantic reads a whole request as: one shape, for one customer and for many."""
    customers: Any = list[customer_type(manifest)]  # type: ignore[misc]  # made at run time
    return _closed(
        "ScoreRequest", {"customers": Annotated[customers, Field(min_length=1, max_length=MAX_CUSTOMERS)]}
    )


def _field(column: InputColumn) -> Any:
    category = _CATEGORY if column.nullable else _FILLED_CATEGORY
    kind = _NUMBER if column.kind == "numeric" else category
    said = f"{column.text} ({expected(column)})"
    shown = Field(title=column.name, description=said, examples=list(column.levels[:_SHOWN_LEVELS]) or None)
    return NotRequired[Annotated[kind | None, shown]] if column.nullable else Annotated[kind, shown]


def _closed(name: str, fields: dict[str, Any]) -> Any:
    return with_config(ConfigDict(extra="forbid"))(TypedDict(name, fields))  # type: ignore[operator]  # made at run time
