"""Every table that crosses a stage."""

from dataclasses import replace

import pyarrow as pa

from churnops.contracts.table import Column, Table

INSTANT = pa.timestamp("us")  # UTC, without a zone: the same value in DuckDB, Spark and Arrow
MONEY = pa.decimal128(18, 4)  # sums of decimals are exact, so they do not depend on the order of rows

# One row per customer; attribute columns of the user's follow.
CUSTOMERS = Table(
    "customers", (Column("customer_id", pa.string(), rule="customer_id <> ''", says="empty"),), open=True
)

# One row per labelled customer (and as_of, when the data has one); attribute columns follow.
LABELLED = Table(
    "labelled",
    (
        Column("customer_id", pa.string(), rule="customer_id <> ''", says="empty"),
        Column("as_of", INSTANT, nullable=True),
        Column("churned", pa.bool_()),
    ),
    key=("customer_id", "as_of"),
    open=True,
)

# One row per purchase or return, sorted by customer and time. `amount` is null where the data has no money.
ORDERS = Table(
    "orders",
    (
        Column("customer_id", pa.string(), rule="customer_id <> ''", says="empty"),
        Column("event_timestamp", INSTANT),
        # When the order could first be seen: `event_timestamp`, or later when the data says so.
        Column(
            "available_at", INSTANT, rule="available_at >= event_timestamp", says="known before they happened"
        ),
        Column("is_return", pa.bool_()),
        Column("amount", MONEY, nullable=True),
        Column("discount", MONEY, nullable=True),
        Column("lines", pa.int32(), rule="lines >= 1", says="below 1"),
        # Categories this customer had never bought from before this order; null without a category column.
        Column("new_categories", pa.int32(), nullable=True),
        # Since the customer's previous purchase; null for the first, and where orders may become known late.
        Column("gap_seconds", pa.int64(), nullable=True, rule="gap_seconds >= 0", says="negative"),
    ),
)

# What new orders are held against: the categories a customer has bought from, and the orders' numbers.
CATEGORIES = Table("categories", (Column("customer_id", pa.string()), Column("category", pa.string())))
NUMBERS = Table("numbers", (Column("customer_id", pa.string()), Column("purchase", pa.string())))

# One row per question asked (will this customer, seen at `as_of`, leave?) and its answer; features follow.
DATASET = Table(
    "dataset",
    (
        Column("customer_id", pa.string()),
        Column("as_of", INSTANT, nullable=True),
        Column("churned", pa.bool_()),
    ),
    key=("customer_id", "as_of"),
    open=True,
)

# What scoring leaves behind, one row per customer, in the order of the features.
SCORES = Table(
    "scores",
    (
        Column("customer_id", pa.string()),
        Column("as_of", INSTANT),
        Column("score", pa.float64(), rule="score between 0 and 1", says="outside 0 to 1"),
        Column("model_version", pa.string()),
        Column("prediction_id", pa.string()),
    ),
    key=("customer_id", "as_of"),
)


def scores_with(reasons: int) -> Table:
    """`SCORES`, and so many reasons of each: flat columns, as spreadsheets and every engine read them.

    A score is `base_score`, the effects of the reasons and `other_effects` together. A reason is null where
    no further column has an effect; its value is null where the customer's is missing.
    """
    if not reasons:
        return SCORES
    sums = (Column("base_score", pa.float64()), Column("other_effects", pa.float64()))
    each = (
        Column(name, kind, nullable=True)
        for i in range(1, reasons + 1)
        for name, kind in (
            (f"reason_{i}", pa.string()),  # in words
            (f"reason_{i}_column", pa.string()),
            (f"reason_{i}_value", pa.string()),
            (f"reason_{i}_effect", pa.float64()),
        )
    )
    return replace(SCORES, columns=(*SCORES.columns, *sums, *each))
