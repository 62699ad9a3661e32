"""Files that appear whole, and errors that name them."""

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ABANDONED_SECONDS = 24 * 60 * 60


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` in one step: a reader sees the old file or the new one."""
    with _replacing(path) as unfinished:
        unfinished.write_bytes(content)


def copy_whole(path: Path, to: Path) -> None:
    """Copy the file at `path` in one step: a reader sees the old file or the new one."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(to) as unfinished:
        shutil.copyfile(path, unfinished)


def link_or_copy(path: Path, to: Path) -> None:
    """Put the file at `path`, which nobody changes any more, at `to` as well."""
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, to)
    except OSError:  # another disk, or one without links
        try:
            shutil.copyfile(path, to)
        except OSError:
            to.unlink(missing_ok=True)  # half of it would keep a full disk full
            raise


def abandoned(folder: Path, prefix: str) -> Iterator[Path]:
    """What has the prefix and was last written a day ago or earlier: whoever wrote it was killed."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process was quicker
            if path.name.startswith(prefix) and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                yield path


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """What becomes `path` when the block ends well; no other writer has its name, in whatever container."""
    prefix = f".{path.name}.unfinished-"
    unfinished = path.with_name(prefix + secrets.token_hex(4))
    with naming(path, unfinished):
        try:
            yield unfinished
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    with suppress(OSError):  # what is there of others may not be ours to delete
        for left in abandoned(path.parent, prefix):
            left.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, unfinished: Path) -> Iterator[None]:
    """A disk's errors name what was to be written, not nothing or the hidden file that stands in for it."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(unfinished)):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
