"""Spark as it is run for real: a standalone cluster on the loopback interface, and the connector of S3."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

# A distribution that carries the connector's jars; it is not installed, only they are taken out of it.
_CARRIER = "sagemaker-pyspark==1.4.5"
_JARS = {
    "hadoop-aws-3.3.1.jar": "6be50ad8a8b445d2802381b085b2a3ede5c29d353450a6a21f16b2fefa962b6e",
    "aws-java-sdk-bundle-1.11.901.jar": "b87175b32a16544cc1b37cf40390eb375833e62bed67f8ce6cde4b7ad6429ead",
}
# The connector is of Hadoop 3.3, Spark's own libraries are newer: they write times in a way it cannot read.
_OLDER = {
    "threads.keepalivetime": "60",
    "connection.establish.timeout": "5000",
    "connection.timeout": "200000",
    "connection.request.timeout": "0",
    "multipart.purge.age": "86400",
    "change.detection.mode": "none",
    "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
}
_SECONDS = 90


@dataclass(frozen=True)
class Cluster:
    """A running master with two workers of one core each."""

    master: str
    workers: tuple[int, ...]
    """Process ids."""
    local: Path
    """Where executors keep what they shuffle."""

    def shuffled(self) -> list[int]:
        """The process ids of running executors that keep something for others to read."""
        kept = {file.parents[2].name.encode() for file in self.local.rglob("shuffle_*.data")}
        workers = ",".join(map(str, self.workers))
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", workers], capture_output=True, text=True)
        pids = [int(pid) for pid in listed.stdout.split()]
        return [pid for pid in pids if any(name in _environment_of(pid) for name in kept)]


def _environment_of(pid: int) -> bytes:
    """With the name of the executor's folder; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@contextmanager
def cluster(folder: Path):
    """Run a master and two workers whose files are in `folder`."""
    import pyspark  # here, because it is an extra

    with ExitStack() as sockets:
        free = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        port, web = (one.getsockname()[1] for one in free)
    master = f"spark://127.0.0.1:{port}"
    home = Path(pyspark.__file__).parent
    local = folder / "local"
    local.mkdir()
    environment = os.environ | {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(local),
        "SPARK_DAEMON_JAVA_OPTS": os.environ.get("SPARK_SUBMIT_OPTS", ""),
    }
    with ExitStack() as processes:
        log = processes.enter_context((folder / "cluster.log").open("w"))

        def start(role, *words):
            command = [
                str(home / "bin" / "spark-class"),
                f"org.apache.spark.deploy.{role}",
                "--host",
                "127.0.0.1",
            ]
            process = subprocess.Popen(
                [*command, *words], stdout=log, stderr=log, env=environment, cwd=folder
            )
            processes.callback(process.wait)
            processes.callback(process.terminate)
            return process.pid

        start("master.Master", "--port", str(port), "--webui-port", str(web))
        workers = tuple(
            start(
                "worker.Worker",
                "-c",
                "1",
                "-m",
                "1g",
                "-d",
                str(folder / f"work-{i}"),
                "--webui-port",
                "0",
                master,
            )
            for i in range(2)
        )
        _wait_for_workers(f"http://127.0.0.1:{web}/json/", folder / "cluster.log")
        yield Cluster(master, workers, local)


def settings_of(folder: Path, options: Mapping[str, str]) -> dict[str, str]:
    """Variables under which Spark has `options`, which are written to `folder`, and stays on loopback."""
    known = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.executor.memory": "512m",
        "spark.executor.extraJavaOptions": os.environ.get("SPARK_SUBMIT_OPTS", ""),
        **options,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in known.items()))
    return {"SPARK_CONF_DIR": str(folder), "SPARK_LOCAL_IP": "127.0.0.1"}


def s3_connector() -> dict[str, str]:
    """Options that give Spark the connector of S3; its two jars are fetched once, and kept in ~/.cache."""
    older = {f"spark.hadoop.fs.s3a.{name}": value for name, value in _OLDER.items()}
    return {"spark.jars": ",".join(str(_jar(name)) for name in _JARS), **older}


def _jar(name: str) -> Path:
    kept = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "churnops-tests")
    if not all((kept / jar).exists() for jar in _JARS):
        kept.mkdir(parents=True, exist_ok=True)
        _fetch(kept)
    digest = hashlib.sha256((kept / name).read_bytes()).hexdigest()
    if digest != _JARS[name]:
        raise RuntimeError(f"{kept / name}: is not the jar it should be; delete it")
    return kept / name


def _fetch(kept: Path) -> None:
    with TemporaryDirectory(dir=kept) as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*download, "--no-binary", ":all:", "--dest", folder, _CARRIER], check=True)
        (carrier,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(carrier) as archive:
            for member in archive:
                name = Path(member.name).name
                if name in _JARS:
                    unpacked = Path(folder, name)
                    unpacked.write_bytes(archive.extractfile(member).read())
                    unpacked.replace(kept / name)


def _wait_for_workers(status: str, log: Path) -> None:
    for _ in range(_SECONDS * 5):
        try:
            with urlopen(status) as answer:  # noqa: S310 - our own address
                if json.load(answer)["aliveworkers"] == 2:
                    return
        except (URLError, OSError):
            pass
        time.sleep(0.2)
    raise RuntimeError(f"the cluster did not start: {log.read_text()[-2000:]}")
