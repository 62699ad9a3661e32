"""Where a verb's bundle comes from: a folder, here or on S3, or the registry's champion."""

from pathlib import Path

from churnops.config import Settings
from churnops.errors import RegistryError
from churnops.jobs.steps.ledger import run_folder
from churnops.registry.aliases import champion, fetch_bundle
from churnops.sources.mirror import mirror
from churnops.storage import is_remote


def bundle_folder(settings: Settings, name: str, chosen: str | None) -> Path:
    """`chosen` where there is one, else the champion of the data config `name`, fetched from the registry.

    Raises RegistryError where nothing was promoted yet, BundleError where what was fetched is not whole.
    """
    if chosen is not None:
        cache = settings.data_dir / "bundles"
        return cache / mirror(chosen, cache) if is_remote(chosen) else Path(chosen)
    serving = champion(settings.mlflow_uri, name)
    if serving is None:
        raise RegistryError(
            f"{name} has no champion: either nothing was run yet, or no bundle passed the gates "
            f"(see the reasons in `churnops run`); to use the last run's all the same: "
            f"--bundle {run_folder(settings, name) / 'bundle'}"
        )
    return fetch_bundle(settings, serving)
