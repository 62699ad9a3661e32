"""One more day of purchases in a lake that holds thirty days of features, beside building it all again.

    python benchmarks/new_day.py [--orders 5_000_000] [--customers 100_000] [--folder FOLDER]

Purchases come as one Parquet file a day. The lake is built from nothing (clean tables, then the features of
each of the last thirty days) without its newest day; then that day's file comes, and its features are made.
"""

import datetime as dt
import shutil
import time
from pathlib import Path

import duckdb
from many_orders import apart, options, orders_of

from churnops.config import Settings
from churnops.data_config import DataConfig
from churnops.jobs.features import make_features

CONFIG = DataConfig.model_validate(
    {
        "name": "benchmark",
        "shape": "purchases",
        "transactions": {
            "path": "raw",
            "format": "parquet",
            "id": "customer_id",
            "time": {"column": "event_timestamp", "format": "native"},
            "amount": "amount",
            "category": "category",
        },
        "churn": {"horizon_days": 30, "active_days": 90},
    }
)
SNAPSHOTS = 30


def write_days(orders: Path, raw: Path) -> list[dt.date]:
    """A file for each day of the last year of `orders`, with a category made up; the days."""
    raw.parent.mkdir(parents=True)
    with duckdb.connect() as connection:
        source = f"read_parquet('{orders}')"
        last = connection.execute(f"select max(event_timestamp)::date from {source}").fetchone()[0]
        days = [last - dt.timedelta(days=back) for back in reversed(range(365))]
        connection.execute(
            f"""copy (
                select customer_id, event_timestamp, amount, 'aisle ' || (lines * 7 % 40) as category,
                       event_timestamp::date as day
                from {source} where event_timestamp >= '{days[0]}' and not is_return
            ) to '{raw}' (format parquet, partition_by (day))"""
        )
    return days


def build(folder: Path, days: list[dt.date]) -> list[float]:
    """Seconds of each day's features: the first with the clean tables of all files."""
    settings = Settings(data_dir=folder / "var", source_dir=str(folder))
    taken = []
    for day in days:
        started = time.perf_counter()
        make_features(CONFIG, settings, as_of=day + dt.timedelta(days=1), tell=lambda *_: None)
        taken.append(time.perf_counter() - started)
    return taken


def main() -> None:
    """Print seconds and the share."""
    asked = options(__doc__, orders=5_000_000, customers=100_000)
    folder = asked.folder / "new-day"
    shutil.rmtree(folder, ignore_errors=True)
    orders = orders_of(asked)
    days = apart(write_days, orders, folder / "raw")
    newest = folder / "raw" / f"day={days[-1]}"
    aside = newest.rename(folder / "newest")
    rebuilt = apart(build, folder, days[-1 - SNAPSHOTS : -1])
    aside.rename(newest)
    (added,) = apart(build, folder, days[-1:])
    print(f"{len(days)} days; a lake of clean tables and {SNAPSHOTS} days of features: {sum(rebuilt):.1f} s")
    print(
        f"  the clean tables and the first of them {rebuilt[0]:.1f} s, each of the others {rebuilt[-1]:.2f} s"
    )
    print(f"  one day more: {added:.2f} s, {added / sum(rebuilt):.1%} of it")


if __name__ == "__main__":
    main()
