"""A log in which nothing can be changed unnoticed."""

import datetime as dt
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnops.errors import Busy, RegistryError
from churnops.registry.audit_log import append, exclusive, verify

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)


def written(path: Path, *decisions: dict[str, Any]) -> Path:
    for decision in decisions:
        append(path, decision, at=NOON, actor="anna")
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A log of three decisions."""
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    decisions = (
        {"decision": "promoted"},
        {"decision": "refused", "reasons": ["zu spät", 0.1]},
        {"decision": None},
    )
    return written(path, *decisions).read_bytes()


def check(content: bytes, folder: Path) -> int | None:
    path = folder / "audit.jsonl"
    path.write_bytes(content)
    return verify(path)


def test_an_entry_says_what_when_who_and_after_what(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.jsonl"
    berlin = dt.timezone(dt.timedelta(hours=2))
    first = append(path, {"decision": "promoted"}, at=NOON.astimezone(berlin), actor="anna")
    second = append(path, {"decision": "refused"}, at=NOON, actor="bert")
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["actor"] for entry in entries] == ["anna", "bert"]
    assert [entry["at"] for entry in entries] == ["2024-05-01T12:00:00+00:00"] * 2
    assert [entry["hash"] for entry in entries] == [first, second]
    assert [entry["previous"] for entry in entries] == ["0" * 64, first]
    assert verify(path) is None


def test_the_same_decisions_make_the_same_log(tmp_path: Path) -> None:
    one, two = (written(tmp_path / name, {"a": 1}, {"b": 2}).read_bytes() for name in ("one", "two"))
    assert one == two


@given(data=st.data())
def test_any_altered_byte_is_noticed(
    sound: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(sound) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != sound[at]))
    altered = sound[:at] + bytes([byte]) + sound[at + 1 :]
    assert check(altered, tmp_path_factory.mktemp("altered")) == sound[:at].count(b"\n") + 1


@given(data=st.data())
def test_any_cut_within_a_line_is_noticed(
    sound: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    at = data.draw(st.integers(1, len(sound) - 1).filter(lambda at: sound[at - 1 : at] != b"\n"))
    assert check(sound[:at], tmp_path_factory.mktemp("cut")) == sound[:at].count(b"\n") + 1


def rearranged(lines: list[bytes], order: list[int]) -> bytes:
    return b"".join(lines[i] for i in order)


@pytest.mark.parametrize(
    ("order", "broken"),
    [
        ([1, 2], 1),
        ([0, 2], 2),
        ([1, 0, 2], 1),
        ([0, 2, 1], 2),
        ([0, 1, 1, 2], 3),
        ([0, 0, 1, 2], 2),
        ([0, 1, 2], None),
    ],
)
def test_lines_keep_their_place(sound: bytes, order: list[int], broken: int | None, tmp_path: Path) -> None:
    assert check(rearranged(sound.splitlines(keepends=True), order), tmp_path) == broken


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"null\n",
        b"[]\n",
        b"{}\n",
        b'{"hash":1}\n',
        b'{"hash":"0","previous":7}\n',
        b"[" * 100_000,
        b"\xff\n",
    ],
)
def test_a_line_that_is_no_entry_is_broken(line: bytes, sound: bytes, tmp_path: Path) -> None:
    assert check(sound + line, tmp_path) == 4


def test_the_same_value_in_another_spelling_is_noticed(sound: bytes, tmp_path: Path) -> None:
    assert check(sound.replace(b'"actor":"anna"', b'"actor": "anna"', 1), tmp_path) == 1
    assert check(sound.replace(b'"actor":"anna"', b'"actor":"bert","actor":"anna"', 1), tmp_path) == 1


def test_an_entry_written_anew_breaks_the_next(sound: bytes, tmp_path: Path) -> None:
    forged = written(tmp_path / "forged", {"decision": "refused"}).read_bytes()
    assert check(forged + b"".join(sound.splitlines(keepends=True)[1:]), tmp_path) == 2


def test_nothing_is_added_to_a_broken_log(tmp_path: Path) -> None:
    path = written(tmp_path / "audit.jsonl", {"decision": "promoted"})
    altered = path.read_bytes().replace(b"anna", b"bert")
    path.write_bytes(altered)
    with pytest.raises(RegistryError, match="line 1 was altered"):
        append(path, {"decision": "refused"}, at=NOON, actor="anna")
    assert path.read_bytes() == altered


def test_a_write_cut_short_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    path = written(tmp_path / "audit.jsonl", {"decision": "promoted"})
    (tmp_path / ".audit.jsonl.unfinished").write_bytes(b'{"half')
    written(path, {"decision": "refused"})
    assert verify(path) is None
    assert len(path.read_bytes().splitlines()) == 2


def test_an_empty_log_is_sound(tmp_path: Path) -> None:
    assert check(b"", tmp_path) is None


def test_one_writes_while_the_others_wait(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    writers = [threading.Thread(target=written, args=(path, *[{"writer": i}] * 5)) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert verify(path) is None
    assert len(path.read_bytes().splitlines()) == 20


def test_who_waits_too_long_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    faults: list[str] = []

    def wait() -> None:
        with (
            pytest.raises(Busy, match="another process has held it for 0 seconds") as raised,
            exclusive(path, wait_seconds=0),
        ):
            pass
        faults.append(str(raised.value))

    with exclusive(path), exclusive(path):
        other = threading.Thread(target=wait)
        other.start()
        other.join()
    assert len(faults) == 1
