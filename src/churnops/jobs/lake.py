"""`churnops lake`: what versions there are, where they come from, and what may be deleted."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from churnops.config import Settings
from churnops.errors import ConfigError
from churnops.lake.lake import Garbage, Lake
from churnops.lake.manifest import Version
from churnops.storage import Storage, is_remote


@dataclass(frozen=True)
class Listed:
    """A dataset's newest version, how many there are, and when the storage took its manifest."""

    version: Version
    count: int
    published_at: dt.datetime


@dataclass(frozen=True)
class Shown:
    """A version, and the versions made from it."""

    version: Version
    address: str
    published_at: dt.datetime
    users: tuple[Version, ...]


def lake_of(settings: Settings) -> Lake:
    """The lake of the settings; raises ConfigError where that is a folder that is not there."""
    address = settings.lake_address
    if not is_remote(address) and not Path(address).is_dir():
        raise ConfigError(address, ["there is no such folder: CHURNOPS_LAKE, or CHURNOPS_DATA_DIR, names it"])
    return Lake(Storage(settings.lake_address))


def datasets(lake: Lake, name: str = "") -> list[Listed]:
    """The datasets of a data config, or all; a dataset of that very name too.

    Raises ConfigError where there is none of that name.
    """
    found = lake.datasets(name)
    if name and not found:
        raise ConfigError(lake.storage.at(name), ["there is no such dataset: churnops lake ls"])
    newest = {dataset: (list(numbers)[-1], numbers) for dataset, numbers in found.items()}
    return [
        Listed(version, len(numbers), numbers[number].written_at)
        for dataset, (number, numbers) in newest.items()
        if (version := lake.version(dataset, number))
    ]


def show(lake: Lake, dataset: str, number: int | None = None) -> Shown:
    """A version, by default the newest; raises ConfigError where there is none."""
    dataset = dataset.strip("/")
    manifests = lake.datasets(dataset).get(dataset, {})
    version = lake.version(dataset, number) if manifests else None
    if version is None:
        wanted = f"version {number}" if manifests else "dataset"
        raise ConfigError(lake.storage.at(dataset), [f"there is no such {wanted}: churnops lake ls"])
    address = lake.storage.at(version.below)
    return Shown(version, address, manifests[version.number].written_at, tuple(_users(lake, version)))


def collect(lake: Lake, *, keep: int, older_than: dt.timedelta, now: dt.datetime, delete: bool) -> Garbage:
    """What may be deleted, see `Lake.garbage`; it is, where that is asked."""
    garbage = lake.garbage(keep=keep, older_than=older_than, now=now)
    if delete:
        lake.clear(garbage)
    return garbage


def listing(listed: list[Listed]) -> Iterator[str]:
    """For people: a line a dataset."""
    width = max([len(one.version.dataset) for one in listed], default=7)
    yield f"{'dataset':<{width}}  {'version':>7}  {'rows':>13}  {'bytes':>15}  {'engine':<6}  published (UTC)"
    for one in listed:
        version = one.version
        yield (
            f"{version.dataset:<{width}}  {version.number:>7}  {version.rows:>13,}  {version.bytes:>15,}"
            f"  {version.engine:<6}  {_instant(one.published_at)}"
        )


def account(shown: Shown) -> Iterator[str]:
    """For people: all that is known of a version."""
    version, producer = shown.version, shown.version.producer
    began = f", begun {_instant(producer.started_at)}" if producer.started_at else ""
    yield f"{version.dataset} version {version.number}: {version.rows:,} rows, {version.bytes:,} bytes"
    yield f"  in            {shown.address}"
    yield f"  published     {_instant(shown.published_at)} UTC by {producer.actor or 'nobody named'}{began}"
    yield f"  made with     {version.engine}, {producer.code or 'code unknown'}"
    yield f"  content hash  {version.sha256}"
    yield f"  key of step   {version.key}"
    for source in version.sources:
        yield f"  made from     {source.dataset} version {source.number} ({source.sha256[:12]})"
    for user in shown.users:
        yield f"  used by       {user.dataset} version {user.number}"
    for name, table in version.tables.items():
        yield f"  table {name}: {table.rows:,} rows, {table.sha256}"
        yield from (f"    {column}: {kind}" for column, kind in table.columns.items())
        for part in table.parts:
            yield from (f"    file {part.folder}/{file}: {size:,} bytes" for file, size in part.files.items())
    for name, note in version.notes.items():
        yield f"  note {name}: {note.bytes:,} bytes"


def plan(garbage: Garbage, *, deleted: bool) -> Iterator[str]:
    """For people: what may go, or went."""
    yield from (f"version  {manifest.name}" for manifest in garbage.versions)
    yield from (f"file     {file.name}  {file.bytes:,} bytes" for file in garbage.files)
    size = sum(file.bytes for file in garbage.files)
    what = f"{len(garbage.versions)} versions and {len(garbage.files)} files ({size:,} bytes)"
    found = bool(garbage.versions or garbage.files)
    yield f"{what} deleted" if deleted else f"{what} may be deleted{': --delete does it' if found else ''}"


def _users(lake: Lake, version: Version) -> Iterator[Version]:
    for dataset, numbers in lake.datasets().items():
        for number in numbers:
            user = lake.version(dataset, number)
            if user and version.as_source() in user.sources:
                yield user


def _instant(at: dt.datetime) -> str:
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"
