"""Files that appear whole, and errors that name them."""

import os
import resource
import threading
import time
from pathlib import Path

import pytest

from churnops.writing import write_whole


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_whole(path, b"one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))  # as a full disk would be
    try:
        with pytest.raises(OSError, match=r"result\.json") as error:
            write_whole(path, b"two")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_two_may_write_a_file_at_once(tmp_path: Path) -> None:
    path, together, faults = tmp_path / "last.json", threading.Barrier(4), []

    def write(content: bytes) -> None:
        together.wait()
        try:
            for _ in range(100):
                write_whole(path, content)
        except OSError as error:
            faults.append(error)

    writers = [threading.Thread(target=write, args=[letter * 1000]) for letter in (b"a", b"b", b"c", b"d")]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    assert faults == []
    assert len(path.read_bytes()) == 1000
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_writers_left_is_deleted_after_a_day(tmp_path: Path) -> None:
    fresh, old, other = (
        tmp_path / f".{name}"
        for name in ("a.json.unfinished-1", "a.json.unfinished-2", "b.json.unfinished-3")
    )
    for path in (fresh, old, other):
        path.write_bytes(b"")
    for path in (old, other):
        os.utime(path, times=(time.time() - 90_000,) * 2)
    write_whole(tmp_path / "a.json", b"")
    assert sorted(tmp_path.iterdir()) == sorted([fresh, other, tmp_path / "a.json"])
