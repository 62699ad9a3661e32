"""New files beside those that were cleaned already: a day's orders are added, the others are not touched.

What comes out are the rows that cleaning all files would make, in the order in which they came. It can be
done where all that is new became known after all that is there; else whoever asks has to clean everything.
"""

import datetime as dt
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from churnops.contracts.table import Query, quoted
from churnops.contracts.tables import NUMBERS, ORDERS
from churnops.data_config import DataConfig
from churnops.engines import parts_of
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import ContractError, SourceError
from churnops.sources import orders, rules
from churnops.sources.clean import Typed, noted, report_of, type_rows, workbench, write_tables
from churnops.sources.files import SourceFile
from churnops.sources.headers import Only
from churnops.sources.repairs import CleanReport, Repair, RowCount
from churnops.writing import link_or_copy

_MOST_PARTS = 32  # every file costs each reader a moment; cleaning all anew makes one of them
_EXAMPLES = 3
_LINES, _PEOPLE = "transactions", "customers"


@dataclass(frozen=True)
class Growth:
    """What cleaning left in `folder`, its account, and the `files` of each source as they are by now."""

    folder: Path
    report: CleanReport
    files: Mapping[str, tuple[SourceFile, ...]]

    @property
    def tables(self) -> dict[str, str]:
        """Its tables by name."""
        return {path.stem: str(path) for path in sorted(self.folder.glob("*.parquet"))}


@dataclass(frozen=True)
class Whole:
    """Everything has to be cleaned."""

    why: str


def add_files(
    config: DataConfig, engine: DuckDB, earlier: Growth, *, source_dir: Path, to: Path
) -> CleanReport | Whole:
    """Write the tables of `earlier` with what is new in its files into the folder `to`, or say why not.

    `earlier` must have been made by the same config and code. A table becomes a folder of parts, in the order
    in which they came: those of `earlier`, which are linked, and one more. Raises as `clean` does.
    """
    new = _new(earlier)
    if isinstance(new, Whole):
        return new
    with workbench(to) as work:
        try:
            typed = type_rows(config, engine, source_dir=source_dir, work=work, only=new)
        except SourceError:
            if config.repairs.damaged_file == "drop":  # all that are new may be damaged, and others good
                return Whole("the new files cannot be read as they are")
            raise
        if problems := rules.problems(typed.found):
            raise ContractError(config.name, problems)
        why = _other_columns(earlier, typed) or _late(earlier, typed, engine.query)
        if why:
            return why
        made = write_tables(typed, engine, work=work, earlier=earlier.tables)
        grown = {table.name for table in orders.TABLES} & made.keys()
        for name, address in made.items():
            before = parts_of(Path(earlier.tables[name])) if name in grown else []
            added = [Path(address)] if pq.read_metadata(address).num_rows or not before else []
            _place([*before, *added], to / f"{name}.parquet")
        for name in earlier.tables.keys() - made.keys():
            _place(parts_of(Path(earlier.tables[name])), to / f"{name}.parquet")
        report = _merged(earlier.report, report_of(typed), earlier.files)
        tables = {name: str(to / f"{name}.parquet") for name in earlier.tables}
        return noted(config, report, tables, engine.query)


def first_change(before: str, now: str, query: Query, *, columns: Collection[str]) -> dt.date | None:
    """The first day whose orders differ in one of the `columns`, by when they became known; None: none does.

    Features of any midnight up to it see the same in both. A day is told by the sum of its rows' hashes: one
    scan of each table, whose order does not matter.
    """
    values = ", ".join(map(quoted, columns))
    found = query(_FIRST_CHANGE.format(values=values), {"before": before, "now": now})
    day: dt.date | None = found["day"][0].as_py()
    return day


def _place(parts: list[Path], to: Path) -> None:
    if len(parts) == 1:
        return link_or_copy(parts[0], to)
    for i, part in enumerate(parts, start=1):
        link_or_copy(part, to / f"{i:04}.parquet")
    return None


def _new(earlier: Growth) -> dict[str, Only] | Whole:
    """The new files, by source, and the columns that were taken of those before."""
    files = earlier.files
    if files.keys() != earlier.report.files.keys() or _LINES not in files:
        return Whole("other tables than before")
    before, now = set(earlier.report.files[_LINES]), set(files[_LINES])
    if gone := sorted(file.name for file in before - now):
        return Whole(f"{gone[0]} has changed or is gone")
    if len(parts_of(Path(earlier.tables[ORDERS.name]))) >= _MOST_PARTS:
        return Whole(f"files were added {_MOST_PARTS - 1} times")
    if now == before:
        return Whole("other files have changed")
    names, columns = (file.name for file in now - before), earlier.report.columns[_LINES]
    new = {_LINES: Only(frozenset(names), frozenset(columns))}
    if _PEOPLE in files and files[_PEOPLE] != earlier.report.files[_PEOPLE]:
        new[_PEOPLE] = Only()
    return new


def _other_columns(earlier: Growth, typed: Typed) -> Whole | None:
    if typed.columns[_LINES] == earlier.report.columns[_LINES]:
        return None
    return Whole("new files of transactions lack columns, or have some of other types")


def _late(earlier: Growth, typed: Typed, query: Query) -> Whole | None:
    """Why the new lines cannot follow the earlier orders."""
    tables = {"typed": typed.addresses[_LINES]}
    tables |= {f"earlier_{name}": address for name, address in earlier.tables.items()}
    late = query(_LATE, tables).to_pylist()[0]
    if late["n_lines"]:
        return Whole(
            f"{late['n_lines']} lines of {late['n_customers']} customers are no later than what was there"
        )
    again = _SAME_NUMBER if NUMBERS.name in earlier.tables else _SAME_MOMENT
    if n_orders := query(again, tables).to_pylist()[0]["n_orders"]:
        return Whole(f"{n_orders} orders that were there have more lines")
    return None


_LATE = """
    select count(*) as n_lines, count(distinct customer_id) as n_customers
    from typed where _kept and available_at <= (select max(available_at) from earlier_orders)
"""
_SAME_NUMBER = """
    select count(*) as n_orders from (select distinct customer_id, purchase from typed where _kept)
    semi join earlier_numbers using (customer_id, purchase)
"""
_SAME_MOMENT = """
    select count(*) as n_orders from (select distinct customer_id, event_timestamp from typed where _kept)
    semi join earlier_orders using (customer_id, event_timestamp)
"""
_FIRST_CHANGE = """
    with days as (
        select cast(available_at as date) as day, hash({values}) as digest, 1 as side from before
        union all select cast(available_at as date), hash({values}), -1 from now),
    sums as (
        select day, sum(side) as n_more, sum(side * cast(digest as hugeint)) as apart from days group by day)
    select min(day) as day from sums where n_more <> 0 or apart <> 0
"""


def _merged(
    before: CleanReport, added: CleanReport, files: Mapping[str, tuple[SourceFile, ...]]
) -> CleanReport:
    """One account of both, but for the notes."""
    lines = [report.tables[_LINES] for report in (before, added)]
    count = RowCount(sum(one.rows_read for one in lines), sum(one.rows_kept for one in lines))
    replaced = added.tables.keys() - {_LINES}
    kept = [repair for repair in before.repairs if repair.table not in replaced]
    return CleanReport(
        tables=before.tables | added.tables | {_LINES: count},
        repairs=tuple(_summed([*kept, *added.repairs])),
        notes=(),
        files=dict(files),
        columns=before.columns | added.columns,
        sparse=before.sparse | added.sparse | {_LINES: added.sparse[_LINES] | before.sparse[_LINES]},
        empty=before.empty | added.empty | {_LINES: (*before.empty[_LINES], *added.empty[_LINES])},
    )


def _summed(repairs: list[Repair]) -> Iterator[Repair]:
    """Repairs by one rule as one."""
    by_rule: dict[tuple[str, str, str], list[Repair]] = {}
    for one in repairs:
        by_rule.setdefault((one.table, one.rule, one.column), []).append(one)
    for same in by_rule.values():
        examples = tuple(itertools.chain.from_iterable(one.examples for one in same))[:_EXAMPLES]
        yield replace(same[0], rows=sum(one.rows for one in same), examples=examples)
