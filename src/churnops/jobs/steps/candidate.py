"""Step 4, once per candidate: fit, calibrate, score the test, export."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.parquet as pq

from churnops.evaluation.calibration import Platt
from churnops.evaluation.metrics import Array
from churnops.jobs.steps.apart import together
from churnops.jobs.steps.audit import Prepared
from churnops.jobs.steps.learning import FACTS, SCORES, Assignment, Facts, Held, learn
from churnops.jobs.steps.ledger import Done, Ledger
from churnops.progress import Tell
from churnops.training.candidates import NETWORKS, joined
from churnops.training.dataset import Columns, read_rows
from churnops.training.fit import Epoch
from churnops.training.group import ALONE, Group, Place, local_places
from churnops.training.recipe import Recipe
from churnops.training.rounds import Rounds


@dataclass(frozen=True)
class Task:
    """What there is to learn, and from what; crosses to another process."""

    assignment: Assignment
    dataset: str
    columns: Columns
    horizon_days: int
    rounds: Rounds
    depends_on: Mapping[str, Any]
    """What decides the outcome, as JSON has it."""
    key: str
    """The hash of that."""

    @property
    def is_network(self) -> bool:
        """Whether it learns where the trainer says; the others are quick, and learn here."""
        return self.assignment.name in NETWORKS

    @property
    def step(self) -> str:
        """The name of the step that does it."""
        return f"candidates/{self.assignment.name}"


class Trainer(Protocol):
    """Where networks learn."""

    @property
    def place(self) -> Mapping[str, Any]:
        """What of it decides the outcome, as JSON has it; empty for one process on this machine."""

    def begin(self, tasks: Sequence[Task], ship: Callable[[], Path], tell: Tell) -> None:
        """Get ready for tasks that `train` will be called with one by one; `ship` makes the shipment."""

    def train(self, task: Task, to: Path, tell: Tell) -> None:
        """Leave the files of a `Learnt` in `to`."""


@dataclass(frozen=True)
class Here:
    """On this machine, in so many processes; one process imports one framework."""

    processes: int = 1

    @property
    def place(self) -> Mapping[str, Any]:
        """How the rows are shared out."""
        return {"processes": self.processes} if self.processes > 1 else {}

    def begin(self, tasks: Sequence[Task], ship: Callable[[], Path], tell: Tell) -> None:
        """Nothing: networks take the cores in turn."""

    def train(self, task: Task, to: Path, tell: Tell) -> None:
        """Start the processes and wait for them."""
        places = local_places(self.processes) if self.processes > 1 else [None]
        together(_learn_apart, [(task, place, to) for place in places], tell)


def task_of(name: str, recipe: Recipe, prepared: Prepared, ledger: Ledger, trainer: Trainer) -> Task:
    """What there is to do for the candidate `name`.

    A network leaves checkpoints beside the steps until it is done: a run that is stopped goes on from them.
    """
    depends_on = {**prepared.depends_on, "recipe": recipe.model_dump(mode="json")}
    depends_on |= trainer.place if name in NETWORKS else {}
    key = ledger.key(f"candidates/{name}", depends_on)
    checkpoints = _checkpoints(ledger, name) / key[:12] if name in NETWORKS else None
    return Task(
        Assignment(name, recipe, checkpoints),
        dataset=prepared.address,
        columns=prepared.columns,
        horizon_days=prepared.horizon_days,
        rounds=prepared.rounds,
        depends_on=depends_on,
        key=key,
    )


def candidate_step(task: Task, ledger: Ledger, trainer: Trainer) -> Done:
    """The candidate's test scores, its ONNX graph, and what there is to know of its fit."""

    def work(to: Path) -> None:
        if task.is_network:
            trainer.train(task, to, ledger.tell)
        else:
            _learn(task, ALONE, to, ledger.tell)

    done = ledger.step(task.step, task.depends_on, work)
    shutil.rmtree(_checkpoints(ledger, task.assignment.name), ignore_errors=True)
    return done


def read_facts(candidate: Done) -> Facts:
    """What `candidate_step` found out."""
    said = candidate.read_json(FACTS)
    return Facts(**{**said, "calibration": Platt(**said["calibration"]), "history": tuple(said["history"])})


def read_scores(candidate: Done) -> Array:
    """The scores of the tested rows, in the order of `Rounds.test_N`."""
    return np.asarray(pq.read_table(candidate.folder / SCORES)["score"].to_numpy())


def _checkpoints(ledger: Ledger, name: str) -> Path:
    return ledger.folder / ".checkpoints" / name


def _learn_apart(seat: tuple[Task, Place | None, Path], tell: Tell) -> None:
    task, place, to = seat
    with joined(task.assignment.name, place) as group:
        _learn(task, group, to, tell)


def _learn(task: Task, group: Group, to: Path, tell: Tell) -> None:
    def on_epoch(epoch: Epoch) -> None:
        figures = "  ".join(f"{what} {figure:.4f}" for what, figure in epoch.figures.items())
        if group.rank == 0:
            tell(task.assignment.name, f"epoch {epoch.number}  {figures}")

    rows = read_rows(task.dataset, task.columns, horizon_days=task.horizon_days)
    held = Held(rows, np.arange(len(rows)), task.rounds.share(group.rank, group.size))
    learnt = learn(task.assignment, held, group, on_epoch)
    if group.rank == 0:
        learnt.write(to)
