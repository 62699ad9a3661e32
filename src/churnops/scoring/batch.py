"""The bundle over a table of any size, a part at a time, in bounded memory.

Each part has a file of its own, which appears whole: what is there is done, and whoever goes on with a table
scores the others. The files, by name, are the scores in the order of the table.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churnops.bundle.bundle import Bundle
from churnops.bundle.tables import category_numbers, column_problems, numeric_matrix
from churnops.contracts.tables import INSTANT, SCORES, scores_with
from churnops.errors import BundleError, ContractError
from churnops.scoring.part_file import part_file
from churnops.scoring.parts import Part, columns_of, plan
from churnops.scoring.prediction_ids import prediction_ids
from churnops.scoring.problems import Problem, Problems, value_problems
from churnops.scoring.reason_columns import reason_columns

if TYPE_CHECKING:
    from churnops.progress import Tell  # its bars take a process a sixth of a second to import

Count = Callable[[int], None]
"""Told how many more rows are done."""

_GRAPH_ROWS = 1024  # what the graph makes of so many stays in the processor's cache
_KEY = pa.schema({"customer_id": pa.string(), "as_of": INSTANT})
_REPEATING = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Batch:
    """What is to be scored, with what, and where the scores go."""

    bundle: Bundle
    files: tuple[Path, ...]
    """The table, in Parquet; rows with the same key stand together."""
    to: Path
    """A folder for these scores, made with these options, and for nothing else."""
    as_of: dt.datetime | None = None
    """UTC unless it has a zone; stands in where the table's own is null or absent."""
    reasons: int = 0
    """How many each row gets; see `scores_with`."""

    @property
    def schema(self) -> pa.Schema:
        """Of the scores, texts that repeat as dictionaries."""
        columns = {column.name: column.type for column in scores_with(self.reasons).columns}
        words = (f"reason_{i}{end}" for i in range(1, self.reasons + 1) for end in ("", "_column"))
        return pa.schema(columns | dict.fromkeys(("model_version", *words), _REPEATING))


def parts_of(batch: Batch) -> list[Part]:
    """The parts of the table, once it is known that they can be scored.

    Raises SourceError for what is not Parquet, ContractError naming all that is wrong with the columns, and
    BundleError where the bundle has no reasons and is asked for them.
    """
    check_reasons(batch.bundle, batch.reasons)
    for file in batch.files:
        problems = column_problems(batch.bundle.manifest, columns_of(file))
        if problems:
            raise ContractError(str(file), problems)
    return plan(batch.files, reasons=batch.reasons > 0)


def check_reasons(bundle: Bundle, reasons: int) -> None:
    """Raise BundleError where it has no reasons and is asked for them."""
    if reasons and bundle.manifest.reasons is None:
        raise BundleError(
            f"{bundle.manifest.model_version} gives no reasons: it was made before bundles had them; "
            "run it again"
        )


def is_done(batch: Batch, part: Part) -> bool:
    """Whether the scores of the part are there."""
    try:
        return bool(pq.read_metadata(batch.to / part.name).num_rows == part.rows)
    except (pa.ArrowException, OSError):  # not there, or the machine stopped while its disk wrote
        return False


@dataclass(frozen=True)
class Share:
    """Some parts of a batch, for one process."""

    batch: Batch
    parts: Sequence[Part]


def score_share(share: Share, count: Count) -> None:
    """Score parts, one after another.

    Raises ContractError naming all that is wrong with the rows of one, SourceError where one cannot be read,
    and OSError naming the file that cannot be written.
    """
    for part in share.parts:
        _score(share.batch, part, count)


def told(share: Share, tell: "Tell") -> None:
    """`score_share` in a process of its own, which tells its rows as text."""
    score_share(share, lambda rows: tell(SCORES.name, str(rows)))


def _score(batch: Batch, part: Part, count: Count) -> None:
    bundle = batch.bundle
    wanted = {*_KEY.names, *(column.name for column in bundle.manifest.inputs)}
    found, row = Problems(), part.first_row
    last = _key_before(batch, part)
    with part_file(batch.to / part.name, batch.schema) as file:
        for rows in part.batches(wanted):
            others = dict[str, int]()
            numeric_NF = numeric_matrix(bundle.numeric, rows)
            number_NC = category_numbers(bundle.categorical, rows, bundle.categories, others=others)
            key = _key(rows, batch.as_of)
            found.note(value_problems(bundle, numeric_NF, number_NC), row)
            found.note(_key_problems(key, last), row)
            if not found:
                scored = _scored(batch, key, numeric_NF, _Numbered(number_NC, (*others,)))
                extreme_N = np.isnan(scored["score"].to_numpy())
                found.note([("numbers too extreme for the model", extreme_N)], row)
                file.add(scored)
            last = key.slice(key.num_rows - 1)
            row += rows.num_rows
            count(rows.num_rows)
        if found:
            raise ContractError(str(part), found.told())


class _Numbered(NamedTuple):
    """Categories by number; see `Categories`."""

    number_NC: np.ndarray
    others: tuple[str, ...]


def _scored(
    batch: Batch, key: pa.RecordBatch, numeric_NF: np.ndarray, categories: _Numbered
) -> pa.RecordBatch:
    bundle, starts = batch.bundle, range(0, key.num_rows, _GRAPH_ROWS)
    version = bundle.model_version
    fed_NC = bundle.categories.fed(*categories)
    pieces = [slice(start, start + _GRAPH_ROWS) for start in starts]
    scores = [bundle.score(numeric_NF[piece], fed_NC[piece]) for piece in pieces]
    first = pa.repeat(pa.scalar(0, pa.int32()), key.num_rows)
    columns = {name: key[name] for name in _KEY.names} | {
        "score": pa.array(np.concatenate(scores)),
        "model_version": pa.DictionaryArray.from_arrays(first, [version]),
        "prediction_id": prediction_ids(version, key["as_of"], key["customer_id"]),
    }
    if batch.reasons:
        categorical_NC = bundle.categories.texts(*categories)
        columns |= reason_columns(bundle, numeric_NF, categorical_NC, top=batch.reasons)
    return pa.RecordBatch.from_arrays([columns[name] for name in batch.schema.names], schema=batch.schema)


def _key(rows: pa.RecordBatch, as_of: dt.datetime | None) -> pa.RecordBatch:
    instants = rows["as_of"] if "as_of" in rows.schema.names else pa.nulls(rows.num_rows)
    instants = instants.cast(INSTANT, safe=False).fill_null(pa.scalar(_naive_utc(as_of), INSTANT))
    return pa.RecordBatch.from_arrays([rows["customer_id"].cast(pa.string()), instants], schema=_KEY)


def _key_before(batch: Batch, part: Part) -> pa.RecordBatch:
    """Of the row before the part, if there is one."""
    row = part.last_before(_KEY.names)
    return pa.RecordBatch.from_pylist([], _KEY) if row is None else _key(row, batch.as_of)


def _naive_utc(as_of: dt.datetime | None) -> dt.datetime | None:
    return as_of.astimezone(dt.UTC).replace(tzinfo=None) if as_of and as_of.tzinfo else as_of


def _key_problems(key: pa.RecordBatch, before: pa.RecordBatch) -> Iterator[Problem]:
    joined = pa.concat_batches([before, key])
    ids, instants = joined["customer_id"], joined["as_of"]
    repeated = pc.and_(pc.equal(ids[1:], ids[:-1]), pc.equal(instants[1:], instants[:-1]))
    # Of a table's first row nobody knows whether it repeats another.
    is_first_N = np.zeros(key.num_rows - len(repeated), dtype=bool)
    yield "customer_id: null or empty", _mask(pc.equal(key["customer_id"].fill_null(""), ""))
    yield "as_of: null, with none given instead,", _mask(key["as_of"].is_null())
    yield "customer_id, as_of: repeated", np.concatenate([is_first_N, _mask(repeated.fill_null(False))])


def _mask(values: pa.Array) -> np.ndarray:
    mask_N: np.ndarray = values.to_numpy(zero_copy_only=False)
    return mask_N
