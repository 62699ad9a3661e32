"""Tables of orders for tests: a few customers, times in days before or after one instant."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from churnops.contracts.tables import ORDERS
from churnops.data_config import DataConfig
from churnops.engines.on_duckdb import DuckDB

NOON = dt.datetime(2024, 4, 10)  # a UTC instant, as tables have it
_SCHEMA = pa.schema([(column.name, column.type) for column in ORDERS.columns])


@dataclass(frozen=True)
class Order:
    """One order: `days` from `NOON`, known `late` days after it happened."""

    customer: str
    days: float
    amount: float = 10.0
    late: float = 0.0
    is_return: bool = False
    discount: float = 0.0
    lines: int = 1
    new_categories: int = 0
    gap_days: float | None = None

    @property
    def at(self) -> dt.datetime:
        """When it happened."""
        return NOON + dt.timedelta(days=self.days)

    @property
    def known(self) -> dt.datetime:
        """When it could be seen."""
        return self.at + dt.timedelta(days=self.late)


def write_orders(path: Path, *orders: Order) -> str:
    """Write a table of the contract ORDERS, in the order given; its address."""
    rows = [
        {
            "customer_id": one.customer,
            "event_timestamp": one.at,
            "available_at": one.known,
            "is_return": one.is_return,
            "amount": Decimal(f"{one.amount:.4f}"),
            "discount": Decimal(f"{one.discount:.4f}"),
            "lines": one.lines,
            "new_categories": one.new_categories,
            "gap_seconds": None if one.gap_days is None else int(one.gap_days * 86_400),
        }
        for one in orders
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path)
    return str(path)


def make_orders(path: Path, *, rows: int, customer: str, days: int) -> str:
    """Write so many orders of the last so many days before `NOON`, made by DuckDB; their address.

    `customer` is SQL of a row's number `i`.
    """
    sql = f"""
        select {customer} as customer_id, happened as event_timestamp, happened as available_at,
               i % 50 = 0 as is_return, cast(i % 9973 / 100e0 as decimal(18, 4)) as amount,
               cast(i % 7 as decimal(18, 4)) as discount, cast(1 + i % 3 as integer) as lines,
               cast(i % 2 as integer) as new_categories, cast(i % 1000000 as bigint) as gap_seconds
        from (select range as i,
                     timestamp '{NOON}' - to_seconds(1 + range * 7919 % ({days} * 86400)) as happened
              from range({rows}))
    """  # noqa: S608 - our own numbers
    DuckDB("2GB", path.parent / "spill").write(sql, {}, str(path))
    return str(path)


def shop(*, horizon_days: int = 30, active_days: int = 365, **fields) -> DataConfig:
    """A config of purchases; only what churn means matters here."""
    transactions = {"path": "x.csv", "format": "csv", "id": "c", "time": {"column": "t", "format": "native"}}
    churn = {"horizon_days": horizon_days, "active_days": active_days}
    return DataConfig.model_validate(
        {"name": "shop", "shape": "purchases", "transactions": transactions, "churn": churn} | fields
    )
