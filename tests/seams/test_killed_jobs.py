"""Jobs that are killed at any moment: the lake always reads as complete versions, old or new."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from exports import export

from churnops.lake.lake import Lake
from churnops.storage import Storage

KILLS = 20
WAITING = 3
"""Jobs that are started ahead: one that starts takes longer than one that works."""

CLEAN, FEATURES = "shop/scoring/clean", "shop/features/as_of=2024-03-02"


class Jobs:
    """Jobs on one lake, started ahead and each used once."""

    def __init__(self, folder, lake, engine):
        self._command = [sys.executable, Path(__file__).parents[1] / "killed_job.py"]
        self._command += [folder / "var", lake, folder / "raw", engine]
        self._waiting = deque()

    def _start(self):
        return subprocess.Popen(
            [*map(str, self._command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # with all it starts, a JVM too, it is one group
        )

    def begun(self):
        """The next job, which has begun its work."""
        while len(self._waiting) < WAITING:
            self._waiting.append(self._start())
        job = self._waiting.popleft()
        said = job.stdout.readline()
        assert said == "ready\n", job.stderr.read()
        job.stdin.write("go\n")
        job.stdin.flush()
        return job

    def end(self):
        """End those that wait."""
        while self._waiting:
            kill(self._waiting.popleft())


@contextmanager
def jobs(*where):
    """Jobs that end with the block."""
    made = Jobs(*where)
    try:
        yield made
    finally:
        made.end()


def kill(job):
    """End the job's whole group at once, and wait until nothing is left of it; what it had said."""
    os.killpg(job.pid, signal.SIGKILL)
    said, _ = job.communicate()
    for _ in range(100):
        try:
            os.killpg(job.pid, 0)
        except ProcessLookupError:
            return said
        time.sleep(0.1)
    raise AssertionError("something of the job is still there")


def finish(job):
    """Let the job do its work."""
    said, told = job.communicate(timeout=300)
    assert (job.returncode, said) == (0, "done\n"), told


def write_orders(folder, attempt):
    """Purchases of a few customers; their money is another at each attempt."""
    rows = [f"c{i % 40},2024-0{1 + i % 2}-{1 + i % 28:02},{i % 7 + attempt}" for i in range(400)]
    export(folder / "raw" / "new.csv", "customer,date,amount", *rows, "last,2024-03-01,1").rename(
        folder / "raw" / "orders.csv"
    )


def read_all(lake, to):
    """Fetch the newest version of each dataset, which checks every file; the versions' numbers."""
    found = {}
    for dataset in lake.datasets():
        version = lake.version(dataset)
        lake.fetch(version, to)
        found[dataset] = version.number
    return found


@pytest.mark.parametrize(
    ("engine", "place"),
    [
        ("duckdb", "disk"),
        pytest.param("duckdb", "s3", marks=pytest.mark.servers),
        pytest.param("spark", "disk", marks=pytest.mark.spark),
    ],
    indirect=["place"],
)
def test_whenever_a_job_is_killed_the_lake_reads_as_complete_versions(tmp_path, place, engine):
    lake, moments = Lake(Storage(place)), random.Random(engine)
    unfinished = 0
    with jobs(tmp_path, place, engine) as pool:
        write_orders(tmp_path, 0)
        job, began = pool.begun(), time.monotonic()
        finish(job)
        seconds = time.monotonic() - began
        before = read_all(lake, tmp_path / "read")
        assert before == {CLEAN: 1, FEATURES: 1}
        for attempt in range(1, KILLS + 1):
            write_orders(tmp_path, attempt)
            job = pool.begun()
            time.sleep(moments.uniform(0, seconds))
            unfinished += kill(job) == ""
            after = read_all(lake, tmp_path / "read")
            assert all(after[name] - before[name] in (0, 1) for name in (CLEAN, FEATURES)), (before, after)
            before = after
        finish(pool.begun())

    assert unfinished >= KILLS // 4
    read_all(lake, tmp_path / "read")
    orders = pq.read_table(tmp_path / "read" / "orders.parquet")
    assert sorted({int(amount) for amount in orders["amount"].to_pylist()})[-1] >= KILLS
    assert lake.version(FEATURES).sources == (lake.version(CLEAN).as_source(),)
