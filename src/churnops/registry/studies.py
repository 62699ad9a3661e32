"""A search for a recipe written down in MLflow: a run for the whole, one below it per trial."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from churnops.config import Settings, dotted
from churnops.registry import artifacts
from churnops.registry.client import connect
from churnops.registry.tracking import FINISHED, KEY, experiment, milliseconds

_STUDY = "study"
_MOST_RUNS = 50_000  # MLflow gives no more at once


@dataclass(frozen=True)
class TrialRun:
    """One recipe that was tried."""

    number: int
    params: Mapping[str, Any]
    """Its recipe; nested mappings become dotted names."""
    history: Sequence[float]
    """Validation log loss, one per epoch."""
    figures: Mapping[str, float]
    """Logged as `validation_<name>`; empty where the trial was given up early."""


@dataclass(frozen=True)
class StudyRun:
    """A search for a recipe: a run for the whole, one below it per trial."""

    name: str
    """The data config's: its experiment holds the study."""
    key: str
    """The same key is the same study: trials are added to it, none is written twice."""
    at: dt.datetime
    """Start and end of the runs written now."""
    framework: str
    trials: Sequence[TrialRun]
    best: int
    """The number of one of them."""
    recipe: Path
    """The file that holds the best."""


def record_study(study: StudyRun, settings: Settings) -> str:
    """Write what is not yet written of the study, and which trial is the best; the id of its run.

    What a killed process left half written is deleted and written anew. Raises RegistryError.
    """
    at = milliseconds(study.at)
    with connect(settings.mlflow_uri) as client:
        experiment_id = experiment(client, study.name, settings)
        there = _written(client, experiment_id, study.key)
        whole = there.get(_STUDY)
        parent = whole or client.create_run(experiment_id, at, {KEY: study.key}, _STUDY).info.run_id
        for trial in study.trials:
            if _trial_name(trial) not in there:
                _write_trial(client, experiment_id, study, trial, parent)
        best = study.trials[study.best]
        figures = {"trials": len(study.trials), "best_trial": best.number, **_validation(best)}
        client.log_batch(
            parent, [Metric(name, figure, at, len(study.trials)) for name, figure in figures.items()]
        )
        artifacts.keep(client, parent, study.recipe)
        client.set_tag(parent, "framework", study.framework)
        client.set_terminated(parent, end_time=at)
    return str(parent)


def _written(client: MlflowClient, experiment_id: str, key: str) -> dict[str, str]:
    """Name -> run of what is there of a study; trials that were left half written are deleted."""
    kept: dict[str, str] = {}
    for run in client.search_runs([experiment_id], f"tags.`{KEY}` = '{key}'", max_results=_MOST_RUNS):
        if run.info.run_name == _STUDY or run.info.status == FINISHED:
            kept[run.info.run_name] = run.info.run_id
        else:
            client.delete_run(run.info.run_id)
    return kept


def _write_trial(
    client: MlflowClient, experiment_id: str, study: StudyRun, trial: TrialRun, parent: str
) -> None:
    at = milliseconds(study.at)
    state = "complete" if trial.figures else "given up"
    tags = {KEY: study.key, MLFLOW_PARENT_RUN_ID: parent, "state": state}
    run_id = client.create_run(experiment_id, at, tags, _trial_name(trial)).info.run_id
    metrics = [
        Metric("validation_loss", loss, at, epoch) for epoch, loss in enumerate(trial.history, start=1)
    ]
    metrics += [Metric(name, figure, at, 0) for name, figure in _validation(trial).items()]
    params = [Param(name, text) for name, text in dotted({"framework": study.framework, **trial.params})]
    client.log_batch(run_id, metrics=metrics, params=params)
    client.set_terminated(run_id, end_time=at)


def _trial_name(trial: TrialRun) -> str:
    return f"trial {trial.number}"


def _validation(trial: TrialRun) -> dict[str, float]:
    return {f"validation_{name}": figure for name, figure in trial.figures.items()}
