"""Run by Airflow's Python: the DAGs of a folder, as JSON, and what connects while they are read."""

import json
import sys
from pathlib import Path

from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk.exceptions import AirflowFailException

_CONNECTS = {"socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen"}


def main(folder: Path) -> None:
    """Print them."""
    connected, reading = [], True

    def hear(event, _):
        if reading and event in _CONNECTS:
            connected.append(event)

    sys.addaudithook(hear)
    bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags")
    reading = False
    found = {
        "errors": bag.import_errors,
        "connected": connected,
        "seconds": {Path(one.file).name: one.duration.total_seconds() for one in bag.dagbag_stats},
        "imported": [name for name in sys.modules if name.startswith(("airflow.providers", "kubernetes"))],
        "dags": {dag.dag_id: _told(dag) for dag in bag.dags.values()},
    }
    print(json.dumps(found))


def _told(dag):
    return {
        "after": [asset.name for asset in [getattr(dag.timetable, "asset_condition", None)] if asset],
        "max_active_runs": dag.max_active_runs,
        "catchup": dag.catchup,
        "tasks": {task.task_id: _task(task) for task in dag.tasks if hasattr(task, "as_of")},
    }


def _task(task):
    told = {
        "words": [*task.words, *(["--as-of", "2024-06-01"] if task.as_of else [])],
        "outlets": [asset.name for asset in task.outlets],
        "pool": task.pool,
        "retries": task.retries,
        "backoff": bool(task.retry_exponential_backoff),
        "minutes": task.execution_timeout.total_seconds() / 60,
        "refused": _refused(task),
    }
    if hasattr(task, "build_pod_request_obj"):
        pod = task.build_pod_request_obj(dry_run=True).to_dict()
        told["pod"] = {
            "identity": pod["spec"]["service_account_name"],
            **{key: pod["spec"]["containers"][0][key] for key in ("name", "image", "command", "args", "env")},
        }
    return told


def _refused(task):
    """What its worker would say before it runs it."""
    try:
        task.pre_execute({})
    except AirflowFailException as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
