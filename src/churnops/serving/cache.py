"""What the serving processes of a machine share: bundles that were fetched, and which was good last."""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from churnops.bundle.bundle import Bundle, read_bundle
from churnops.bundle.manifest import SHA256
from churnops.errors import BundleError
from churnops.serving.model import Served
from churnops.serving.registered import Registered, Registry
from churnops.writing import abandoned, write_whole

_KEPT_BUNDLES = 5
_FETCHING = ".fetching-"


def place_of(data_dir: Path, name: str) -> Path:
    """The cache of the model `name`."""
    return data_dir / "serving" / name


class _Last(msgspec.Struct):
    """The model that was good last."""

    content_hash: str
    names: list[str]


class Cache:
    """A folder that outlives its processes; bundles appear in it whole.

    `read` is how a bundle is read and checked, `make` how a model is made of it, with names to ignore.
    """

    def __init__(
        self,
        folder: Path,
        read: Callable[[Path], Bundle] = read_bundle,
        make: Callable[[Bundle, frozenset[str]], Served] = lambda bundle, names: Served(bundle, names=names),
    ) -> None:
        self.folder, self._read, self.make = folder, read, make
        self._bundles = folder / "bundles"
        self._last = folder / "last.json"
        self._slot: int | None = None
        self._lock: int | None = None

    def folder_of(self, content_hash: str) -> Path:
        """Where the bundle of this hash lies; raises BundleError for text that is no hash."""
        if not re.fullmatch(SHA256, content_hash):
            raise BundleError(f"{content_hash[:80]!r} is not the hash of a bundle")
        return self._bundles / content_hash

    def bundle(self, registered: Registered, registry: Registry) -> Bundle:
        """A version's bundle, fetched where it is not here yet; raises BundleError if it is not whole."""
        folder = self.folder_of(registered.content_hash)
        try:
            return self._checked(folder, registered)
        except BundleError:  # not here yet, or damaged
            pass
        self._bundles.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._bundles, prefix=_FETCHING) as unfinished:
            fetched = Path(unfinished, "bundle")
            fetched.mkdir()
            registry.fetch(registered.source, fetched)
            bundle = self._checked(fetched, registered)
            shutil.rmtree(folder, ignore_errors=True)
            try:
                fetched.rename(folder)
            except OSError:
                if not folder.exists():  # else another process was quicker
                    raise
        return bundle

    def last(self) -> Served | None:
        """The model that was good last; None where there is none, or what was kept is damaged."""
        try:
            last = msgspec.json.decode(self._last.read_bytes(), type=_Last)
            return self.make(self._read(self.folder_of(last.content_hash)), frozenset(last.names))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError, BundleError) as error:
            structlog.get_logger().warning("the last good model cannot be read", error=str(error))
            return None

    def keep(self, served: Served) -> None:
        """Remember that a model is good, and make room."""
        content_hash = served.manifest.content_hash
        last = _Last(content_hash, sorted(served.names))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._last, msgspec.json.encode(last))
        self.make_room(content_hash)

    def make_room(self, content_hash: str) -> None:
        """Delete bundles that were fetched long ago, or by halves, but not that of the hash."""
        with suppress(OSError):  # another process makes room too: what is left goes next time
            there = [one for one in self._bundles.iterdir() if one.name != content_hash]
            there = [one for one in there if not one.name.startswith(".")]
            there = sorted(there, key=lambda one: one.stat().st_mtime)[: 1 - _KEPT_BUNDLES]
            for old in [*there, *abandoned(self._bundles, _FETCHING)]:
                shutil.rmtree(old, ignore_errors=True)

    @property
    def slot(self) -> int:
        """This process's own number, the smallest that no other process with the folder has."""
        slot = -1 if self._slot is None else self._slot
        self.folder.mkdir(parents=True, exist_ok=True)
        while self._slot is None:
            slot += 1
            lock = os.open(self.folder / f".slot-{slot}", os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(
                    lock, fcntl.LOCK_EX | fcntl.LOCK_NB
                )  # held until it is closed, or the process ends
            except BlockingIOError:
                os.close(lock)
            else:
                self._slot, self._lock = slot, lock
        return slot

    def close(self) -> None:
        """Give the number back."""
        if self._lock is not None:
            os.close(self._lock)
            self._slot = self._lock = None

    def _checked(self, folder: Path, registered: Registered) -> Bundle:
        bundle = self._read(folder)
        held = (bundle.manifest.content_hash, bundle.manifest.model_version)
        if held != (registered.content_hash, registered.model_version):
            raise BundleError(
                f"{registered.source}: holds {bundle.manifest.model_version}, not {registered.model_version}"
            )
        return bundle
