"""Made-up customers as the arrays models learn from."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from churnops.training.dataset import Columns, Rows

COLUMNS = Columns(numeric=("recency_days", "spend_30d", "age"), categorical=("plan", "city"))
PLANS = ("basic", "pro", "")
CITIES = ("Århus", "São Paulo", "東京")

EXTREMES = (1e30, -1e30, 3.4e38, -3.4e38, 1e-42, -1e-42, 0.0, -0.0, np.inf, -np.inf, np.nan)
NUMBERS = st.floats(width=32) | st.floats(-1000, 1000, width=32) | st.sampled_from(EXTREMES)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
VALUES = st.tuples(
    st.tuples(*[NUMBERS] * len(COLUMNS.numeric)),
    st.tuples(st.sampled_from(PLANS) | TEXTS, st.sampled_from(CITIES) | TEXTS),
)
"""What a row of `COLUMNS` may hold: numbers and texts, good and bad."""


def make_customers(n: int, columns: Columns = COLUMNS, *, seed: int = 0) -> Rows:
    """`n` customers with some of `COLUMNS`; who is long silent, or has no plan, tends to leave.

    Recency is always known, spend has a heavy tail and gaps, age is in whole years with gaps.
    """
    rng = np.random.default_rng(seed)
    recency, spend, age = (
        rng.exponential(60, n),
        rng.lognormal(3, 2, n),
        rng.integers(18, 90, n).astype(float),
    )
    spend[rng.random(n) < 0.2] = np.nan
    age[rng.random(n) < 0.1] = np.nan
    plan, city = rng.choice(PLANS, n), rng.choice(CITIES, n)
    churned_N = rng.random(n) < 1 / (1 + np.exp(1 - recency / 60 - 1.5 * (plan == "")))
    numeric = {"recency_days": recency, "spend_30d": spend, "age": age}
    categorical = {"plan": plan, "city": city}
    return rows_of(
        columns,
        np.column_stack([numeric[name] for name in columns.numeric] or [np.empty((n, 0))]),
        np.column_stack([categorical[name] for name in columns.categorical] or [np.empty((n, 0))]),
        churned_N=churned_N,
    )


def rows_of(
    columns: Columns,
    numeric: Sequence[Sequence[float]],
    categorical: Sequence[Sequence[str]],
    *,
    churned_N=None,
) -> Rows:
    """Rows of these values."""
    n = max(len(numeric), len(categorical))
    return Rows(
        columns,
        np.array(numeric, dtype=np.float32).reshape(n, len(columns.numeric)),
        np.array(categorical, dtype=object).reshape(n, len(columns.categorical)),
        churned_N=np.zeros(n, dtype=bool) if churned_N is None else churned_N,
        customer_id_N=np.array([str(i) for i in range(n)], dtype=object),
        as_of_N=np.full(n, np.datetime64("NaT"), dtype="datetime64[us]"),
    )
