"""A hundred million purchases on one machine, within 4 GB: both engines, and one executor beside two.

    python benchmarks/scale.py [--orders 100_000_000] [--customers 2_000_000] [--folder FOLDER]

It takes `make setup-spark`, 20 GB of disk, and most of an hour. Each engine makes the compared features of
one snapshot and of six, from Parquet to Parquet, in a process of its own. Executors have one core and 1.5 GB.
"""

import datetime as dt
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from engines import query
from features import LATEST, MONTHLY
from many_orders import apart, options, orders_of

from churnops.engines import Engine
from churnops.engines.on_duckdb import DuckDB
from churnops.engines.on_spark import Spark

EXECUTOR_MB = 1536


def on_duckdb(folder: Path) -> Engine:
    """DuckDB within 4 GB, spilling beside the orders."""
    return DuckDB("4GB", folder / "spill")


def on_duckdb_at_its_bound(folder: Path) -> Engine:
    """DuckDB within a fourth of what the orders take unpacked, beyond which `--engine auto` takes Spark."""
    return DuckDB("800MB", folder / "spill")


def on_spark(folder: Path) -> Engine:
    """Spark in one process of 4 GB, on both cores."""
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        f"--driver-memory 4g --conf spark.local.dir={folder.resolve() / 'spill'} pyspark-shell"
    )
    return Spark("local[2]")


def on_one_executor(folder: Path) -> Engine:
    """Spark with one executor in a process of its own."""
    return _executors(1, folder)


def on_two_executors(folder: Path) -> Engine:
    """Spark with two."""
    return _executors(2, folder)


def _executors(count: int, folder: Path) -> Engine:
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        f"--driver-memory 1g --conf spark.executor.memory={EXECUTOR_MB - 384}m"
        f" --conf spark.local.dir={folder.resolve() / 'spill'} pyspark-shell"
    )
    return Spark(f"local-cluster[{count},1,{EXECUTOR_MB}]")


def measured(on: str, orders: Path, as_ofs: Sequence[dt.datetime]) -> tuple[float, int, float]:
    """Seconds of the work, once the engine has started; the rows that came out, and the GB shuffled."""
    (orders.parent / "spill").mkdir(exist_ok=True)
    to = orders.with_name("scale.parquet")
    shutil.rmtree(to, ignore_errors=True)
    to.unlink(missing_ok=True)
    engine, tables = ENGINES[on](orders.parent), {"orders": str(orders)}
    engine.query("select count(*) as n from orders", tables)
    started = time.perf_counter()
    rows = engine.write(query(as_ofs), tables, str(to))
    return time.perf_counter() - started, rows, _shuffled(engine) if isinstance(engine, Spark) else 0.0


def _shuffled(engine: Spark) -> float:
    store = engine._session.sparkContext._jsc.sc().statusStore()
    executors = store.executorList(False)
    return sum(executors.apply(i).totalShuffleWrite() for i in range(executors.size())) / 1e9


ENGINES = {
    "duckdb, 4 GB": on_duckdb,
    "duckdb, 0.8 GB": on_duckdb_at_its_bound,
    "spark local[2], 4 GB": on_spark,
    "spark, 1 executor": on_one_executor,
    "spark, 2 executors": on_two_executors,
}


def main() -> None:
    """Print seconds, rows per core-second and ratios."""
    asked = options(__doc__, orders=100_000_000, customers=2_000_000)
    orders = orders_of(asked)
    count = pq.read_metadata(orders).num_rows
    for title, as_ofs in (("one snapshot", [LATEST]), ("six snapshots", MONTHLY)):
        print(title)
        first = 0.0
        for on in ENGINES:
            seconds, rows, shuffled = apart(measured, on, orders, as_ofs)
            first = first or seconds
            cores = 1 if "1 executor" in on else 2
            pace = count / seconds / cores
            print(
                f"  {on:<22}{seconds:8.1f} s {seconds / first:6.2f}x {pace:12,.0f} orders a core-second,"
                f" {rows:,} rows, {shuffled:.2f} GB shuffled",
                flush=True,
            )


if __name__ == "__main__":
    main()
