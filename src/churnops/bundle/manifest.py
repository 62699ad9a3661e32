"""What a bundle says of itself."""

import hashlib
import json
from collections import Counter
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from churnops.data_config import Name

_KEY = {"customer_id", "as_of"}
_LATER = {"smoke", "reasons"}  # than schema version 1
_LARGEST = (2 - 2**-23) * 2.0**127  # in 32 bits, as the graph takes numbers

SHA256 = "[0-9a-f]{64}"
"""The pattern of a SHA-256, as it is written everywhere."""

_Sha256 = Annotated[str, Field(pattern=f"^{SHA256}$")]
_Text = Annotated[str, Field(max_length=1000)]
_Probability = Annotated[float, Field(ge=0, le=1)]
_Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputColumn(_Frozen):
    """One raw column the model takes, as seen in training."""

    name: _Text
    kind: Literal["numeric", "categorical"]
    nullable: bool
    """Whether training saw it missing; if not, a missing value is refused."""
    text: str
    """What it is, in words for people."""
    minimum: _Number | None = None
    maximum: _Number | None = None
    levels: tuple[str, ...] = ()
    """Categorical: the levels the model knows. Any other is accepted and treated as unknown."""

    @model_validator(mode="after")
    def _has_a_range_or_none(self) -> Self:
        low, high = self.minimum, self.maximum
        if (low is None) != (high is None) or (low is not None and high is not None and low > high):
            raise ValueError(f"from minimum {low} to maximum {high} is no range")
        return self


class Metric(_Frozen):
    """A test figure with its 95 % bootstrap interval; NaN where there is none, which no bundle may hold."""

    model_config = ConfigDict(allow_inf_nan=True)

    value: float
    low: float
    high: float


class Smoke(_Frozen):
    """A made-up customer by column names, and what the model says: whoever loads the bundle can hold it to
    that."""

    values: dict[str, _Number | str | None]
    score: _Probability


class Reasons(_Frozen):
    """What is known of the graph of reasons."""

    sha256: _Sha256
    base_score: _Probability
    """The mean score of training customers: a score is this and the effects of all columns."""
    rows: Annotated[int, Field(ge=1, le=100_000)]
    """How many rows it scores for each that is explained."""


class Known(_Frozen):
    """What a manifest says of the data, known before any model is."""

    name: Name
    """The data config it was trained for."""
    inputs: tuple[InputColumn, ...]
    """In the order of the graph's two matrices: all numeric columns first, then the categorical ones."""
    ignored_columns: tuple[str, ...] = ()
    """Columns of the same source that a caller may send along; the model does not see them."""
    shape: Literal["purchases", "labelled"]
    config_version: int
    horizon_days: Annotated[int, Field(ge=1)] | None
    active_days: Annotated[int, Field(ge=1)] | None
    spans: dict[str, tuple[str, ...]]
    """Span name -> its as_of dates, or its folds; training first."""
    feature_hash: str
    """Over the definitions of the columns it takes: whoever computes them otherwise may not ask it."""
    data_fingerprint: str
    findings: tuple[str, ...]
    """Leakage findings, in words, with what was done about each."""

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        names = [column.name for column in self.inputs]
        repeated = [name for name, n in Counter((*names, *set(self.ignored_columns))).items() if n > 1]
        if repeated or _KEY.intersection(names):
            raise ValueError(
                f"columns named twice, or like a key: {repeated + sorted(_KEY.intersection(names))}"
            )
        return self

    @property
    def numeric(self) -> tuple[InputColumn, ...]:
        """The columns of the graph's `numeric` matrix, in order."""
        return tuple(column for column in self.inputs if column.kind == "numeric")

    @property
    def categorical(self) -> tuple[InputColumn, ...]:
        """The columns of the graph's `categorical` matrix, in order."""
        return tuple(column for column in self.inputs if column.kind == "categorical")


class Manifest(Known):
    """Everything an auditor or a server needs to know of one model.

    Holds no clock time and no path: the same data, recipe, seed and code give the same manifest. Version 1
    had neither smoke rows nor reasons; its bundles score as before.
    """

    schema_version: Literal[1, 2] = 2
    candidate: _Text
    """Which candidate it is: `mlp`, `lightgbm`, `logistic`, ..."""
    threshold: _Probability
    """A score at or above it is a decision to act."""
    recipe: dict[str, Any]
    seed: int
    calibration: dict[str, float]
    metrics: dict[str, Metric]
    parity: Annotated[float, Field(ge=0)]
    """The largest difference seen between ONNX Runtime and the framework, over the whole test set."""
    code_commit: str
    libraries: dict[str, str]
    model_sha256: _Sha256
    smoke: tuple[Smoke, ...] = ()
    reasons: Reasons | None = None
    """None: there is no graph of reasons."""

    @model_validator(mode="after")
    def _is_of_its_version(self) -> Self:
        if self.schema_version == 1 and (self.smoke or self.reasons):
            raise ValueError("schema_version 1 knows neither smoke rows nor reasons")
        return self

    @property
    def example(self) -> dict[str, float | str]:
        """A customer the model can score: the smallest number and the first level that training saw."""
        numbers = {column.name: column.minimum or 0.0 for column in self.numeric}
        return numbers | {column.name: next(iter(column.levels), "other") for column in self.categorical}

    @property
    def content_hash(self) -> str:
        """The bundle's hash: over every field here, the graphs' own hashes among them."""
        later = _LATER if self.schema_version == 1 else None
        return hashlib.sha256(
            canonical_json(self.model_dump(mode="json", exclude=later)).encode()
        ).hexdigest()

    @property
    def model_version(self) -> str:
        """The version every score carries: the name and the first twelve digits of the hash."""
        return f"{self.name}-{self.content_hash[:12]}"


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, so that equal values hash equal."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
