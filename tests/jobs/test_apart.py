"""Work done in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from churnops.errors import ChurnopsError, Diverged, Fault, NotEnoughData, ProcessLost
from churnops.jobs.steps.apart import apart, together


def square(task, tell):
    tell("square", f"{task * task} in {os.getpid()}")


def lack(task, _):
    raise NotEnoughData(task, ["too few", "too short"])


def diverge(task, _):
    raise Diverged(task, 3)


def die(task, tell):
    tell("die", "now")
    os.kill(os.getpid(), task)


def stumble(task, _):
    return task + 1


def linger(task, tell):
    tell("linger", str(os.getpid()))
    time.sleep(task)


def test_what_it_tells_arrives_from_another_process():
    told = []

    apart(square, 7, lambda *said: told.append(said))

    ((step, what),) = told
    assert (step, what.split()[0]) == ("square", "49")
    assert int(what.split()[-1]) != os.getpid()


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (lack, NotEnoughData, "train:\n  - too few\n  - too short"),
        (diverge, Diverged, "train; the best weights are those of epoch 3"),
    ],
)
def test_its_errors_are_raised_here(work, error, message):
    with pytest.raises(error) as raised:
        apart(work, "train", lambda *_: None)

    assert str(raised.value).startswith(message)


def test_a_killed_process_is_told():
    with pytest.raises(ChurnopsError, match="ended by signal 9 while it worked"):
        apart(die, signal.SIGKILL, lambda *_: None)


def test_an_exception_nobody_foresaw_is_told_as_what_it_is_and_promises_nothing():
    with pytest.raises(
        Fault, match=r"^TypeError: can only concatenate str .*; the traceback above tells"
    ) as raised:
        apart(stumble, "text", lambda *_: None)

    assert raised.value.exit_code == 1
    assert "goes on" not in str(raised.value)


def test_it_ends_with_the_process_that_began_it():
    begin = "from test_apart import apart, linger; apart(linger, 60, lambda *said: print(*said, flush=True))"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", begin],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    ) as parent:
        child = int(parent.stdout.readline().split()[1])
        parent.kill()
    for _ in range(100):
        if not alive(child):
            return
        time.sleep(0.1)
    pytest.fail("it lives on")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def lose_or_die(task, _):
    if task == "loses":
        raise ProcessLost("another is gone")
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_that_was_killed_is_told_before_what_others_say_of_having_lost_it():
    with pytest.raises(ProcessLost, match="process 2 of 2 was ended by signal 9"):
        together(lose_or_die, ["loses", "dies"], lambda *_: None)


def fail_or_talk(task, tell):
    if task == "fails":
        raise NotEnoughData("train", ["too few"])
    for _ in range(40):
        tell("talk", "on")
        time.sleep(0.2)


def test_the_first_that_fails_ends_those_who_have_something_to_tell(monkeypatch):
    monkeypatch.setattr("churnops.jobs.steps.apart._GRACE_SECONDS", 1.0)
    told = []
    with pytest.raises(NotEnoughData):
        together(fail_or_talk, ["fails", "talks"], lambda *said: told.append(said))
    assert len(told) < 20
