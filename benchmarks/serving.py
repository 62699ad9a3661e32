"""Requests a second: ours beside the servers people have, each on one core, the load generator on the other.

    python benchmarks/serving.py [--rounds 3] [--seconds 3] [--only ours bare] [--bentoml PYTHON]

It needs two cores and wrk (`apt-get install wrk`). The servers take turns in every round. Beside requests a
second there are requests a second of CPU time that the server and its children took: on a machine that is
busy with other work, that figure is the one to believe.

textbook: FastAPI, a sync handler, one list of floats, ONNX Runtime's own threads, `uvicorn app:app` as it
comes; unlogged: the same without a line of log for every request. bare: FastAPI checks the 20 columns and
answers a constant. floor: a raw ASGI app with the model and without checks. MLflow's scoring server.
BentoML, if a Python that has it (and onnxruntime) is named. ours: `churnops serve`, everything checked.
textbook, MLflow and BentoML have a plain network of the same layers, which takes 20 floats.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import LEVELS, NUMERIC

HERE = Path(__file__).parent
SERVER_CORE, LOAD_CORE = "0", "1"
CONNECTIONS = 16
RATE = 500
BATCH = 1000
JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
FORMS = (
    ("arrow", BATCH, "many.arrow", "/invocations", ARROW),
    ("arrow, json", BATCH, "many.arrow", "/invocations", JSON),
    ("arrow, 10,000", 10 * BATCH, "more.arrow", "/invocations", ARROW),
    ("json", BATCH, "many.json", "/v1/score", JSON),
)
"""How many customers are sent, as what, where to, and how their scores are written."""
HEAVY = (
    "torch",
    "tensorflow",
    "keras",
    "pyspark",
    "duckdb",
    "mlflow",
    "pandas",
    "pyarrow",
    "lightgbm",
    "sklearn",
)
UVICORN = ("-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--port=")

VALUES = {name: 12.345 + i for i, name in enumerate(NUMERIC)} | {
    name: levels[0] for name, levels in LEVELS.items()
}
CUSTOMER = {"customer_id": "c-1234567", **VALUES}
FLOATS = [12.345 + i for i in range(20)]

TIMED = f"""
import sys, time
from pathlib import Path

def timed(run):
    run()
    runs, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() < wall + float(sys.argv[2]):
        run()
        runs += 1
    print(runs * {BATCH} / (time.perf_counter() - wall), runs * {BATCH} / (time.process_time() - cpu))
"""
RAW = f"""
from churnops.bundle.bundle import read_bundle
bundle = read_bundle(Path(sys.argv[1]) / "bundle")
numeric_NF, categorical_NC = bundle.matrices([{VALUES!r}] * {BATCH})
feed = {{"numeric": numeric_NF, "categorical": categorical_NC}}
timed(lambda: bundle.session.run(["score"], feed))
"""
READING = f"""
import msgspec
fields = [(name, float | str | None, None) for name in {[*CUSTOMER]!r}]
customer = msgspec.defstruct("Customer", fields, gc=False)
decoder = msgspec.json.Decoder(msgspec.defstruct("Request", [("customers", list[customer])]))
body = (Path(sys.argv[1]) / "many.json").read_bytes()
timed(lambda: decoder.decode(body))
"""
ALONE = {"raw": RAW, "json read": READING}
"""ONNX Runtime on arrays that are there already; msgspec on the text of as many customers."""


@dataclass(frozen=True)
class Server:
    """How one is started, without the port, with which the command ends; and asked."""

    command: tuple[str, ...]
    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Load:
    """What wrk saw of one server, and what that took."""

    per_second: float
    per_cpu_second: float
    p50_ms: float
    p99_ms: float


def servers(models: Path, bentoml: str | None) -> dict[str, Server]:
    """All that can be started here."""
    python = sys.executable
    textbook = ("servers.textbook:app", "--port=")
    mlflow = (python, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1")
    known = {
        "textbook": Server((python, "-m", "uvicorn", *textbook), "/score", {"features": FLOATS}),
        "unlogged": Server((python, *UVICORN[:-1], *textbook), "/score", {"features": FLOATS}),
        "bare": Server((python, *UVICORN[:2], "servers.bare:app", *UVICORN[2:]), "/score", CUSTOMER),
        "floor": Server(
            (python, *UVICORN[:2], "servers.floor:app", *UVICORN[2:]), "/", {"customers": [CUSTOMER]}
        ),
        "mlflow": Server(
            (*mlflow, "--model-uri", str(models / "mlflow"), "--port="), "/invocations", {"inputs": [FLOATS]}
        ),
        "ours": Server(
            (python, "-m", "churnops", "serve", "--bundle", str(models / "bundle"), "--port="),
            "/v1/score",
            {"customers": [CUSTOMER]},
        ),
    }
    if bentoml:
        command = (bentoml, "-m", "bentoml", "serve", "servers.bento:Churn", "--port=")
        known["bentoml"] = Server(command, "/score", {"features": FLOATS})
    return known


def main() -> None:
    """Every server in every round; then medians, and ours beside each of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--bentoml", metavar="PYTHON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.made(Path(folder), given.seconds)
        found = {
            name: server
            for name, server in servers(bench.models, given.bentoml).items()
            if not given.only or name in given.only
        }
        for _ in range(given.rounds):
            for name, server in found.items():
                bench.measure(name, server)
            for name, script in ALONE.items():
                bench.measure_alone(name, script)
        bench.report("raw", "ours")
        print("\nheavy modules that ours imported:", ", ".join(bench.heavy_modules(found["ours"])) or "none")


class Bench:
    """Runs servers and keeps what was measured, by name of the figure and of the server."""

    def __init__(self, models: Path, environment: Mapping[str, str], seconds: int) -> None:
        self.models, self.environment, self.seconds = models, environment, seconds
        self.figures: dict[str, dict[str, list[float]]] = {}

    @classmethod
    def made(cls, models: Path, seconds: int) -> "Bench":
        """One whose servers find their models in `models`, where they are made first."""
        environment = os.environ | {
            "MODELS": str(models),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "BENTOML_DO_NOT_TRACK": "true",
        }
        make = [sys.executable, "-m", "servers.models", str(models)]
        subprocess.run(make, check=True, capture_output=True, env=environment)
        return cls(models, environment, seconds)

    def measure(self, name: str, server: Server) -> None:
        """One turn of one server."""
        with self.running(server) as (process, url, ready_seconds):
            one = self.body("one", server.body)
            self.load(process, url, one, seconds=1)  # for warmth
            full = self.load(process, url, one)
            self.note(name, "requests/s", full.per_second)
            self.note(name, "per CPU s", full.per_cpu_second)
            self.note(name, "p50 ms", full.p50_ms)
            self.note(name, "p99 ms", full.p99_ms)
            fixed = self.load(process, url, one, pause_ms=1000 * CONNECTIONS / RATE)
            self.note(name, f"p99 ms at {RATE}/s", fixed.p99_ms)
            if name == "ours":
                explained = self.load(process, f"{url}?reasons=3", one)
                self.note("with reasons", "requests/s", explained.per_second)
                self.note("with reasons", "per CPU s", explained.per_cpu_second)
                for form, rows, file, path, accept in FORMS:
                    media = ARROW if file.endswith("arrow") else JSON
                    told = {"connections": 2, "media": media, "accept": accept}
                    asked = url.removesuffix(server.path) + path
                    self.load(process, asked, self.models / file, seconds=1, **told)  # the first loads Arrow
                    many = self.load(process, asked, self.models / file, **told)
                    self.note(form, "rows/s", rows * many.per_second)
                    self.note(form, "rows per CPU s", rows * many.per_cpu_second)
            self.note(name, "ready s", ready_seconds)
            self.note(name, "MB", resident_mb(process.pid))
        print(f"{name}: {full.per_second:,.0f} requests/s, p99 {full.p99_ms:.1f} ms", flush=True)

    def measure_alone(self, name: str, script: str) -> None:
        """Rows a second of one step, without a server."""
        python = [*pinned(SERVER_CORE), sys.executable, "-c", TIMED + script]
        command = [*python, str(self.models), str(self.seconds)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=self.environment)
        wall, cpu = map(float, done.stdout.split())
        self.note(name, "rows/s", wall)
        self.note(name, "rows per CPU s", cpu)

    def note(self, server: str, figure: str, value: float) -> None:
        """Keep one figure of one round."""
        self.figures.setdefault(figure, {}).setdefault(server, []).append(value)

    def report(self, *against: str) -> None:
        """Medians, each with its extremes, and the ratio of the first of `against` that has the figure."""
        for figure, by_server in self.figures.items():
            print(f"\n{figure}")
            medians = {name: statistics.median(values) for name, values in by_server.items()}
            base = next((name for name in against if name in medians), None)
            for name, values in by_server.items():
                ratio = f"   {base} {medians[base] / medians[name]:.2f}x" if base and name != base else ""
                print(
                    f"  {name:14}{medians[name]:12,.2f}   ({min(values):,.2f} to {max(values):,.2f}){ratio}"
                )

    @contextmanager
    def running(
        self, server: Server, before: Sequence[str] = (), **options: Any
    ) -> Iterator[tuple[subprocess.Popen[bytes], str, float]]:
        """The server on its core, ready: its process, its address, and the seconds until the first answer."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options
        started = time.perf_counter()
        command = [
            *pinned(SERVER_CORE),
            server.command[0],
            *before,
            *server.command[1:-1],
            f"{server.command[-1]}{port}",
        ]
        process = subprocess.Popen(command, env=self.environment, start_new_session=True, **quiet)
        try:
            url = f"http://127.0.0.1:{port}{server.path}"
            body = json.dumps(server.body).encode()
            while not answers(url, body):
                if process.poll() is not None:
                    raise SystemExit(f"ended before it answered: {' '.join(command)}")
                time.sleep(0.02)
            yield process, url, time.perf_counter() - started
        finally:
            family = descendants(process.pid)
            process.terminate()
            process.wait(timeout=30)
            for pid in family:  # some servers leave helpers behind
                if Path(f"/proc/{pid}").exists():
                    os.kill(pid, 9)

    def body(self, name: str, content: Mapping[str, Any]) -> Path:
        """A request's body, as a file for wrk."""
        path = self.models / f"{name}.json"
        path.write_text(json.dumps(content))
        return path

    def load(  # noqa: PLR0913 - what wrk can be told
        self,
        process: subprocess.Popen[bytes],
        url: str,
        body: Path,
        *,
        seconds: int = 0,
        connections: int = CONNECTIONS,
        pause_ms: float = 0.0,
        media: str = JSON,
        accept: str = JSON,
    ) -> Load:
        """The same request over and over, as fast as it is answered or after a pause."""
        seconds = seconds or self.seconds
        command = [*pinned(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
        command += ["-s", str(HERE / "servers" / "load.lua"), url]
        told = {"BODY": str(body), "PAUSE_MS": str(pause_ms), "MEDIA": media, "ACCEPT": accept}
        before = cpu_seconds(process.pid)
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=dict(self.environment) | told
        )
        used = cpu_seconds(process.pid) - before
        result = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
        requests, duration, errors, p50, p99 = map(int, result.split()[1:])
        if errors:
            raise SystemExit(f"{url}: {errors} of {requests} requests failed")
        return Load(requests / duration * 1e6, requests / max(used, 0.01), p50 / 1000, p99 / 1000)

    def heavy_modules(self, server: Server) -> list[str]:
        """Those of HEAVY that the process had imported after it had answered."""
        with tempfile.TemporaryFile() as told:
            with self.running(server, ("-X", "importtime"), stderr=told):
                pass
            told.seek(0)
            lines = told.read().decode().splitlines()
        imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if "|" in line}
        return sorted(imported.intersection(HEAVY))


def pinned(core: str) -> tuple[str, ...]:
    """What a command begins with that is to stay on one core."""
    return ("taskset", "-c", core)


def answers(url: str, body: bytes) -> bool:
    """Whether the server answers by now."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        if error.code < 500:
            raise SystemExit(f"{url}: {error.code} {error.read().decode()}") from error
        return False
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """The process, its children, and theirs."""
    children = [
        int(child)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text().split()
    ]
    return [pid, *(one for child in children for one in descendants(child))]


def cpu_seconds(pid: int) -> float:
    """CPU time of the process and its descendants so far."""
    ticks = 0
    for one in descendants(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of the process and its descendants."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in descendants(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
