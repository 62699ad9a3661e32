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
from pydantic import ValidationError
from pydantic_core import to_json

from churnops.bundle.manifest import Known
from churnops.config import FrozenModel, faults
from churnops.contracts.table import Column, Table, schema_problems
from churnops.contracts.tables import INSTANT
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


class _Card(FrozenModel):
    """What every part says of the dataset it is of."""

    known: Known
    rows: Mapping[str, int]
    """Of each channel."""
    folds: int
    """0: rows are assigned to spans."""

    @property
    def table(self) -> Table:
        """What every part is."""
        columns = (
            Column("row", pa.int64()),
            Column("group", pa.int64()),
            Column("assigned", pa.int64() if self.folds else pa.string()),
            Column("churned", pa.bool_()),
            Column("as_of", INSTANT, nullable=True),
            *(Column(one.name, pa.float64(), nullable=True) for one in self.known.numeric),
            *(Column(one.name, pa.string(), nullable=True) for one in self.known.categorical),
        )
        return Table("shipment", columns, open=True)

    @property
    def columns(self) -> Columns:
        """The features, by kind."""
        kinds = (self.known.numeric, self.known.categorical)
        return Columns(*(tuple(one.name for one in kind) for kind in kinds))


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
    rows: Mapping[str, int]
    """Of each channel, in the whole dataset."""
    number_N_by_channel: Mapping[str, Index]
    """Of the rows that this process was given, wherever they lay."""


def shipment_step(known: Mapping[str, Any], prepared: Prepared, ledger: Ledger) -> Done:
    """A folder per channel: `train`, `validation` and `test`, or `train` alone with every row's fold."""

    def work(to: Path) -> None:
        channels, folds = _channels(prepared), _folds(prepared)
        card = to_json(
            {
                "known": known,
                "rows": {channel: rows.num_rows for channel, rows in channels.items()},
                "folds": folds,
            }
        )
        of_all = _Card.model_validate_json(card)
        for channel, sent in channels.items():
            rows = _cast(sent, of_all).replace_schema_metadata({_CARD: card})
            (to / channel).mkdir()
            edges = np.linspace(0, rows.num_rows, _PARTS + 1, dtype=int)
            for i, (start, end) in enumerate(pairwise(edges)):
                pq.write_table(rows.slice(start, end - start), to / channel / f"part-{i:05}.parquet")

    return ledger.step("shipment", {**prepared.depends_on, "known": json.loads(to_json(known))}, work)


def receive(channels: Mapping[str, Channel]) -> Received:
    """Read what this process was given; raises SourceError naming channel, file and column."""
    read = [_read(name, channel) for name, channel in channels.items()]
    if not read:
        raise SourceError("channels", ["there are none: at least train is needed"])
    card = read[0][0]
    if any(other != card for other, _ in read):
        raise SourceError("channels", ["are of different datasets"])
    table = pa.concat_tables([rows for _, rows in read])
    assigned_N, number_N = table["assigned"].to_numpy(), table["row"].to_numpy().astype(np.intp)
    rounds = rounds_by_fold(assigned_N, card.folds) if card.folds else rounds_by_time(assigned_N)
    table = table.append_column("customer_id", table["row"].cast(pa.string()))
    return Received(
        Held(to_rows(table, card.columns, horizon_days=card.known.horizon_days or 0), number_N, rounds),
        table["group"].to_numpy().astype(np.intp),
        card.known.model_dump(),
        card.rows,
        {name: number_N if card.folds else number_N[assigned_N == name] for name in card.rows},
    )


def check_shares(received: Received, group: Group) -> None:
    """Raise SourceError, naming the channel, unless all processes together hold every row once."""
    problems = []
    for channel, rows in received.rows.items():
        number_N = gather_array(group, received.number_N_by_channel[channel])
        twice = number_N.size - np.unique(number_N).size
        lacking = rows - (number_N.size - twice)
        if twice:
            problems.append(
                f"{channel}: {twice} rows are held by several hosts: is it replicated and said to be sharded?"
            )
        if lacking:
            problems.append(
                f"{channel}: {lacking} of {rows} rows are with no host: is it, or a part of it, missing?"
            )
    if problems:
        raise SourceError("channels", problems)


def _channels(prepared: Prepared) -> dict[str, pa.Table]:
    """Every row that has a part in training, by number, without its customer's key."""
    columns = prepared.columns
    table = pq.read_table(
        prepared.address, columns=["as_of", "churned", *columns.numeric, *columns.categorical]
    )
    table = (
        table.append_column("row", pa.array(np.arange(table.num_rows)))
        .append_column("group", pa.array(prepared.groups))
        .append_column("assigned", pa.array(prepared.assigned))
    )
    if _folds(prepared):
        return {"train": table}
    return {span: table.filter(pa.array(prepared.assigned == span)) for span in _SPANS}


def _folds(prepared: Prepared) -> int:
    assigned_N = prepared.assigned
    return 0 if assigned_N.dtype == object else int(assigned_N.max()) + 1


def _cast(table: pa.Table, card: _Card) -> pa.Table:
    """Its columns in the order and with the types that the parts have."""
    schema = pa.schema([(column.name, column.type) for column in card.table.columns])
    return table.select(schema.names).cast(schema, safe=False)


def _read(name: str, channel: Channel) -> tuple[_Card, pa.Table]:
    paths = sorted(channel.folder.rglob("*.parquet"))
    if not paths:
        raise SourceError(f"channel {name}", [f"is empty: there is no Parquet file in {channel.folder}"])
    parts = [_read_part(f"channel {name}, {path.relative_to(channel.folder)}", path) for path in paths]
    card = parts[0][0]
    if any(other != card for other, _ in parts):
        raise SourceError(f"channel {name}", ["its parts are of different datasets"])
    table = pa.concat_tables([part for _, part in parts])
    return card, table.take(np.arange(channel.rank, table.num_rows, channel.size))


def _read_part(where: str, path: Path) -> tuple[_Card, pa.Table]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(where, [f"is a truncated or damaged Parquet file ({error})"]) from error
    card = _card(where, table.schema)
    problems = schema_problems(card.table, table.schema) or [
        f"{column.name}: {table[column.name].null_count} nulls"
        for column in card.table.columns
        if not column.nullable and table[column.name].null_count
    ]
    if problems:
        raise SourceError(where, problems)
    return card, _cast(table, card)


def _card(where: str, schema: pa.Schema) -> _Card:
    card = (schema.metadata or {}).get(_CARD)
    if card is None:
        raise SourceError(where, ["has no card: let `churnops train` write the channels"])
    try:
        return _Card.model_validate_json(card)
    except ValidationError as error:
        raise SourceError(
            where, [f"its card is none of this version's: {one}" for one in faults(error)]
        ) from None
