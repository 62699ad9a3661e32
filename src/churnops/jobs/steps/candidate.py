"""Step 4, once per candidate: fit, calibrate, score the test, export."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from churnops.evaluation.calibration import Platt, fit_platt
from churnops.evaluation.metrics import Array, auc_of
from churnops.export.onnx import to_onnx
from churnops.export.parity import check_parity
from churnops.jobs.steps.apart import apart
from churnops.jobs.steps.audit import read_columns, read_rounds
from churnops.jobs.steps.dataset import DATASET, read_about
from churnops.jobs.steps.ledger import Done, Ledger, write_json
from churnops.progress import Tell
from churnops.training.baselines import Boosted, Linear
from churnops.training.bgnbd import BgNbd
from churnops.training.candidates import NETWORKS, fit
from churnops.training.dataset import Columns, Rows, read_rows
from churnops.training.fit import Epoch, Fit, OnEpoch
from churnops.training.recipe import Recipe
from churnops.training.rounds import Round, Rounds

MODEL = "model.onnx"
PREDICTIONS = "predictions.parquet"
_FACTS = "candidate.json"


@dataclass(frozen=True)
class Facts:
    """What is known of a candidate before it is compared."""

    name: str
    validation_auc: float
    """The mean over the rounds."""
    calibration: Platt
    threshold: float
    """The score that the recipe's top share of the validation customers reaches."""
    parity: float
    history: tuple[Mapping[str, float], ...]
    """One entry per epoch of the fit in the bundle."""


@dataclass(frozen=True)
class _Task:
    """What there is to learn, and from what; crosses to another process."""

    name: str
    recipe: Recipe
    dataset: str
    columns: Columns
    horizon_days: int
    rounds: Rounds
    to: Path


@dataclass(frozen=True)
class _Calibrated:
    fit: Fit
    platt: Platt
    validation_score_N: Array
    validation_auc: float

    def score(self, rows: Rows) -> Array:
        return self.platt.apply(self.fit.model.logits(rows))


def candidate_step(name: str, recipe: Recipe, dataset: Done, audited: Done, ledger: Ledger) -> Done:
    """The candidate's test scores, its ONNX graph, and what there is to know of its fit."""

    def work(to: Path) -> None:
        plan = read_about(dataset)["plan"]
        task = _Task(
            name,
            recipe,
            dataset=str(dataset.folder / DATASET),
            columns=read_columns(audited),
            horizon_days=plan["horizon_days"] if plan else 0,
            rounds=read_rounds(audited),
            to=to,
        )
        if name in NETWORKS:  # one process imports one framework
            apart(_learn, task, ledger.tell)
        else:
            _learn(task, ledger.tell)

    depends_on = {"dataset": dataset.key, "audit": audited.key, "recipe": recipe.model_dump(mode="json")}
    return ledger.step(f"candidates/{name}", depends_on, work)


def _learn(task: _Task, tell: Tell) -> None:
    def on_epoch(epoch: Epoch) -> None:
        figures = "  ".join(f"{what} {figure:.4f}" for what, figure in epoch.figures.items())
        tell(task.name, f"epoch {epoch.number}  {figures}")

    rows, rounds = read_rows(task.dataset, task.columns, horizon_days=task.horizon_days), task.rounds
    fitted = [_fit(task, rows, one, on_epoch) for one in rounds.tested]
    scores = [fit.score(rows.take(one.test_N)) for fit, one in zip(fitted, rounds.tested, strict=True)]
    again = rounds.bundled is not rounds.tested[0]
    bundled = _fit(task, rows, rounds.bundled, on_epoch) if again else fitted[0]
    graph = to_onnx(bundled.fit.model, rows.columns, bundled.platt)
    tested = rows.take(rounds.test_N)
    above = 1 - task.recipe.threshold_top_percent / 100
    facts = {
        "name": task.name,
        "validation_auc": float(np.mean([one.validation_auc for one in fitted])),
        "calibration": {"slope": bundled.platt.slope, "intercept": bundled.platt.intercept},
        "threshold": float(np.quantile(bundled.validation_score_N, above)),
        "parity": check_parity(graph, tested, bundled.score(tested)),
        "history": [dict(epoch.figures) for epoch in bundled.fit.history],
    }
    (task.to / MODEL).write_bytes(graph)
    if not isinstance(bundled.fit.model, Linear | Boosted | BgNbd):
        bundled.fit.model.save(task.to)
    pq.write_table(_predictions(tested, np.concatenate(scores)), task.to / PREDICTIONS)
    write_json(task.to / _FACTS, facts)


def read_facts(candidate: Done) -> Facts:
    """What `candidate_step` found out."""
    facts = candidate.read_json(_FACTS)
    facts["calibration"] = Platt(**facts["calibration"])
    facts["history"] = tuple(facts["history"])
    return Facts(**facts)


def read_predictions(candidate: Done) -> pa.Table:
    """`customer_id`, `as_of`, `churned`, `score` of the test rows: in the same order for every candidate."""
    return pq.read_table(candidate.folder / PREDICTIONS)


def _fit(task: _Task, rows: Rows, round_: Round, on_epoch: OnEpoch) -> _Calibrated:
    validation = rows.take(round_.validation_N)
    fitted = fit(task.name, rows.take(round_.train_N), validation, task.recipe, on_epoch=on_epoch)
    logit_N = fitted.model.logits(validation)
    platt = fit_platt(logit_N, validation.churned_N)
    score_N = platt.apply(logit_N)
    return _Calibrated(fitted, platt, score_N, auc_of(validation.churned_N, score_N))


def _predictions(rows: Rows, score_N: Array) -> pa.Table:
    return pa.table(
        {
            "customer_id": pa.array(rows.customer_id_N, pa.string()),
            "as_of": pa.array(rows.as_of_N),
            "churned": rows.churned_N,
            "score": score_N,
        }
    )
