"""Small exports of made-up brands, as files and the configs that read them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from churnops.data_config import DataConfig, SourceTable

LINES = {"id": "customer", "time": {"column": "date", "format": "%Y-%m-%d"}, "amount": "amount"}
"""The columns of `orders.csv` in most tests."""


def export(path: Path, *lines: str, encoding: str = "utf-8", end: str = "\n") -> Path:
    """Write a text file of `lines`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode(encoding))
    return path


def export_parquet(path: Path, **columns: Any) -> Path:
    """Write a Parquet file of `columns`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def csv(path: str, **fields: Any) -> SourceTable:
    """A CSV table."""
    return SourceTable(path=path, format="csv", **fields)


def purchases(*, repairs: Any = None, customers: Any = None, **transactions: Any) -> DataConfig:
    """A config of purchases in `orders.csv` with the columns `LINES`, changed or joined by `transactions`."""
    table = {"path": "orders.csv", "format": "csv"} | LINES | transactions
    return DataConfig.model_validate(
        {
            "name": "shop",
            "shape": "purchases",
            "transactions": table,
            "customers": customers,
            "churn": {"horizon_days": 30, "active_days": 90},
            "repairs": repairs or {},
        }
    )


def labelled(*, repairs: Any = None, **customers: Any) -> DataConfig:
    """A config of labelled customers in `customers.csv`: `customer`, `left` (yes, no) and what is given."""
    label = {"column": "left", "churned": ["yes"], "stayed": ["no"]}
    table = {"path": "customers.csv", "format": "csv", "id": "customer", "label": label} | customers
    return DataConfig.model_validate(
        {"name": "club", "shape": "labelled", "customers": table, "repairs": repairs or {}}
    )


def rows(path: Path) -> list[dict[str, Any]]:
    """A Parquet file as Python has it."""
    return pq.read_table(path).to_pylist()
