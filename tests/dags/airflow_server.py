"""A running Airflow with its PostgreSQL, its S3 server, and somebody who is told of failures."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from airflow_environment import BIN, CHURNOPS, ROOT, environment
from s3_server import s3_client, serving

_WAIT_SECONDS = 1200  # a machine may be busy with other things
_OVER = {"success", "failed"}


def free_port():
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Postgres:
    """A database server in a folder of its own user, which is not root."""

    def __init__(self, folder):
        self.folder, self.port = Path(folder), free_port()
        self.user = "postgres" if os.geteuid() == 0 else None
        found = shutil.which("pg_ctl") or max(map(str, Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")))
        self.bin = Path(found).parent
        if self.user:
            shutil.chown(folder, self.user)
        self._run("initdb", "--auth=trust", "--username=airflow")

    def start(self):
        """Start it; it is ready then."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder}"
        self._run("pg_ctl", "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self):
        """End it and all its connections."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program, *words):
        command = [str(self.bin / program), "-D", str(self.folder / "data"), *map(str, words)]
        subprocess.run(command, user=self.user, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)


class Told(BaseHTTPRequestHandler):
    """Takes what is posted."""

    texts: ClassVar[list[str]] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.texts.append(json.loads(body)["text"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


class Server:
    """Airflow as its users see it: over HTTP."""

    def __init__(self, env, jobs, config, database):
        self.env, self.jobs, self.config, self.database = env, jobs, config, database
        self.alerts = Told.texts

    def trigger(self, dag, **body):
        """Ask for a run; the answer."""
        return self._call("POST", f"/api/v2/dags/{dag}/dagRuns", body)

    def runs(self, dag):
        """All runs, in the order they were created."""
        return self._call("GET", f"/api/v2/dags/{dag}/dagRuns?limit=100&order_by=id")["dag_runs"]

    def done(self, dag):
        """Those that are over."""
        return [run for run in self.runs(dag) if run["state"] in _OVER]

    def tasks(self, run):
        """The tasks of a run by name."""
        path = f"/api/v2/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances"
        return {task["task_id"]: task for task in self._call("GET", path)["task_instances"]}

    def wait(self, dag, n):
        """All runs that are over, once there are `n`."""
        self.until(lambda: len(self.done(dag)) >= n)
        return self.done(dag)

    def until(self, condition):
        """Wait for it; a server that cannot answer is asked again."""
        end = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except (URLError, KeyError, OSError):
                pass
            time.sleep(1)
        raise AssertionError(f"not so after {_WAIT_SECONDS} seconds")

    def _call(self, method, path, body=None):
        address = self.env["AIRFLOW__API__BASE_URL"]
        if not hasattr(self, "token"):
            passwords = json.loads(Path(self.env["AIRFLOW_HOME"], "passwords.json").read_text())
            self.token = _ask(
                "POST", f"{address}/auth/token", {"username": "admin", "password": passwords["admin"]}
            )
        return _ask(method, address + path, body, self.token["access_token"])


def _ask(method, address, body=None, token=""):
    """The answer; a refusal is one too, and an error of the server is raised."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    content = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(address, content, headers, method=method), timeout=30) as answer:  # noqa: S310
            return json.load(answer)
    except HTTPError as error:
        if error.code >= 500:
            raise
        return json.load(error)


@contextmanager
def running(folder):
    """Everything there is to run a day: made-up customers, servers, Airflow; a `Server`."""
    (folder / "s3").mkdir()
    with (
        database_server() as database,
        serving(folder / "s3") as s3,
        ThreadingHTTPServer(("127.0.0.1", 0), Told) as told,
    ):
        s3_client(s3).create_bucket(Bucket="lake")
        Thread(target=told.serve_forever, daemon=True).start()
        jobs = {
            "CHURNOPS_DATA_DIR": str(folder / "var"),
            "CHURNOPS_LAKE": "s3://lake/airflow",
            "AWS_ENDPOINT_URL": s3,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "eu-central-1",
            "PYTHONPATH": str(ROOT / "src"),
        }
        config = make_shop(folder / "shop", jobs)
        port = free_port()
        airflow = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://airflow@127.0.0.1:{database.port}/postgres",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "CHURN_CONFIGS": str(config),
            "CHURN_TRAIN_OPTIONS": "--frameworks lightgbm",
            "CHURN_RETRY_SECONDS": "3",
            "CHURN_ALERT_URL": f"http://127.0.0.1:{told.server_port}",
        }
        env = environment(folder / "home", **jobs, **airflow)
        with started(env, folder / "airflow.log"):
            yield Server(env, jobs, str(config), database)
        told.shutdown()


@contextmanager
def database_server():
    """PostgreSQL, running; its folder is not below pytest's, which only root may enter."""
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        database = Postgres(folder)
        database.start()
        try:
            yield database
        finally:
            database.stop()


def make_shop(folder, jobs):
    """Made-up customers of 400 days, and the config that reads them."""
    env, config = os.environ | jobs, folder / "demo.toml"
    data = ["data", "--out", folder, "--customers", "3000", "--days", "400"]
    init = [
        "init",
        folder / "customers.csv",
        folder / "transactions.csv",
        "--yes",
        "--name",
        "demo",
        "--out",
        config,
    ]
    for words in (data, init):
        subprocess.run([CHURNOPS, *words], env=env, check=True, stdout=subprocess.DEVNULL)
    return config


@contextmanager
def started(env, log):
    """Airflow, once it is healthy."""
    command = [BIN / "python", ROOT / "deploy" / "airflow" / "start.py"]
    with log.open("w") as file, subprocess.Popen(command, env=env, stdout=file, stderr=file) as process:
        try:
            for _ in range(180):
                time.sleep(1)
                if "login" in log.read_text() or process.poll() is not None:
                    break
            if "login" not in log.read_text():
                raise AssertionError(f"Airflow did not start: {log.read_text()}")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
