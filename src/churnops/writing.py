"""Files that appear whole, and errors that name them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` in one step: a reader sees the old file or the new one."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    with naming(path, unfinished):
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def copy_whole(path: Path, to: Path) -> None:
    """Copy the file at `path` in one step: a reader sees the old file or the new one."""
    unfinished = to.with_name(f".{to.name}.unfinished")
    to.parent.mkdir(parents=True, exist_ok=True)
    with naming(to, unfinished):
        try:
            shutil.copyfile(path, unfinished)
            unfinished.replace(to)
        finally:
            unfinished.unlink(missing_ok=True)


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


@contextmanager
def naming(path: Path, unfinished: Path) -> Iterator[None]:
    """A disk's errors name what was to be written, not nothing or the hidden file that stands in for it."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(unfinished)):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
