"""Files that appear whole, and errors that name them."""

from pathlib import Path

import pytest

from churnops.writing import write_whole


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_whole(tmp_path / "result.json", b"one")
    (tmp_path / ".result.json.unfinished").mkdir()  # in the way, as a full disk would be

    with pytest.raises(OSError, match=r"result\.json") as error:
        write_whole(tmp_path / "result.json", b"two")

    assert error.value.filename == str(tmp_path / "result.json")
    assert (tmp_path / "result.json").read_bytes() == b"one"
