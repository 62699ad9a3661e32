"""How a network learns, epoch by epoch: the same in every framework, alone or in a group.

Shapes: N rows, B rows of a batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from churnops.errors import Diverged
from churnops.evaluation.metrics import auc_of
from churnops.training.checkpoint import Checkpoint, owner_of, resume, save
from churnops.training.fit import Epoch, OnEpoch
from churnops.training.group import LONE_HOST, Host, Index, gather_array
from churnops.training.network import Weights, epoch_batches
from churnops.training.recipe import Recipe, Schedule


@dataclass(frozen=True)
class Lesson:
    """What one process learns in one epoch."""

    batches: Sequence[Index]
    """Its own rows of each step; there may be none in one, and the step is made all the same."""
    sizes: Sequence[int]
    """The rows of each step in the whole group: a step follows the mean over these."""
    learning_rate: float
    seed: int
    """Of its dropout: another one for each epoch and process, so that training can begin at any epoch."""


class Learner(Protocol):
    """A network and its optimiser in one framework, the rows it learns from and those it is judged by."""

    def learn(self, lesson: Lesson) -> npt.NDArray[np.float64]:
        """One step for each batch, dropout on; this process's part of each batch's mean loss."""

    def validation_logits(self) -> npt.NDArray[np.float64]:
        """Of its validation rows, dropout off."""

    def weights(self) -> Weights:
        """A copy of what the network has learnt so far."""

    def load(self, weights: Weights) -> None:
        """Go on from these."""

    def momentum(self) -> Weights:
        """A copy of what the optimiser remembers."""

    def load_momentum(self, momentum: Weights) -> None:
        """Remember this."""


@dataclass(frozen=True)
class Span:
    """What is learnt from and judged by."""

    train: int
    """The rows that all processes hold together."""
    validation_churned_N: npt.NDArray[np.bool_]
    """Of the validation rows that this one holds."""


def learn_epochs(
    learner: Learner, span: Span, recipe: Recipe, *, on_epoch: OnEpoch, host: Host = LONE_HOST
) -> tuple[Epoch, ...]:
    """Learn until the schedule ends; leave the best epoch's weights in `learner`.

    Goes on from `host`'s checkpoint, to the same end as without a pause. Raises Diverged, with the best
    weights in place, when a loss is no finite number; the last checkpoint stays. Raises ConfigError for a
    checkpoint of another recipe or of other rows.
    """
    owner = owner_of(recipe, span.train)
    done = resume(host, owner) or Checkpoint((), 0, math.inf, best=learner.weights())
    if done.history:
        learner.load(done.weights)
        learner.load_momentum(done.momentum)
    while not _is_over(done, recipe.schedule):
        try:
            epoch = _learn_epoch(learner, span, recipe, number=len(done.history) + 1, host=host)
        except _NotFinite as error:
            learner.load(done.best)
            raise Diverged(str(error), done.best_epoch) from None
        done = _after(epoch, learner, done, recipe.schedule)
        save(done, host, owner)
        on_epoch(epoch)
    learner.load(done.best)
    return done.history


def learning_rate(schedule: Schedule, epoch: int) -> float:
    """Half a cosine from the schedule's rate at epoch 1 towards 0 (Loshchilov and Hutter 2017, ICLR)."""
    return schedule.learning_rate * (1.0 + math.cos(math.pi * (epoch - 1) / schedule.max_epochs)) / 2.0


class _NotFinite(Exception):
    """Says where a loss is no finite number."""


def _learn_epoch(learner: Learner, span: Span, recipe: Recipe, *, number: int, host: Host) -> Epoch:
    schedule = recipe.schedule
    batch_size = max(schedule.batch_size, span.train // schedule.batches)
    batches = epoch_batches(span.train, batch_size, seed=recipe.seed, epoch=number)
    sizes = [len(batch) for batch in batches]
    seed = np.random.SeedSequence([recipe.seed, number, host.group.rank]).generate_state(1)
    part_by_batch = learner.learn(
        Lesson(host.own(batches), sizes, learning_rate(schedule, number), int(seed[0]))
    )
    loss_by_batch = _summed(host, part_by_batch)
    judged = _judged(learner, span, host)
    if not (np.isfinite(loss_by_batch).all() and math.isfinite(judged["validation_loss"])):
        raise _NotFinite(_where(loss_by_batch, number))
    return Epoch(number, {"train_loss": float(np.average(loss_by_batch, weights=sizes)), **judged})


def _judged(learner: Learner, span: Span, host: Host) -> dict[str, float]:
    """Log loss and ROC AUC on the validation rows of all processes; NaN where a logit is no number."""
    logit_N = gather_array(host.group, learner.validation_logits())
    churned_N = gather_array(host.group, span.validation_churned_N)
    if not np.isfinite(logit_N).all():
        return {"validation_loss": math.nan, "validation_auc": math.nan}
    loss = float(np.mean(np.logaddexp(0.0, logit_N) - logit_N * churned_N))
    return {"validation_loss": loss, "validation_auc": auc_of(churned_N, logit_N)}


def _after(epoch: Epoch, learner: Learner, done: Checkpoint, schedule: Schedule) -> Checkpoint:
    weights = learner.weights()
    loss = (
        epoch.figures["validation_loss"] if schedule.best_by == "loss" else -epoch.figures["validation_auc"]
    )
    is_best = loss < done.best_loss
    return Checkpoint(
        (*done.history, epoch),
        epoch.number if is_best else done.best_epoch,
        loss if is_best else done.best_loss,
        best=weights if is_best else done.best,
        weights=weights,
        momentum=learner.momentum(),
    )


def _is_over(done: Checkpoint, schedule: Schedule) -> bool:
    number = len(done.history)
    return number >= schedule.max_epochs or number - done.best_epoch >= schedule.patience


def _summed(host: Host, part: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sum over all processes: the same number on each of them."""
    total: npt.NDArray[np.float64] = gather_array(host.group, part).reshape(-1, part.size).sum(axis=0)
    return total


def _where(loss_by_batch: npt.NDArray[np.float64], epoch: int) -> str:
    broken = np.flatnonzero(~np.isfinite(loss_by_batch))
    place = f"in batch {broken[0] + 1} of {loss_by_batch.size}" if broken.size else "on the validation rows"
    return f"epoch {epoch}: the loss is not finite {place}"
