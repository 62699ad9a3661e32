"""Training in two processes beside one, on this machine: what waiting for each other costs.

    python benchmarks/processes.py [torch tensorflow] [--rows 100_000]

Each process has one thread and learns from its half of every batch: of the default recipe, and of a network
so large that a step has more to compute for as many messages.
"""

import argparse
import os
import statistics
import time
from typing import Any

import numpy as np
from training import ONE_THREAD, OURS, Asked

from churnops.jobs.steps.apart import together
from churnops.progress import Tell
from churnops.training.candidates import fit, joined
from churnops.training.fit import Epoch
from churnops.training.group import Host, local_places
from churnops.training.recipe import Network, Recipe, Schedule

NETWORKS = {
    "128-64": Network(),
    "8 x 256-128": Network(hidden=(256, 128), members=8, shared=True),
}
_SCHEDULE = Schedule(max_epochs=4, patience=4)


def main() -> None:
    """Every framework and network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("frameworks", nargs="*", choices=[*OURS, []], default=[])
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    os.environ |= ONE_THREAD
    for framework in given.frameworks or OURS:
        asked = Asked(framework, given.rows, columns=20, rounds=1)
        print(asked)
        for name, network in NETWORKS.items():
            alone, both = (epoch_seconds(asked, network, processes) for processes in (1, 2))
            print(
                f"  {name}: an epoch of one process {alone:.2f} s, of two {both:.2f} s, "
                f"{alone / both:.2f} times as fast",
                flush=True,
            )


def epoch_seconds(asked: Asked, network: Network, processes: int) -> float:
    """The median epoch but the first, as the first process tells of them."""
    told: list[float] = []
    places = local_places(processes) if processes > 1 else [None]
    recipe = Recipe(network=network, schedule=_SCHEDULE)
    together(_learn, [(asked, recipe, place) for place in places], lambda _, what: told.append(float(what)))
    return float(statistics.median(np.diff(told)))


def _learn(seat: Any, tell: Tell) -> None:
    asked, recipe, place = seat
    train, validation = asked.drawn(0)
    with joined(asked.framework, place) as group:

        def on_epoch(_: Epoch) -> None:
            if group.rank == 0:
                tell("epoch", str(time.perf_counter()))

        number_N = np.arange(group.rank, len(train), group.size)
        own = validation.take(np.arange(group.rank, len(validation), group.size))
        host = Host(group, number_N if group.size > 1 else None)
        fit(asked.framework, train.take(number_N), own, recipe, on_epoch=on_epoch, host=host)


if __name__ == "__main__":
    main()
