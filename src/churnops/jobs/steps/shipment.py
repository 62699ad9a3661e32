"""The dataset as it travels to where networks learn: channels of Parquet parts that say what they are.

Every row bears its number in place of its customer's key, and every part a card: all that a manifest says
of the data. Whoever reads them needs nothing else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import to_json

from churnops.errors import SourceError
from churnops.jobs.steps.audit import Prepared
from churnops.jobs.steps.learning import Held
from churnops.jobs.steps.ledger import Done, Ledger
from churnops.training.dataset import Columns, to_rows
from churnops.training.group import Group, Index, gather_array
from churnops.training.rounds import rounds_by_fold, rounds_by_time

_SPANS = ("train", "validation", "test")
_CARD = b"churnops"
_PARTS = 16  # of each channel: as many hosts can have one of their own
_KEY = ("row", "group", "assigned", "churned", "as_of")


@dataclass(frozen=True)
class Channel:
    """A folder of parts, and which of its rows are this process's."""

    folder: Path
    rank: int = 0
    """Every `size`th row from this one on; of parts that no other process is given, all."""
    size: int = 1


@dataclass(frozen=True)
class Received:
    """What one process was given of a shipment."""

    held: Held
    group_N: Index
    """Shared by a customer's snapshots and by twins."""
    known: Mapping[str, Any]
    """What a manifest says of the data."""
    rows: int
    """Of the whole dataset that have a part in training."""


def shipment_step(known: Mapping[str, Any], prepared: Prepared, ledger: Ledger) -> Done:
    """A folder per channel: `train`, `validation` and `test`, or `train` alone with every row's fold."""

    def work(to: Path) -> None:
        table = _table(known, prepared)
        for channel, rows in _channels(table).items():
            (to / channel).mkdir()
            edges = np.linspace(0, rows.num_rows, _PARTS + 1, dtype=int)
            for i, (start, end) in enumerate(pairwise(edges)):
                pq.write_table(rows.slice(start, end - start), to / channel / f"part-{i:05}.parquet")

    return ledger.step("shipment", {**prepared.depends_on, "known": json.loads(to_json(known))}, work)


def receive(channels: Mapping[str, Channel]) -> Received:
    """Read what this process was given; raises SourceError naming channel, file and column."""
    tables = {name: _read(name, channel) for name, channel in channels.items()}
    if "train" not in tables:
        raise SourceError("channel train", ["is missing"])
    table = pa.concat_tables(tables.values())
    card = _card("channel train", table.schema)
    columns = Columns(*(_named(card["known"], kind) for kind in ("numeric", "categorical")))
    assigned_N = table["assigned"].to_numpy()
    rounds = rounds_by_fold(assigned_N, card["folds"]) if card["folds"] else rounds_by_time(assigned_N)
    known = card["known"]
    table = table.append_column("customer_id", table["row"].cast(pa.string()))
    rows = to_rows(table, columns, horizon_days=known["horizon_days"] or 0)
    number_N = table["row"].to_numpy().astype(np.intp)
    return Received(
        Held(rows, number_N, rounds), table["group"].to_numpy().astype(np.intp), known, card["rows"]
    )


def check_shares(received: Received, group: Group) -> None:
    """Raise SourceError unless all processes together hold every row once."""
    number_N = gather_array(group, received.held.number_N)
    twice = number_N.size - np.unique(number_N).size
    lacking = received.rows - (number_N.size - twice)
    problems = [
        f"{twice} rows are held by several hosts: is a channel replicated that is said to be sharded?"
    ]
    problems += [f"{lacking} of {received.rows} rows are with no host: is a channel or a part missing?"]
    found = [problem for problem, count in zip(problems, (twice, lacking), strict=True) if count]
    if found:
        raise SourceError("channels", found)


def _table(known: Mapping[str, Any], prepared: Prepared) -> pa.Table:
    """Every row that has a part in training, by number, without its customer's key."""
    columns = prepared.columns
    table = pq.read_table(
        prepared.address, columns=["as_of", "churned", *columns.numeric, *columns.categorical]
    )
    assigned_N = prepared.assigned
    table = (
        table.append_column("row", pa.array(np.arange(table.num_rows)))
        .append_column("group", pa.array(prepared.groups))
        .append_column("assigned", pa.array(assigned_N))
    )
    folds = 0 if assigned_N.dtype == object else int(assigned_N.max()) + 1
    table = table if folds else table.filter(pa.array(np.isin(assigned_N, _SPANS)))
    card = {"known": known, "rows": table.num_rows, "folds": folds}
    return table.replace_schema_metadata({_CARD: to_json(card)})


def _channels(table: pa.Table) -> dict[str, pa.Table]:
    assigned = table["assigned"]
    if not pa.types.is_string(assigned.type):
        return {"train": table}
    spans = assigned.to_numpy()
    return {span: table.filter(pa.array(spans == span)) for span in _SPANS}


def _read(name: str, channel: Channel) -> pa.Table:
    paths = sorted(channel.folder.rglob("*.parquet"))
    if not paths:
        raise SourceError(f"channel {name}", [f"is empty: there is no Parquet file in {channel.folder}"])
    parts = [_read_part(f"channel {name}, {path.relative_to(channel.folder)}", path) for path in paths]
    if len({part.schema.metadata[_CARD] for part in parts}) > 1:
        raise SourceError(f"channel {name}", ["its parts are of different datasets"])
    table = pa.concat_tables(parts)
    return table.take(np.arange(channel.rank, table.num_rows, channel.size))


def _read_part(where: str, path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(where, [f"is a truncated or damaged Parquet file ({error})"]) from error
    lacking = [name for name in _KEY if name not in table.column_names]
    if not lacking:
        lacking = [c["name"] for c in _card(where, table.schema)["known"]["inputs"]]
        lacking = [name for name in lacking if name not in table.column_names]
    if lacking:
        raise SourceError(where, [f"column '{name}' is missing" for name in lacking])
    return table


def _card(where: str, schema: pa.Schema) -> dict[str, Any]:
    card = (schema.metadata or {}).get(_CARD)
    if card is None:
        raise SourceError(where, ["has no card: let `churnops train` write the channels"])
    found: dict[str, Any] = json.loads(card)
    return found


def _named(known: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    return tuple(column["name"] for column in known["inputs"] if column["kind"] == kind)
