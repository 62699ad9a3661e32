"""Steps that are done once: a finished step is kept while what went into it stays the same."""

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic_core import to_json

import churnops
from churnops.bundle.manifest import canonical_json
from churnops.config import Settings
from churnops.errors import Busy
from churnops.progress import Tell
from churnops.writing import naming

STAMP = "step.json"
"""Beside what a step made: its key, and the sizes of its files."""


@dataclass(frozen=True)
class Done:
    """A finished step: its files, and the key that later steps depend on."""

    folder: Path
    key: str

    def read_json(self, name: str) -> Any:
        """What the step wrote with `write_json`."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Ledger:
    """The run folder. One process at a time holds it: see `held`."""

    folder: Path
    tell: Tell

    def step(self, name: str, depends_on: Mapping[str, Any], work: Callable[[Path], None]) -> Done:
        """Do `work` into a new folder `name`, or keep the one that the same inputs and code made.

        `depends_on` is everything that decides the outcome, as JSON has it. The folder appears whole, by one
        rename: a process killed in between leaves nothing that a later run would take for finished.
        """
        done = self._done(name, depends_on)
        if self.is_done(name, depends_on):
            self.tell(name, "kept")
            return done
        self.tell(name, "started")
        folder = done.folder
        unfinished = folder.with_name(f".{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with naming(folder, unfinished):
            work(unfinished)
            write_json(unfinished / STAMP, {"key": done.key, "files": _sizes(unfinished)})
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
        self.tell(name, "done")
        return done

    def key(self, name: str, depends_on: Mapping[str, Any]) -> str:
        """What the finished step is known by."""
        return _digest({"step": name, "code": code_fingerprint(), **depends_on})

    def is_done(self, name: str, depends_on: Mapping[str, Any]) -> bool:
        """Whether `step` would keep what is there."""
        return _is_whole(self._done(name, depends_on))

    def found(self, name: str, key: str) -> Done | None:
        """The finished step, if what is there bears that key."""
        done = Done(self.folder / name, key)
        return done if _is_whole(done) else None

    def _done(self, name: str, depends_on: Mapping[str, Any]) -> Done:
        return Done(self.folder / name, self.key(name, depends_on))


def run_folder(settings: Settings, name: str) -> Path:
    """Where the run of the data config `name` leaves everything."""
    return settings.data_dir / "runs" / name


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep every other process out of the run folder; raise Busy when one is in it. The system lets go of it
    when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        with lock:
            yield
    except Timeout:
        raise Busy(f"{folder}: another churnops process is working here; wait until it has ended") from None


def write_json(path: Path, value: Any) -> None:
    """Write `value` for people and `Done.read_json`: dataclasses as objects, dates as ISO text."""
    path.write_bytes(to_json(value, indent=2))


@functools.cache
def code_fingerprint() -> str:
    """A hash of churnops' own source files: what other code made is not kept."""
    return _digest(dict(sorted(_code(files(churnops)))))


def _code(folder: Traversable, below: str = "") -> Iterator[tuple[str, str]]:
    """The name and hash of each file; the package may be a zip, as `spark-submit` is given it."""
    for one in folder.iterdir():
        name = f"{below}{one.name}"
        if one.is_dir():
            yield from _code(one, f"{name}/")
        elif name.endswith((".py", ".html")):
            yield name, hashlib.sha256(one.read_bytes()).hexdigest()


def _is_whole(done: Done) -> bool:
    try:
        stamp = done.read_json(STAMP)
        return bool(stamp["key"] == done.key and stamp["files"] == _sizes(done.folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != STAMP)
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(files)}


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
