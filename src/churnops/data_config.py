"""What a person says of their data: the model of the files in `configs/data/`.

`churnops init` writes such a file and a person edits it. Nothing else knows a column of anyone's data.
"""

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from churnops.config import FrozenModel

NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Role = Literal["numeric", "categorical", "date", "dropped"]


class SourceTable(FrozenModel):
    """One table on disk: a file, or a folder of files with the same columns."""

    path: str
    format: Literal["csv", "parquet"]
    delimiter: str = ","
    """CSV only: one character, or "whitespace" for columns separated by runs of blanks."""
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = "."
    id_format: Literal["text", "integer"] = "text"
    """`text`: as written; `integer`: without leading zeros and trailing `.0`, so that 0017 and 17.0 meet."""


class TimeColumn(FrozenModel):
    """A column that says when. `format` is strptime's, "native" for typed columns, "epoch" or "epoch_ms"."""

    column: str
    format: str
    timezone: str = "UTC"
    """The zone of values that carry no offset of their own."""
    earliest: dt.date | None = None
    """A time before this day (UTC) is a slip: as good as one that cannot be read."""
    latest: dt.date | None = None
    """So is a time after this day."""


class AttributeColumn(FrozenModel):
    """One column of the customer table that may become a feature."""

    role: Role
    format: str = ""
    """Role `date` only: as in TimeColumn."""


class Label(FrozenModel):
    """Labelled tables: which column says who left, and the words in it that mean so."""

    column: str
    churned: tuple[str, ...] = Field(min_length=1)
    stayed: tuple[str, ...] = Field(min_length=1)


class Customers(SourceTable):
    """One row per customer (per customer and `as_of`, when that column is named)."""

    id: str = ""
    """Empty only for labelled tables without an id: the row number then serves."""
    as_of: TimeColumn | None = None
    """Labelled tables only: the instant each row was true. With it the split goes by time."""
    label: Label | None = None
    columns: dict[str, AttributeColumn] = Field(default_factory=dict)


class Cancelled(FrozenModel):
    """The column and the words that mark a purchase that did not happen; `prefix` matches beginnings."""

    column: str
    values: tuple[str, ...] = ()
    prefix: str = ""
    whole_order: bool = False
    """Whether an unmarked line goes with the marked ones of its order: some exports mark only the first."""


class Transactions(SourceTable):
    """One row per purchase or per line of a purchase; a column left empty does not exist in this data."""

    id: str
    time: TimeColumn
    known_at: TimeColumn | None = None
    """When the row became known, if later than it happened; features then wait for it."""
    order: str = ""
    """Lines with the same value are one purchase; empty: all lines of one customer at one instant are."""
    amount: str = ""
    """Money for the whole line; negative is a return."""
    unit_price: str = ""
    """With `quantity`, instead of `amount`: the line's money is their product."""
    quantity: str = ""
    discount: str = ""
    """Money taken off the line, as a positive or negative number."""
    category: str = ""
    """What kind of thing was bought, for variety: a category rather than a product when both exist."""
    cancelled: Cancelled | None = None

    @model_validator(mode="after")
    def _money_is_named_once(self) -> "Transactions":
        if self.amount and self.unit_price:
            raise ValueError("name either amount or unit_price, not both")
        if self.unit_price and not self.quantity:
            raise ValueError("unit_price needs quantity")
        return self


class Repairs(FrozenModel):
    """What is done with rows that break a rule. `drop` and `null` repair and count; `error` stops the run."""

    damaged_file: Literal["drop", "error"] = "error"
    """A file of a folder that cannot be read; `drop` leaves out all of it."""
    exact_duplicates: Literal["drop", "keep", "error"] = "drop"
    missing_id: Literal["drop", "error"] = "drop"
    bad_time: Literal["drop", "error"] = "error"
    """A transaction whose time is missing or does not fit its format."""
    bad_number: Literal["null", "error"] = "error"
    """Text where a number belongs. A blank is not bad: it is missing."""
    repeated_customer: Literal["first", "error"] = "error"
    """Two different rows of the customer table with one id."""
    missing_label: Literal["drop", "error"] = "drop"
    unknown_label: Literal["drop", "error"] = "error"
    """A word in the label's column that is named neither for having left nor for having stayed."""
    zero_amount: Literal["keep", "drop"] = "keep"


class Churn(FrozenModel):
    """Purchases: who counts as lapsed."""

    horizon_days: int = Field(ge=1, le=1095)
    """A customer lapses if nothing is bought in [as_of, as_of + horizon_days)."""
    active_days: int = Field(ge=1, le=3650)
    """Only customers with a purchase in [as_of - active_days, as_of) are asked about."""


class Snapshots(FrozenModel):
    """Purchases, and labelled tables with `as_of`: when the spans begin."""

    test_as_of: dt.date | None = None
    """The instant the test is made for; by default the newest whose labels are mature."""
    spacing_days: int = Field(default=28, ge=1)
    train: int = Field(default=6, ge=1, le=60)
    """How many training snapshots, `spacing_days` apart, back from the validation span's purge gap."""


class Split(FrozenModel):
    """Labelled tables without dates: grouped, stratified folds; each fold is the test once."""

    folds: int = Field(default=5, ge=3, le=20)
    seed: int = 0


class Leakage(FrozenModel):
    """The audit's suspects are excluded unless they are named here, with a reason a colleague can check."""

    allow: dict[str, str] = Field(default_factory=dict)
    """Column name -> why it is known before the customer leaves."""


class DataConfig(FrozenModel):
    """One file of `configs/data/`."""

    name: Name
    version: int = Field(default=1, ge=1)
    """Raise it when churn means something else (horizon, look-back): versions are not compared."""
    shape: Literal["purchases", "labelled"]
    customers: Customers | None = None
    transactions: Transactions | None = None
    repairs: Repairs = Repairs()
    churn: Churn | None = None
    snapshots: Snapshots = Snapshots()
    split: Split = Split()
    leakage: Leakage = Leakage()

    @model_validator(mode="after")
    def _shape_is_complete(self) -> "DataConfig":
        missing = []
        if self.shape == "purchases":
            missing += [name for name in ("transactions", "churn") if getattr(self, name) is None]
            if self.customers is not None and not self.customers.id:
                missing.append("customers.id")
            if self.customers is not None and (self.customers.label or self.customers.as_of):
                raise ValueError(
                    "shape 'purchases' takes no customers.label or as_of: purchases say who left"
                )
        else:
            missing += [] if self.customers else ["customers"]
            missing += ["customers.label"] if self.customers and self.customers.label is None else []
            if self.transactions is not None:
                raise ValueError("shape 'labelled' takes no transactions; use shape 'purchases'")
        if missing:
            raise ValueError(f"shape '{self.shape}' needs {', '.join(missing)}")
        return self
