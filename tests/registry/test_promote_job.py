"""From a registered version to a decision that is acted on and written down."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from comparisons import NOON, good_evidence, make_comparison
from mlflow import MlflowClient

from churnops.bundle.manifest import Metric
from churnops.config import Settings
from churnops.errors import RegistryError
from churnops.jobs import trials
from churnops.jobs.promote import Decision, promote
from churnops.registry.aliases import Version, champion, find_version, make_champion
from churnops.registry.audit_log import verify
from churnops.registry.promotion import Evidence, Gates
from churnops.registry.tracking import CandidateRun, record


@pytest.fixture
def settings(tracking_uri: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "our data", tracking_uri=tracking_uri)


def register(settings: Settings, tmp_path: Path, evidence: Evidence, *, threshold: float = 0.4) -> Version:
    plain = {"candidates": (CandidateRun("torch", {}),), "files": ()}
    return record(make_comparison(tmp_path, threshold, evidence=evidence, **plain), settings).version


def decide(version: Version, settings: Settings, gates: Gates | None = None) -> Decision:
    return promote(version, gates or Gates(), settings, at=NOON, actor="anna")


def better_than(version: Version, *, low: float = 0.01) -> Evidence:
    gain = Metric(value=low + 0.01, low=low, high=low + 0.02)
    return good_evidence(champion=version.model_version, gain_over_champion=gain)


def entries(settings: Settings) -> list[dict[str, Any]]:
    path = settings.data_dir / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def aliases(settings: Settings, name: str) -> dict[str, int]:
    found = MlflowClient(settings.mlflow_uri, settings.mlflow_uri).get_registered_model(name).aliases
    return {alias: int(number) for alias, number in found.items()}


def test_good_evidence_makes_a_champion(settings: Settings, tmp_path: Path) -> None:
    version = register(settings, tmp_path, good_evidence())
    assert decide(version, settings) == Decision(promoted=True, reasons=(), champion_version=1)
    assert champion(settings.mlflow_uri, version.name) == version
    (entry,) = entries(settings)
    assert (entry["decision"], entry["actor"], entry["reasons"]) == ("promoted", "anna", [])
    assert entry["version"] == dataclasses.asdict(version)
    assert Evidence.model_validate(entry["evidence"]) == good_evidence()
    assert Gates.model_validate(entry["gates"]) == Gates()
    assert entry["champion_before"] is None


def test_a_failed_gate_makes_a_challenger(settings: Settings, tmp_path: Path) -> None:
    version = register(settings, tmp_path, good_evidence(labels_mature=False))
    decision = decide(version, settings)
    assert (decision.promoted, decision.champion_version) == (False, None)
    assert "not mature" in decision.reasons[0]
    assert aliases(settings, version.name) == {"challenger": 1}
    (entry,) = entries(settings)
    assert (entry["decision"], tuple(entry["reasons"])) == ("refused", decision.reasons)


def test_a_better_challenger_replaces_the_champion(settings: Settings, tmp_path: Path) -> None:
    first = register(settings, tmp_path, good_evidence())
    decide(first, settings)
    second = register(settings, tmp_path, better_than(first), threshold=0.6)
    assert decide(second, settings) == Decision(promoted=True, reasons=(), champion_version=2)
    assert [
        entry["champion_before"] and entry["champion_before"]["number"] for entry in entries(settings)
    ] == [None, 1]
    assert verify(settings.data_dir / "audit.jsonl") is None


@pytest.mark.parametrize("cut_short", [False, True])
def test_the_trial_of_who_becomes_champion_ends(settings: Settings, tmp_path: Path, cut_short: bool) -> None:
    first = register(settings, tmp_path, good_evidence())
    decide(first, settings)
    second = register(settings, tmp_path, better_than(first), threshold=0.6)
    order = trials.Order(second.name, second.number, 0.5, shadow=False)
    trials.start(order, settings, at=NOON, actor="anna")
    if cut_short:
        make_champion(settings.mlflow_uri, second)
    assert decide(second, settings).promoted
    assert trials.status(second.name, settings)[1] == "it became the champion"


def test_a_registry_that_cannot_be_told_of_the_trial_is_no_reason_to_fail(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RegistryError("status 307")

    monkeypatch.setattr("churnops.jobs.promote.end_of", failing)
    assert decide(register(settings, tmp_path, good_evidence()), settings).promoted


def test_a_worse_challenger_leaves_the_champion(settings: Settings, tmp_path: Path) -> None:
    first = register(settings, tmp_path, good_evidence())
    decide(first, settings)
    second = register(settings, tmp_path, better_than(first, low=-0.01), threshold=0.6)
    decision = decide(second, settings)
    assert (decision.promoted, decision.champion_version) == (False, 1)
    assert aliases(settings, first.name) == {"champion": 1, "challenger": 2}


def test_the_champion_is_not_promoted_twice(settings: Settings, tmp_path: Path) -> None:
    version = register(settings, tmp_path, good_evidence())
    decide(version, settings)
    again = decide(version, settings)
    assert (again.promoted, again.champion_version) == (True, 1)
    assert again.reasons == ("it is the champion already: nothing moved",)
    assert len(entries(settings)) == 1


def test_evidence_against_a_replaced_champion_does_not_count(settings: Settings, tmp_path: Path) -> None:
    first = register(settings, tmp_path, good_evidence())
    also_first = register(settings, tmp_path, good_evidence(), threshold=0.6)
    decide(first, settings)
    decision = decide(also_first, settings)
    assert not decision.promoted
    assert decision.reasons == (f"compared with no champion, but the champion is now {first.model_version}",)
    measured_again = register(settings, tmp_path, better_than(first), threshold=0.6)
    assert decide(measured_again, settings).promoted


def test_promoting_by_number_meets_the_same_gates(settings: Settings, tmp_path: Path) -> None:
    first = register(settings, tmp_path, good_evidence(parity=None))
    found = find_version(settings.mlflow_uri, first.name, 1)
    assert decide(found, settings).reasons == ("ONNX parity was not measured",)


def test_tighter_gates_judge_what_was_recorded_before(settings: Settings, tmp_path: Path) -> None:
    version = register(settings, tmp_path, good_evidence(calibration_error=0.06))
    assert not decide(version, settings, Gates(max_calibration_error=0.05)).promoted
    assert decide(version, settings).promoted


def test_a_version_without_evidence_is_refused(settings: Settings, tmp_path: Path) -> None:
    version = register(settings, tmp_path, good_evidence())
    client = MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
    client.delete_model_version_tag(version.name, str(version.number), "evidence")
    assert decide(version, settings).reasons == ("no evidence is recorded with the version",)
    assert entries(settings)[0]["evidence"] is None


def test_nothing_moves_when_it_cannot_be_written_down(settings: Settings, tmp_path: Path) -> None:
    version = register(settings, tmp_path, good_evidence())
    (settings.data_dir / "audit.jsonl").write_text("altered\n")
    with pytest.raises(RegistryError, match="line 1 was altered"):
        decide(version, settings)
    assert aliases(settings, version.name) == {}


def test_a_decision_cut_short_before_the_alias_moved_is_taken_again(
    settings: Settings, tmp_path: Path
) -> None:
    version = register(settings, tmp_path, good_evidence())
    decide(version, settings)
    MlflowClient(settings.mlflow_uri, settings.mlflow_uri).delete_registered_model_alias(
        version.name, "champion"
    )
    assert decide(version, settings).promoted
    assert [entry["decision"] for entry in entries(settings)] == ["promoted", "promoted"]
