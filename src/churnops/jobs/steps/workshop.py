"""What the steps of one run work with: its folder, the lake, and the engine that suits the tables."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
from pydantic import ByteSize, TypeAdapter

from churnops.config import Settings
from churnops.engines import Engine, parts_of
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import ConfigError
from churnops.jobs.steps.ledger import STAMP, Done, Ledger, held, run_folder, write_json
from churnops.jobs.steps.provenance import code_commit
from churnops.lake.content import Content, read_back
from churnops.lake.lake import Draft, Lake, Made, Parts
from churnops.lake.manifest import Part, Producer, Version
from churnops.progress import Tell
from churnops.storage import Storage

_KEPT = "kept.json"
"""Beside tables that begin with parts of the version before: which version, and how many parts of each."""

DUCKDB_TIMES = 4.0
"""`auto` takes DuckDB for tables of up to so many times its memory, unpacked: see docs/scale.md."""


@dataclass(frozen=True)
class Place:
    """Where a step leaves what it makes: JSON in `folder`, and each table where its engine can write."""

    folder: Path
    draft: str = ""
    """The draft's address, for executors; empty: tables go to `folder` too."""

    def table(self, name: str) -> str:
        """The address to write the table `name` to."""
        return f"{self.draft or self.folder}/{name}.parquet"


@dataclass(frozen=True)
class Published(Done):
    """A finished step whose tables are in the lake; in its folder each is a file, or a folder of parts."""

    version: Version
    lake: Lake

    @property
    def addresses(self) -> dict[str, str]:
        """The tables in the lake, by name."""
        return self.lake.addresses(self.version)

    @property
    def files(self) -> dict[str, str]:
        """The tables by name, on this machine."""
        return {name: str(self.folder / f"{name}.parquet") for name in self.version.tables}

    def tables(self, engine: Engine) -> dict[str, str]:
        """The tables by name, where `engine` reads them; raises StorageError where the lake lacks a file."""
        if not engine.distributed:
            return self.files
        self.lake.verify(self.version)
        return self.addresses


@dataclass(frozen=True)
class Origin:
    """What a step's tables are made from: versions of other steps, and the `earlier` one of its own.

    Work may link files of the earlier version: a table that begins with all of them shares them in the lake.
    """

    sources: tuple[Published, ...] = ()
    earlier: Published | None = None


@dataclass(frozen=True)
class Workshop:
    """The run folder of one data config, held by this process, and the lake."""

    settings: Settings
    ledger: Ledger
    lake: Lake

    @property
    def name(self) -> str:
        """The data config's."""
        return self.ledger.folder.name

    @property
    def duckdb(self) -> DuckDB:
        """The engine of this machine."""
        return DuckDB(self.settings.memory_limit, self.ledger.folder / ".spill")

    def engine(self, cleaned: Done) -> Engine:
        """The one that was asked for; `auto`: what suits the size of the clean tables, and it is said why."""
        wanted = self.settings.engine
        if wanted == "auto":
            wanted, why = _suited(cleaned.folder, self.settings.memory_limit)
            self.ledger.tell("engine", f"{wanted}: {why}")
        return self.duckdb if wanted == "duckdb" else _spark(self.settings.spark_master)

    def publish(
        self,
        step: str,
        depends_on: Mapping[str, Any],
        work: Callable[[Place], None],
        *,
        engine: Engine,
        origin: Origin | None = None,
    ) -> Published:
        """A step of the ledger whose tables are published as the dataset `<name>/<step>`.

        What the same step left in the lake, from another machine perhaps, is fetched and not made again.
        Raises Conflict where another machine published something else meanwhile, and StorageError.
        """
        origin = origin or Origin()
        dataset, key = f"{self.name}/{step}", self.ledger.key(step, depends_on)
        draft = self.lake.draft(dataset)

        def make(to: Path) -> None:
            known = self.lake.made_by(dataset, key)
            if known:
                self.ledger.tell(step, f"fetched version {known.number}")
                self.lake.fetch(known, to)
            elif engine.distributed:
                work(Place(to, self.lake.storage.at(draft.below)))
                for name in self.lake.tables_of(draft):
                    self.lake.read_draft(draft, name, to / f"{name}.parquet")
            else:
                work(Place(to))
                if origin.earlier:
                    write_json(to / _KEPT, _shared(origin.earlier, to))

        done = self.ledger.step(step, depends_on, make)
        version = self.lake.made_by(dataset, key)
        if version is None:
            named = tuple(source.version.as_source() for source in origin.sources)
            made = Made(key, engine.name, named, _producer(self.settings))
            kept = self._kept(dataset, done)
            version = self.lake.publish(draft, self._upload(done.folder, draft, kept), made, kept)
        return self._published(done, version)

    def newest(self, step: str) -> Version | None:
        """The newest version of what `step` publishes."""
        return self.lake.version(f"{self.name}/{step}")

    def note(self, version: Version, name: str) -> Any:
        """A JSON file of a version; None where it has no such file."""
        content = self.lake.storage.read(f"{version.below}/{name}") if name in version.notes else None
        return None if content is None else json.loads(content)

    def here(self, version: Version) -> Published:
        """A version on this machine: as its step left it, or fetched."""
        step = version.dataset.removeprefix(f"{self.name}/")
        done = self.ledger.found(step, version.key)
        if done is None:
            which = {"version": version.number, "folder": version.folder}
            fetched = self.ledger.step(f"fetched/{step}", which, lambda to: self.lake.fetch(version, to))
            done = Done(fetched.folder, version.key)
        return self._published(done, version)

    def _published(self, done: Done, version: Version) -> Published:
        return Published(done.folder, done.key, version, self.lake)

    def _kept(self, dataset: str, done: Done) -> dict[str, tuple[Part, ...]]:
        """The parts of an earlier version with which the tables of a finished step begin."""
        if not (done.folder / _KEPT).exists():
            return {}
        kept = done.read_json(_KEPT)
        earlier = self.lake.version(dataset, kept["number"])
        if earlier is None:
            return {}
        return {name: earlier.tables[name].parts[:count] for name, count in kept["parts"].items()}

    def _upload(self, folder: Path, draft: Draft, kept: Parts) -> dict[str, Content]:
        """Bring the files of a finished step to the draft, but for those that are there; what each holds."""
        written = self.lake.tables_of(draft)
        contents = {}
        for path in sorted(folder.iterdir()):
            if path.suffix == ".json" and path.name not in (STAMP, _KEPT):
                self.lake.upload(path, draft)
            if path.suffix == ".parquet" and (new := parts_of(path)[len(kept.get(path.stem, ())) :]):
                if path.stem not in written:
                    self.lake.upload_table(new, path.name, draft)
                contents[path.stem] = read_back(new)
        return contents


@contextmanager
def working(settings: Settings, name: str, tell: Tell) -> Iterator[Workshop]:
    """The workshop of the data config `name`, whose run folder is held meanwhile; raises Busy."""
    folder = run_folder(settings, name)
    with held(folder):
        yield Workshop(settings, Ledger(folder, tell), Lake(Storage(settings.lake_address)))


def _shared(earlier: Published, to: Path) -> dict[str, Any]:
    """The number of the earlier version; and of tables that begin with all its files, how many those are."""
    shared = {}
    for name, address in earlier.files.items():
        before, now = parts_of(Path(address)), parts_of(to / f"{name}.parquet")
        as_published = len(before) == len(earlier.version.tables[name].parts)
        if as_published and len(now) >= len(before) and all(map(os.path.samefile, before, now)):
            shared[name] = len(before)
    return {"number": earlier.version.number, "parts": shared}


def _producer(settings: Settings) -> Producer:
    return Producer(actor=settings.actor, code=code_commit(), started_at=settings.started_at)


def _suited(folder: Path, limit: str) -> tuple[Literal["duckdb", "spark"], str]:
    unpacked = sum(_unpacked_bytes(part) for table in folder.glob("*.parquet") for part in parts_of(table))
    most = DUCKDB_TIMES * TypeAdapter(ByteSize).validate_python(limit)
    size = f"{unpacked / 1e9:.1f} GB of tables"
    bound = f"{DUCKDB_TIMES:g} times the memory of {limit}"
    if unpacked <= most:
        return "duckdb", f"{size}, no more than {bound}"
    if find_spec("pyspark") is None:
        return "duckdb", f"{size}, more than {bound}, but Spark is not installed: make setup-spark"
    return "spark", f"{size}, more than {bound}"


def _unpacked_bytes(path: Path) -> int:
    groups = pq.read_metadata(path)
    return sum(groups.row_group(i).total_byte_size for i in range(groups.num_row_groups))


def _spark(master: str) -> Engine:
    if find_spec("pyspark") is None:
        raise ConfigError("--engine", ["spark: is not installed here: make setup-spark"])
    from churnops.engines.on_spark import Spark

    return Spark(master)
