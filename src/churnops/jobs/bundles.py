"""Where a verb's bundle comes from: a folder, here or on S3, or the registry's champion."""

from pathlib import Path

from churnops.config import Settings
from churnops.errors import RegistryError
from churnops.jobs.steps.ledger import run_folder
from churnops.registry.names import CHAMPION
from churnops.serving.cache import Cache
from churnops.serving.registered import Registered, Registry, registry_at
from churnops.sources.mirror import mirror
from churnops.storage import is_remote


def bundle_folder(settings: Settings, name: str, chosen: str | None) -> Path:
    """`chosen` where there is one, else the champion of the data config `name`, fetched from the registry.

    Raises RegistryError where nothing was promoted yet, BundleError where what was fetched is not whole.
    """
    if chosen is not None:
        bundles = settings.data_dir / "bundles"
        return bundles / mirror(chosen, bundles) if is_remote(chosen) else Path(chosen)
    registry = registry_at(settings.mlflow_uri)
    champion = _champion(name, registry, settings)
    cache = Cache(settings.data_dir / "champions" / name)
    cache.bundle(champion, registry)
    cache.make_room(champion.content_hash)
    return cache.folder_of(champion.content_hash)


def _champion(name: str, registry: Registry, settings: Settings) -> Registered:
    try:
        number = registry.standing(name).aliases.get(CHAMPION)
        why = "either nothing was run yet, or no bundle passed the gates (see the reasons in `churnops run`)"
    except RegistryError as error:
        number, why = None, str(error)
    if number is None:
        last = run_folder(settings, name) / "bundle"
        hint = f"; to use the last run's all the same: --bundle {last}" if last.is_dir() else ""
        raise RegistryError(f"{name} has no champion that can be had: {why}{hint}")
    return registry.version(name, number)
