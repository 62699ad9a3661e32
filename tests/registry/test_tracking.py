"""What a comparison leaves in MLflow, and that repeating it leaves nothing more."""

import dataclasses
import json
from pathlib import Path

import pytest
from comparisons import NOON, make_comparison
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from churnops.bundle.bundle import read_bundle
from churnops.bundle.manifest import Metric
from churnops.config import Settings
from churnops.errors import BundleError, RegistryError
from churnops.registry.aliases import champion, recorded_evidence
from churnops.registry.tracking import CandidateRun, Recorded, record


@pytest.fixture
def settings(tracking_uri: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "our data", tracking_uri=tracking_uri)


def client(settings: Settings) -> MlflowClient:
    return MlflowClient(settings.mlflow_uri, settings.mlflow_uri)


def runs(settings: Settings, name: str, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    experiment = client(settings).get_experiment_by_name(name)
    return list(client(settings).search_runs([experiment.experiment_id], run_view_type=view))


def artifacts(settings: Settings, run_id: str, folder: str | None = None) -> set[str]:
    return {found.path for found in client(settings).list_artifacts(run_id, folder)}


def test_the_whole_is_one_run_with_one_below_it_per_candidate(settings: Settings, tmp_path: Path) -> None:
    recorded = record(make_comparison(tmp_path), settings)
    parent = client(settings).get_run(recorded.parent_run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["candidate"] == "torch"
    assert parent.data.metrics["test_roc_auc"] == 0.84
    assert parent.data.tags["model_version"] == recorded.version.model_version
    assert artifacts(settings, recorded.parent_run_id) == {"roc.svg"}
    assert recorded.run_ids.keys() == {"recency", "torch"}
    for run_id in recorded.run_ids.values():
        run = client(settings).get_run(run_id)
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == recorded.parent_run_id


def test_a_candidate_keeps_its_recipe_its_history_and_its_test(settings: Settings, tmp_path: Path) -> None:
    run_id = record(make_comparison(tmp_path), settings).run_ids["torch"]
    run = client(settings).get_run(run_id)
    assert run.data.params == {
        "seed": "7",
        "spans.train": '["2024-01-01"]',
        "spans.test": '["2024-04-01"]',
        "schedule.epochs": "2",
        "schedule.rate": "0.001",
        "hidden": "[128, 64]",
        "framework": "torch",
    }
    history = client(settings).get_metric_history(run_id, "loss")
    assert [(epoch.step, epoch.value) for epoch in history] == [(1, 0.6), (2, 0.5)]
    figures = {name: run.data.metrics[f"test_roc_auc{name}"] for name in ("", "_low", "_high")}
    assert figures == {"": 0.84, "_low": 0.8, "_high": 0.88}
    assert artifacts(settings, run_id) == {"bundle", "roc.svg"}
    assert artifacts(settings, run_id, "bundle") == {"bundle/manifest.json", "bundle/model.onnx"}
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.digest, json.loads(used.dataset.source)) == ("d" * 36, {"uri": "orders.csv"})


def test_what_is_found_after_a_comparison_was_written_is_added_to_it(
    settings: Settings, tmp_path: Path
) -> None:
    first = record(make_comparison(tmp_path), settings)
    later = {"equivalence.loss": 2e-7, "equivalence.roc_auc_gain_low": -0.001}

    again = [record(make_comparison(tmp_path, later=later), settings) for _ in range(2)]

    assert again == [first, first]
    history = {name: client(settings).get_metric_history(first.parent_run_id, name) for name in later}
    assert {name: [one.value for one in written] for name, written in history.items()} == {
        name: [value] for name, value in later.items()
    }


def test_only_the_chosen_candidate_holds_the_bundle(settings: Settings, tmp_path: Path) -> None:
    assert artifacts(settings, record(make_comparison(tmp_path), settings).run_ids["recency"]) == set()


def test_the_bundle_is_registered_under_the_name_of_its_data(settings: Settings, tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    version = record(comparison, settings).version
    manifest = read_bundle(comparison.bundle).manifest
    assert (version.name, version.number, version.candidate) == (tmp_path.name, 1, "torch")
    assert (version.model_version, version.content_hash) == (manifest.model_version, manifest.content_hash)
    assert recorded_evidence(settings.mlflow_uri, version) == comparison.evidence
    assert champion(settings.mlflow_uri, tmp_path.name) is None


def test_time_is_what_it_was_told(settings: Settings, tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    run = client(settings).get_run(record(comparison, settings).run_ids["torch"])
    at = NOON.timestamp() * 1000
    assert (run.info.start_time, run.info.end_time) == (at, at)
    assert client(settings).get_metric_history(run.info.run_id, "loss")[0].timestamp == at


def test_all_of_it_stays_in_the_data_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    version = record(make_comparison(tmp_path), settings).version
    assert list(elsewhere.iterdir()) == []
    assert (settings.data_dir / "mlartifacts" / version.name / version.run_id).is_dir()


def test_the_console_stays_quiet(
    settings: Settings, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    record(make_comparison(tmp_path), settings)
    assert capfd.readouterr() == ("", "")


def test_the_same_key_is_written_once(settings: Settings, tmp_path: Path) -> None:
    first = record(make_comparison(tmp_path), settings)
    assert record(make_comparison(tmp_path), settings) == first
    assert len(runs(settings, tmp_path.name, ViewType.ALL)) == 3


def test_another_key_with_the_same_bundle_is_the_same_version(settings: Settings, tmp_path: Path) -> None:
    first = record(make_comparison(tmp_path), settings)
    second = record(make_comparison(tmp_path, key="another"), settings)
    assert second.version == first.version
    assert second.parent_run_id != first.parent_run_id
    assert len(runs(settings, tmp_path.name)) == 6


def test_another_bundle_is_the_next_version(settings: Settings, tmp_path: Path) -> None:
    assert [
        record(make_comparison(tmp_path, threshold), settings).version.number for threshold in (0.4, 0.6)
    ] == [1, 2]


def test_evidence_is_brought_up_to_date(settings: Settings, tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    record(comparison, settings)
    evidence = comparison.evidence.model_copy(update={"champion": "shop-0123456789ab"})
    version = record(dataclasses.replace(comparison, evidence=evidence), settings).version
    assert recorded_evidence(settings.mlflow_uri, version) == evidence


def test_a_long_history_is_kept_whole(settings: Settings, tmp_path: Path) -> None:
    history = tuple({"loss": 1 / epoch, "auc": 0.5} for epoch in range(1, 701))
    comparison = make_comparison(tmp_path)
    candidates = (comparison.candidates[0], dataclasses.replace(comparison.candidates[1], history=history))
    recorded = record(dataclasses.replace(comparison, candidates=candidates), settings)
    assert len(client(settings).get_metric_history(recorded.run_ids["torch"], "loss")) == 700


@pytest.fixture(params=["parent", "recency", "torch"])
def interrupted(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Recorded:
    """A comparison of which one run has not ended, as a killed process leaves it."""
    recorded = record(make_comparison(tmp_path), settings)
    run_id = {"parent": recorded.parent_run_id, **recorded.run_ids}[request.param]
    client(settings).update_run(run_id, status="RUNNING")
    return recorded


def test_what_a_killed_process_left_is_deleted_and_redone(
    interrupted: Recorded, settings: Settings, tmp_path: Path
) -> None:
    again = record(make_comparison(tmp_path), settings)
    assert again.version == interrupted.version
    assert {again.parent_run_id, *again.run_ids.values()} == {
        run.info.run_id for run in runs(settings, tmp_path.name)
    }
    assert not {again.parent_run_id, *again.run_ids.values()} & {
        interrupted.parent_run_id,
        *interrupted.run_ids.values(),
    }
    assert all(run.info.status == "FINISHED" for run in runs(settings, tmp_path.name))
    assert record(make_comparison(tmp_path), settings) == again


def test_a_process_killed_while_it_writes_can_be_repeated(settings: Settings, tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    unreadable = (comparison.candidates[0], CandidateRun("torch", {}, files=(tmp_path / "missing.svg",)))
    with pytest.raises(RegistryError, match=r"missing\.svg"):
        record(dataclasses.replace(comparison, candidates=unreadable), settings)
    recorded = record(comparison, settings)
    assert {recorded.parent_run_id, *recorded.run_ids.values()} == {
        run.info.run_id for run in runs(settings, tmp_path.name)
    }


def test_figures_that_are_no_numbers_are_kept_as_such(settings: Settings, tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    unmeasured = {"roc_auc": Metric(value=0.7, low=float("nan"), high=float("nan"))}
    candidates = (
        CandidateRun("recency", {"rate": float("nan")}, metrics=unmeasured),
        comparison.candidates[1],
    )
    recorded = record(dataclasses.replace(comparison, candidates=candidates), settings)
    metrics = client(settings).get_run(recorded.run_ids["recency"]).data.metrics
    assert metrics["test_roc_auc"] == 0.7
    assert metrics["test_roc_auc_low"] != metrics["test_roc_auc_low"]


def test_an_altered_bundle_is_not_recorded(settings: Settings, tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    (comparison.bundle / "model.onnx").write_bytes(b"another")
    with pytest.raises(BundleError):
        record(comparison, settings)
    assert client(settings).get_experiment_by_name(tmp_path.name) is None


def test_a_deleted_experiment_is_not_brought_back_unasked(settings: Settings, tmp_path: Path) -> None:
    record(make_comparison(tmp_path), settings)
    client(settings).delete_experiment(client(settings).get_experiment_by_name(tmp_path.name).experiment_id)
    with pytest.raises(
        RegistryError, match=f"experiment {tmp_path.name} was deleted; `mlflow experiments restore"
    ):
        record(make_comparison(tmp_path), settings)


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("gopher://here", "gopher://here: .*unsupported URI"),
        ("sqlite:///{folder}/text.db", "file is not a database"),
        ("sqlite:///{folder}/text.db/under/it.db", "text.db"),
        ("postgresql+none://me:secret@127.0.0.1:9/db", r"me:\*\*\*@127\.0\.0\.1"),
        ("postgresql+asyncpg://me:secret@127.0.0.1:9/db", "No module named 'asyncpg'"),
    ],
)
def test_a_store_that_cannot_be_used_is_an_error_of_ours(uri: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to look like one" * 100)
    settings = Settings(data_dir=tmp_path, tracking_uri=uri.format(folder=tmp_path))
    with pytest.raises(RegistryError, match=problem) as raised:
        record(make_comparison(tmp_path), settings)
    assert "secret" not in str(raised.value)
