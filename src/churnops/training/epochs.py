"""How a network learns, epoch by epoch: the same in every framework. Shapes: N rows, B rows of a batch."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from churnops.errors import Diverged
from churnops.training.fit import Epoch, OnEpoch
from churnops.training.network import Dense, epoch_batches
from churnops.training.recipe import Recipe, Schedule

Batches = Sequence[npt.NDArray[np.intp]]
"""Row numbers of each step."""


class Learner(Protocol):
    """A network and its optimiser in one framework, the rows it learns from and those it is judged by."""

    def learn(self, batches: Batches, learning_rate: float) -> npt.NDArray[np.float64]:
        """One step for each batch, dropout on; the mean loss of each."""

    def validation_loss(self) -> float:
        """Dropout off."""

    def weights(self) -> tuple[Dense, ...]:
        """A copy of what the network has learnt so far."""

    def load(self, weights: tuple[Dense, ...]) -> None:
        """Go on from these."""


def learn_epochs(learner: Learner, rows: int, recipe: Recipe, *, on_epoch: OnEpoch) -> tuple[Epoch, ...]:
    """Learn from `rows` training rows until the schedule ends; leave the best epoch's weights in `learner`.

    Raises Diverged, with the best weights in place, when a loss is no finite number.
    """
    schedule = recipe.schedule
    batch_size = max(schedule.batch_size, rows // schedule.batches)
    history: list[Epoch] = []
    best_loss, best_weights, best_epoch = math.inf, learner.weights(), 0
    for number in range(1, schedule.max_epochs + 1):
        batches = epoch_batches(rows, batch_size, seed=recipe.seed, epoch=number)
        loss_by_batch = learner.learn(batches, learning_rate(schedule, number))
        loss = learner.validation_loss()
        if not (np.isfinite(loss_by_batch).all() and math.isfinite(loss)):
            learner.load(best_weights)
            raise Diverged(_where(loss_by_batch, number), best_epoch)
        train_loss = float(np.average(loss_by_batch, weights=[len(batch) for batch in batches]))
        history.append(Epoch(number, {"train_loss": train_loss, "validation_loss": loss}))
        on_epoch(history[-1])
        if loss < best_loss:
            best_loss, best_weights, best_epoch = loss, learner.weights(), number
        elif number - best_epoch >= schedule.patience:
            break
    learner.load(best_weights)
    return tuple(history)


def learning_rate(schedule: Schedule, epoch: int) -> float:
    """Half a cosine from the schedule's rate at epoch 1 towards 0 (Loshchilov and Hutter 2017, ICLR)."""
    return schedule.learning_rate * (1.0 + math.cos(math.pi * (epoch - 1) / schedule.max_epochs)) / 2.0


def _where(loss_by_batch: npt.NDArray[np.float64], epoch: int) -> str:
    broken = np.flatnonzero(~np.isfinite(loss_by_batch))
    place = f"in batch {broken[0] + 1} of {loss_by_batch.size}" if broken.size else "on the validation rows"
    return f"epoch {epoch}: the loss is not finite {place}"
