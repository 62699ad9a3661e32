"""How models are trained: the model of the files in `configs/train/`."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PositiveInt, ValidationError, model_validator

from churnops.config import FrozenModel, dotted, faults
from churnops.errors import ConfigError


class Network(FrozenModel):
    """The shape of the churn network."""

    hidden: tuple[PositiveInt, ...] = Field(default=(128, 64), min_length=1, max_length=8)
    """Units of each hidden layer, each followed by a ReLU."""
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    """After the first hidden layer, in training only."""
    members: int = Field(default=1, ge=1, le=64)
    """Networks that learn side by side, each from weights of its own; the score is of their mean logit."""
    shared: bool = False
    """Whether the members share their weights and differ in a factor per input and unit (TabM)."""
    bins: int = Field(default=0, ge=0, le=128)
    """Numbers are also given in so many pieces, cut where training has equally many rows; 0: whole only."""

    @model_validator(mode="after")
    def _something_is_shared(self) -> "Network":
        if self.shared and self.members == 1:
            raise ValueError("shared needs members above 1: one network has nobody to share with")
        return self


class Schedule(FrozenModel):
    """How the network learns."""

    learning_rate: float = Field(default=2e-3, gt=0.0, le=1.0)
    """Adam's step at the start; it falls to 0 along half a cosine (Loshchilov and Hutter 2017, ICLR)."""
    weight_decay: float = Field(default=1e-4, ge=0.0, le=1.0)
    """Decoupled from the gradient (Loshchilov and Hutter 2019, ICLR)."""
    batch_size: PositiveInt = 256
    """Rows per step; in tables of more than `batches` times so many rows, as many as make `batches` steps."""
    batches: PositiveInt = 500
    """The most steps of one epoch."""
    max_epochs: PositiveInt = 40
    patience: PositiveInt = 6
    """Stop when no epoch was better for so many; the best epoch's weights are kept."""
    best_by: Literal["loss", "auc"] = "loss"
    """On the validation rows. A network that learns on grows too sure of itself before it ranks worse, and
    calibration mends the first: by AUC it may learn longer."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products in a step; the weights keep 32 bits. bfloat16 is quicker where hardware knows it."""


class Logistic(FrozenModel):
    """Logistic regression on the prepared columns."""

    c: float = Field(default=0.1, gt=0.0)
    """Inverse strength of the L2 penalty."""


class Boosting(FrozenModel):
    """LightGBM."""

    learning_rate: float = Field(default=0.05, gt=0.0, le=1.0)
    leaves: int = Field(default=31, ge=2, le=1024)
    least_leaf_rows: PositiveInt = 5
    """At most; in small tables a fiftieth of the rows."""
    column_share: float = Field(default=0.5, gt=0.0, le=1.0)
    """Of the columns, drawn anew for each tree."""
    row_share: float = Field(default=0.8, gt=0.0, le=1.0)
    l2: float = Field(default=1.0, ge=0.0)
    max_trees: PositiveInt = 1500
    patience: PositiveInt = 50
    """Stop when the validation loss has not fallen for so many trees."""


class Recipe(FrozenModel):
    """One file of `configs/train/`."""

    seed: int = Field(default=0, ge=0)
    """Of every random choice: first weights, batches, dropout, trees, resamples."""
    network: Network = Network()
    schedule: Schedule = Schedule()
    logistic: Logistic = Logistic()
    boosting: Boosting = Boosting()
    threshold_top_percent: float = Field(default=10.0, gt=0.0, lt=100.0)
    """The share of customers one can act on; the score it begins at becomes the bundle's threshold."""
    resamples: int = Field(default=1000, ge=100, le=10_000)
    """Bootstrap resamples behind every interval."""


def recipe_of(fields: Mapping[str, Any], *, where: str) -> Recipe:
    """The recipe that has these fields by path (`network.dropout`), as `plain` reads them; else the defaults.

    Raises ConfigError naming `where` and each field that is unknown or wrong.
    """
    whole = [path for path in fields if any(other.startswith(f"{path}.") for other in fields)]
    if whole:
        raise ConfigError(
            where, [f"{path}: is given whole and field by field: one of them" for path in whole]
        )
    nested: dict[str, Any] = {}
    for path, value in fields.items():
        *tables, name = path.split(".")
        inner = nested
        for table in tables:
            inner = inner.setdefault(table, {})
        inner[name] = plain(value)
    try:
        return Recipe.model_validate(nested)
    except ValidationError as error:
        raise ConfigError(where, faults(error)) from None


def fields_of(recipe: Recipe) -> dict[str, str]:
    """Every field of a recipe by path: what `recipe_of` reads."""
    return dict(dotted(recipe.model_dump(mode="json")))


def plain(value: Any) -> Any:
    """A value given as itself, as JSON or as plain text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
