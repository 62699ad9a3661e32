"""`churnops promote`, and the last step of `churnops run`: judge a registered version and act on it."""

import datetime as dt
from dataclasses import asdict, dataclass

import structlog

from churnops.config import Settings
from churnops.errors import ConfigError, RegistryError
from churnops.jobs.trials import end_of
from churnops.registry import audit_log
from churnops.registry.aliases import Version, champion, make_challenger, make_champion, recorded_evidence
from churnops.registry.promotion import Evidence, Gates, failed_gates, overtaken


@dataclass(frozen=True)
class Decision:
    """What became of a version that was proposed."""

    promoted: bool
    """Whether the version is the champion now."""
    reasons: tuple[str, ...]
    """Why not; or, for a version that was the champion already, that nothing moved."""
    champion_version: int | None
    """The version that serves now."""


def promote(version: Version, gates: Gates, settings: Settings, *, at: dt.datetime, actor: str) -> Decision:
    """Make the version the champion if the evidence recorded with it passes every gate; else the challenger.

    There is no other way to the alias: whoever asks, the gates judge what was recorded with the version, and
    evidence held against a champion that has been replaced since does not count.
    """
    uri, log = settings.mlflow_uri, settings.data_dir / "audit.jsonl"
    with audit_log.exclusive(log):
        serving = champion(uri, version.name)
        served_number = serving.number if serving else None
        if serving and serving.content_hash == version.content_hash:
            _end_trial(serving, settings, at=at, actor=actor)
            return Decision(True, ("it is the champion already: nothing moved",), served_number)
        evidence = recorded_evidence(uri, version)
        reasons = _reasons(evidence, gates, champion=serving.model_version if serving else None)
        entry = {
            "decision": "refused" if reasons else "promoted",
            "reasons": reasons,
            "version": asdict(version),
            "champion_before": asdict(serving) if serving else None,
            "evidence": evidence.model_dump(mode="json") if evidence else None,
            "gates": gates.model_dump(mode="json"),
        }
        # Written down before it is done: the alias never moves without an entry that says why.
        audit_log.append(log, entry, at=at, actor=actor)
        if reasons:
            make_challenger(uri, version)
            return Decision(False, reasons, served_number)
        make_champion(uri, version)
        _end_trial(version, settings, at=at, actor=actor)
        return Decision(True, (), version.number)


def _end_trial(version: Version, settings: Settings, *, at: dt.datetime, actor: str) -> None:
    """Servers end it by themselves, so that a registry which cannot be told is no reason to fail."""
    try:
        end_of({version.number}, version.name, settings, at=at, actor=actor)
    except (RegistryError, ConfigError) as error:
        log = structlog.get_logger()
        log.warning("whether it was tried cannot be seen: `churnops canary status`", error=str(error))


def _reasons(evidence: Evidence | None, gates: Gates, *, champion: str | None) -> tuple[str, ...]:
    if evidence is None:
        return ("no evidence is recorded with the version",)
    return (*overtaken(evidence, champion), *failed_gates(evidence, gates))
