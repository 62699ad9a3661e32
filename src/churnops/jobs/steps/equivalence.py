"""Step 6, where both frameworks compete: whether theirs is one and the same network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit

from churnops.jobs.steps.apart import apart
from churnops.jobs.steps.audit import Prepared
from churnops.jobs.steps.ledger import Done, Ledger, write_json
from churnops.progress import Tell
from churnops.training.candidates import NETWORKS, fit
from churnops.training.dataset import Columns, read_rows
from churnops.training.recipe import Recipe
from churnops.training.rounds import Round

_DIFFERENCES = "equivalence.json"


@dataclass(frozen=True)
class _Task:
    framework: str
    recipe: Recipe
    dataset: str
    columns: Columns
    round: Round
    to: Path


def equivalence_step(recipe: Recipe, prepared: Prepared, ledger: Ledger) -> Done:
    """One epoch in either framework without dropout, from the same weights and in the same batches."""
    quiet = recipe.model_copy(
        update={
            "network": recipe.network.model_copy(update={"dropout": 0.0}),
            "schedule": recipe.schedule.model_copy(update={"max_epochs": 1}),
        }
    )

    def work(to: Path) -> None:
        where = (prepared.address, prepared.columns, prepared.rounds.bundled, to)
        for framework in NETWORKS:
            apart(_learn, _Task(framework, quiet, *where), ledger.tell)
        loss_by_framework = [np.load(to / f"{framework}.losses.npy") for framework in NETWORKS]
        score_by_framework = [np.load(to / f"{framework}.scores.npy") for framework in NETWORKS]
        differences = {
            "loss": float(np.abs(np.subtract(*loss_by_framework)).max()),
            "score": float(np.abs(np.subtract(*score_by_framework)).max()),
        }
        write_json(to / _DIFFERENCES, differences)

    depends_on = {**prepared.depends_on, "recipe": quiet.model_dump(mode="json")}
    return ledger.step("equivalence", depends_on, work)


def read_differences(compared: Done) -> Mapping[str, float]:
    """The largest between the frameworks: of a `loss` after any epoch, of a validation row's `score`."""
    differences: Mapping[str, float] = compared.read_json(_DIFFERENCES)
    return differences


def _learn(task: _Task, tell: Tell) -> None:
    rows = read_rows(task.dataset, task.columns)
    train, validation = rows.take(task.round.train_N), rows.take(task.round.validation_N)
    fitted = fit(task.framework, train, validation, task.recipe, on_epoch=lambda _: None)
    tell("equivalence", task.framework)
    np.save(task.to / f"{task.framework}.losses.npy", [list(one.figures.values()) for one in fitted.history])
    np.save(task.to / f"{task.framework}.scores.npy", expit(fitted.model.logits(validation)))
