"""Datasets in versions: a version is files that nobody writes to again, and a manifest that names them.

    <lake>/shop/features/as_of=2024-06-01/
      3f2a…/features.parquet          the files of one writer, in a folder of its own
      _versions/000001.json           the manifest: created by one writer only, and last

A reader takes the manifest with the highest number, so that it sees the old version or the new one, never a
mixture; a writer that dies before its manifest leaves files that nobody reads and `garbage` finds.
"""

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from churnops.errors import Conflict, StorageError
from churnops.lake.content import Content, read_back
from churnops.lake.manifest import Source, TableManifest, Version
from churnops.storage import Storage, StoredFile

_VERSIONS = "_versions"


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


@dataclass(frozen=True)
class Garbage:
    """What may be deleted: manifests of old versions, and files that no version kept speaks of."""

    versions: tuple[str, ...]
    files: tuple[StoredFile, ...]


@dataclass(frozen=True)
class Lake:
    """All datasets in one storage; each is known by its name there, `shop/features/as_of=2024-06-01`."""

    storage: Storage

    def datasets(self, below: str = "") -> dict[str, list[int]]:
        """The numbers of every dataset's versions, ascending; datasets by name."""
        numbers = defaultdict(list)
        for file in self.storage.files(below):
            dataset, is_version, number = file.name.rpartition(f"/{_VERSIONS}/")
            if is_version:
                numbers[dataset].append(int(number.removesuffix(".json")))
        return dict(sorted(numbers.items()))

    def version(self, dataset: str, number: int | None = None) -> Version | None:
        """A version, by default the newest; None where there is none."""
        number = self._newest(dataset) if number is None else number
        content = self.storage.read(_manifest(dataset, number)) if number else None
        if content is None:
            return None
        try:
            return Version.model_validate_json(content)
        except ValidationError as error:
            where = self.storage.at(_manifest(dataset, number))
            raise StorageError(f"{where}: is no manifest, or one of a newer churnops") from error

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

    def publish(self, draft: Draft, tables: dict[str, Content], made: Made) -> Version:
        """Make the files of the draft the newest version of its dataset, in one step.

        `tables` is what was read back of them. Where the newest version holds the same already, and was made
        of the same, that one is returned, and the draft left to `garbage`. Raises Conflict where another
        writer was first with something else.
        """
        sizes = {file.name: file.bytes for file in self.storage.files(draft.below)}
        names = {name.removeprefix(draft.name("")): size for name, size in sizes.items()}
        version = Version(
            dataset=draft.dataset,
            number=draft.follows + 1,
            folder=draft.folder,
            tables={
                name: TableManifest(content=content, files=_files_of(name, names))
                for name, content in tables.items()
            },
            notes={name: size for name, size in names.items() if name.endswith(".json")},
            key=made.key,
            engine=made.engine,
            sources=made.sources,
        )
        newest = self.version(draft.dataset, draft.follows)
        if newest and newest.sha256 == version.sha256 and _origins(newest) == _origins(version):
            return newest
        text = version.model_dump_json(indent=2).encode()
        if self.storage.create(_manifest(version.dataset, version.number), text):
            return version
        first = self.version(draft.dataset)
        if first and (first.key, first.sha256) == (version.key, version.sha256):
            return first
        raise Conflict(
            f"{self.storage.at(draft.dataset)}: another writer published version {version.number} meanwhile; "
            "nothing of it was changed. Run again to build on it"
        )

    def addresses(self, version: Version) -> dict[str, str]:
        """Where each table of the version is, for an engine that reads there itself: a file, or a folder."""
        below = version.below
        return {name: self.storage.at(f"{below}/{name}.parquet") for name in version.tables}

    def fetch(self, version: Version, to: Path) -> None:
        """Bring a version to the folder `to`: each table as one Parquet file, and the JSON files.

        Raises StorageError where what comes is not what was published.
        """
        below = version.below
        for note in version.notes:
            self.storage.download(f"{below}/{note}", to / note)
        for name, table in version.tables.items():
            content = self._fetch_table(below, list(table.files), to / f"{name}.parquet")
            if content != table.content:
                raise StorageError(f"{self.storage.at(below)}/{name}.parquet: is not what was published")

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
        files of no version, written more than `older_than` before `now`: younger ones may be in the making.
        """
        known = {
            (dataset, number): version
            for dataset, numbers in self.datasets().items()
            for number in numbers
            if (version := self.version(dataset, number))
        }
        newest = {dataset: numbers[-keep:] for dataset, numbers in self.datasets().items()}
        kept = {one for one in known if one[1] in newest[one[0]]}
        waiting = list(kept)
        while waiting:
            sources = {(source.dataset, source.number) for source in known[waiting.pop()].sources}
            found = (sources & known.keys()) - kept
            kept |= found
            waiting += found
        folders = {known[one].below for one in kept}
        files = tuple(
            file
            for file in self.storage.files()
            if f"/{_VERSIONS}/" not in file.name
            and file.written_at < now - older_than
            and folders.isdisjoint(str(parent) for parent in PurePosixPath(file.name).parents)
        )
        return Garbage(tuple(sorted(_manifest(*one) for one in known.keys() - kept)), files)

    def clear(self, garbage: Garbage) -> None:
        """Delete it: manifests first, so that no version ever lacks files."""
        self.storage.delete(list(garbage.versions))
        self.storage.delete([file.name for file in garbage.files])

    def _newest(self, dataset: str) -> int:
        return max(self.datasets(f"{dataset}/{_VERSIONS}").get(dataset, []), default=0)

    def _fetch_table(self, below: str, names: Sequence[str], to: Path) -> Content:
        paths = [to.with_name(f".{to.name}.{i:05}") for i, _ in enumerate(names)]
        try:
            for name, path in zip(names, paths, strict=True):
                self.storage.download(f"{below}/{name}", path)
            if len(paths) == 1:
                content = read_back(paths)
                paths[0].replace(to)
            else:
                content = read_back(paths, merged=to)
        finally:
            for path in paths:
                path.unlink(missing_ok=True)
        return content


def _origins(version: Version) -> list[str]:
    """What a version was made of, whatever it was called."""
    return [source.sha256 for source in version.sources]


def _manifest(dataset: str, number: int) -> str:
    return f"{dataset}/{_VERSIONS}/{number:06}.json"


def _files_of(table: str, sizes: dict[str, int]) -> dict[str, int]:
    """A table is one file, or the Parquet files in a folder of that name."""
    return {
        name: size
        for name, size in sizes.items()
        if name == f"{table}.parquet" or (name.startswith(f"{table}.parquet/") and name.endswith(".parquet"))
    }
