"""`churnops rollback`: the champion before serves again."""

import datetime as dt

from churnops.config import Settings
from churnops.errors import RegistryError
from churnops.jobs.orders import write_orders
from churnops.jobs.trials import end_of
from churnops.registry import audit_log
from churnops.registry.names import CHAMPION, PREVIOUS_CHAMPION
from churnops.serving.registered import Registered


def roll_back(name: str, settings: Settings, *, at: dt.datetime, actor: str) -> tuple[Registered, Registered]:
    """Move the alias to the version that the champion replaced; the one that served, and the one that does.

    No gate is asked: it passed them when it was made champion. Raises RegistryError where there is none.
    """
    log = settings.data_dir / "audit.jsonl"
    with audit_log.exclusive(log):
        registry = write_orders(settings.mlflow_uri)
        number = registry.standing(name).aliases.get(CHAMPION)
        if number is None:
            raise RegistryError(f"{name} has no champion, so there is nothing to go back from")
        serving = registry.version(name, number)
        before_number = serving.tags.get(PREVIOUS_CHAMPION, "")
        if not before_number.isdecimal():
            raise RegistryError(
                f"version {number} of {name} is its first champion: there is none to go back to"
            )
        before = registry.version(name, int(before_number))
        entry = {
            "decision": "rolled back",
            "version": _said(name, before),
            "champion_before": _said(name, serving),
        }
        audit_log.append(log, entry, at=at, actor=actor)
        end_of({serving.number, before.number}, name, settings, at=at, actor=actor)
        registry.point(name, CHAMPION, before.number)  # whom that one replaced stays known
    return serving, before


def _said(name: str, version: Registered) -> dict[str, object]:
    return {
        "name": name,
        "number": version.number,
        "model_version": version.model_version,
        "content_hash": version.content_hash,
        "source": version.source,
    }
