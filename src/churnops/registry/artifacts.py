"""Files of MLflow's runs: on S3 they go through our own storage, elsewhere through MLflow.

Our storage waits for a server that restarts, says what is wrong, and needs no boto3; MLflow's own tools do.
"""

from pathlib import Path

from mlflow import MlflowClient

from churnops.errors import RegistryError
from churnops.storage import Storage, is_remote


def keep(client: MlflowClient, run_id: str, path: Path, folder: str = "") -> None:
    """Keep a file with a run, or all in the folder `path`, in its `folder`; earlier ones are replaced."""
    address = client.get_run(run_id).info.artifact_uri
    if is_remote(address):
        storage = Storage(f"{address}/{folder}".rstrip("/"))
        start = path if path.is_dir() else path.parent
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                storage.upload(file, file.relative_to(start).as_posix())
    elif path.is_dir():
        client.log_artifacts(run_id, str(path), folder or None)
    else:
        client.log_artifact(run_id, str(path), folder or None)


def fetch(client: MlflowClient, run_id: str, folder: str, to: Path) -> Path:
    """Bring the files of a run's `folder` to this machine, below `to`; where they are."""
    address = client.get_run(run_id).info.artifact_uri
    if not is_remote(address):
        return Path(client.download_artifacts(run_id, folder, str(to)))
    storage = Storage(f"{address}/{folder}")
    files = list(storage.files())
    if not files:
        raise RegistryError(f"{storage.address}: the registry says that files are there, and there is none")
    for file in files:
        storage.download(file.name, to / folder / file.name)
    return to / folder
