"""Airflow's own environment, as tests call it."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv-airflow" / "bin"
CHURNOPS = ROOT / ".venv" / "bin" / "churnops"


def environment(home, **more):
    """Variables for a process of Airflow: nothing of the caller's that could mislead it."""
    theirs = {
        name: value for name, value in os.environ.items() if not name.startswith(("CHURN", "AIRFLOW", "AWS_"))
    }
    ours = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "CHURN_COMMAND": str(CHURNOPS),
    }
    return theirs | ours | more


def airflow(*words, env):
    """What a command of Airflow's said; raises where it failed."""
    return _run([BIN / "airflow", *words], env)


def python(*words, env):
    """The same of a script."""
    return _run([BIN / "python", *words], env)


def _run(command, env):
    done = subprocess.run([*map(str, command)], env=env, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout
