"""How a table of orders is best kept: its compression, the size of its row groups, the order of its rows.

    python benchmarks/layout.py [--orders 10_000_000] [--customers 200_000] [--rounds 3] [--folder FOLDER]

The same orders are written in each layout by DuckDB, and then read three ways: the compared features of one
snapshot, one month of orders, and all orders of one customer. The best of the rounds counts; the first line
is what churnops does.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from engines import query
from features import LATEST
from many_orders import apart, options, orders_of

from churnops.engines.on_duckdb import DuckDB


@dataclass(frozen=True)
class Layout:
    """How a Parquet file is written."""

    order: str = "customer_id, event_timestamp"
    codec: str = "zstd"
    group_rows: int = 122_880


OURS = Layout()
LAYOUTS = (
    OURS,
    *(replace(OURS, codec=codec) for codec in ("uncompressed", "snappy", "lz4_raw", "gzip")),
    *(replace(OURS, group_rows=rows) for rows in (20_480, 491_520, 1_966_080)),
    *(replace(OURS, order=order) for order in ("event_timestamp", "hash(customer_id, event_timestamp)")),
)
READS = {
    "features": query([LATEST]),
    "a month": f"""
        select count(*), sum(amount) from orders
        where event_timestamp >= timestamp '{LATEST}' - interval 30 day and event_timestamp < '{LATEST}'""",
    "a customer": "select * from orders where customer_id = (select max(customer_id) from orders limit 1)",
}


def measured(layout: Layout, orders: Path) -> list[float]:
    """Megabytes, seconds of writing, and seconds of each of the reads."""
    to = orders.with_name("layout.parquet")
    with DuckDB("4GB", orders.with_name("spill")).connect({"source": str(orders)}) as connection:
        connection.execute(f"create table sorted as from source order by {layout.order}")

        def write() -> None:
            connection.execute(
                f"copy sorted to '{to}' (format parquet, compression {layout.codec},"
                f" row_group_size {layout.group_rows})"
            )

        writing = _seconds(write)
    found = [to.stat().st_size / 1e6, writing]
    with DuckDB("4GB", orders.with_name("spill")).connect({"orders": str(to)}) as connection:
        found += [_seconds(connection.sql(sql).to_arrow_table) for sql in READS.values()]
    to.unlink()
    return found


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print a line for each layout: figures, and what they are as multiples of ours."""
    asked = options(__doc__, orders=10_000_000, customers=200_000, rounds=3)
    orders = orders_of(asked)
    rounds: dict[Layout, list[list[float]]] = {layout: [] for layout in LAYOUTS}
    for _ in range(asked.rounds):
        for layout, runs in rounds.items():
            runs.append(apart(measured, layout, orders))
    best = {layout: [min(figures) for figures in zip(*runs, strict=True)] for layout, runs in rounds.items()}
    titles = ["MB", "write s", *(f"{name} s" for name in READS)]
    print(f"{'':<64}" + "".join(f"{title:>20}" for title in titles))
    for layout, figures in best.items():
        shown = (f"{x:11.2f} ({x / ours:4.2f}x)" for x, ours in zip(figures, best[OURS], strict=True))
        print(f"{layout.codec:<13}{layout.group_rows:>10,} by {layout.order:<37}" + " ".join(shown))


if __name__ == "__main__":
    main()
