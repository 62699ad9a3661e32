"""Features of many purchases: ours, the same by hand in SQL, by pandas, and by the plain join.

    python benchmarks/features.py [--orders 100_000_000] [--customers 200_000] [--rounds 3] [--folder FOLDER]

Each is run in a process of its own, in turn, from Parquet to Parquet; the best of its rounds counts, and the
most memory of any. With more than 20 million orders pandas and the join are left out: they would not fit.
"""

import datetime as dt
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from many_orders import apart, options, orders_of

from churnops.data_config import DataConfig
from churnops.engines.on_duckdb import DuckDB
from churnops.features.build import build_features
from churnops.features.definitions import declared
from churnops.features.query import features_query

WINDOWS_DAYS = (30, 90, 365)
ACTIVE_DAYS = 90
MONTHLY = [dt.datetime.fromisoformat("2024-01-01") + dt.timedelta(days=28 * k) for k in range(6)]
LATEST = MONTHLY[-1]
COMPARED = [
    "recency_days",
    "tenure_days",
    *(f"{what}_{days}d" for what in ("orders", "spend") for days in WINDOWS_DAYS),
]
CONFIG = DataConfig.model_validate(
    {
        "name": "benchmark",
        "shape": "purchases",
        "transactions": {
            "path": "",
            "format": "parquet",
            "id": "",
            "time": {"column": "", "format": "native"},
        },
        "churn": {"horizon_days": 30, "active_days": ACTIVE_DAYS},
    }
)
FITS_IN_MEMORY = 20_000_000


def ours(orders: Path, to: Path, *, as_ofs: Sequence[dt.datetime]) -> None:
    """The declared features of the compared columns."""
    features = [one for one in declared(CONFIG) if one.name in COMPARED]
    _engine(to).write(features_query(features, as_ofs, ACTIVE_DAYS), {"orders": str(orders)}, str(to))


def ours_whole(orders: Path, to: Path, *, as_ofs: Sequence[dt.datetime]) -> None:
    """Everything that is declared, as the job builds it: sorted."""
    build_features(_engine(to), {"orders": str(orders)}, CONFIG, as_ofs, to=str(to))


def by_hand(orders: Path, to: Path, *, as_ofs: Sequence[dt.datetime]) -> None:
    """What one would write in SQL for a single `as_of`."""
    as_of = f"timestamp '{as_ofs[0]}'"
    query = f"""
        select customer_id, {as_of} as as_of, {_columns(as_of)} from orders
        where not is_return and event_timestamp < {as_of} and available_at < {as_of}
        group by customer_id having max(event_timestamp) >= {as_of} - interval {ACTIVE_DAYS} day
    """
    _engine(to).write(query, {"orders": str(orders)}, str(to))


def by_join(orders: Path, to: Path, *, as_ofs: Sequence[dt.datetime]) -> None:
    """The plain way to several: customers x snapshots, joined with the purchases before each."""
    values = ", ".join(f"(timestamp '{as_of}')" for as_of in as_ofs)
    query = f"""
        with purchases as (select * from orders where not is_return),
        spine as (
            select distinct customer_id, as_of from purchases, (values {values}) as snapshots(as_of)
            where available_at < as_of and event_timestamp >= as_of - interval {ACTIVE_DAYS} day)
        select customer_id, as_of, {_columns("as_of")} from spine join purchases using (customer_id)
        where event_timestamp < as_of and available_at < as_of group by customer_id, as_of
    """
    _engine(to).write(query, {"orders": str(orders)}, str(to))


def by_pandas(orders: Path, to: Path, *, as_ofs: Sequence[dt.datetime]) -> None:
    """pandas at its best: needed columns only, ids as categories, one grouping of columns masked before."""
    columns = ["customer_id", "event_timestamp", "available_at", "is_return", "amount"]
    table = pq.read_table(orders, columns=columns, read_dictionary=["customer_id"])
    table = table.set_column(4, "amount", table["amount"].cast(pa.float64()))
    rows, as_of = table.to_pandas(), pd.Timestamp(as_ofs[0])
    rows = rows[~rows.is_return & (rows.event_timestamp < as_of) & (rows.available_at < as_of)]
    masked = {"customer_id": rows.customer_id}
    for days in WINDOWS_DAYS:
        inside = rows.event_timestamp >= as_of - pd.Timedelta(days=days)
        masked[f"orders_{days}d"], masked[f"spend_{days}d"] = inside, rows.amount.where(inside, 0.0)
    features = pd.DataFrame(masked).groupby("customer_id", observed=True, sort=False).sum()
    times = rows.groupby("customer_id", observed=True, sort=False).event_timestamp.agg(["min", "max"])
    features["recency_days"] = (as_of - times["max"]) / pd.Timedelta(days=1)
    features["tenure_days"] = (as_of - times["min"]) / pd.Timedelta(days=1)
    features[features.recency_days <= ACTIVE_DAYS].to_parquet(to)


def main() -> None:
    """Print seconds, peak memory and ratios."""
    asked = options(__doc__, orders=10_000_000, customers=200_000, rounds=3)
    orders = orders_of(asked)
    large = asked.orders > FITS_IN_MEMORY
    one: list[Callable[..., None]] = [ours, by_hand] if large else [ours, by_hand, by_pandas]
    several: list[Callable[..., None]] = [ours] if large else [ours, by_join]
    compare(f"one snapshot, {len(COMPARED)} features", one, orders, as_ofs=[LATEST], rounds=asked.rounds)
    compare(f"six snapshots, {len(COMPARED)} features", several, orders, as_ofs=MONTHLY, rounds=asked.rounds)
    compare("one snapshot, all features", [ours_whole], orders, as_ofs=[LATEST], rounds=1)
    compare("six snapshots, all features", [ours_whole], orders, as_ofs=MONTHLY, rounds=1)


def compare(
    title: str,
    ways: Sequence[Callable[..., None]],
    orders: Path,
    *,
    as_ofs: Sequence[dt.datetime],
    rounds: int,
) -> None:
    """Run the `ways` in turn and print a line for each, with its time as a multiple of the first one's."""
    runs: dict[str, list[tuple[float, float]]] = {way.__name__: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            runs[way.__name__].append(apart(measured, way, orders, as_ofs))
    best = {name: min(seconds for seconds, _ in taken) for name, taken in runs.items()}
    print(title)
    for name, taken in runs.items():
        ratio = best[name] / best[ways[0].__name__]
        print(
            f"  {name:<12}{best[name]:7.2f} s {max(peak for _, peak in taken):6.2f} GB {ratio:6.2f}x",
            flush=True,
        )


def measured(way: Callable[..., None], orders: Path, as_ofs: Sequence[dt.datetime]) -> tuple[float, float]:
    """Seconds, and the peak memory of this process in GB."""
    started = time.perf_counter()
    way(orders, orders.with_name(f"{way.__name__}.parquet"), as_ofs=as_ofs)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _columns(as_of: str) -> str:
    inside = {
        days: f"filter (where event_timestamp >= {as_of} - interval {days} day)" for days in WINDOWS_DAYS
    }
    windows = ", ".join(
        f"""count(*) {window} as orders_{days}d,
            cast(coalesce(sum(amount) {window}, 0) as double) as spend_{days}d"""
        for days, window in inside.items()
    )
    return f"""(epoch({as_of}) - epoch(max(event_timestamp))) / 86400 as recency_days,
        (epoch({as_of}) - epoch(min(event_timestamp))) / 86400 as tenure_days, {windows}"""


def _engine(to: Path) -> DuckDB:
    return DuckDB("2GB", to.with_name("spill"))


if __name__ == "__main__":
    main()
