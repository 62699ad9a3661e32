"""Training in several processes, as tests start it."""

import os
import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np
from customers import make_customers

from churnops.jobs.steps.apart import together
from churnops.training.candidates import fit, joined
from churnops.training.group import Host, Place, local_places
from churnops.training.recipe import Recipe


class Seat(NamedTuple):
    framework: str
    recipe: Recipe
    place: Place | None
    rows: tuple[int, ...]
    """Which of the 3,001 customers it holds, as edges of the slices by rank."""
    to: Path
    kept: Path | None = None
    dies_after: int = 0
    """The last process ends itself after so many epochs; 0: never."""


def train(framework, recipe, to, *, edges=(), kept=None, dies_after=0, tell=lambda *_: None):
    """Train in a process per slice of the customers, `edges` between them; the weights of each."""
    n = len(edges) + 1
    places = local_places(n) if n > 1 else [None]
    seats = [Seat(framework, recipe, place, (0, *edges, 3001), to, kept, dies_after) for place in places]
    together(_learn, seats, tell)
    return [dict(np.load(to / f"{framework}-{rank}.npz")) for rank in range(n)]


def _learn(seat, tell):
    def on_epoch(epoch):
        tell(f"process {group.rank}", f"epoch {epoch.number} {epoch.figures['train_loss']:.6f}")
        if seat.dies_after == epoch.number and group.rank == group.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    with joined(seat.framework, seat.place) as group:
        number_N = np.arange(*seat.rows[group.rank : group.rank + 2])
        host = Host(group, number_N if group.size > 1 else None, seat.kept)
        train, validation = make_customers(3001), make_customers(801, seed=1)
        own = validation.take(np.arange(group.rank, 801, group.size))
        fitted = fit(seat.framework, train.take(number_N), own, seat.recipe, on_epoch=on_epoch, host=host)
        np.savez(seat.to / f"{seat.framework}-{group.rank}.npz", **fitted.model.weights)
