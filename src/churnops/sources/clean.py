"""From the files a config names to clean tables of ours: every repair counted, nothing half-written."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from churnops.contracts.table import Query, check
from churnops.contracts.tables import CUSTOMERS, LABELLED, ORDERS
from churnops.data_config import Customers, DataConfig, Transactions
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import ContractError, SourceError
from churnops.sources import customers, rules, transactions
from churnops.sources.files import Staged, stage
from churnops.sources.fit import misfits, named_columns
from churnops.sources.headers import Terms
from churnops.sources.mapping import Kind, kind_of
from churnops.sources.notes import notes
from churnops.sources.repairs import CleanReport, Repair, RowCount
from churnops.sources.rules import Found, TypedTable

OUTPUTS = {"orders": ORDERS, "customers": CUSTOMERS, "labelled": LABELLED}
"""What cleaning may write, each as `<name>.parquet`."""

_EXAMPLES = 3

Source = Customers | Transactions


def clean(config: DataConfig, engine: DuckDB, *, source_dir: Path, to: Path) -> CleanReport:
    """Read, check and repair the tables of `config`; write those of `OUTPUTS` it makes into the folder `to`.

    Purchases make `orders` and, with a customer table, `customers`; labelled tables make `labelled`. Raises
    one SourceError or ContractError naming every problem that `config.repairs` does not mend; `to` is then
    as it was.
    """
    work = to / ".unfinished"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        report = _clean(config, engine, source_dir=source_dir, work=work)
        for name in OUTPUTS:
            made, finished = work / f"{name}.parquet", to / f"{name}.parquet"
            if made.exists():
                made.replace(finished)
            else:  # an earlier config made more
                finished.unlink(missing_ok=True)
    finally:
        shutil.rmtree(work)
    return report


def _clean(config: DataConfig, engine: DuckDB, *, source_dir: Path, work: Path) -> CleanReport:
    sources = _sources(config)
    staged = _stage(config, engine, source_dir=source_dir, work=work)
    plans = _plan(config, sources, staged, engine=engine)
    typed = {name: str(work / f"{name}.typed.parquet") for name in sources}
    for name, plan in plans.items():
        engine.write(
            rules.typed_query(plan, _kinds(staged[name])), {"staged": str(staged[name].path)}, typed[name]
        )
        staged[name].path.unlink()
    found = [fault for name, plan in plans.items() for fault in rules.tally(plan, engine.query, typed[name])]
    counts = {
        name: _count(staged[name], [fault for fault in found if fault.repair.table == name])
        for name in sources
    }
    problems = rules.problems(found) or _useless(config, counts, typed, query=engine.query)
    if problems:
        raise ContractError(config.name, problems)
    made = {}
    for name, source in sources.items():
        output, query = _output(source, plans[name])
        made[output] = str(work / f"{output}.parquet")
        engine.write(query, {"typed": typed[name]}, made[output])
        check(OUTPUTS[output], engine.query, made[output])
    return CleanReport(
        tables=counts,
        repairs=(*_damaged(staged), *(fault.repair for fault in found)),
        notes=(*_sparse(staged), *_left_out(sources, staged), *notes(made, engine.query)),
        files={name: table.files for name, table in staged.items()},
    )


def _useless(
    config: DataConfig, counts: Mapping[str, RowCount], typed: Mapping[str, str], *, query: Query
) -> list[str]:
    """In words, why rows that break no rule are of no use: there is none, or all have one label."""
    empty = [
        f"{name}: no row is left after repairs" for name, count in counts.items() if count.rows_kept == 0
    ]
    if empty or config.shape == "purchases" or config.customers is None:
        return empty
    return customers.label_problems(config.customers, query, typed["labelled"])


def _sources(config: DataConfig) -> dict[str, Source]:
    """The tables of the config, by the names the report calls them."""
    people = "labelled" if config.shape == "labelled" else "customers"
    named = {"transactions": config.transactions, people: config.customers}
    return {name: source for name, source in named.items() if source}


def _stage(config: DataConfig, engine: DuckDB, *, source_dir: Path, work: Path) -> dict[str, Staged]:
    staged, errors = {}, []
    for name, source in _sources(config).items():
        terms = Terms(frozenset(named_columns(source)), config.repairs.damaged_file == "drop")
        to = work / f"{name}.staged.parquet"
        try:
            staged[name] = stage(source, source_dir, to, engine=engine, terms=terms)
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


def _kinds(staged: Staged) -> dict[str, Kind]:
    """What the source's own columns hold."""
    schema = pq.read_schema(staged.path)
    return {name: kind_of(schema.field(name).type) for name in staged.columns}


def _count(staged: Staged, found: list[Found]) -> RowCount:
    removed = sum(fault.repair.rows for fault in found if fault.rule.removes)
    return RowCount(staged.rows, staged.rows - removed)


def _output(source: Source, plan: TypedTable) -> tuple[str, str]:
    """The output `source` becomes, and the SQL over its typed rows that makes it."""
    if isinstance(source, Transactions):
        return "orders", transactions.orders_query(source)
    return plan.name, customers.customers_query(plan)


def _damaged(staged: Mapping[str, Staged]) -> list[Repair]:
    """Files that were left out: in place of rows, which nobody can count, the files are counted."""
    return [
        Repair(name, "damaged_file", "", len(table.damaged), "dropped", table.damaged[:_EXAMPLES])
        for name, table in staged.items()
        if table.damaged
    ]


def _sparse(staged: Mapping[str, Staged]) -> list[str]:
    """Columns that came or went from one file to another, and that the config does not name."""
    return [
        f"{name}: column '{column}' is left out: some files have it ({file}), others do not"
        for name, table in staged.items()
        for column, file in table.sparse.items()
    ]


def _left_out(sources: Mapping[str, Source], staged: Mapping[str, Staged]) -> list[str]:
    """Customers' columns the config says nothing about: a new export may have grown some."""
    return [
        f"{name}: columns the config does not mention are left out: {', '.join(unknown)}"
        for name, source in sources.items()
        if isinstance(source, Customers)
        and (
            unknown := [c for c in staged[name].columns if c not in (*source.columns, *named_columns(source))]
        )
    ]
