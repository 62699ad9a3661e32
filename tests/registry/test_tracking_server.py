"""The same path against an MLflow server, as a team would share it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from comparisons import NOON, make_comparison

from churnops.bundle.bundle import read_bundle
from churnops.config import Settings
from churnops.errors import RegistryError
from churnops.jobs import trials
from churnops.jobs.promote import Decision, promote
from churnops.jobs.rollback import roll_back
from churnops.registry.aliases import champion, fetched_bundle, make_champion
from churnops.registry.promotion import Gates
from churnops.registry.tracking import CandidateRun, record
from churnops.serving.cache import Cache
from churnops.serving.canary import Place
from churnops.serving.follow import Follower
from churnops.serving.registered import registry_at

START_SECONDS = 90


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    places = [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command + places,
            env=os.environ | quiet,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
        try:
            wait_for(f"{address}/health", process)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < give_up:
        try:
            urllib.request.urlopen(address, timeout=1).close()  # noqa: S310 - our own server
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    pytest.fail("the MLflow server did not start")


@pytest.mark.e2e
def test_a_server_keeps_what_a_database_keeps(
    server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(data_dir=tmp_path / "our data", tracking_uri=server)
    comparison = make_comparison(tmp_path)
    recorded = record(comparison, settings)
    assert record(comparison, settings) == recorded
    assert recorded.version.source.startswith("mlflow-artifacts:")
    decision = promote(recorded.version, Gates(), settings, at=NOON, actor="anna")
    assert decision == Decision(promoted=True, reasons=(), champion_version=1)
    serving = champion(server, tmp_path.name)
    assert serving == recorded.version
    with fetched_bundle(server, serving) as folder:
        assert read_bundle(folder) == read_bundle(comparison.bundle)
    assert champion(server, "nobody") is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.e2e
def test_a_server_follows_it_without_mlflow_and_tells_it_of_a_stopped_canary(
    server: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path / "our data", tracking_uri=server)
    plain = {"candidates": (CandidateRun("torch", {}),), "files": ()}
    old, new = (record(make_comparison(tmp_path, mark, **plain), settings).version for mark in (0.3, 0.7))
    make_champion(server, old)
    cache = Cache(settings.data_dir / "serving" / old.name)
    follower = Follower(old.name, "champion", registry_at(server), cache)
    assert follower.models.current.model_version == old.model_version
    plan = trials.start(trials.Order(old.name, new.number, 0.5, False), settings, at=NOON, actor="anna")
    follower.look()
    assert follower.models.trial is not None
    Place(cache.folder / "canary", plan.id, 0).stop("it harms")
    follower.look()
    assert follower.models.trial is None
    elsewhere = settings.model_copy(update={"data_dir": tmp_path / "another machine"})
    assert trials.status(old.name, elsewhere)[1] == "it harms"
    make_champion(server, new)
    follower.look()
    assert follower.models.current.model_version == new.model_version
    follower.close()


@pytest.mark.e2e
def test_it_takes_orders_without_mlflow(server: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "our data", tracking_uri=server)
    plain = {"candidates": (CandidateRun("torch", {}),), "files": ()}
    old, new = (record(make_comparison(tmp_path, mark, **plain), settings).version for mark in (0.3, 0.7))
    make_champion(server, old)
    make_champion(server, new)
    code = (
        "import datetime as dt, sys\nfrom churnops.config import Settings\n"
        "from churnops.jobs import rollback, trials\n"
        "settings = Settings(data_dir=sys.argv[1], tracking_uri=sys.argv[2])\n"
        "said = {'at': dt.datetime(2024, 1, 1, tzinfo=dt.UTC), 'actor': 'anna'}\n"
        "trials.start(trials.Order(sys.argv[3], 1, 0.5, False), settings, **said)\n"
        "trials.stop(sys.argv[3], settings, shadow=False, **said)\n"
        "rollback.roll_back(sys.argv[3], settings, **said)\n"
        "print('mlflow' in sys.modules, trials.status(sys.argv[3], settings)[1])"
    )
    its = [str(settings.data_dir), server, old.name]
    done = subprocess.run([sys.executable, "-c", code, *its], check=True, capture_output=True, text=True)
    assert done.stdout == "False by anna\n"
    serving = champion(server, old.name)
    assert serving == old
    with pytest.raises(RegistryError, match="nobody has no champion"):
        roll_back("nobody", settings, at=NOON, actor="anna")
