"""`churnops rollback`: the champion before serves again."""

import datetime as dt
from dataclasses import asdict

from churnops.config import Settings
from churnops.errors import RegistryError
from churnops.registry import audit_log
from churnops.registry.aliases import Version, champion, previous_champion, restore_champion


def roll_back(name: str, settings: Settings, *, at: dt.datetime, actor: str) -> tuple[Version, Version]:
    """Move the alias to the version that the champion replaced; the one that served, and the one that does.

    No gate is asked: it passed them when it was made champion. Raises RegistryError where there is none.
    """
    uri, log = settings.mlflow_uri, settings.data_dir / "audit.jsonl"
    with audit_log.exclusive(log):
        serving = champion(uri, name)
        if serving is None:
            raise RegistryError(f"{name} has no champion, so there is nothing to go back from")
        before = previous_champion(uri, serving)
        if before is None:
            raise RegistryError(
                f"version {serving.number} of {name} is its first champion: there is none to go back to"
            )
        entry = {"decision": "rolled back", "version": asdict(before), "champion_before": asdict(serving)}
        audit_log.append(log, entry, at=at, actor=actor)
        restore_champion(uri, before)
    return serving, before
