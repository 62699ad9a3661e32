"""Scores on all cores, a part at a time: killed and started again, the step does the parts that are left."""

import datetime as dt
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from churnops.bundle.bundle import Bundle
from churnops.contracts.tables import SCORES
from churnops.engines import parts_of as files_of
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import ConfigError
from churnops.jobs.steps.apart import together
from churnops.jobs.steps.workshop import Origin, Place, Published, Workshop
from churnops.progress import Advance, Tell
from churnops.scoring.batch import Batch, Share, is_done, parts_of, score_share, told
from churnops.scoring.parts import dealt
from churnops.storage import check_deliverable
from churnops.writing import link_or_copy

_FEATURES = "features"
_UNFINISHED = ".scores"
"""In the run folder: the parts of scores that are not all made, by the key of their step."""
_WORTH_A_PROCESS = 500_000  # rows: about what one scores in the time that another takes to start
_REASONS_TAKE = 100  # times as long as a score
RANKED = """
    select customer_id, as_of, score, row_number() over () as rank, * exclude (customer_id, as_of, score)
    from (select * from scores order by score desc, customer_id, as_of)
"""


@dataclass(frozen=True)
class Order:
    """Whom to score with what."""

    bundle: Bundle
    features: Published
    as_of: dt.datetime
    """Stands in where the features have no date."""
    reasons: int = 0
    processes: int | None = None
    """By default one for each core."""


def scores_step(order: Order, shop: Workshop) -> Published:
    """Publish the scores. Raises what `score_table` does."""
    step = f"scores/as_of={order.as_of:%Y-%m-%d}"
    depends_on = {
        "features": order.features.key,
        "as_of": str(order.as_of),
        "bundle": order.bundle.manifest.model_dump(mode="json"),
        "reasons": order.reasons,
    }
    unfinished = shop.ledger.folder / _UNFINISHED / shop.ledger.key(step, depends_on)

    def work(to: Place) -> None:
        _clear(unfinished.parent, keep=unfinished.name)
        files = tuple(files_of(Path(order.features.files[_FEATURES])))
        batch = Batch(order.bundle, files, unfinished, order.as_of, order.reasons)
        _leave(score_table(batch, shop.ledger.tell, processes=order.processes), Path(to.table(SCORES.name)))

    published = shop.publish(step, depends_on, work, engine=shop.duckdb, origin=Origin((order.features,)))
    _clear(unfinished.parent)
    return published


def score_table(batch: Batch, tell: Tell, *, processes: int | None = None) -> list[Path]:
    """Score what is left of a table; the files of all its scores, in its order.

    Raises what `parts_of` and `score_share` do, and ProcessLost.
    """
    parts = parts_of(batch)
    left = [part for part in parts if not is_done(batch, part)]
    rows = sum(part.rows for part in left)
    progress = _Progress(tell, total=sum(part.rows for part in parts), left=rows)
    n = min(processes or _worth_starting(rows, batch.reasons), max(len(left), 1))
    if n > 1:
        fresh = replace(batch, bundle=replace(batch.bundle))  # open sessions do not travel
        shares = [Share(fresh, parts) for parts in dealt(left, n)]
        together(told, shares, lambda _, rows: progress.count(int(rows)))
    else:
        score_share(Share(batch, left), progress.count)
    return [batch.to / part.name for part in parts]


def _worth_starting(rows: int, reasons: int) -> int:
    worth = _WORTH_A_PROCESS // (_REASONS_TAKE if reasons else 1)
    return min(len(os.sched_getaffinity(0)), max(rows // worth, 1))


def ranked(scores: Published, engine: DuckDB, to: Path) -> None:
    """Write scores to a .parquet or .csv with their rank, and in its order: equal scores by their key."""
    write = engine.write_csv if to.suffix == ".csv" else engine.write
    write(RANKED, {SCORES.name: scores.files[SCORES.name]}, str(to))


def check_ending(to: str) -> None:
    """Raise ConfigError unless `to` can be written, and says in which format scores are to be."""
    check_deliverable(to)
    if Path(to).suffix not in {".parquet", ".csv"}:
        raise ConfigError(to, ["scores are written as .parquet or .csv"])


def _leave(files: Sequence[Path], table: Path) -> None:
    """One file, or a folder of them."""
    for file in files:
        link_or_copy(file, table if len(files) == 1 else table / file.name)


def _clear(folder: Path, *, keep: str = "") -> None:
    for one in folder.glob("*"):
        if one.name != keep:
            shutil.rmtree(one)


class _Progress:
    """Says how many rows are done, how fast it goes, and how long it will take."""

    def __init__(self, tell: Tell, *, total: int, left: int) -> None:
        self._tell, self._total = tell, total
        self._before = self._done = total - left
        self._began = time.perf_counter()
        if self._done:
            tell(SCORES.name, f"goes on after {self._done:,} rows")

    def count(self, rows: int) -> None:
        """So many more are done."""
        self._done += rows
        speed = (self._done - self._before) / (time.perf_counter() - self._began)
        seconds = (self._total - self._done) / speed
        said = f"{self._done:,} of {self._total:,} rows, {speed:,.0f} a second, {seconds:,.0f} s left"
        self._tell(SCORES.name, Advance(said, self._done / self._total))
