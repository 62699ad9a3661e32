"""A comparison written down in MLflow: a run for the whole, one below it per candidate, one model version.

All of it goes through `MlflowClient`; the fluent globals (active run, current experiment) are left alone.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param, RunStatus
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID

from churnops.bundle.bundle import read_bundle
from churnops.bundle.manifest import Manifest
from churnops.bundle.manifest import Metric as Estimate
from churnops.config import Settings, dotted
from churnops.errors import RegistryError
from churnops.registry import artifacts
from churnops.registry.aliases import BUNDLE_FOLDER, Version, record_evidence, register
from churnops.registry.client import connect
from churnops.registry.promotion import Evidence
from churnops.storage import is_remote

KEY = "churnops.key"
_COMPARISON = "comparison"
FINISHED = RunStatus.to_string(RunStatus.FINISHED)
FLAVOUR = "model"
"""Where in a candidate's artifacts its network lies, as `mlflow.<framework>.load_model` takes it."""
_DIGEST_LENGTH = 36  # MLflow keeps no more of a data set's digest.


@dataclass(frozen=True)
class CandidateRun:
    """What one candidate leaves behind."""

    name: str
    params: Mapping[str, Any]
    """Its recipe; nested mappings become dotted names."""
    history: Sequence[Mapping[str, float]] = ()
    """One entry per epoch, the first is epoch 1."""
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    """Test figures by name; logged as `test_<name>`, `test_<name>_low` and `test_<name>_high`."""
    files: Sequence[Path] = ()
    """Plots and tables to keep."""
    flavour: Path | None = None
    """A network as an MLflow model, for a candidate that is one."""


@dataclass(frozen=True)
class Comparison:
    """One run of the whole job: every candidate, and the bundle made of the one chosen."""

    key: str
    """A hash of everything that went in. The same key is the same comparison and is written once."""
    at: dt.datetime
    """Start and end of every run, and the time of every metric."""
    params: Mapping[str, Any]
    """What all candidates share: seed, spans, feature hash."""
    data_source: str
    """Where the data came from, in words or as a path; its fingerprint stands in the bundle's manifest."""
    candidates: Sequence[CandidateRun]
    bundle: Path
    evidence: Evidence
    """What the gates will judge the bundle by."""
    files: Sequence[Path] = ()
    later: Mapping[str, float] = field(default_factory=dict)
    """Figures of the whole that may be found after it was first written, and are added then."""


@dataclass(frozen=True)
class Recorded:
    """Where a comparison stands in MLflow."""

    parent_run_id: str
    run_ids: Mapping[str, str]
    """Candidate -> run."""
    version: Version


def record(comparison: Comparison, settings: Settings) -> Recorded:
    """Write the comparison and register its bundle under the data config's name.

    Repeating it writes nothing twice: finished runs of the same key and a version with the same content are
    used as they are, runs that a killed process left unfinished are deleted and written anew, and the
    evidence and `later` are brought up to date. Raises RegistryError when the store refuses, and BundleError
    when the bundle is not whole.
    """
    manifest = read_bundle(comparison.bundle).manifest
    with connect(settings.mlflow_uri) as client:
        experiment_id = experiment(client, manifest.name, settings)
        runs = _finished(client, experiment_id, comparison) or _write(
            client, experiment_id, comparison, manifest
        )
        _add(client, runs.parent, comparison)
        version = register(client, manifest, run_id=runs.candidates[manifest.candidate])
        record_evidence(client, version, comparison.evidence)
    return Recorded(runs.parent, runs.candidates, version)


def attach(uri: str, run_id: str, files: Sequence[Path]) -> None:
    """Keep `files` with a run, in place of earlier ones of the same names."""
    with connect(uri) as client:
        for file in files:
            artifacts.keep(client, run_id, file)


@dataclass(frozen=True)
class _Runs:
    parent: str
    candidates: Mapping[str, str]


def experiment(client: MlflowClient, name: str, settings: Settings) -> str:
    """The id of the experiment of the data config `name`; raises RegistryError where it was deleted."""
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage != LifecycleStage.ACTIVE:
        raise RegistryError(
            f"experiment {name} was deleted; `mlflow experiments restore -x {found.experiment_id}`"
        )
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=_artifact_location(name, settings)))


def _artifact_location(name: str, settings: Settings) -> str | None:
    """In `data_dir`, where MLflow would use the working directory; None: a server knows its own place."""
    if settings.artifacts:
        below = f"{settings.artifacts.rstrip('/')}/{name}"
        return below if is_remote(below) else Path(below).resolve().as_uri()
    engine = urlsplit(settings.mlflow_uri).scheme.partition("+")[0]
    if engine not in DATABASE_ENGINES:
        return None
    return (settings.data_dir / "mlartifacts" / name).resolve().as_uri()


def _finished(client: MlflowClient, experiment_id: str, comparison: Comparison) -> _Runs | None:
    """The runs of the same key when all of them are finished; else what there is of them is deleted."""
    found = client.search_runs([experiment_id], f"tags.`{KEY}` = '{comparison.key}'")
    finished = {run.info.run_name: run.info.run_id for run in found if run.info.status == FINISHED}
    if finished.keys() == {_COMPARISON, *(candidate.name for candidate in comparison.candidates)}:
        return _Runs(finished.pop(_COMPARISON), finished)
    for run in found:
        client.delete_run(run.info.run_id)
    return None


def _write(client: MlflowClient, experiment_id: str, comparison: Comparison, manifest: Manifest) -> _Runs:
    """Write the parent first and finish it last: a finished parent vouches for the whole."""
    at = milliseconds(comparison.at)
    dataset = _dataset(comparison, manifest)
    chosen = {candidate.name: candidate for candidate in comparison.candidates}[manifest.candidate]
    whole = CandidateRun(
        _COMPARISON, {"candidate": chosen.name}, metrics=chosen.metrics, files=comparison.files
    )
    tags = {KEY: comparison.key, "model_version": manifest.model_version}
    parent = client.create_run(experiment_id, at, tags, _COMPARISON).info.run_id
    _log(client, parent, _with_params(whole, comparison.params), at=at, dataset=dataset)
    run_ids = {}
    for candidate in comparison.candidates:
        tags = {KEY: comparison.key, MLFLOW_PARENT_RUN_ID: parent}
        run_id = client.create_run(experiment_id, at, tags, candidate.name).info.run_id
        _log(client, run_id, _with_params(candidate, comparison.params), at=at, dataset=dataset)
        if candidate is chosen:
            client.set_tag(run_id, "model_version", manifest.model_version)
            artifacts.keep(client, run_id, comparison.bundle, BUNDLE_FOLDER)
        client.set_terminated(run_id, end_time=at)
        run_ids[candidate.name] = run_id
    client.set_terminated(parent, end_time=at)
    return _Runs(parent, run_ids)


def _add(client: MlflowClient, run_id: str, comparison: Comparison) -> None:
    """What the run does not have yet of the figures found later."""
    known, at = client.get_run(run_id).data.metrics, milliseconds(comparison.at)
    found = [Metric(name, value, at, 0) for name, value in comparison.later.items() if name not in known]
    client.log_batch(run_id, metrics=found)


def _dataset(comparison: Comparison, manifest: Manifest) -> DatasetInput:
    source = json.dumps({"uri": comparison.data_source})
    dataset = Dataset(manifest.name, manifest.data_fingerprint[:_DIGEST_LENGTH], "local", source)
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])


def _with_params(run: CandidateRun, shared: Mapping[str, Any]) -> CandidateRun:
    return replace(run, params={**shared, **run.params})


def _log(client: MlflowClient, run_id: str, run: CandidateRun, *, at: int, dataset: DatasetInput) -> None:
    params = [Param(name, text) for name, text in dotted(run.params)]
    client.log_batch(run_id, metrics=list(_metrics(run, at)), params=params)
    client.log_inputs(run_id, datasets=[dataset])
    for file in run.files:
        artifacts.keep(client, run_id, file)
    if run.flavour:
        artifacts.keep(client, run_id, run.flavour, FLAVOUR)


def _metrics(run: CandidateRun, at: int) -> Iterator[Metric]:
    for epoch, figures in enumerate(run.history, start=1):
        yield from (Metric(name, value, at, epoch) for name, value in figures.items())
    for name, estimate in run.metrics.items():
        yield Metric(f"test_{name}", estimate.value, at, 0)
        yield Metric(f"test_{name}_low", estimate.low, at, 0)
        yield Metric(f"test_{name}_high", estimate.high, at, 0)


def milliseconds(at: dt.datetime) -> int:
    """As MLflow counts time."""
    return round(at.timestamp() * 1000)
