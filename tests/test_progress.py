"""What a person is told while they wait, and when a command is told to end."""

import subprocess
import sys

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


def test_a_command_told_to_end_says_that_it_goes_on_and_ends_with_143():
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=-1, stderr=-1, text=True) as waiting:
        assert waiting.stdout.readline() == "on\n"
        waiting.terminate()
        said, told = waiting.communicate(timeout=30)

    assert waiting.returncode == 143
    assert said == "put in order\n"
    assert told.startswith("SIGTERM: stopped; finished steps are kept, and the same command goes on")
    assert len(told.splitlines()) == 1
