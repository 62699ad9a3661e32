"""The last step: the comparison in MLflow, and the bundle judged against the champion that serves."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from churnops.bundle.bundle import Bundle, read_bundle
from churnops.bundle.manifest import Manifest, Metric
from churnops.config import Settings
from churnops.evaluation.intervals import bootstrap, paired_difference
from churnops.evaluation.leakage import Finding, too_good
from churnops.jobs.steps.audit import read_findings, read_groups, read_rounds
from churnops.jobs.steps.candidate import read_facts
from churnops.jobs.steps.dataset import DATASET
from churnops.jobs.steps.equivalence import read_differences
from churnops.jobs.steps.evaluation import PREDICTIONS, read_figures
from churnops.jobs.steps.learning import FLAVOUR
from churnops.jobs.steps.ledger import Done
from churnops.registry.aliases import champion, fetched_bundle
from churnops.registry.promotion import Evidence
from churnops.registry.tracking import CandidateRun, Comparison, Recorded, record
from churnops.training.candidates import one_column
from churnops.training.dataset import Columns, read_rows
from churnops.training.recipe import Recipe


@dataclass(frozen=True)
class Opponent:
    """The champion that serves, and how the new bundle compares."""

    model_version: str
    gain: Metric | None
    problem: str
    """Why it could not be compared."""


def register(
    bundle_folder: Path, recipe: Recipe, steps: Mapping[str, Done], settings: Settings, *, at: dt.datetime
) -> tuple[Recorded, Opponent | None]:
    """Record the comparison, the bundle and the evidence the gates will judge it by."""
    bundle = read_bundle(bundle_folder)
    opponent = _opponent(bundle, recipe, steps, settings)
    figures = read_figures(steps["evaluation"])
    metrics = {name: {k: Metric(**m) for k, m in of.items()} for name, of in figures["metrics"].items()}
    comparison = Comparison(
        key=steps["evaluation"].key,
        at=at,
        params={
            "seed": recipe.seed,
            "spans": bundle.manifest.spans,
            "feature_hash": bundle.manifest.feature_hash,
        },
        data_source=bundle.manifest.name,
        candidates=[
            CandidateRun(
                name,
                recipe.model_dump(mode="json"),
                history=read_facts(steps[name]).history,
                metrics=metrics[name],
                flavour=_flavour(steps[name]),
            )
            for name in figures["order"]
        ],
        bundle=bundle_folder,
        evidence=_evidence(bundle.manifest, steps, opponent),
        files=[steps["evaluation"].folder / PREDICTIONS],
        later=_equivalence(figures["between_frameworks"], steps),
    )
    return record(comparison, settings), opponent


def _equivalence(gain: Mapping[str, Any], steps: Mapping[str, Done]) -> dict[str, float]:
    """How far the two networks are apart: from the same start, and in their ROC AUC as trained."""
    if "equivalence" not in steps:
        return {}
    apart = {**read_differences(steps["equivalence"]), "roc_auc_gain": gain["roc_auc"]["value"]}
    apart |= {f"roc_auc_gain_{end}": gain["roc_auc"][end] for end in ("low", "high")}
    return {f"equivalence.{name}": figure for name, figure in apart.items()}


def _flavour(candidate: Done) -> Path | None:
    folder = candidate.folder / FLAVOUR
    return folder if folder.exists() else None


def all_findings(manifest: Manifest, audited: Done) -> tuple[Finding, ...]:
    """What the audit suspects, and the test figure itself where it is too good to be true."""
    return (*read_findings(audited), *too_good(manifest.metrics["roc_auc"].value))


def _evidence(manifest: Manifest, steps: Mapping[str, Done], opponent: Opponent | None) -> Evidence:
    figures = read_figures(steps["evaluation"])
    findings = all_findings(manifest, steps["audit"])
    return Evidence(
        candidate=manifest.candidate,
        one_column=one_column(manifest.shape),
        gain_over_recency=Metric(**figures["gain_over_one_column"]["roc_auc"]),
        champion=opponent.model_version if opponent else None,
        gain_over_champion=opponent.gain if opponent else None,
        champion_problem=opponent.problem if opponent else "",
        calibration_error=manifest.metrics["calibration_error"].value,
        parity=manifest.parity,
        labels_mature=True,  # plan_spans admits no other as_of, and labelled tables hold what has happened
        open_findings=tuple(one.text for one in findings if one.action == "reported"),
    )


def _opponent(
    bundle: Bundle, recipe: Recipe, steps: Mapping[str, Done], settings: Settings
) -> Opponent | None:
    """The champion, scored on the very rows the bundle was tested on."""
    serving = champion(settings.mlflow_uri, bundle.manifest.name)
    if serving is None or serving.content_hash == bundle.manifest.content_hash:
        return None
    with fetched_bundle(settings.mlflow_uri, serving) as folder:
        other = read_bundle(folder)
    problem = _incomparable(other.manifest, bundle.manifest, steps)
    if problem:
        return Opponent(serving.model_version, None, problem)
    columns = Columns(
        tuple(column.name for column in other.manifest.numeric),
        tuple(column.name for column in other.manifest.categorical),
    )
    test_N = read_rounds(steps["audit"]).test_N
    rows = read_rows(str(steps["dataset"].folder / DATASET), columns).take(test_N)
    predictions = pq.read_table(steps["evaluation"].folder / PREDICTIONS)
    scores = {
        "challenger": predictions[bundle.manifest.candidate].to_numpy(),
        "champion": other.score(rows.numeric_NF, rows.categorical_NC),
    }
    drawn = bootstrap(
        rows.churned_N,
        scores,
        groups=read_groups(steps["audit"])[test_N],
        resamples=recipe.resamples,
        seed=recipe.seed,
    )
    gain = paired_difference(drawn, "challenger", "champion")["roc_auc"]
    return Opponent(serving.model_version, Metric(value=gain.value, low=gain.low, high=gain.high), "")


def _incomparable(champion: Manifest, challenger: Manifest, steps: Mapping[str, Done]) -> str:
    """Why the champion cannot be held against the challenger on its test rows; empty when it can."""
    present = set(pq.read_schema(steps["dataset"].folder / DATASET).names)
    gone = sorted({column.name for column in champion.inputs} - present)
    if gone:
        return f"its columns {', '.join(gone)} are not in this data"
    if (champion.config_version, champion.horizon_days) != (
        challenger.config_version,
        challenger.horizon_days,
    ):
        return "it was trained for another version of the config or another horizon"
    if challenger.spans["test"][0].startswith("fold"):
        return "a table without dates has no rows it has not learnt from"
    learnt_until = dt.date.fromisoformat(max(champion.spans["validation"])) + dt.timedelta(
        days=champion.horizon_days or 0
    )
    if learnt_until > dt.date.fromisoformat(min(challenger.spans["test"])):
        return f"it learnt from labels up to {learnt_until}, and the test begins before"
    return ""
