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


@contextmanager
def serving(folder):
    """Serve S3 from `folder`; its address."""
    with ExitStack() as sockets:
        free = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
        ports = {name: one.getsockname()[1] for name, one in zip(PORTS, free, strict=True)}
    command = [WEED, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.lance=0"]
    command += ["-master.telemetry=false", "-webdav=false", "-admin.ui=false"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    address = f"http://127.0.0.1:{ports['s3.port']}"
    with (
        (Path(folder) / "weed.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=_environment(), cwd=folder) as server,
    ):
        try:
            _wait(address, server)
            yield address
        finally:
            server.terminate()


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
