"""Made-up customers on disk: as a brand exports them, faults and all, or as clean orders for benchmarks."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from churnops.contracts.tables import INSTANT, MONEY, ORDERS
from churnops.errors import InputError
from churnops.sources.population import (
    CATEGORIES,
    CHANNELS,
    COUNTRIES,
    DAY_SECONDS,
    SEGMENTS,
    Customers,
    Ints,
    Lines,
    Population,
    blocks,
)

__all__ = ["Export", "Population", "write_export", "write_orders"]

_CENTS = pa.decimal128(18, 2)
_CUSTOMERS = pa.schema(
    {
        "customer_id": pa.string(),
        "signup_date": pa.date32(),
        "segment": pa.string(),
        "channel": pa.string(),
        "age_band": pa.string(),
        "country": pa.string(),
        "newsletter": pa.string(),
        "loyalty": pa.int8(),
        "income": pa.string(),
    }
)
_TRANSACTIONS = pa.schema(
    {
        "order_id": pa.string(),
        "customer_id": pa.string(),
        "order_time": pa.timestamp("s"),
        "category": pa.string(),
        "quantity": pa.int64(),
        "amount": _CENTS,
        "discount": _CENTS,
    }
)
_TRUTH = pa.schema(
    {
        "customer_id": pa.string(),
        "purchases_per_day": pa.float64(),
        "lapsed_at": INSTANT,
        "alive_at_end": pa.bool_(),
    }
)
_ORDERS = pa.schema([(column.name, column.type) for column in ORDERS.columns])

_AGES_FROM = np.array([18, 25, 35, 45, 55, 65])
_AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")

# The faults of a dirty export, as shares of its orders or lines.
_GUEST_ORDERS = 0.01  # without a customer id
_STRANGER_ORDERS = 0.003  # with an id that the customer table lacks
_FREE_LINES = 0.005  # amount 0
_BLANK_QUANTITIES = 0.01
_REPEATED_LINES = 0.005  # the same line twice


@dataclass(frozen=True)
class Export:
    """The files of one export, and how many rows the first two have."""

    customers: Path
    transactions: Path
    truth: Path
    n_customers: int
    n_lines: int


def write_export(population: Population, folder: Path) -> Export:
    """Write `customers.csv`, `transactions.csv` (one row per line of an order) and `truth.parquet`.

    The truth has a row per customer: `purchases_per_day` while active, and `lapsed_at`, which lies beyond the
    history for those `alive_at_end`. Files are replaced only once all three are complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("customers.csv", "transactions.csv", "truth.parquet")]
    plain = pcsv.WriteOptions(quoting_style="none", quoting_header="none")
    n_orders = n_lines = 0
    with (
        _replacing(paths) as unfinished,
        pcsv.CSVWriter(unfinished[0], _CUSTOMERS, write_options=plain) as customer_file,
        pcsv.CSVWriter(unfinished[1], _TRANSACTIONS, write_options=plain) as line_file,
        pq.ParquetWriter(unfinished[2], _TRUTH) as truth_file,
    ):
        for customers, lines in blocks(population):
            rng = np.random.default_rng([population.seed, customers.number[0], 1])
            sold = _line_table(customers, lines, population, first_order=n_orders + 1)
            sold = _soiled(sold, rng) if population.dirty else sold
            customer_file.write_table(_customer_table(customers, population))
            line_file.write_table(sold)
            truth_file.write_table(_truth_table(customers, population))
            n_orders += len(_order_starts(lines))
            n_lines += len(sold)
    return Export(paths[0], paths[1], paths[2], n_customers=population.customers, n_lines=n_lines)


def write_orders(population: Population, path: Path, *, orders: int) -> int:
    """Write a clean `ORDERS` table of about `orders` rows (within a few percent); return how many it has.

    Purchase rates are scaled to get there. Only one block of customers is in memory at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pace, rows = _pace(population, orders / population.customers), 0
    with (
        _replacing([path]) as [unfinished],
        pq.ParquetWriter(unfinished, _ORDERS, compression="zstd") as file,
    ):
        for customers, lines in blocks(population, pace=pace):
            table = _order_table(customers, lines, population)
            file.write_table(table)
            rows += len(table)
    return rows


def _pace(population: Population, orders_each: float) -> float:
    """What to multiply purchase rates with; orders are linear in it, so two tries on the first block tell."""
    once, twice = (
        len(_order_starts(lines)) / len(customers.number)
        for customers, lines in (next(blocks(population, pace=pace)) for pace in (1.0, 2.0))
    )
    pace = 1 + (orders_each - once) / (twice - once) if twice > once else 0.0
    if pace <= 0:
        raise InputError("orders", [f"{orders_each:.2f} per customer; those who join have one to begin with"])
    return pace


def _customer_table(customers: Customers, population: Population) -> pa.Table:
    income = pa.array(np.rint(customers.income / 100) * 100, from_pandas=True)  # NaN becomes null
    income = income.cast(pa.int64()).cast(pa.string())
    return pa.table(
        {
            "customer_id": _customer_ids(customers.number),
            "signup_date": np.datetime64(population.start, "D") + np.floor(customers.signup).astype(np.int64),
            "segment": _named(SEGMENTS, customers.segment),
            "channel": _named(CHANNELS, customers.channel),
            "age_band": _named(_AGE_BANDS, np.searchsorted(_AGES_FROM, customers.age, side="right") - 1),
            "country": _named(COUNTRIES, customers.country),
            "newsletter": _named(("No", "Yes"), customers.newsletter.astype(np.int64)),
            "loyalty": customers.loyalty.astype(np.int8),
            "income": income.fill_null(" ") if population.dirty else income,
        },
        schema=_CUSTOMERS,
    )


def _line_table(customers: Customers, lines: Lines, population: Population, *, first_order: int) -> pa.Table:
    """The lines as sold: sorted by time, orders numbered in that sequence."""
    starts = _order_starts(lines)
    numbers = np.empty(len(starts), dtype=np.int64)
    numbers[np.argsort(lines.seconds[starts], kind="stable")] = first_order + np.arange(len(starts))
    order = np.repeat(numbers, _sizes(starts, len(lines.who)))
    sold = pa.table(
        {
            "order_id": pc.binary_join_element_wise("A", _padded(order), ""),
            "customer_id": _customer_ids(customers.number).take(lines.who),
            "order_time": np.datetime64(population.start, "s") + lines.seconds,
            "category": _named(CATEGORIES, lines.category),
            "quantity": lines.quantity,
            "amount": _decimals(lines.amount, _CENTS),
            "discount": _decimals(lines.discount, _CENTS),
        },
        schema=_TRANSACTIONS,
    )
    return sold.take(np.argsort(order, kind="stable"))


def _soiled(sold: pa.Table, rng: np.random.Generator) -> pa.Table:
    """The same lines with the faults of a real export."""
    n = len(sold)
    order = sold["order_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    chance = rng.random(n)[order]
    guest, stranger = chance < _GUEST_ORDERS, chance >= 1 - _STRANGER_ORDERS
    buyer = pc.if_else(stranger, pc.binary_replace_slice(sold["customer_id"], 0, 1, "9"), sold["customer_id"])
    faulty = {
        "customer_id": pc.if_else(guest, None, buyer),
        "amount": pc.if_else(rng.random(n) < _FREE_LINES, pa.scalar(0, _CENTS), sold["amount"]),
        "quantity": pc.if_else(rng.random(n) < _BLANK_QUANTITIES, None, sold["quantity"]),
    }
    soiled = pa.table(
        {name: faulty.get(name, sold[name]) for name in sold.column_names}, schema=_TRANSACTIONS
    )
    return soiled.take(np.repeat(np.arange(n), 1 + (rng.random(n) < _REPEATED_LINES)))


def _truth_table(customers: Customers, population: Population) -> pa.Table:
    lapse = (customers.lapse * DAY_SECONDS * 1e6).astype(np.int64)
    return pa.table(
        {
            "customer_id": _customer_ids(customers.number),
            "purchases_per_day": customers.purchases_per_day,
            "lapsed_at": np.datetime64(population.start, "us") + lapse,
            "alive_at_end": customers.lapse >= population.days,
        },
        schema=_TRUTH,
    )


def _order_table(customers: Customers, lines: Lines, population: Population) -> pa.Table:
    starts = _order_starts(lines)
    who, seconds, is_return = lines.who[starts], lines.seconds[starts], lines.quantity[starts] < 0
    when = np.datetime64(population.start, "us") + seconds * 1_000_000
    gaps, no_gap = _gaps(who, seconds, is_return)
    return pa.table(
        {
            "customer_id": _customer_ids(customers.number).take(who),
            "event_timestamp": when,
            "available_at": when,
            "is_return": is_return,
            "amount": _decimals(np.add.reduceat(lines.amount, starts) * 100, MONEY),
            "discount": _decimals(np.add.reduceat(lines.discount, starts) * 100, MONEY),
            "lines": _sizes(starts, len(lines.who)).astype(np.int32),
            "new_categories": np.add.reduceat(_is_new_category(lines), starts).astype(np.int32),
            "gap_seconds": pa.array(gaps, mask=no_gap),
        },
        schema=_ORDERS,
    )


def _order_starts(lines: Lines) -> Ints:
    """Where each order's first line is; an order's lines lie together."""
    return np.flatnonzero(np.diff(lines.order, prepend=-1))


def _sizes(starts: Ints, n: int) -> Ints:
    return np.diff(starts, append=n)


def _gaps(who: Ints, seconds: Ints, is_return: npt.NDArray[np.bool_]) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Seconds since the customer's previous purchase; and whether there is none, or this is a return."""
    bought = np.flatnonzero(~is_return)
    gaps, absent = np.zeros(len(who), dtype=np.int64), np.ones(len(who), dtype=bool)
    gaps[bought[1:]] = np.diff(seconds[bought])
    absent[bought[1:]] = np.diff(who[bought]) != 0
    return gaps, absent


def _is_new_category(lines: Lines) -> npt.NDArray[np.int64]:
    """1 for a line whose category its customer buys for the first time."""
    key = lines.who * len(CATEGORIES) + lines.category
    earliest = np.zeros(key.max(initial=-1) + 1, dtype=np.int64)
    position = np.arange(len(key))
    earliest[key[::-1]] = position[::-1]  # of repeated indices the last assignment stays: the earliest line
    return np.asarray(earliest[key] == position, dtype=np.int64)


def _customer_ids(numbers: Ints) -> pa.Array:
    return _padded(numbers + 1)


def _padded(numbers: Ints) -> pa.Array:
    return pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 8, "0")


def _named(names: Sequence[str], positions: Ints) -> pa.Array:
    return pa.array(names).take(positions)


def _decimals(units: Ints, kind: pa.DataType) -> pa.Array:
    """Whole numbers of the smallest unit as exact decimals: 1234 cents are 12.34."""
    halves = np.stack([units, units >> 63], axis=1)  # 128 bits, little end first
    return pa.Array.from_buffers(kind, len(units), [None, pa.py_buffer(halves)])


@contextmanager
def _replacing(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Names to write to; on leaving without an error they replace `paths`."""
    unfinished = [path.with_name(f"{path.name}.{os.getpid()}.unfinished") for path in paths]
    try:
        yield unfinished
        for ready, path in zip(unfinished, paths, strict=True):
            ready.replace(path)
    finally:
        for left_over in unfinished:
            left_over.unlink(missing_ok=True)
