"""A server under load, whose model changes again and again: nobody who asks notices."""

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import msgspec
import pytest
from builders import COLUMNS, make_bundle
from command import CHURNOPS, churnops, environment
from comparisons import NOON, make_comparison
from load import Load

from churnops.bundle.bundle import Bundle, write_bundle
from churnops.config import Settings
from churnops.jobs import trials
from churnops.jobs.rollback import roll_back
from churnops.jobs.trials import Order
from churnops.registry.aliases import Version, make_champion
from churnops.registry.tracking import CandidateRun, record
from churnops.serving.model import Served

pytestmark = pytest.mark.servers

REQUESTS = int(os.environ.get("CHURN_TEST_REQUESTS", "100000"))
CUSTOMERS = 64
DAY = dt.timedelta(days=1)
PLAN = COLUMNS[3].model_copy(update={"name": "plan"})
"""A name without quotation marks, so that requests are read quickly."""
_PATIENCE_SECONDS = 60


@pytest.fixture
def settings(tmp_path, tracking_uri):
    return Settings(data_dir=tmp_path / "var", tracking_uri=tracking_uri)


def customer(number: int) -> dict[str, object]:
    plan = PLAN.levels[number % 2]
    return {"customer_id": number, "tenure months": number, "plan": plan, "city_tier": "2"}


def register(
    folder: Path, settings: Settings, *, steeper: float = 1.0, layers: int = 0
) -> tuple[Version, Bundle]:
    """A version whose scores are its own, or that takes its time."""
    tenure = COLUMNS[0].model_copy(update={"maximum": COLUMNS[0].maximum / steeper})
    columns = [tenure, *COLUMNS[1:3], PLAN, COLUMNS[4]]
    bundle = make_bundle(columns, layers, name=folder.name, candidate="torch")
    mark = steeper + layers
    written = write_bundle(bundle, folder / f"bundle-{mark}")
    plain = {"candidates": (CandidateRun("torch", {}),), "files": (), "bundle": written}
    return record(make_comparison(folder, mark / 1000, **plain), settings).version, bundle


@contextmanager
def served(
    settings: Settings, name: str, log: Path, *more: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`churnops serve NAME --follow champion`, and its port."""
    own = environment(settings.data_dir, tracking_uri=settings.tracking_uri)
    command = [CHURNOPS, "serve", name, "--follow", "champion", "--port", "0", *more]
    with log.open("ab") as out:
        begin = out.tell()
        process = subprocess.Popen(command, env=own, stdout=out, stderr=subprocess.STDOUT)
    try:
        until(lambda: re.search(rb"http://127.0.0.1:(\d+)", log.read_bytes()[begin:]) or process.poll())
        assert process.poll() is None, log.read_text()
        yield process, int(re.search(rb"http://127.0.0.1:(\d+)", log.read_bytes()[begin:]).group(1))
    finally:
        process.terminate()
        process.wait(timeout=20)


def until(true) -> None:
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.05)


def ready(port: int) -> dict[str, str]:
    return httpx2.get(f"http://127.0.0.1:{port}/readyz").json()


def scores_of(bundle: Bundle) -> dict[int, float]:
    body = msgspec.json.encode({"customers": [customer(number) for number in range(CUSTOMERS)]})
    rows = json.loads(Served(bundle).answer(body).body)["scores"]
    return {row["customer_id"]: row["score"] for row in rows}


def bodies() -> list[bytes]:
    """Mostly of one customer, some of several."""
    groups = [[number] for number in range(CUSTOMERS)] + [
        range(start, start + 5) for start in range(0, 40, 5)
    ]
    return [msgspec.json.encode({"customers": [customer(number) for number in group]}) for group in groups]


@pytest.mark.load
def test_swaps_rollbacks_and_canaries_under_load_fail_and_mix_nothing(tmp_path, settings):
    (old, old_bundle), (new, new_bundle) = (
        register(tmp_path, settings),
        register(tmp_path, settings, steeper=1.02),
    )
    name, log = old.name, tmp_path / "log"
    make_champion(settings.mlflow_uri, old)
    expected = {bundle.manifest.model_version: scores_of(bundle) for bundle in (old_bundle, new_bundle)}
    with served(settings, name, log) as (process, port), Load(port, bodies(), expected) as load:
        rounds = 0
        while load.answered < REQUESTS:
            make_champion(settings.mlflow_uri, new)
            until(lambda: ready(port)["model_version"] == new.model_version)
            roll_back(name, settings, at=NOON, actor="anna")
            until(lambda: ready(port)["model_version"] == old.model_version)
            trials.start(
                Order(name, new.number, 0.3, shadow=False), settings, at=NOON + rounds * DAY, actor="anna"
            )
            until(lambda: "as canary" in ready(port).get("trial", ""))
            before = load.by_version[new.model_version]
            until(lambda before=before: load.by_version[new.model_version] > before + 200)
            trials.stop(name, settings, shadow=False, at=NOON, actor="anna")
            until(lambda: "stopped" in ready(port).get("trial", ""))
            rounds += 1
        assert load.closed == 0
        load.__exit__()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    assert load.wrong == []
    assert rounds >= 1
    assert load.by_version.keys() == {old.model_version, new.model_version}
    assert "Traceback" not in log.read_text()
    print(f"{load.answered:,} requests, {rounds} rounds: {dict(load.by_version)}", file=sys.stderr)  # noqa: T201


def test_a_server_that_is_told_to_stop_leaves_no_answer_half_given(tmp_path, settings):
    version, bundle = register(tmp_path, settings)
    make_champion(settings.mlflow_uri, version)
    expected = {version.model_version: scores_of(bundle)}
    with (
        served(settings, version.name, tmp_path / "log") as (process, port),
        Load(port, bodies(), expected) as load,
    ):
        until(lambda: load.answered > 2000)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) in (0, -signal.SIGTERM)
        until(lambda: load.closed == load.connections)
    assert load.wrong == []


def test_workers_follow_each_by_itself_and_one_that_is_killed_comes_back(tmp_path, settings):
    (old, _), (new, _) = register(tmp_path, settings), register(tmp_path, settings, steeper=1.02)
    make_champion(settings.mlflow_uri, old)
    log = tmp_path / "log"
    with served(settings, old.name, log, "--workers", "2") as (process, port):
        until(lambda: answers(port))
        make_champion(settings.mlflow_uri, new)
        until(lambda: {ready(port)["model_version"] for _ in range(20)} == {new.model_version})
        workers = workers_of(process.pid)
        os.kill(int(workers[-1]), signal.SIGKILL)
        until(lambda: answers(port) and workers[-1] not in workers_of(process.pid))
        until(lambda: {ready(port)["model_version"] for _ in range(20)} == {new.model_version})


def test_a_damaged_champion_is_an_alarm_and_the_one_before_answers_on(tmp_path, settings):
    (old, _), (new, _) = register(tmp_path, settings), register(tmp_path, settings, steeper=1.02)
    make_champion(settings.mlflow_uri, old)
    with served(settings, old.name, tmp_path / "log") as (_, port):
        assert events(port)["refused_bundle"] == 0
        graph = Path(new.source.removeprefix("file://"), "model.onnx")
        graph.write_bytes(graph.read_bytes()[:-1])
        make_champion(settings.mlflow_uri, new)
        until(lambda: events(port)["refused_bundle"] == 1)
        assert "version 2 was refused" in ready(port)["refused"]
        assert ready(port)["model_version"] == old.model_version
        make_champion(settings.mlflow_uri, old)
        until(lambda: "refused" not in ready(port))
    assert "SHA-256" in (tmp_path / "log").read_text()


def events(port: int) -> dict[str, float]:
    """What `/metrics` says of the models."""
    told = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
    return {
        name: float(n) for name, n in re.findall(r'churnops_model_events_total\{event="(\w+)"\} (\S+)', told)
    }


def answers(port: int) -> bool:
    try:
        return ready(port)["status"] == "ready"
    except httpx2.HTTPError:
        return False


def workers_of(pid: int) -> list[str]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [one for one in children if "spawn_main" in Path(f"/proc/{one}/cmdline").read_text()]


@pytest.mark.load
def test_a_worker_that_is_killed_under_load_takes_nobody_along_who_asks_another(tmp_path, settings):
    version, bundle = register(tmp_path, settings)
    make_champion(settings.mlflow_uri, version)
    expected = {version.model_version: scores_of(bundle)}
    with served(settings, version.name, tmp_path / "log", "--workers", "2") as (process, port):
        until(lambda: answers(port) and len(workers_of(process.pid)) == 2)
        with Load(port, bodies(), expected) as load:
            until(lambda: load.answered > 2000)
            victim, survivor = sorted(workers_of(process.pid), key=sockets_of)
            os.kill(int(victim), signal.SIGKILL)
            until(lambda: not Path(f"/proc/{victim}/fd").exists() or not sockets_of(victim))
            before, left = load.answered, load.closed
            until(lambda: load.answered > before + 2000)
            until(lambda: len({*workers_of(process.pid)} - {victim}) == 2)
            assert survivor in workers_of(process.pid)
            assert load.closed == left < load.connections
        until(lambda: answers(port))
    assert [one for one in load.wrong if not one.startswith("half an answer")] == []


def sockets_of(pid: str) -> int:
    """How many sockets a process has open."""
    held = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()]
    return sum(one.startswith("socket:") for one in held)


def test_a_canary_whose_graph_is_slow_ends_by_the_time_it_takes(tmp_path, settings):
    (old, _), (new, _) = register(tmp_path, settings), register(tmp_path, settings, layers=400)
    make_champion(settings.mlflow_uri, old)
    where = {"data_dir": settings.data_dir, "tracking_uri": settings.tracking_uri}
    churnops("canary", "start", old.name, "--version", new.number, "--share", 0.9, **where)
    with (
        served(settings, old.name, tmp_path / "log") as (_, port),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        answered: Counter[str] = Counter()
        while "stopped" not in client.get("/readyz").json()["trial"]:
            answer = client.post("/v1/score", json={"customers": [customer(answered.total() % 72)]})
            answered[answer.json()["scores"][0]["model_version"]] += 1
            assert answered.total() < 3000
        assert "was stopped" in ready(port)["trial"]
        assert events(port)["canary_stop"] == 1
    assert "stopped: latency" in churnops("canary", "status", old.name, **where).stdout
    assert answered[new.model_version] > 256  # as many as tell what is usual


def test_a_killed_server_starts_again_on_the_last_good_model_and_its_stopped_canary(tmp_path, settings):
    (old, _), (new, _) = register(tmp_path, settings), register(tmp_path, settings, steeper=400)
    make_champion(settings.mlflow_uri, old)
    where = {"data_dir": settings.data_dir, "tracking_uri": settings.tracking_uri}
    churnops("canary", "start", old.name, "--version", new.number, "--share", 0.5, **where)
    log = tmp_path / "log"
    with served(settings, old.name, log) as (process, port):
        asked = 0
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
            while "stopped" not in client.get("/readyz").json()["trial"]:
                for _ in range(50):
                    one = customer(asked % 72) | {"customer_id": (asked := asked + 1)}
                    assert client.post("/v1/score", json={"customers": [one]}).status_code == 200
        process.kill()
        process.wait()
    assert "stopped: scores" in churnops("canary", "status", old.name, **where).stdout
    assert "is its first champion" in churnops("rollback", old.name, expect=3, **where).stderr
    with served(settings, old.name, log) as (_, port):
        assert "was stopped" in ready(port)["trial"]
    nowhere = settings.model_copy(update={"tracking_uri": f"sqlite:///{tmp_path}/gone.db"})
    with served(nowhere, old.name, log) as (_, port):
        said = ready(port)
        assert said["model_version"] == old.model_version
        assert "serving the last good model" in said["registry"]
