"""The rules rows may break: one query marks the rows that do, one counts them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from churnops.contracts.table import Query, quoted
from churnops.data_config import TimeColumn
from churnops.sources import mapping
from churnops.sources.headers import FILE, ROW
from churnops.sources.mapping import Field, Kind
from churnops.sources.repairs import Repair

Action = Literal["drop", "keep", "null", "first", "error"]
_DONE = {"drop": "dropped", "first": "dropped", "keep": "kept", "null": "made missing", "error": "error"}

_EXAMPLES, _VALUES = 3, 5
_CHARACTERS = 80


@dataclass(frozen=True)
class Rule:
    """One promise about rows. `broken` and `shown` are SQL over the raw fields and the typed columns."""

    name: str
    column: str
    broken: str
    shown: str
    """The text an example quotes."""
    action: Action
    says: str = ""
    """What is wrong with such rows, for the error."""
    way_out: str = ""
    """What to do about them, for the error."""

    says_values: bool = False
    """Whether the error names the commonest values: where they are few, as words are."""

    @property
    def removes(self) -> bool:
        """Whether a row that breaks it is looked at no further."""
        return self.action not in ("keep", "null")


@dataclass(frozen=True)
class TypedTable:
    """How a staged table becomes rows of ours: `columns` maps our names to SQL over the raw fields."""

    name: str
    fields: tuple[Field, ...]
    columns: Mapping[str, str]
    rules: tuple[Rule, ...]


class Found(NamedTuple):
    """A rule that rows break, and the account of them."""

    rule: Rule
    repair: Repair
    commonest: tuple[tuple[str, int], ...]
    """The values that break it most often, and in how many rows."""


def duplicates(action: Action) -> Rule:
    """A row equal to an earlier one in every column of the source; `typed_query` marks such rows."""
    return Rule(
        name="exact_duplicates",
        column="",
        broken="_repeats",
        shown="''",
        action=action,
        says="repeat an earlier row in every column",
        way_out='correct them, or set `repairs.exact_duplicates` to "drop" or "keep"',
    )


def missing_id(field: Field, action: Action) -> Rule:
    """A row of nobody's."""
    return Rule(
        name="missing_id",
        column=field.name,
        broken="customer_id is null",
        shown=mapping.text(field),
        action=action,
        says=f"have no '{field.name}'",
        way_out='fill it in, or set `repairs.missing_id = "drop"`',
    )


def bad_time(field: Field, time: TimeColumn, action: Action, *, broken: str) -> Rule:
    """A time that cannot be read as the config says it is written."""
    written = "a time" if field.kind in ("date", "instant", "zoned") else f"'{time.format}'"
    first, last = time.earliest or "1900-01-01", time.latest or "2199-12-31"
    return Rule(
        name="bad_time",
        column=field.name,
        broken=broken,
        shown=mapping.text(field),
        action=action,
        says=f"have a '{field.name}' that is missing, not {written}, or outside {first} to {last}",
        way_out='correct them or the format, or set `repairs.bad_time = "drop"`',
    )


def bad_number(field: Field, action: Action, *, typed: str, what: str = "a number") -> Rule:
    """A value where `what` belongs, and `typed`, the SQL that reads it, finds none."""
    return Rule(
        name="bad_number",
        column=field.name,
        broken=f"{mapping.present(field)} is not null and {typed} is null",
        shown=mapping.text(field),
        action=action,
        says=f"have a '{field.name}' that is not {what}",
        way_out='correct them, or set `repairs.bad_number = "null"`',
        says_values=True,
    )


def typed_query(table: TypedTable, kinds: Mapping[str, Kind]) -> str:
    """SQL over `staged`: the typed columns, where each row came from, its `_faults`, whether it is `_kept`.

    `kinds` has all columns of the source, since a duplicate repeats all of them. A row counts for the rules
    up to the first that removes it, so that no row is removed twice.
    """
    names = ", ".join([*map(quoted, table.columns), FILE, ROW])
    typed = ", ".join(f"{sql} as {quoted(name)}" for name, sql in table.columns.items())
    faults = ", ".join(
        f"case when {rule.broken} then left(coalesce({rule.shown}, ''), {_CHARACTERS}) end as _fault_{i}"
        for i, rule in enumerate(table.rules)
    )
    ends = " ".join(
        f"when _fault_{i} is not null then {i}" for i, rule in enumerate(table.rules) if rule.removes
    )
    each = range(len(table.rules))
    counted = ", ".join(
        f"case when _fault_{i} is not null and coalesce(_end >= {i}, true)"
        f" then struct_pack(rule := {i}, shown := _fault_{i}) end"
        for i in each
    )
    return f"""
        with repeats as ({_repeats_query(kinds)}),
        trimmed as (
            select {", ".join(map(mapping.trimmed, table.fields))}, {FILE}, {ROW},
                   ({FILE}, {ROW}) in (select {FILE}, {ROW} from repeats) as _repeats
            from staged),
        typed as (select *, {typed} from trimmed),
        tested as (select {names}, {faults} from typed),
        ended as (select *, case when false then 0 {ends} end as _end from tested)
        select {names}, _end is null as _kept,
               case when coalesce({", ".join(f"_fault_{i}" for i in each)}) is not null
                    then list_filter([{counted}], lambda fault: fault is not null) end as _faults
        from ended
    """


def _repeats_query(kinds: Mapping[str, Kind]) -> str:
    """Rows equal to an earlier row of `staged`: few share a hash, so few are compared value by value."""
    values = ", ".join(
        f"cast({quoted(name)} as varchar)" if kind == "other" else quoted(name)
        for name, kind in kinds.items()
    )
    return f"""
        select {FILE}, {ROW} from staged
        where hash({values}) in (
            select hash({values}) as digest from staged group by digest having count(*) > 1)
        qualify row_number() over (partition by {values} order by {FILE}, {ROW}) > 1
    """


def tally(table: TypedTable, query: Query, address: str) -> list[Found]:
    """Each rule that rows of the typed table at `address` break: how many, the first, the commonest."""
    sql = f"""
        with faults as (select {FILE} as file, {ROW} as row, unnest(_faults) as fault from typed),
        valued as (
            select fault.rule as rule, fault.shown as shown, count(*) as n_rows,
                   arg_min(struct_pack(file, row), (file, row), {_EXAMPLES}) as places
            from faults group by fault.rule, fault.shown),
        placed as (select *, unnest(places) as place from valued)
        select rule, sum(n_rows) as n_rows,
               arg_max(struct_pack(shown, n_rows), (n_rows, shown), {_VALUES}) as commonest,
               (select arg_min(struct_pack(place, shown), place, {_EXAMPLES}) from placed
                where placed.rule = valued.rule) as examples
        from valued group by rule order by rule
    """
    found = []
    for row in query(sql, {"typed": address}).to_pylist():
        rule = table.rules[row["rule"]]
        examples = tuple(_example(rule.column, shown=it["shown"], **it["place"]) for it in row["examples"])
        repair = Repair(table.name, rule.name, rule.column, int(row["n_rows"]), _DONE[rule.action], examples)
        found.append(Found(rule, repair, tuple((it["shown"], it["n_rows"]) for it in row["commonest"])))
    return found


def problems(found: Sequence[Found]) -> list[str]:
    """In words, the broken rules that stop the run."""
    return [_problem(*each) for each in found if each.rule.action == "error"]


def _problem(rule: Rule, repair: Repair, commonest: Sequence[tuple[str, int]]) -> str:
    where = f"{repair.table}: {rule.name}: {repair.rows} rows {rule.says}"
    values = ", ".join(f"{shown!r} {n_rows} times" for shown, n_rows in commonest)
    often = f"; most often {values}" if rule.says_values else ""
    return f"{where} ({'; '.join(repair.examples)}{often}): {rule.way_out}"


def _example(column: str, *, file: str, row: int, shown: str) -> str:
    return f"{file} row {row}: {column}={shown!r}" if column else f"{file} row {row}"
