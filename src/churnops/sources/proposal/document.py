"""A proposal as the TOML file a person edits: every value with its reason, warnings first."""

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.items import Item, Table

from churnops.sources.proposal.propose import Proposal

_WIDTH, _LONGEST = 110, 120
_MEANS = {
    "name": "names what is made of this data",
    "version": "raise it when the meaning of churn changes",
    "customers.path": "a relative path starts in CHURNOPS_SOURCE_DIR",
    "customers.format": "csv or parquet",
    "customers.delimiter": 'one character, or "whitespace"',
    "customers.encoding": "as Python names it",
    "customers.decimal": "the decimal sign",
    "customers.id_format": "text as written; integer drops leading zeros and a trailing .0",
    "customers.id": "who the row is about; empty: the row's number",
    "customers.as_of": "when the row was true",
    "customers.label": "who left, and the words for it",
    "transactions.id": "who bought",
    "transactions.time": "when it happened; timezone is that of times without an offset",
    "transactions.known_at": "when the row became known",
    "transactions.order": "lines with the same value are one purchase",
    "transactions.amount": "money for the whole line, negative for a return",
    "transactions.unit_price": "money for one piece",
    "transactions.quantity": "how many pieces",
    "transactions.discount": "money taken off the line",
    "transactions.category": "what kind of thing was bought",
    "transactions.cancelled": "what marks a line that is no purchase",
    "repairs.damaged_file": "drop or error",
    "repairs.exact_duplicates": "drop, keep or error",
    "repairs.missing_id": "drop or error",
    "repairs.bad_time": "drop or error",
    "repairs.bad_number": "null (makes it missing) or error",
    "repairs.repeated_customer": "first (keeps it) or error",
    "repairs.missing_label": "drop or error",
    "repairs.unknown_label": "drop or error",
    "repairs.zero_amount": "keep or drop",
    "churn.horizon_days": "who buys nothing for so long has lapsed",
    "churn.active_days": "only who bought within so long is asked about",
    "snapshots.spacing_days": "between training snapshots",
    "snapshots.train": "so many training snapshots",
    "split.folds": "each is the test once",
    "split.seed": "of the shuffle into folds",
}
_TABLE_KEYS = tuple(key.removeprefix("customers") for key in _MEANS if key.startswith("customers."))
_MEANS |= {
    f"transactions{key}": _MEANS[f"customers{key}"]
    for key in _TABLE_KEYS
    if f"transactions{key}" not in _MEANS
}
_IF_UNUSUAL: dict[str, Any] = {"encoding": "utf-8", "decimal": "."}
"""Keys left out where they say what they would say anyway."""

Container = TOMLDocument | Table


def render(proposal: Proposal) -> str:
    """The text of the file; reading it gives `proposal.config` again."""
    content = proposal.config.model_dump(mode="json", exclude_none=True)
    document = tomlkit.document()
    for line in _head(proposal):
        document.add(tomlkit.comment(line) if line else tomlkit.nl())
    for key in ("name", "version", "shape"):
        _add(document, key, _item(content[key]), comment=_comment(key, proposal.reasons))
    for section in _sections(content):
        part = _repairs(content) if section == "repairs" else content[section]
        document.add(section, _table(section, part, proposal.reasons))
    return tomlkit.dumps(document)


def _head(proposal: Proposal) -> Iterator[str]:
    yield "Proposed by `churnops init` from what the files hold. Read and correct it before `churnops run`."
    for warning in proposal.warnings:
        yield ""
        yield from textwrap.wrap(f"WARNING: {_one_line(warning)}", _WIDTH - 2, subsequent_indent="  ")
    if proposal.notes:
        yield ""
    for note in proposal.notes:
        yield from textwrap.wrap(f"Found: {_one_line(note)}", _WIDTH - 2, subsequent_indent="  ")
    yield ""


def _sections(content: Mapping[str, Any]) -> list[str]:
    """The tables that mean something for this shape."""
    used = ["customers", "transactions", "repairs", "churn", "snapshots", "leakage"]
    if content["shape"] == "labelled" and "as_of" not in content["customers"]:
        used[used.index("snapshots")] = "split"
    return [section for section in used if section in content]


def _repairs(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rules that these tables can break."""
    customers, log = content.get("customers", {}), content.get("transactions", {})
    can_break = {
        "missing_id": customers.get("id") or log,
        "bad_time": log or "as_of" in customers,
        "repeated_customer": customers.get("id"),
        "missing_label": "label" in customers,
        "unknown_label": "label" in customers,
        "zero_amount": log.get("amount") or log.get("unit_price"),
    }
    return {rule: action for rule, action in content["repairs"].items() if can_break.get(rule, True)}


def _table(section: str, content: Mapping[str, Any], reasons: Mapping[str, str]) -> Table:
    table = tomlkit.table()
    written = [key for key, value in content.items() if _is_written(key, value, content)]
    for key in written:
        place = f"{section}.{key}"
        if place == "customers.columns":
            table.add(key, _columns(content[key], reasons))
        elif place == "leakage.allow":
            _say(table, 'allow: a suspect column of the audit = "why it is known before the customer leaves"')
            table.add(key, _item(content[key]))
        else:
            _add(table, key, _item(content[key]), comment=_comment(place, reasons))
    for place, reason in reasons.items():
        loose = place.removeprefix(f"{section}.")
        if loose != place and loose.split(".")[0] not in written:
            _say(table, f"{loose}: {reason}")
    return table


def _is_written(key: str, value: Any, content: Mapping[str, Any]) -> bool:
    if key in ("delimiter", *_IF_UNUSUAL) and content.get("format") == "parquet":
        return False
    if key in _IF_UNUSUAL:
        return bool(value != _IF_UNUSUAL[key])
    return bool(value != "")


def _columns(columns: Mapping[str, Mapping[str, str]], reasons: Mapping[str, str]) -> Table:
    table = tomlkit.table()
    _say(table, 'role: "numeric", "categorical", "date" (with its format) or "dropped"')
    for name, column in columns.items():
        _add(table, name, _item(column), comment=reasons.get(f"customers.columns.{name}", ""))
    return table


def _comment(place: str, reasons: Mapping[str, str]) -> str:
    """Why the key has its value, or else what it means; of a repair both, as the latter names choices."""
    said = (_MEANS.get(place, ""), reasons.get(place, ""))
    return ": ".join(filter(None, said)) if place.startswith("repairs.") else said[1] or said[0]


def _add(table: Container, key: str, item: Item, *, comment: str) -> None:
    """Add the key with its comment behind it, or above it where the line would be far too long."""
    text = _one_line(comment)
    if len(f"{key} = {item.as_string()}  # {text}") > _LONGEST:
        _say(table, text)
    elif text:
        item.comment(text)
        item.trivia.comment_ws = "  "
    table.add(key, item)


def _say(table: Container, text: str) -> None:
    for line in textwrap.wrap(_one_line(text), _WIDTH - 2):
        table.add(tomlkit.comment(line))


def _item(value: Any) -> Item:
    """A value, a table within the line; there, what is empty or does not apply is left out."""
    if not isinstance(value, Mapping):
        scalar: Item = tomlkit.item(value)
        return scalar
    said = {key: part for key, part in value.items() if part not in ("", [], False)}
    if re.search(r"%z|^epoch", said.get("format", "")):  # such times are no zone's
        said.pop("timezone", None)
    parts = ", ".join(f"{key} = {tomlkit.item(part).as_string()}" for key, part in said.items())
    inline: Item = tomlkit.value(f"{{ {parts} }}" if parts else "{}")
    return inline


def _one_line(text: str) -> str:
    """`text` as a comment may have it: TOML forbids what controls a terminal."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)
