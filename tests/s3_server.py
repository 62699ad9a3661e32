"""A real S3 server, SeaweedFS, on the loopback interface."""

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import boto3

WEED = str(Path(sys.executable).with_name("weed"))
PORTS = (
    *("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc"),
    *("filer.port", "filer.port.grpc", "s3.port.iceberg", "admin.port", "admin.port.grpc"),
)
_KEY = "testing"


class Server:
    """One that can be stopped, and started again at the same address with what it had."""

    def __init__(self, folder):
        self._folder = Path(folder)
        with ExitStack() as sockets:
            free = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
            ports = {name: one.getsockname()[1] for name, one in zip(PORTS, free, strict=True)}
        self._command = [
            WEED,
            "mini",
            f"-dir={folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3.port.lance=0",
        ]
        self._command += ["-master.telemetry=false", "-webdav=false", "-admin.ui=false"]
        self._command += [f"-{name}={port}" for name, port in ports.items()]
        self.address = f"http://127.0.0.1:{ports['s3.port']}"

    def start(self):
        """Start it, and wait until it answers."""
        with (self._folder / "weed.log").open("a") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=_environment(), cwd=self._folder
            )
        _wait(self.address, self._process)

    def stop(self, *, kill=False):
        """End it, and wait until it has ended."""
        self._process.kill() if kill else self._process.terminate()
        self._process.wait()


@contextmanager
def serving(folder):
    """Serve S3 from `folder`; its address."""
    server = Server(folder)
    try:
        server.start()
        yield server.address
    finally:
        server.stop()


def settings_of(address):
    """The environment of a client of the server there."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _KEY,
        "AWS_REGION": "eu-central-1",
    }


def s3_client(address):
    """A boto3 client of the server there."""
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name="eu-central-1",
        aws_access_key_id=_KEY,
        aws_secret_access_key=_KEY,
    )


def _environment():
    return os.environ | {"AWS_ACCESS_KEY_ID": _KEY, "AWS_SECRET_ACCESS_KEY": _KEY}


def _wait(address, server):
    for _ in range(300):
        try:
            urlopen(address)  # noqa: S310 - our own address
        except HTTPError:
            return
        except (URLError, OSError):
            time.sleep(0.1)
            if server.poll() is not None:
                break
        else:
            return
    raise RuntimeError("the S3 server did not start")
