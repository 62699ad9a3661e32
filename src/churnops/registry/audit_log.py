"""Every decision, written down for good: JSON lines, each with its own hash and that of the entry before it.

A changed, inserted, removed or reordered line breaks the chain. What a chain in one file cannot show is that
its last lines were cut off, or that all of it was written anew: a copy of the last `hash` kept elsewhere can.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from churnops.bundle.manifest import canonical_json
from churnops.errors import Busy, RegistryError

_BEFORE_THE_FIRST = "0" * 64


@contextmanager
def exclusive(path: Path, *, wait_seconds: float = 30) -> Iterator[None]:
    """Be the only one who decides and writes to the log at `path`; raise Busy when another does not let go.

    Held across a decision, it keeps two challengers from both replacing the champion that each was measured
    against. Whoever holds it may take it again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f"{path.name}.lock"), is_singleton=True)
    try:
        lock.acquire(timeout=wait_seconds)
    except Timeout:
        raise Busy(f"{path}: another process has held it for {wait_seconds:g} seconds") from None
    try:
        yield
    finally:
        lock.release()


def append(path: Path, decision: Mapping[str, Any], *, at: dt.datetime, actor: str) -> str:
    """Add one entry to the log at `path`, begun when there is none, and return the entry's hash.

    A reader finds the log with the entry or without it, never half of it. Raises RegistryError when the log
    was altered, and Busy when another process does not let go of it.
    """
    with exclusive(path):
        return _append(path, {**decision, "at": at.astimezone(dt.UTC).isoformat(), "actor": actor})


def verify(path: Path) -> int | None:
    """The number, from 1, of the first line that does not follow from those before it; None when all do.

    A log that is not there raises FileNotFoundError: it is not a sound one.
    """
    return _check(path.read_bytes())[1]


def _append(path: Path, decision: Mapping[str, Any]) -> str:
    content = path.read_bytes() if path.exists() else b""
    previous, broken = _check(content)
    if broken is not None:
        raise RegistryError(f"{path}: line {broken} was altered; nothing is decided until that is explained")
    entry = {**decision, "previous": previous}
    entry["hash"] = _hash(entry)
    # The whole log anew rather than a line at its end: a process killed half-way leaves no torn line behind.
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content + _line(entry))
    unfinished.replace(path)
    return str(entry["hash"])


def _check(content: bytes) -> tuple[str, int | None]:
    """The hash of the last sound entry, and the number of the first line that is not."""
    previous = _BEFORE_THE_FIRST
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            entry = json.loads(line)
            recorded = entry.pop("hash")
            sound = (
                entry["previous"] == previous
                and recorded == _hash(entry)
                # Byte for byte: blanks, repeated keys and other spellings of the same value are changes too.
                and line == _line({**entry, "hash": recorded})
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            sound = False
        if not sound:
            return previous, number
        previous = recorded
    return previous, None


def _hash(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(entry).encode()).hexdigest()


def _line(entry: Mapping[str, Any]) -> bytes:
    return canonical_json(entry).encode() + b"\n"
