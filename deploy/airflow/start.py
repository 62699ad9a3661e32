"""Airflow on this machine: scheduler, DAG processor and API server, on the loopback interface, until Ctrl-C.

Run by the Python of Airflow's environment. The database is SQLite in AIRFLOW_HOME, or the one that
AIRFLOW__DATABASE__SQL_ALCHEMY_CONN names. A part that ends is started again, as a cluster would: the
scheduler ends when its database is gone for long.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

ROOT = Path(__file__).resolve().parents[2]
AIRFLOW = str(Path(sys.executable).with_name("airflow"))
PARTS = {
    "scheduler": ["scheduler", "--skip-serve-logs"],  # logs are files here: nobody needs to serve them
    "dag-processor": ["dag-processor"],
    "api-server": ["api-server", "--workers", "1"],
}
_SECONDS_TO_END = 15
_SECONDS_TO_RECOVER = 3


def environment() -> dict[str, str]:
    """Settings of Airflow; what is set already stands."""
    home = Path(os.environ.get("AIRFLOW_HOME", ROOT / "var" / "airflow")).absolute()
    port = os.environ.get("AIRFLOW__API__PORT", "8080")
    ours = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        # A task outlives its database's absence of some minutes.
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "60",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "600",
    }
    return ours | os.environ


def prepare(env: dict[str, str]) -> str:
    """The database, the pool, and the password of `admin`."""
    passwords = Path(env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    passwords.parent.mkdir(parents=True, exist_ok=True)
    if not passwords.exists():
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({"admin": secrets.token_urlsafe(12)}))
    for words in (["db", "migrate"], ["pools", "set", "churnops", "1", "one run folder, one process"]):
        subprocess.run([AIRFLOW, *words], env=env, check=True, stdout=subprocess.DEVNULL)
    return str(json.loads(passwords.read_text())["admin"])


def start(part: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a part; what it says goes to a file."""
    path = Path(env["AIRFLOW_HOME"], f"{part}.log")
    with path.open("ab") as log:
        command = [AIRFLOW, *PARTS[part]]
        return subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)


def is_healthy(env: dict[str, str]) -> bool:
    """Whether all parts are at work."""
    try:
        with urlopen(f"{env['AIRFLOW__API__BASE_URL']}/api/v2/monitor/health", timeout=5) as answer:  # noqa: S310
            health = json.load(answer)
    except (URLError, OSError):
        return False
    return all(health[one]["status"] == "healthy" for one in ("metadatabase", "scheduler", "dag_processor"))


def end(parts: dict[str, subprocess.Popen[bytes]]) -> None:
    """End all parts and all they have started: politely, then not."""
    ours = psutil.Process().children(recursive=True)
    for process in parts.values():
        process.terminate()
    _, left = psutil.wait_procs(ours, timeout=_SECONDS_TO_END)
    for process in left:
        process.terminate()
    _, left = psutil.wait_procs(left, timeout=_SECONDS_TO_END)
    for process in left:
        process.kill()


def main() -> None:
    """Run until told to end."""
    env = environment()
    password = prepare(env)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parts = {part: start(part, env) for part in PARTS}
    announced = False
    try:
        while True:
            time.sleep(1)
            for part, process in parts.items():
                if process.poll() is not None:
                    print(f"{part} ended with {process.returncode}: starting it again", flush=True)
                    time.sleep(_SECONDS_TO_RECOVER)
                    parts[part] = start(part, env)
            if not announced and is_healthy(env):
                announced = True
                print(f"Airflow: {env['AIRFLOW__API__BASE_URL']}  login: admin  {password}", flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        end(parts)


if __name__ == "__main__":
    main()
