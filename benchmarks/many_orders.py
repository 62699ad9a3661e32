"""What benchmarks over many orders share: their options, the orders, and a process for each measurement."""

import argparse
import multiprocessing
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from churnops.sources.synthetic import Population, write_orders


def options(description: str | None, *, orders: int, customers: int, rounds: int = 0) -> Namespace:
    """What the command line asks for, with these as defaults; `rounds` only where there are any."""
    parser = ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=orders)
    parser.add_argument("--customers", type=int, default=customers)
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--folder", type=Path, default=Path("var/benchmarks"))
    return parser.parse_args()


def orders_of(asked: Namespace) -> Path:
    """The orders that were asked for, made up where they are not there yet; they are told of."""
    path: Path = asked.folder / f"orders-{asked.orders}-of-{asked.customers}.parquet"
    if not path.exists():
        apart(write_orders, Population(customers=asked.customers), path, orders=asked.orders)
    count, size = pq.read_metadata(path).num_rows, path.stat().st_size / 1e9
    print(f"{count:,} orders of {asked.customers:,} customers, {size:.2f} GB of Parquet")
    return path


def apart(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call it in a process of its own: the memory of one is not counted for another."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(function, args, kwargs)
