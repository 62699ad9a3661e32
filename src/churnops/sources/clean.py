"""From the files a config names to clean tables of ours: every repair counted, nothing half-written."""

import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from churnops.contracts.table import Query, check
from churnops.contracts.tables import CUSTOMERS, LABELLED
from churnops.data_config import Customers, DataConfig, Transactions
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import ContractError, SourceError
from churnops.sources import customers, orders, rules, transactions
from churnops.sources.files import Staged, stage
from churnops.sources.fit import misfits, named_columns
from churnops.sources.headers import Only, Terms
from churnops.sources.mapping import Kind, kind_of
from churnops.sources.notes import notes
from churnops.sources.repairs import CleanReport, Repair, RowCount
from churnops.sources.rules import Found, TypedTable

OUTPUTS = {table.name: table for table in (*orders.TABLES, CUSTOMERS, LABELLED)}
"""What cleaning may write, each as `<name>.parquet`."""

Source = Customers | Transactions
_EXAMPLES = 3


@dataclass(frozen=True)
class Typed:
    """Sources as typed rows, and what was found in them, all by the names the report calls them."""

    sources: Mapping[str, Source]
    staged: Mapping[str, Staged]
    columns: Mapping[str, dict[str, str]]
    """The sources' own columns, and their types."""
    plans: Mapping[str, TypedTable]
    addresses: Mapping[str, str]
    found: tuple[Found, ...]

    @property
    def counts(self) -> dict[str, RowCount]:
        """Rows before and after the rules that remove some."""
        removed = dict.fromkeys(self.staged, 0)
        for fault in self.found:
            removed[fault.repair.table] += fault.repair.rows if fault.rule.removes else 0
        return {name: RowCount(one.rows, one.rows - removed[name]) for name, one in self.staged.items()}


def clean(config: DataConfig, engine: DuckDB, *, source_dir: Path, to: Path) -> CleanReport:
    """Read, check and repair the tables of `config`; write those of `OUTPUTS` it makes into the folder `to`.

    Purchases make `orders` and, with a customer table, `customers`; labelled tables make `labelled`. Raises
    one SourceError or ContractError naming every problem that `config.repairs` does not mend; `to` is then
    as it was.
    """
    with workbench(to) as work:
        typed = type_rows(config, engine, source_dir=source_dir, work=work)
        problems = rules.problems(typed.found) or _useless(typed, query=engine.query)
        if problems:
            raise ContractError(config.name, problems)
        made = write_tables(typed, engine, work=work)
        report = noted(config, report_of(typed), made, engine.query)
        for name in OUTPUTS:
            finished = to / f"{name}.parquet"
            if name in made:
                Path(made[name]).replace(finished)
            else:  # an earlier config made more
                finished.unlink(missing_ok=True)
    return report


@contextmanager
def workbench(to: Path) -> Iterator[Path]:
    """A folder in `to` for what is not finished; gone afterwards."""
    work = to / ".unfinished"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work)


def type_rows(
    config: DataConfig,
    engine: DuckDB,
    *,
    source_dir: Path,
    work: Path,
    only: Mapping[str, Only] | None = None,
) -> Typed:
    """Stage the sources of `config`, or `only` some, in `work` and type their rows.

    Raises SourceError, and ContractError where the config does not fit the files.
    """
    sources = {name: source for name, source in sources_of(config).items() if only is None or name in only}
    terms = {
        name: Terms(
            frozenset(named_columns(source)),
            config.repairs.damaged_file == "drop",
            only[name] if only else None,
        )
        for name, source in sources.items()
    }
    staged = _stage(sources, terms, engine, source_dir=source_dir, work=work)
    columns = {name: _columns(one) for name, one in staged.items()}
    plans = _plan(config, sources, staged, engine=engine)
    addresses = {name: str(work / f"{name}.typed.parquet") for name in sources}
    for name, plan in plans.items():
        query = rules.typed_query(plan, _kinds(staged[name]))
        engine.write(query, {"staged": str(staged[name].path)}, addresses[name])
        staged[name].path.unlink()
    found = [
        fault for name, plan in plans.items() for fault in rules.tally(plan, engine.query, addresses[name])
    ]
    return Typed(sources, staged, columns, plans, addresses, tuple(found))


def write_tables(
    typed: Typed, engine: DuckDB, *, work: Path, earlier: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Write the tables the typed rows become into `work`, orders as those that follow `earlier` ones."""
    made: dict[str, str] = {}
    for name, source in typed.sources.items():
        if isinstance(source, Transactions):
            made |= orders.write_orders(source, engine, typed.addresses[name], to=work, earlier=earlier)
        else:
            table = OUTPUTS[typed.plans[name].name]
            made[table.name] = str(work / f"{table.name}.parquet")
            query = customers.customers_query(typed.plans[name])
            engine.write(query, {"typed": typed.addresses[name]}, made[table.name])
            check(table, engine.query, made[table.name])
    return made


def report_of(typed: Typed) -> CleanReport:
    """The account of it, but for the notes."""
    return CleanReport(
        tables=typed.counts,
        repairs=(*_of_files(typed.staged), *(fault.repair for fault in typed.found)),
        notes=(),
        files={name: table.files for name, table in typed.staged.items()},
        columns=dict(typed.columns),
        sparse={name: dict(table.sparse) for name, table in typed.staged.items()},
        empty={name: table.empty for name, table in typed.staged.items()},
    )


def noted(config: DataConfig, report: CleanReport, made: Mapping[str, str], query: Query) -> CleanReport:
    """The report with what is worth knowing of the tables that were `made`, and of their sources."""
    found = (*_sparse(report.sparse), *_left_out(config, report.columns), *notes(made, query))
    return replace(report, notes=found)


def _of_files(staged: Mapping[str, Staged]) -> Iterator[Repair]:
    """Files that were left out, and files without rows: in place of rows the files are counted."""
    for name, table in staged.items():
        for rule, files, done in (
            ("damaged_file", table.damaged, "dropped"),
            ("empty_file", table.empty, "kept"),
        ):
            if files:
                yield Repair(name, rule, "", len(files), done, files[:_EXAMPLES])


def _sparse(sparse: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Columns that came or went from one file to another, and that the config does not name."""
    return [
        f"{name}: column '{column}' is left out: some files have it ({file}), others do not"
        for name, columns in sparse.items()
        for column, file in columns.items()
    ]


def _left_out(config: DataConfig, columns: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Customers' columns the config says nothing about: a new export may have grown some."""
    for name, source in sources_of(config).items():
        if not isinstance(source, Customers):
            continue
        known = {*source.columns, *named_columns(source)}
        if unknown := [column for column in columns[name] if column not in known]:
            yield f"{name}: columns the config does not mention are left out: {', '.join(unknown)}"


def _useless(typed: Typed, *, query: Query) -> list[str]:
    """In words, why rows that break no rule are of no use: there is none, or all have one label."""
    empty = [
        f"{name}: no row is left after repairs"
        for name, count in typed.counts.items()
        if count.rows_kept == 0
    ]
    labelled = typed.sources.get(LABELLED.name)
    if empty or not isinstance(labelled, Customers):
        return empty
    return customers.label_problems(labelled, query, typed.addresses[LABELLED.name])


def sources_of(config: DataConfig) -> dict[str, Source]:
    """The tables of the config, by the names the report calls them."""
    named: dict[str, Source] = {}
    if config.transactions:
        named["transactions"] = config.transactions
    if config.customers:
        named[customers.table_of(config.customers).name] = config.customers
    return named


def _stage(
    sources: Mapping[str, Source],
    terms: Mapping[str, Terms],
    engine: DuckDB,
    *,
    source_dir: Path,
    work: Path,
) -> dict[str, Staged]:
    staged, errors = {}, []
    for name, source in sources.items():
        to = work / f"{name}.staged.parquet"
        try:
            staged[name] = stage(source, source_dir, to, engine=engine, terms=terms[name])
        except SourceError as error:
            errors.append(error)
    if errors:
        where = ", ".join(error.where for error in errors)
        raise SourceError(where, [problem for error in errors for problem in error.problems])
    return staged


def _plan(
    config: DataConfig, sources: Mapping[str, Source], staged: Mapping[str, Staged], *, engine: DuckDB
) -> dict[str, TypedTable]:
    """How each table becomes typed rows; raises ContractError where the config does not fit the files."""
    kinds = {name: _kinds(table) for name, table in staged.items()}
    problems = [
        problem
        for name, source in sources.items()
        for problem in misfits(source, kinds=kinds[name], query=engine.query)
    ]
    if problems:
        raise ContractError(config.name, problems)
    return {
        name: transactions.lines_table(source, config.repairs, kinds=kinds[name])
        if isinstance(source, Transactions)
        else customers.customers_table(source, config.repairs, kinds=kinds[name])
        for name, source in sources.items()
    }


def _columns(staged: Staged) -> dict[str, str]:
    """The source's own columns, and their types."""
    schema = pq.read_schema(staged.path)
    return {name: str(schema.field(name).type) for name in staged.columns}


def _kinds(staged: Staged) -> dict[str, Kind]:
    """What the source's own columns hold."""
    schema = pq.read_schema(staged.path)
    return {name: kind_of(schema.field(name).type) for name in staged.columns}
