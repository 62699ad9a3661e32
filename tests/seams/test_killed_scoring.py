"""Scoring that is killed goes on with what is left, to the same scores."""

import os
import re
import signal
import subprocess
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import make_bundle
from command import CHURNOPS, churnops, environment

from churnops.bundle.bundle import write_bundle
from churnops.bundle.manifest import InputColumn
from churnops.config import load_toml
from churnops.data_config import DataConfig
from churnops.features.definitions import feature_hash, taken
from churnops.lake.lake import Lake
from churnops.storage import Storage

ROWS, PARTS = 1_000_000, 9
"""Enough for two processes."""
CONFIG = """
name = "club"
shape = "labelled"

[customers]
path = "club.parquet"
format = "parquet"
id = "member"
label = { column = "left", churned = ["yes"], stayed = ["no"] }

[customers.columns]
visits = { role = "numeric" }
plan = { role = "categorical" }
"""
DATASET = "club/scores/as_of=2024-05-01"
COLUMNS = [
    InputColumn(name="visits", kind="numeric", nullable=True, text="", minimum=0, maximum=90),
    InputColumn(name="plan", kind="categorical", nullable=True, text="", levels=("basic", "plus")),
]


@pytest.fixture(scope="module")
def club(tmp_path_factory):
    """A table of members, its config and two bundles."""
    folder = tmp_path_factory.mktemp("club")
    members = {
        "member": [f"m{i:06}" for i in range(ROWS)],
        "visits": [i * 37 % 91 for i in range(ROWS)],
        "plan": pa.array(["basic", "plus", None, "other"]).take([i % 4 for i in range(ROWS)]),
    }
    pq.write_table(pa.table(members), folder / "club.parquet")
    (folder / "club.toml").write_text(CONFIG)
    hashed = feature_hash(taken(load_toml(DataConfig, folder / "club.toml"), ["visits", "plan"]))
    for name, seed in (("bundle", 0), ("other", 1)):
        bundle = make_bundle(COLUMNS, name="club", shape="labelled", feature_hash=hashed, seed=seed)
        write_bundle(bundle, folder / name)
    return folder


def words(club, bundle="bundle"):
    return [
        "score",
        club / "club.toml",
        "--bundle",
        club / bundle,
        "--as-of",
        "2024-05-01",
        "--processes",
        "2",
    ]


def ended_midway(club, parts, end, **settings):
    """Score, and have `end` stop it when some of the parts are there; how many, its exit code, its words."""
    command = [CHURNOPS, *map(str, words(club))]
    told = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment(**settings), stdout=told, stderr=told, start_new_session=True
    ) as job:
        while not (there := list(parts.glob("*/[0-9]*.parquet"))):
            assert job.poll() is None, job.stderr.read()
            time.sleep(0.001)
        end(job.pid)
        _, said = job.communicate(timeout=60)
    return len(there), job.returncode, said.decode()


def killed_midway(club, parts, **settings):
    """Score, and kill it when some of the parts are there; how many of the parts."""
    return ended_midway(club, parts, lambda pid: os.killpg(pid, signal.SIGKILL), **settings)[0]


def test_a_killed_run_goes_on_to_the_same_scores(club, place, tmp_path):
    where = {"source_dir": club}
    churnops(*words(club), data_dir=tmp_path / "straight", **where)
    straight = Lake(Storage(str(tmp_path / "straight" / "lake"))).version(DATASET)

    where |= {"data_dir": tmp_path / "var", "lake": place}
    parts, lake = tmp_path / "var" / "runs" / "club" / ".scores", Lake(Storage(place))
    assert killed_midway(club, parts, **where) < PARTS
    assert lake.version(DATASET) is None
    told = churnops(*words(club), **where).stderr

    kept = int(re.search(r"goes on after ([\d,]+) rows", told).group(1).replace(",", ""))
    assert 0 < kept < ROWS
    again = lake.version(DATASET)
    assert (again.sha256, again.rows) == (straight.sha256, ROWS)
    assert not list(parts.iterdir())


def test_another_bundle_begins_anew(club, tmp_path):
    where = {"source_dir": club, "data_dir": tmp_path / "var"}
    parts = tmp_path / "var" / "runs" / "club" / ".scores"
    killed_midway(club, parts, **where)

    assert "goes on" not in churnops(*words(club, "other"), **where).stderr

    (path,) = (tmp_path / "var" / "scores" / "club").iterdir()
    assert len(set(pq.read_table(path)["model_version"].to_pylist())) == 1
    assert not list(parts.iterdir())


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        (lambda pid: os.kill(pid, signal.SIGTERM), 143, "SIGTERM"),
        (lambda pid: os.killpg(pid, signal.SIGINT), 130, "Ctrl-C"),
    ],
)
def test_who_stops_it_is_told_that_it_goes_on(club, tmp_path, end, code, told):
    parts = tmp_path / "runs" / "club" / ".scores"

    _, ended, said = ended_midway(club, parts, end, source_dir=club, data_dir=tmp_path)

    assert ended == code
    assert f"{told}: stopped; finished steps are kept" in said
    assert "the same command goes on from the last part that is scored" in said
    assert "Traceback" not in said
