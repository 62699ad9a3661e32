"""Features of ten million purchases: DuckDB, Spark and pandas; and Spark by our SQL and by a job by hand.

    python benchmarks/engines.py [--orders 10_000_000] [--customers 200_000] [--rounds 3] [--folder FOLDER]

It takes `make setup-spark`. Each way is run in a process of its own, in turn, from Parquet to Parquet; the
best of its rounds counts. Spark is `local[2]` with 4 GB; its start is not counted, and is printed beside.
"""

import datetime as dt
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path

from features import ACTIVE_DAYS, COMPARED, CONFIG, LATEST, MONTHLY, WINDOWS_DAYS, by_pandas, ours
from many_orders import apart, options, orders_of
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as fn

from churnops.engines.on_spark import Spark
from churnops.features.definitions import declared
from churnops.features.query import features_query

os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--driver-memory 4g pyspark-shell")
SPARK = Spark("local[2]")


def duckdb(orders: Path, to: Path, as_ofs: Sequence[dt.datetime]) -> None:
    """Our SQL on DuckDB."""
    ours(orders, to, as_ofs=as_ofs)


def pandas(orders: Path, to: Path, as_ofs: Sequence[dt.datetime]) -> None:
    """pandas at its best."""
    by_pandas(orders, to, as_ofs=as_ofs)


def spark(orders: Path, to: Path, as_ofs: Sequence[dt.datetime]) -> None:
    """Our SQL on Spark."""
    SPARK.write(query(as_ofs), {"orders": str(orders)}, str(to))


def spark_by_hand(orders: Path, to: Path, as_ofs: Sequence[dt.datetime]) -> None:
    """The job one would write: a grouping for each snapshot, put below one another."""
    by_hand(SPARK._session, orders, as_ofs).write.mode("overwrite").parquet(str(to.resolve()))


def query(as_ofs: Sequence[dt.datetime]) -> str:
    """Our SQL of the compared columns."""
    features = [one for one in declared(CONFIG) if one.name in COMPARED]
    return features_query(features, as_ofs, ACTIVE_DAYS)


def by_hand(session: SparkSession, orders: Path, as_ofs: Sequence[dt.datetime]) -> DataFrame:
    """The same columns in Spark's own words."""
    purchases = session.read.parquet(str(orders.resolve())).where("not is_return")

    def at(as_of: dt.datetime) -> DataFrame:
        instant = fn.expr(f"timestamp_ntz '{as_of}'")
        known = purchases.where((fn.col("event_timestamp") < instant) & (fn.col("available_at") < instant))
        grouped = known.groupBy("customer_id").agg(*_columns(as_of))
        return grouped.where(fn.col("recency_days") <= ACTIVE_DAYS).withColumn("as_of", instant)

    return reduce(DataFrame.unionByName, map(at, as_ofs))


def _columns(as_of: dt.datetime) -> list[Column]:
    def days_since(column: Column) -> Column:
        return (fn.expr(f"unix_timestamp(timestamp_ntz '{as_of}')") - fn.unix_timestamp(column)) / 86_400

    found = [
        days_since(fn.max("event_timestamp")).alias("recency_days"),
        days_since(fn.min("event_timestamp")).alias("tenure_days"),
    ]
    for days in WINDOWS_DAYS:
        start = as_of - dt.timedelta(days=days)
        inside = fn.col("event_timestamp") >= fn.expr(f"timestamp_ntz '{start}'")
        found.append(fn.count(fn.when(inside, 1)).alias(f"orders_{days}d"))
        spent = fn.sum(fn.when(inside, fn.col("amount")).otherwise(0))
        found.append(spent.cast("double").alias(f"spend_{days}d"))
    return found


def seconds(way: Callable[..., None], orders: Path, as_ofs: Sequence[dt.datetime]) -> tuple[float, float]:
    """Of the start of Spark, where the way is one of Spark's, and of the work."""
    began = time.perf_counter()
    if way in (spark, spark_by_hand):
        SPARK.query("select count(*) as n from orders", {"orders": str(orders)})
    started = time.perf_counter()
    way(orders, orders.with_name(f"{way.__name__}.parquet"), as_ofs)
    return started - began, time.perf_counter() - started


def compare(title: str, ways: Sequence[Callable[..., None]], orders: Path, **how: object) -> None:
    """Run the `ways` in turn; a line for each, with its time as a multiple of the first one's."""
    rounds, as_ofs = how["rounds"], how["as_ofs"]
    runs: Mapping[str, list[tuple[float, float]]] = {way.__name__: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            runs[way.__name__].append(apart(seconds, way, orders, as_ofs))
    best = {name: min(work for _, work in taken) for name, taken in runs.items()}
    print(title)
    for name, taken in runs.items():
        start = min(start for start, _ in taken)
        ratio = best[name] / best[ways[0].__name__]
        after = f", after {start:.1f} s of starting" if start > 0.5 else ""
        print(f"  {name:<14}{best[name]:7.2f} s {ratio:6.2f}x{after}", flush=True)


def exchanges(orders: Path) -> dict[str, int]:
    """How often rows are sent between executors: our SQL for one snapshot and six, and the job by hand."""
    tables = {"orders": str(orders)}
    plan = by_hand(SPARK._session, orders, MONTHLY)._jdf.queryExecution().executedPlan().toString()
    return {
        "one snapshot": SPARK.explain(query([LATEST]), tables).count("Exchange"),
        "six snapshots": SPARK.explain(query(MONTHLY), tables).count("Exchange"),
        "six by hand": plan.count("Exchange"),
    }


def main() -> None:
    """Print seconds, ratios and exchanges."""
    asked = options(__doc__, orders=10_000_000, customers=200_000, rounds=3)
    orders = orders_of(asked)
    columns = f"{len(COMPARED)} features"
    one = (duckdb, spark, pandas)
    compare(f"one snapshot, {columns}", one, orders, as_ofs=[LATEST], rounds=asked.rounds)
    both = (spark, spark_by_hand)
    compare(f"one snapshot on Spark, {columns}", both, orders, as_ofs=[LATEST], rounds=asked.rounds)
    compare(f"six snapshots on Spark, {columns}", both, orders, as_ofs=MONTHLY, rounds=asked.rounds)
    compare(f"six snapshots, {columns}", (duckdb, spark), orders, as_ofs=MONTHLY, rounds=asked.rounds)
    print("exchanges: " + ", ".join(f"{what} {n}" for what, n in apart(exchanges, orders).items()))


if __name__ == "__main__":
    main()
