"""A served bundle, in a process of its own."""

import datetime as dt
import re
import signal
import socket
import subprocess
import sys

import httpx2
import pytest

from churnops.bundle.bundle import write_bundle
from churnops.errors import BundleError, ConfigError
from churnops.jobs.serve import serve

_SERVE = """
import sys
from pathlib import Path
from churnops.jobs.serve import serve
serve(Path(sys.argv[1]), "127.0.0.1", 0)
"""


@pytest.fixture
def folder(tiny_bundle, tmp_path):
    return write_bundle(tiny_bundle, tmp_path / "bundle")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
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
    assert server.returncode == (0 if stop == signal.SIGINT else -signal.SIGTERM)


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
        serve(folder, host, port)


def test_nothing_listens_without_a_bundle(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        serve(tmp_path, "127.0.0.1", 0)
