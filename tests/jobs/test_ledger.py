"""Steps that are done once, and folders only one process works in."""

import json
import multiprocessing
from pathlib import Path

import pytest

from churnops.errors import Busy
from churnops.jobs.steps.ledger import Ledger, held


@pytest.fixture
def told() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def ledger(tmp_path: Path, told: list[tuple[str, str]]) -> Ledger:
    return Ledger(tmp_path, lambda step, what: told.append((step, what)))


def write(text: str):
    def work(to: Path) -> None:
        (to / "out.txt").write_text(text)

    return work


def refuse(_: Path) -> None:
    raise AssertionError("this step is done already")


def test_a_finished_step_is_kept(ledger: Ledger, told: list[tuple[str, str]]) -> None:
    first = ledger.step("clean", {"a": 1}, write("one"))
    again = ledger.step("clean", {"a": 1}, refuse)

    assert first == again
    assert told == [("clean", "started"), ("clean", "done"), ("clean", "kept")]


def test_other_inputs_redo_the_step_and_change_its_key(ledger: Ledger) -> None:
    first = ledger.step("clean", {"a": 1}, write("one"))
    second = ledger.step("clean", {"a": 2}, write("two"))

    assert (second.folder / "out.txt").read_text() == "two"
    assert first.key != second.key


def fail_half_way(to: Path) -> None:
    (to / "out.txt").write_text("half")
    raise OSError(28, "No space left on device")


def test_a_step_that_fails_leaves_the_earlier_outcome(ledger: Ledger) -> None:
    first = ledger.step("clean", {"a": 1}, write("one"))
    with pytest.raises(OSError, match="No space left") as error:
        ledger.step("clean", {"a": 2}, fail_half_way)
    assert error.value.filename == str(first.folder)

    assert (first.folder / "out.txt").read_text() == "one"
    assert ledger.step("clean", {"a": 1}, refuse) == first


def cut(path: Path) -> None:
    path.write_text("o")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [cut, remove])
def test_a_step_whose_files_were_damaged_is_redone(ledger: Ledger, damage) -> None:
    done = ledger.step("clean", {}, write("one"))
    damage(done.folder / "out.txt")

    ledger.step("clean", {}, write("one"))

    assert (done.folder / "out.txt").read_text() == "one"


@pytest.mark.parametrize("stamp", ["", "{", "[]", json.dumps({"key": "another"})])
def test_a_damaged_stamp_means_the_step_is_not_done(ledger: Ledger, stamp: str) -> None:
    done = ledger.step("clean", {}, write("one"))
    (done.folder / "step.json").write_text(stamp)

    ledger.step("clean", {}, write("two"))

    assert (done.folder / "out.txt").read_text() == "two"


def hold(folder: Path, ready, leave) -> None:
    with held(folder):
        ready.set()
        leave.wait(30)


def test_one_process_at_a_time_works_in_a_folder_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready, leave))
    other.start()
    assert ready.wait(30)
    with pytest.raises(Busy, match="another churnops process is working here"), held(tmp_path):
        pass
    other.kill()
    other.join()
    with held(tmp_path):
        pass
