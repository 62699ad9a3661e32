"""Datasets in versions: a version is files that nobody writes to again, and a manifest that names them.

    <lake>/shop/features/as_of=2024-06-01/
      3f2a…/features.parquet          the files of one writer, in a folder of its own
      _versions/000001.json           the manifest: created by one writer only, and last

A reader takes the manifest with the highest number, so that it sees the old version or the new one, never a
mixture; a writer that dies before its manifest leaves files that nobody reads and `garbage` finds.
"""

import datetime as dt
import hashlib
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from churnops.errors import Conflict, StorageError
from churnops.lake.content import Content, read_back
from churnops.lake.manifest import Note, Part, Producer, Source, TableManifest, Version
from churnops.storage import Storage, StoredFile

_VERSIONS = "_versions"
_WRITERS = re.compile(r"(?P<folder>(?P<dataset>.+?)/[0-9a-f]{32})/")
_MANIFEST = re.compile(rf"(?P<dataset>.+)/{_VERSIONS}/(?P<number>\d{{6,}})\.json")


Parts = Mapping[str, tuple[Part, ...]]
"""Parts by table."""
NO_PARTS: Parts = {}


@dataclass(frozen=True)
class Draft:
    """A version in the making: its folder, and the number of the version it would follow."""

    dataset: str
    follows: int
    folder: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def below(self) -> str:
        """Its folder in the lake."""
        return f"{self.dataset}/{self.folder}"

    def name(self, file: str) -> str:
        """What a file of the draft is called in the lake."""
        return f"{self.below}/{file}"


@dataclass(frozen=True)
class Made:
    """What made a version, and from what."""

    key: str
    engine: str
    sources: tuple[Source, ...] = ()
    producer: Producer = field(default_factory=Producer)


@dataclass(frozen=True)
class Garbage:
    """What may be deleted: manifests of old versions, and files that no version kept speaks of."""

    versions: tuple[StoredFile, ...]
    files: tuple[StoredFile, ...]


@dataclass(frozen=True)
class Lake:
    """All datasets in one storage; each is known by its name there, `shop/features/as_of=2024-06-01`."""

    storage: Storage

    def datasets(self, below: str = "") -> dict[str, dict[int, StoredFile]]:
        """The manifest of every dataset's versions by number, ascending; datasets by name."""
        return _manifests_in(self.storage.files(below))

    def version(self, dataset: str, number: int | None = None) -> Version | None:
        """A version, by default the newest; None where there is none."""
        number = self._newest(dataset) if number is None else number
        content = self.storage.read(_manifest(dataset, number)) if number else None
        if content is None:
            return None
        where = self.storage.at(_manifest(dataset, number))
        try:
            version = Version.model_validate_json(content)
        except ValidationError as error:
            raise StorageError(
                f"{where}: is no manifest, or one of a newer churnops: upgrade, or delete it to go back to "
                "the version before"
            ) from error
        if (version.dataset, version.number) != (dataset, number):
            raise StorageError(f"{where}: is the manifest of {version.dataset} version {version.number}")
        return version

    def made_by(self, dataset: str, key: str) -> Version | None:
        """The newest version, if the step of that key made it."""
        newest = self.version(dataset)
        return newest if newest and newest.key == key else None

    def history(self, dataset: str) -> dict[int, dt.datetime]:
        """When each version of a dataset appeared, by number, ascending."""
        files = self.storage.files(f"{dataset}/{_VERSIONS}")
        return {int(PurePosixPath(file.name).stem): file.written_at for file in files}

    def draft(self, dataset: str) -> Draft:
        """A place to write what shall follow the newest version."""
        return Draft(dataset, self._newest(dataset))

    def upload(self, path: Path, draft: Draft) -> None:
        """Bring a file to the draft."""
        self.storage.upload(path, draft.name(path.name))

    def upload_table(self, files: Sequence[Path], name: str, draft: Draft) -> None:
        """Bring a table's files to the draft, as the file `name` or a folder."""
        for i, file in enumerate(files, start=1):
            called = name if len(files) == 1 else f"{name}/{i:04}.parquet"
            self.storage.upload(file, draft.name(called))

    def publish(
        self, draft: Draft, tables: Mapping[str, Content], made: Made, kept: Parts = NO_PARTS
    ) -> Version:
        """Make the files of the draft the newest version of its dataset, in one step.

        `tables` is what was read back of them. Tables may begin with parts `kept` of an earlier version.
        Where the newest version holds the same already, and was made of the same, that one is returned, and
        the draft left to `garbage`. Raises Conflict where another writer was first with something else.
        """
        if not tables and not kept:
            raise StorageError(f"{self.storage.at(draft.below)}: holds no table; nothing was published")
        sizes = {file.name: file.bytes for file in self.storage.files(draft.below)}
        names = {name.removeprefix(draft.name("")): size for name, size in sizes.items()}
        version = Version(
            dataset=draft.dataset,
            number=draft.follows + 1,
            folder=draft.folder,
            tables={
                name: TableManifest(parts=(*kept.get(name, ()), *_new_part(draft, name, tables, names)))
                for name in sorted({*tables, *kept})
            },
            notes={name: self._note(draft.name(name)) for name in names if name.endswith(".json")},
            key=made.key,
            engine=made.engine,
            sources=made.sources,
            producer=made.producer,
        )
        newest = self.version(draft.dataset, draft.follows)
        if newest and newest.holds(version) and _origins(newest) == _origins(version):
            return newest
        text = version.model_dump_json(indent=2).encode()
        if self.storage.create(_manifest(version.dataset, version.number), text):
            return version
        first = self.version(draft.dataset, version.number)
        if first and first.key == version.key and first.holds(version):
            return first
        raise Conflict(
            f"{self.storage.at(draft.dataset)}: another writer published version {version.number} meanwhile; "
            "nothing of it was changed. Run again to build on it"
        )

    def addresses(self, version: Version) -> dict[str, str]:
        """Where each table of the version is, for an engine that reads there itself.

        A file, or a folder; where there are several parts, a pattern of folders: `{one,other}`.
        """
        found = {}
        for name, table in version.tables.items():
            folders = [part.folder for part in table.parts]
            folder = folders[0] if len(folders) == 1 else f"{{{','.join(folders)}}}"
            found[name] = self.storage.at(f"{version.dataset}/{folder}/{name}.parquet")
        return found

    def verify(self, version: Version) -> None:
        """Raise StorageError where the files of a version's tables are not those that were published, by name
        and size: an engine that reads a folder itself would pass over one that is missing or empty."""
        stored = {
            below: {file.name.removeprefix(f"{below}/"): file.bytes for file in self.storage.files(below)}
            for below in version.folders
        }
        for name, table in version.tables.items():
            for part in table.parts:
                below = f"{version.dataset}/{part.folder}"
                found = _files_of(name, stored[below])
                for file in sorted(found.keys() | part.files.keys()):
                    if found.get(file) != part.files.get(file):
                        raise self._exchanged(version, f"{below}/{file}")

    def fetch(self, version: Version, to: Path) -> None:
        """Bring a version to the folder `to`: each table as one Parquet file, or a folder with one for each
        part, and the JSON files.

        Raises StorageError where what comes is not what was published.
        """
        self.verify(version)
        below = version.below
        for name, note in version.notes.items():
            self.storage.download(f"{below}/{name}", to / name)
            if _note((to / name).read_bytes()) != note:
                raise self._exchanged(version, f"{below}/{name}")
        for name, table in version.tables.items():
            path = to / f"{name}.parquet"
            for i, part in enumerate(table.parts, start=1):
                one = path if len(table.parts) == 1 else path / f"{i:04}.parquet"
                one.parent.mkdir(parents=True, exist_ok=True)
                folder = f"{version.dataset}/{part.folder}"
                if self._fetch_table(folder, list(part.files), one) != part.content:
                    raise self._exchanged(version, f"{folder}/{name}.parquet")

    def tables_of(self, draft: Draft) -> list[str]:
        """The tables that are in the draft already."""
        names = (file.name.removeprefix(draft.name("")) for file in self.storage.files(draft.below))
        return sorted({name.partition(".parquet")[0] for name in names if name.endswith(".parquet")})

    def read_draft(self, draft: Draft, table: str, to: Path) -> Content:
        """Bring a table that an engine wrote into the draft to the file `to`, and say what it holds."""
        files = self.storage.files(draft.name(f"{table}.parquet"))
        names = [file.name.removeprefix(draft.name("")) for file in files if file.name.endswith(".parquet")]
        return self._fetch_table(draft.below, names, to)

    def garbage(self, *, keep: int, older_than: dt.timedelta, now: dt.datetime) -> Garbage:
        """What may go: all but the newest `keep` versions of each dataset and what those were made from, and
        what their writers left in folders that no version speaks of. What was written, or replaced by a newer
        version, less than `older_than` before `now` stays: somebody may be writing or reading it; and so does
        all that no writer of a dataset put there.

        Raises StorageError where a manifest cannot be read: what it speaks of is not known.
        """
        stored = list(self.storage.files())  # first: what is published from here on was not seen
        datasets, bound = self.datasets(), now - older_than
        known = {
            (dataset, number): version
            for dataset, manifests in datasets.items()
            for number in manifests
            if (version := self.version(dataset, number))
        }
        kept = {(name, number) for name, of in datasets.items() for number in _current(of, keep, bound)}
        waiting = list(kept := kept & known.keys())
        while waiting:
            sources = {(source.dataset, source.number) for source in known[waiting.pop()].sources}
            found = (sources & known.keys()) - kept
            kept |= found
            waiting += found
        folders = {folder for one in kept for folder in known[one].folders}
        files = tuple(
            file
            for file in stored
            if file.written_at < bound
            and (writer := _WRITERS.match(file.name))
            and writer["dataset"] in datasets
            and writer["folder"] not in folders
        )
        old = sorted(known.keys() - kept)
        return Garbage(tuple(datasets[dataset][number] for dataset, number in old), files)

    def clear(self, garbage: Garbage) -> None:
        """Delete it: manifests first, so that no version ever lacks files."""
        self.storage.delete([file.name for file in garbage.versions])
        self.storage.delete([file.name for file in garbage.files])

    def _note(self, name: str) -> Note:
        content = self.storage.read(name)
        if content is None:
            raise StorageError(f"{self.storage.at(name)}: was deleted meanwhile; run again")
        return _note(content)

    def _exchanged(self, version: Version, file: str) -> StorageError:
        manifest = self.storage.at(_manifest(version.dataset, version.number))
        return StorageError(
            f"{self.storage.at(file)}: is not what was published: bring it back from a backup, or delete "
            f"{manifest} and run again"
        )

    def _newest(self, dataset: str) -> int:
        return max(self.datasets(f"{dataset}/{_VERSIONS}").get(dataset, {}), default=0)

    def _fetch_table(self, below: str, names: Sequence[str], to: Path) -> Content:
        if not names:
            raise StorageError(f"{self.storage.at(below)}/{to.name}: holds no Parquet file")
        paths = [to.with_name(f".{to.name}.{i:05}") for i, _ in enumerate(names)]
        called = [self.storage.at(f"{below}/{name}") for name in names]
        try:
            for name, path in zip(names, paths, strict=True):
                self.storage.download(f"{below}/{name}", path)
            if len(paths) == 1:
                content = read_back(paths, called=called)
                paths[0].replace(to)
            else:
                content = read_back(paths, merged=to, called=called)
        finally:
            for path in paths:
                path.unlink(missing_ok=True)
        return content


def _manifests_in(files: Iterable[StoredFile]) -> dict[str, dict[int, StoredFile]]:
    found: dict[str, dict[int, StoredFile]] = defaultdict(dict)
    for file in files:
        if name := _MANIFEST.fullmatch(file.name):
            found[name["dataset"]][int(name["number"])] = file
    return {dataset: dict(sorted(manifests.items())) for dataset, manifests in sorted(found.items())}


def _current(manifests: dict[int, StoredFile], keep: int, bound: dt.datetime) -> set[int]:
    """The newest `keep` versions, and those that were still the newest after `bound`."""
    numbers = list(manifests)
    replaced = {older: manifests[newer].written_at for older, newer in pairwise(numbers)}
    return {*numbers[-keep:], *(number for number, at in replaced.items() if at >= bound)}


def _note(content: bytes) -> Note:
    return Note(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _origins(version: Version) -> list[str]:
    """What a version was made of, whatever it was called."""
    return [source.sha256 for source in version.sources]


def _manifest(dataset: str, number: int) -> str:
    return f"{dataset}/{_VERSIONS}/{number:06}.json"


def _new_part(
    draft: Draft, table: str, contents: Mapping[str, Content], sizes: dict[str, int]
) -> Iterator[Part]:
    """The part that is in the draft, if there is one."""
    if table in contents:
        yield Part(folder=draft.folder, content=contents[table], files=_files_of(table, sizes))


def _files_of(table: str, sizes: dict[str, int]) -> dict[str, int]:
    """A table is one file, or the Parquet files in a folder of that name."""
    return {
        name: size
        for name, size in sizes.items()
        if name == f"{table}.parquet" or (name.startswith(f"{table}.parquet/") and name.endswith(".parquet"))
    }
