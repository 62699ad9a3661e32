"""Customers: one row each, with the attributes the config keeps; labelled ones say who left."""

from collections.abc import Mapping

from churnops.contracts.table import Query, Table, quoted
from churnops.contracts.tables import CUSTOMERS, LABELLED
from churnops.data_config import AttributeColumn, Customers, Label, Repairs
from churnops.sources import mapping
from churnops.sources.csv_text import literal
from churnops.sources.headers import FILE, ROW
from churnops.sources.mapping import Field, Kind
from churnops.sources.rules import Rule, TypedTable, bad_number, bad_time, duplicates, missing_id


def customers_table(source: Customers, repairs: Repairs, *, kinds: Mapping[str, Kind]) -> TypedTable:
    """Typed customers: `customer_id`, where labelled `as_of` and `churned`, then the attributes by name."""
    fields = {name: Field(name, kinds[name], source.decimal) for name in named_columns(source)}
    columns = {"customer_id": f"cast(row_number() over (order by {FILE}, {ROW}) as varchar)"}
    if source.id:
        columns["customer_id"] = mapping.identifier(fields[source.id], source.id_format)
    if source.label:
        columns["as_of"] = "cast(null as timestamp)"
        columns["churned"] = _churned(source.label, fields[source.label.column])
    if source.as_of:
        columns["as_of"] = mapping.moment(fields[source.as_of.column], source.as_of)
    columns |= {name: _attribute(fields[name], source.columns[name]) for name in attributes(source)}
    rules = tuple(_rules(source, repairs, fields=fields))
    return TypedTable(table_of(source).name, tuple(fields.values()), columns, rules)


def table_of(source: Customers) -> Table:
    """What cleaning makes of the source, which the report calls by the same name."""
    return LABELLED if source.label else CUSTOMERS


def customers_query(table: TypedTable) -> str:
    """SQL over the `typed` rows: those kept, in the order they came in."""
    return f"select {', '.join(map(quoted, table.columns))} from typed where _kept order by {FILE}, {ROW}"


def label_problems(source: Customers, query: Query, address: str) -> list[str]:
    """In words, that all customers of the typed table at `address` left, or all stayed."""
    counted = "select count(*) as n_rows, count(*) filter (where churned) as n_left from typed where _kept"
    if source.label is None:
        return []
    (found,) = query(counted, {"typed": address}).to_pylist()
    if 0 < found["n_left"] < found["n_rows"]:
        return []
    did, absent = ("left", source.label.stayed) if found["n_left"] else ("stayed", source.label.churned)
    words = " or ".join(f"'{word}'" for word in absent)
    return [
        f"labelled: all {found['n_rows']} rows of {source.path} {did}, none has a '{source.label.column}' of"
        f" {words}, so there is nothing to learn: correct the words of `customers.label`, or add the others"
    ]


def attributes(source: Customers) -> list[str]:
    """The columns that may become features."""
    return [name for name, column in source.columns.items() if column.role != "dropped"]


def named_columns(source: Customers) -> list[str]:
    """The columns of the source that the config names and does not drop, each once."""
    as_of = source.as_of.column if source.as_of else ""
    label = source.label.column if source.label else ""
    return [name for name in dict.fromkeys((source.id, as_of, label, *attributes(source))) if name]


def _attribute(field: Field, column: AttributeColumn) -> str:
    if column.role == "numeric":
        return mapping.number(field)
    if column.role == "date":
        return mapping.instant(field, column.format, "UTC")
    return mapping.text(field)


def _churned(label: Label, field: Field) -> str:
    gone, here = (
        ", ".join(literal(mapping.as_word(word)) for word in words) for words in (label.churned, label.stayed)
    )
    said = mapping.word(field)
    return f"case when {said} in ({gone}) then true when {said} in ({here}) then false end"


def _rules(source: Customers, repairs: Repairs, *, fields: Mapping[str, Field]) -> list[Rule]:
    """In the order in which they are applied; the last needs to know which rows the others removed."""
    rules = [duplicates(repairs.exact_duplicates)]
    if source.id:
        rules.append(missing_id(fields[source.id], repairs.missing_id))
    if source.as_of:
        rules.append(
            bad_time(fields[source.as_of.column], source.as_of, repairs.bad_time, broken="as_of is null")
        )
    if source.label:
        rules += _label_rules(fields[source.label.column], repairs)
    for name in attributes(source):
        column = source.columns[name]
        what = {"numeric": "a number", "date": f"a time like '{column.format}'"}.get(column.role)
        if what:
            typed = quoted(name)
            rules.append(bad_number(fields[name], repairs.bad_number, typed=typed, what=what))
    return [*rules, _repeated_customer(source, rules, repairs)] if source.id else rules


def _label_rules(field: Field, repairs: Repairs) -> list[Rule]:
    unknown = Rule(
        name="unknown_label",
        column=field.name,
        broken=f"churned is null and {mapping.present(field)} is not null",
        shown=mapping.text(field),
        action=repairs.unknown_label,
        says=f"have a '{field.name}' in neither `label.churned` nor `label.stayed`",
        way_out='add each of its words to one of them, or set `repairs.unknown_label = "drop"`',
        says_values=True,
    )
    missing = Rule(
        name="missing_label",
        column=field.name,
        broken=f"churned is null and {mapping.present(field)} is null",
        shown=mapping.text(field),
        action=repairs.missing_label,
        says=f"have no '{field.name}'",
        way_out='fill it in, or set `repairs.missing_label = "drop"`',
    )
    return [unknown, missing]


def _repeated_customer(source: Customers, earlier: list[Rule], repairs: Repairs) -> Rule:
    removed = " or ".join(f"coalesce({rule.broken}, false)" for rule in earlier if rule.removes) or "false"
    key = "customer_id, as_of" if source.as_of else "customer_id"
    return Rule(
        name="repeated_customer",
        column=source.id,
        broken=f"row_number() over (partition by {key}, {removed} order by {FILE}, {ROW}) > 1",
        shown="customer_id",
        action=repairs.repeated_customer,
        says=f"have the '{source.id}' of an earlier row and differ from it",
        way_out='keep one of each, or set `repairs.repeated_customer = "first"`',
    )
