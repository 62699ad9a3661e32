"""Engines run SQL over Parquet datasets that are named by address; big tables never pass through Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pyarrow as pa


def parts_of(table: Path) -> list[Path]:
    """The files of a Parquet table on this machine: itself, or those of the folder in order."""
    return sorted(table.glob("*.parquet")) if table.is_dir() else [table]


class Engine(Protocol):
    """What an engine offers. `tables` maps each name in the SQL to the address of a Parquet dataset."""

    @property
    def name(self) -> str:
        """What it is called in a manifest."""
        ...

    @property
    def distributed(self) -> bool:
        """Whether other processes read and write the tables, which must be where all reach them."""
        ...

    def write(self, sql: str, tables: Mapping[str, str], to: str) -> int:
        """Write the result of `sql` as a Parquet file, or a folder of them, at `to`; return its rows."""
        ...

    def query(self, sql: str, tables: Mapping[str, str]) -> pa.Table:
        """Run `sql` and return its (small) result."""
        ...
