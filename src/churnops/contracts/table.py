"""A table's contract, checked in the engine by one aggregate query."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from churnops.errors import ContractError

Query = Callable[[str, Mapping[str, str]], pa.Table]
"""An engine's `query`: SQL and the addresses of the tables it names -> a small Arrow table."""


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, and what must hold for every row."""

    name: str
    type: pa.DataType
    nullable: bool = False
    rule: str = ""
    """SQL that is true of every good, non-null value."""
    says: str = ""
    """The rule in words, for the error."""


@dataclass(frozen=True)
class Table:
    """A named table: its columns, and the columns whose values together never repeat."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    open: bool = False
    """Whether columns beyond the declared ones may follow."""


def quoted(name: str) -> str:
    """A column or table name as SQL, its own quotation marks doubled."""
    return '"' + name.replace('"', '""') + '"'


def schema_problems(table: Table, schema: pa.Schema) -> list[str]:
    """Missing columns, wrong types and, for closed tables, unexpected columns."""
    declared = {column.name: column.type for column in table.columns}
    present = {field.name: field.type for field in schema}
    missing = [f"{name}: column is missing" for name in declared if name not in present]
    wrong = [
        f"{name}: type is {present[name]}, not {kind}"
        for name, kind in declared.items()
        if name in present and present[name] != kind
    ]
    extra = [] if table.open else [f"{name}: unexpected column" for name in present if name not in declared]
    return missing + wrong + extra


def count_query(table: Table) -> str:
    """One row: `rows`, then for each breakable promise of `table` how many rows break it."""
    counts = ["count(*) as n_rows"]
    for i, column in enumerate(table.columns):
        name = quoted(column.name)
        if not column.nullable:
            counts.append(f"count(*) - count({name}) as null_{i}")
        if column.rule:
            counts.append(f"count(*) filter (where not ({column.rule})) as rule_{i}")
    if table.key:
        key = ", ".join(quoted(name) for name in table.key)
        counts.append(f"count(*) - count(distinct ({key})) as repeats")
    return f"select {', '.join(counts)} from {table.name}"


def check(table: Table, query: Query, address: str) -> int:
    """Return the number of rows at `address`; raise ContractError naming everything that breaks `table`."""
    problems = schema_problems(
        table, query(f"select * from {table.name} limit 0", {table.name: address}).schema
    )
    if problems:
        raise ContractError(table.name, problems)
    counts = query(count_query(table), {table.name: address}).to_pylist()[0]
    for i, column in enumerate(table.columns):
        if counts.get(f"null_{i}"):
            problems.append(f"{column.name}: {counts[f'null_{i}']} nulls")
        if counts.get(f"rule_{i}"):
            problems.append(f"{column.name}: {counts[f'rule_{i}']} {column.says}")
    if counts.get("repeats"):
        problems.append(f"{', '.join(table.key)}: {counts['repeats']} repeated keys")
    if problems:
        raise ContractError(table.name, problems)
    return int(counts["n_rows"])
