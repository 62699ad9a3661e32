"""A served bundle, in a process of its own."""

import datetime as dt
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from uvicorn.config import STARTUP_FAILURE

from churnops.bundle.bundle import write_bundle
from churnops.errors import BundleError, ConfigError
from churnops.jobs.serve import Followed, Shield, _app_in, serve

_SERVE = """
import signal, sys
from pathlib import Path
from churnops.jobs.serve import serve
if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who runs the tests may ignore it, as nohup does
    serve(Path(sys.argv[1]), "127.0.0.1", 0, workers=int(sys.argv[2]) if sys.argv[2:] else 1)
"""


@pytest.fixture
def folder(tiny_bundle, tmp_path):
    return write_bundle(tiny_bundle, tmp_path / "bundle")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_bundle_is_served_until_told_to_stop(folder, tiny_bundle, stop):
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE, folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        first = server.stdout.readline().decode()
        url = re.search(r"http://127\.0\.0\.1:\d+", first).group()
        with httpx2.Client(base_url=url) as client:
            request = {"customers": [tiny_bundle.manifest.example]}
            answers = [client.post("/v1/score", json=request) for _ in range(10)]
        assert answers[0].json()["scores"][0]["model_version"] == tiny_bundle.manifest.model_version
        # Packets held back for an acknowledgement would make every answer wait 40 ms.
        assert min(answer.elapsed for answer in answers) < dt.timedelta(milliseconds=35)
        server.send_signal(stop)
        rest = server.communicate(timeout=10)[0].decode()
    assert "Traceback" not in rest
    assert server.returncode == 0


def test_a_taken_port_is_named(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port}:\n.*Address already in use"):
            serve(folder, "127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 65_536, "up to 65535"),
        ("127.0.0.1", -1, "up to 65535"),
        ("::2", 0, "cannot be listened on"),
    ],
)
def test_an_address_that_cannot_be_had_is_named(folder, host, port, message):
    with pytest.raises(ConfigError, match=message):
        serve(folder, host, port, shield=Shield(no_login=True))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "churn.example"])  # noqa: S104
def test_others_are_not_answered_without_a_login(folder, host):
    with pytest.raises(ConfigError, match=r"churnops key NAME[\s\S]*--no-login"):
        serve(folder, host, 0)


def test_nothing_listens_without_a_bundle(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        serve(tmp_path, "127.0.0.1", 0)


def test_a_worker_that_is_killed_is_replaced(folder, tiny_bundle):
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE, folder, "2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        url = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline().decode()).group()
        request = {"customers": [tiny_bundle.manifest.example]}
        assert httpx2.post(f"{url}/v1/score", json=request, timeout=60).status_code == 200
        first = _workers(server.pid)
        assert len(first) == 2
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        # The port stays open, so what is asked meanwhile waits for the new workers.
        assert httpx2.post(f"{url}/v1/score", json=request, timeout=60).status_code == 200
        assert not first & _workers(server.pid)
        server.send_signal(signal.SIGTERM)
        rest = server.communicate(timeout=30)[0].decode()
    assert "Traceback" not in rest
    assert server.returncode == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in first)


def test_a_worker_that_is_replaced_serves_what_the_others_serve(folder, tiny_bundle):
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE, folder, "2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        url = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline().decode()).group()
        httpx2.get(f"{url}/livez", timeout=60)
        first = _workers(server.pid)
        (folder / "model.onnx").unlink()
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        answer = httpx2.get(f"{url}/v1/model", timeout=60).json()
        assert answer["model_version"] == tiny_bundle.manifest.model_version
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert server.returncode == 0


def test_no_bundle_goes_through_the_pipe_that_starts_a_worker(folder, tiny_bundle, monkeypatch):
    """The parent would wait for ever where a worker dies before it has read more than the pipe holds."""
    sent = []

    def started(config: Any, **_: Any) -> Any:
        return SimpleNamespace(run=lambda: sent.append(pickle.dumps(config.app)))

    monkeypatch.setattr("churnops.jobs.serve.Multiprocess", started)
    serve(folder, "127.0.0.1", 0, workers=2)
    assert tiny_bundle.model[:100] not in sent[0]


def test_a_worker_that_cannot_have_a_model_does_not_end_the_others(tmp_path):
    nowhere = Followed("nobody", "champion", f"sqlite:///{tmp_path}/none.db", tmp_path)
    with pytest.raises(SystemExit) as ended:
        _app_in(nowhere, Shield(), tmp_path)
    assert ended.value.code not in {0, STARTUP_FAILURE}


def test_what_is_being_answered_at_the_end_is_answered(folder, tiny_bundle):
    customers = {"customers": [tiny_bundle.manifest.example] * 1000}
    body = json.dumps(customers).encode()
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE, folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        url = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline().decode()).group()
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as asked:
            head = f"POST /v1/score HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
            asked.sendall(head.encode() + body[:-1])
            httpx2.get(f"{url}/livez")  # by now the first part of the request has been read
            server.send_signal(signal.SIGTERM)
            asked.sendall(body[-1:])
            answer = b"".join(iter(lambda: asked.recv(1 << 20), b""))
        server.communicate(timeout=30)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"prediction_id") == 1000


def test_the_server_imports_nothing_heavy(folder):
    code = (
        "import sys\nfrom pathlib import Path\nfrom churnops.jobs import serve\nfolder = Path(sys.argv[1])\n"
        "serve._app_in(folder, serve.Shield(), folder.parent)\n"
        "print(*sorted(set(sys.argv[2:]) & sys.modules.keys()))"
    )
    heavy = ["torch", "tensorflow", "keras", "pyspark", "duckdb", "mlflow", "pandas", "pyarrow"]
    heavy += ["lightgbm", "sklearn", "scipy", "onnx", "matplotlib", "boto3"]
    done = subprocess.run(
        [sys.executable, "-c", code, folder, *heavy], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []


def _workers(pid: int) -> set[int]:
    """The children of `pid` that run a server: not the helper that multiprocessing starts."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(one) for one in children if "spawn_main" in Path(f"/proc/{one}/cmdline").read_text()}
