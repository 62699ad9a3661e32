"""Engines run SQL over Parquet datasets that are named by address; big tables never pass through Python."""

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa


class Engine(Protocol):
    """What an engine offers. `tables` maps each name in the SQL to the address of a Parquet dataset."""

    def write(self, sql: str, tables: Mapping[str, str], to: str) -> int:
        """Write the result of `sql` as a Parquet file at `to`, whole or not at all; return its rows."""
        ...

    def query(self, sql: str, tables: Mapping[str, str]) -> pa.Table:
        """Run `sql` and return its (small) result."""
        ...
