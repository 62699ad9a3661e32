"""The bundle over a whole Parquet table.

The wide table streams through, some thousand rows at a time. A rank needs every score at once, so of each row
the customer_id, as_of and score stay in memory: about a hundred bytes at the peak.
"""

import datetime as dt
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from churnops.bundle.bundle import Bundle
from churnops.bundle.tables import column_problems, matrices
from churnops.contracts.tables import INSTANT, SCORES
from churnops.errors import ConfigError, ContractError, SourceError
from churnops.scoring.prediction_ids import prediction_ids
from churnops.scoring.problems import value_problems

_INPUT = "table to score"
_READ_ROWS = 16_384  # at once; larger batches are no faster, and the reader runs ahead by several
_WRITTEN_ROWS = 65_536
_KEY = pa.schema({"customer_id": pa.large_string(), "as_of": INSTANT})
_WRITTEN = pa.schema([(column.name, column.type) for column in SCORES.columns])


def score_table(bundle: Bundle, inputs: Path, to: Path, *, as_of: dt.datetime | None = None) -> int:
    """Score each row of the Parquet `inputs` into the Parquet file `to`, the likeliest to leave first.

    Returns how many rows that was.

    `as_of`, UTC unless it has a zone, stands in where the table's own is null
    or absent. Raises ContractError naming all that is wrong with the table, SourceError if it is not Parquet,
    and OSError naming `to` where that cannot be written.
    """
    try:
        scored = _score(bundle, ds.dataset(inputs, format="parquet"), _naive_utc(as_of))
    except FileNotFoundError:
        raise SourceError(str(inputs), ["no such file or folder"]) from None
    except (pa.ArrowException, OSError) as error:
        raise SourceError(str(inputs), [f"is not Parquet, or damaged: {error}"]) from error
    # Stable, so customers with equal scores keep their order by customer_id.
    order = np.argsort(-scored["score"].to_numpy(), kind="stable")
    with _writing(to) as writer:
        for start in range(0, len(order), _WRITTEN_ROWS):
            rows = scored.take(order[start : start + _WRITTEN_ROWS])
            writer.write_table(_finished(rows, bundle.manifest.model_version, first_rank=start + 1))
    return len(order)


def export_scores(scores: Path, to: Path) -> None:
    """Write the Parquet file `scores` again as `to`, .parquet or .csv, whole or not at all.

    Raises ConfigError for any other ending, and OSError naming `to` where that cannot be written.
    """
    check_ending(to)
    with pq.ParquetFile(scores) as table, _writing(to) as writer:
        for batch in table.iter_batches(_WRITTEN_ROWS):
            writer.write_batch(batch)


def check_ending(to: Path) -> None:
    """Raise ConfigError unless the name `to` says in which format scores are to be written."""
    if to.suffix not in {".parquet", ".csv"}:
        raise ConfigError(str(to), ["scores are written as .parquet or .csv"])


def _naive_utc(as_of: dt.datetime | None) -> dt.datetime | None:
    return as_of.astimezone(dt.UTC).replace(tzinfo=None) if as_of and as_of.tzinfo else as_of


def _score(bundle: Bundle, table: ds.Dataset, as_of: dt.datetime | None) -> pa.Table:
    """Key and score of each row of `table`, sorted by key; ContractError naming everything wrong with it."""
    problems = column_problems(bundle.manifest, table.schema)
    if problems:
        raise ContractError(_INPUT, problems)
    wanted = {"customer_id", "as_of", *(column.name for column in bundle.manifest.inputs)}
    columns = {name: ds.field(name) for name in table.schema.names if name in wanted}
    batches = table.to_batches(
        columns=columns,
        batch_size=_READ_ROWS,
        batch_readahead=2,
        fragment_readahead=1,
        # A pre-buffer would hold what was read of the whole file until the end.
        fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=False),
    )
    found = Counter[str]()
    keys: list[pa.RecordBatch] = []
    # All at once: small arrays kept between large ones that come and go would fragment memory.
    scores_N = np.empty(table.count_rows())
    rows = 0
    for batch in batches:
        numeric_NF, categorical_NC = matrices(bundle.manifest, batch)
        found += value_problems(bundle.manifest, numeric_NF, categorical_NC)
        scores_N[rows : rows + batch.num_rows] = bundle.score(numeric_NF, categorical_NC)
        keys.append(_key(batch, as_of))
        rows += batch.num_rows
    scored = _sorted(pa.Table.from_batches(keys, _KEY).append_column("score", pa.array(scores_N)))
    found = (found + _key_problems(scored)) or _score_problems(scored)
    if found:
        raise ContractError(_INPUT, [f"{problem} in {n} rows" for problem, n in found.items()])
    return scored


def _key(batch: pa.RecordBatch, as_of: dt.datetime | None) -> pa.RecordBatch:
    instants = batch["as_of"] if "as_of" in batch.schema.names else pa.nulls(batch.num_rows)
    instants = instants.cast(INSTANT, safe=False).fill_null(pa.scalar(as_of, INSTANT))
    return pa.RecordBatch.from_arrays([batch["customer_id"].cast(pa.large_string()), instants], schema=_KEY)


def _sorted(scored: pa.Table) -> pa.Table:
    """By customer and instant, in one chunk: from several, `take` is slow."""
    scored = scored.combine_chunks()
    by_key = [("customer_id", "ascending"), ("as_of", "ascending")]
    return scored.take(pc.sort_indices(scored, sort_keys=by_key))


def _key_problems(scored: pa.Table) -> Counter[str]:
    ids, instants = scored["customer_id"], scored["as_of"]
    repeated = pc.and_(pc.equal(ids[1:], ids[:-1]), pc.equal(instants[1:], instants[:-1]))
    return +Counter(
        {
            "customer_id: null or empty": _count(pc.equal(ids.fill_null(""), "")),
            "as_of: null, with none given instead,": instants.null_count,
            "customer_id, as_of: repeated": _count(repeated),
        }
    )


def _score_problems(scored: pa.Table) -> Counter[str]:
    return +Counter({"numbers too extreme for the model": _count(pc.is_nan(scored["score"]))})


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask, min_count=0).as_py())


@contextmanager
def _writing(to: Path) -> Iterator[pyarrow.csv.CSVWriter | pq.ParquetWriter]:
    """A writer of `SCORES`; the file appears under its name when all is written."""
    to.parent.mkdir(parents=True, exist_ok=True)
    unfinished = to.with_name(f"{to.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as file, _writer(file, to.suffix) as writer:
            yield writer
        unfinished.replace(to)  # a reader sees the old file or the new one
    except OSError as error:  # nobody knows the unfinished file by name
        raise OSError(error.errno, error.strerror, str(to)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _writer(file: IO[bytes], suffix: str) -> pyarrow.csv.CSVWriter | pq.ParquetWriter:
    if suffix == ".csv":
        return pyarrow.csv.CSVWriter(file, _WRITTEN)
    return pq.ParquetWriter(file, _WRITTEN, compression="zstd")


def _finished(rows: pa.Table, version: str, *, first_rank: int) -> pa.Table:
    """`rows`, best first, as `SCORES`."""
    added = {
        "rank": pa.array(np.arange(first_rank, first_rank + rows.num_rows)),
        "model_version": pa.repeat(version, rows.num_rows),
        "prediction_id": prediction_ids(version, rows["as_of"], rows["customer_id"]),
    }
    for name, values in added.items():
        rows = rows.append_column(name, values)
    return rows.cast(_WRITTEN)
