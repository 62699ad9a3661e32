"""What a search for a recipe leaves in MLflow, and that going on with it writes nothing twice."""

import dataclasses
from pathlib import Path

import pytest
from comparisons import NOON
from mlflow import MlflowClient
from mlflow.entities import Run

from churnops.config import Settings
from churnops.registry.studies import StudyRun, TrialRun, record_study

START = TrialRun(0, {"schedule": {"rate": 0.1}}, (0.6, 0.5), {"log_loss": 0.5, "roc_auc": 0.8})
GIVEN_UP = TrialRun(1, {"schedule": {"rate": 0.9}}, (0.7,), {})
BETTER = TrialRun(2, {"schedule": {"rate": 0.2}}, (), {"log_loss": 0.4, "roc_auc": 0.9})


@pytest.fixture
def settings(tracking_uri: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "our data", tracking_uri=tracking_uri)


@pytest.fixture
def study(tmp_path: Path) -> StudyRun:
    recipe = tmp_path / "shop.toml"
    recipe.write_text("seed = 0")
    return StudyRun(tmp_path.name, f"key of {tmp_path.name}", NOON, "torch", (START, GIVEN_UP), 0, recipe)


def client(settings: Settings) -> MlflowClient:
    return MlflowClient(settings.mlflow_uri, settings.mlflow_uri)


def runs(settings: Settings, name: str) -> dict[str, Run]:
    experiment = client(settings).get_experiment_by_name(name)
    found = client(settings).search_runs([experiment.experiment_id])
    by_name = {run.info.run_name: run for run in found}
    assert len(by_name) == len(found)
    return by_name


def test_each_trial_is_a_run_below_that_of_the_study(settings: Settings, study: StudyRun) -> None:
    parent = record_study(study, settings)

    found = runs(settings, study.name)
    assert found.keys() == {"study", "trial 0", "trial 1"}
    assert all(run.info.status == "FINISHED" for run in found.values())
    assert all(found[f"trial {n}"].data.tags["mlflow.parentRunId"] == parent for n in (0, 1))
    first = found["trial 0"]
    assert first.data.params == {"framework": "torch", "schedule.rate": "0.1"}
    assert first.data.metrics == {
        "validation_loss": 0.5,
        "validation_log_loss": 0.5,
        "validation_roc_auc": 0.8,
    }
    history = client(settings).get_metric_history(first.info.run_id, "validation_loss")
    assert [(one.step, one.value) for one in history] == [(1, 0.6), (2, 0.5)]
    assert [found[f"trial {n}"].data.tags["state"] for n in (0, 1)] == ["complete", "given up"]
    assert [file.path for file in client(settings).list_artifacts(parent)] == ["shop.toml"]


def test_going_on_adds_the_new_trials_only(settings: Settings, study: StudyRun) -> None:
    parent = record_study(study, settings)
    before = runs(settings, study.name)

    again = record_study(dataclasses.replace(study, trials=(*study.trials, BETTER), best=2), settings)

    after = runs(settings, study.name)
    assert again == parent
    assert after.keys() - before.keys() == {"trial 2"}
    assert all(after[name].info.run_id == run.info.run_id for name, run in before.items())
    assert after["study"].data.metrics == {
        "trials": 3,
        "best_trial": 2,
        "validation_log_loss": 0.4,
        "validation_roc_auc": 0.9,
    }


def test_what_a_killed_process_left_is_written_anew(settings: Settings, study: StudyRun) -> None:
    parent = record_study(study, settings)
    left = runs(settings, study.name)["trial 1"].info.run_id
    client(settings).update_run(left, status="RUNNING")
    client(settings).update_run(parent, status="RUNNING")

    assert record_study(study, settings) == parent

    found = runs(settings, study.name)
    assert found["trial 1"].info.run_id != left
    assert all(run.info.status == "FINISHED" for run in found.values())
