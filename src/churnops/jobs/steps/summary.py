"""What the steps left behind, gathered into one `Result`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from churnops.bundle.bundle import Bundle
from churnops.bundle.manifest import Metric
from churnops.data_config import DataConfig
from churnops.jobs.promote import Decision
from churnops.jobs.steps.audit import read_rounds
from churnops.jobs.steps.candidate import read_facts
from churnops.jobs.steps.cleaning import fingerprint, read_report
from churnops.jobs.steps.dataset import DATASET, read_about
from churnops.jobs.steps.equivalence import read_differences
from churnops.jobs.steps.evaluation import read_figures
from churnops.jobs.steps.explanation import read_explanation
from churnops.jobs.steps.ledger import Done
from churnops.jobs.steps.packaging import spans
from churnops.jobs.steps.registration import all_findings
from churnops.registry.tracking import Recorded
from churnops.report.result import (
    CandidateResult,
    Churn,
    Equivalence,
    FeatureUsed,
    FindingMade,
    HorizonChoice,
    Registered,
    RepairDone,
    Result,
    Segment,
    Sources,
    Span,
)
from churnops.training.candidates import NETWORKS

_FEW = 50
"""Who left, or stayed, in the test: with fewer, a ROC AUC of 0.8 is uncertain by over 0.06 either way."""


def summarise(
    config: DataConfig,
    bundle: Bundle,
    steps: Mapping[str, Done],
    registry: Registered,
    paths: Mapping[str, str],
) -> Result:
    """One `Result` for `result.json` and the report."""
    figures, about = read_figures(steps["evaluation"]), read_about(steps["dataset"])
    explained, inside = read_explanation(steps["explanation"]), _spans(config, about, steps)
    candidates = tuple(_candidate(name, figures, steps[name]) for name in figures["order"])
    return Result(
        name=config.name,
        shape=config.shape,
        config_version=config.version,
        sources=_sources(steps["clean"]),
        churn=_churn(config, about["horizon"]),
        split="time" if about["plan"] else "folds",
        spans=inside,
        findings=tuple(FindingMade(**vars(one)) for one in all_findings(bundle.manifest, steps["audit"])),
        features=tuple(
            FeatureUsed(name=c.name, kind=c.kind, text=c.text, importance=explained["importances"][c.name])
            for c in bundle.manifest.inputs
        ),
        candidates=candidates,
        chosen=figures["chosen"],
        best_baseline=figures["best_baseline"],
        verdict=verdict(candidates, figures["chosen"], figures["best_baseline"], inside["test"]),
        threshold=bundle.manifest.threshold,
        slices=tuple(
            Segment(**{name: one[name] for name in Segment.model_fields}) for one in explained["slices"]
        ),
        equivalence=_equivalence(figures, steps),
        model_version=bundle.manifest.model_version,
        bundle_hash=bundle.manifest.content_hash,
        registry=registry,
        paths=dict(paths),
    )


def registered(recorded: Recorded, decision: Decision, champion_compared: str | None) -> Registered:
    """What the registry made of the bundle."""
    return Registered(
        version=recorded.version.number,
        run_id=recorded.parent_run_id,
        promoted=decision.promoted,
        reasons=decision.reasons,
        champion_version=decision.champion_version,
        champion_compared=champion_compared,
    )


def verdict(
    candidates: Sequence[CandidateResult], chosen: str, best_baseline: str, tested: Span
) -> tuple[str, ...]:
    """Which candidate is in the bundle, whether the network earned its place, and whether there was enough
    to tell."""
    by_name = {candidate.name: candidate for candidate in candidates}
    auc = by_name[chosen].metrics["roc_auc"]
    figures = f"{auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]"
    said = [f"{chosen} did best on the validation span and is in the bundle: test ROC AUC {figures}."]
    for name in (name for name in NETWORKS if name in by_name):
        gain = by_name[name].gain["roc_auc"]
        against = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] ROC AUC against {best_baseline}"
        said.append(f"The network ({name}) {_judged(gain)}: {against}.")
    left = round(tested.rows * tested.churn_rate)
    rarer, what = min((left, "left"), (tested.rows - left, "stayed"))
    if rarer < _FEW:
        said.append(
            f"Only {rarer} of {tested.rows} tested rows {what}: too few for any figure to be trusted."
        )
    return tuple(said)


def _judged(gain: Metric) -> str:
    if gain.low > 0:
        return "beats the best baseline"
    return (
        "is worse than the best baseline"
        if gain.high < 0
        else "does not beat the best baseline beyond chance"
    )


def _equivalence(figures: Mapping[str, Any], steps: Mapping[str, Done]) -> Equivalence | None:
    if "equivalence" not in steps:
        return None
    gain = {key: Metric(**metric) for key, metric in figures["between_frameworks"].items()}
    return Equivalence(**read_differences(steps["equivalence"]), gain=gain)


def _candidate(name: str, figures: Mapping[str, Any], done: Done) -> CandidateResult:
    facts = read_facts(done)
    return CandidateResult(
        name=name,
        validation_auc=facts.validation_auc,
        metrics={key: Metric(**metric) for key, metric in figures["metrics"][name].items()},
        gain={key: Metric(**metric) for key, metric in figures["gains"].get(name, {}).items()},
        epochs=len(facts.history),
        parity=facts.parity,
    )


def _sources(cleaned: Done) -> Sources:
    report = read_report(cleaned)
    return Sources(
        rows_read={name: count["rows_read"] for name, count in report["tables"].items()},
        rows_kept={name: count["rows_kept"] for name, count in report["tables"].items()},
        repairs=tuple(RepairDone(**repair) for repair in report["repairs"]),
        notes=tuple(report["notes"]),
        fingerprint=fingerprint(cleaned),
    )


def _churn(config: DataConfig, horizon: Mapping[str, Any] | None) -> Churn | None:
    if config.churn is None or horizon is None:
        return None
    wanted = HorizonChoice.model_fields
    return Churn(
        horizon_days=config.churn.horizon_days,
        active_days=config.churn.active_days,
        proposed_days=horizon["proposed_days"],
        choices=tuple(HorizonChoice(**{name: one[name] for name in wanted}) for one in horizon["choices"]),
    )


def _spans(config: DataConfig, about: Mapping[str, Any], steps: Mapping[str, Done]) -> dict[str, Span]:
    rows = pq.read_table(steps["dataset"].folder / DATASET, columns=["customer_id", "churned"])
    rounds = read_rounds(steps["audit"])
    inside: dict[str, npt.NDArray[np.intp]] = {
        "train": rounds.bundled.train_N,
        "validation": rounds.bundled.validation_N,
        "test": rounds.test_N,
    }
    return {
        name: Span(
            when=when,
            rows=inside[name].size,
            customers=len(rows["customer_id"].take(inside[name]).unique()),
            churn_rate=float(rows["churned"].to_numpy()[inside[name]].mean()),
        )
        for name, when in spans(config, about).items()
    }
