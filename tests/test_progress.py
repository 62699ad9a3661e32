"""What a person is told while they wait, and when a command is told to end."""

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress

WAITING = """
import time
from churnops.progress import resumable
with resumable():
    try:
        print("on", flush=True)
        time.sleep(60)
    finally:
        print("put in order")
"""


def stopped_by(number):
    """The command that waits, ended by a signal; what it said and told."""
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=-1, stderr=-1, text=True) as waiting:
        assert waiting.stdout.readline() == "on\n"
        waiting.send_signal(number)
        said, told = waiting.communicate(timeout=30)
    return waiting.returncode, said, told


def test_a_command_told_to_end_says_that_it_goes_on_and_ends_with_143():
    code, said, told = stopped_by(signal.SIGTERM)

    assert (code, said) == (143, "put in order\n")
    assert told.startswith("SIGTERM: stopped; finished steps are kept, and the same command goes on")
    assert len(told.splitlines()) == 1


def test_a_command_stopped_from_the_keyboard_says_that_it_goes_on():
    _, said, told = stopped_by(signal.SIGINT)

    assert said == "put in order\n"
    assert told.startswith("Ctrl-C: stopped; finished steps are kept, and the same command goes on")


GOING_ON = """
from churnops.progress import Advance, shown
with shown() as tell:
    tell("scores", "started")
    for i in range(1001):
        tell("scores", Advance(f"{i} of 1000 rows", i / 1000))
    tell("scores", "done")
"""


def test_a_long_step_is_a_line_for_each_tenth_where_no_person_looks():
    told = subprocess.run([sys.executable, "-c", GOING_ON], capture_output=True, text=True, check=True).stderr

    first, *tenths, last = told.splitlines()
    assert first.split() == ["scores", "started"]
    assert [line.split()[1] for line in tenths] == [str(100 * i) for i in range(1, 11)]
    assert last.split()[:3] == ["scores", "done", "in"]


def test_a_long_step_is_a_bar_on_a_terminal():
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", GOING_ON], stderr=theirs, check=True, env=os.environ | {"TERM": "xterm"}
    )
    os.close(theirs)
    told = b""
    with suppress(OSError):  # there is nothing more to read
        while read := os.read(ours, 65_536):
            told += read
    os.close(ours)
    assert "\u2501" in told.decode()
    assert b"of 1000 rows" in told
    assert b"done in" in told
