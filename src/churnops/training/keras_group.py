"""Processes that train together under TensorFlow's MultiWorkerMirroredStrategy.

Its variables are not used: each process holds the whole network and makes the same step from the same sums.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from churnops.errors import ProcessLost
from churnops.training.group import Place, gather_bytes, not_met


@dataclass(frozen=True)
class KerasGroup:
    """A `Group`, and the sums of gradients."""

    strategy: Any
    rank: int
    size: int
    gathered: Callable[[tf.Tensor], tf.Tensor]
    """Stacks the arrays of all processes, which have one length: [N] int32 -> [size, N]."""

    def gather(self, content: bytes) -> list[bytes]:
        """What each of them hands in, by rank."""
        return gather_bytes(content, lambda own: np.asarray(self.gathered(tf.constant(own)).numpy()))

    def summed(
        self, step: Callable[[], tuple[tf.Tensor, list[tf.Tensor]]]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """What `step` gives, its gradients summed over the group; inside a tf.function."""

        def everyones() -> tuple[tf.Tensor, list[tf.Tensor]]:
            loss, gradients = step()
            context = tf.distribute.get_replica_context()
            return loss, context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)

        loss, gradients = self.strategy.run(everyones)
        return _only(loss), [_only(one) for one in gradients]


def _gathering(strategy: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """What stacks the arrays of all processes, which have one length: [N] -> [size, N]."""

    def gathered(own_N: tf.Tensor) -> tf.Tensor:
        def everyones() -> tf.Tensor:
            return tf.distribute.get_replica_context().all_gather(own_N[tf.newaxis], axis=0)

        return _only(strategy.run(everyones))

    compiled: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        gathered, input_signature=[tf.TensorSpec([None], tf.int32)]
    )
    return compiled


def _only(value: Any) -> tf.Tensor:
    """Of the one device a process has."""
    return getattr(value, "values", (value,))[0]


@contextmanager
def joined(place: Place) -> Iterator[KerasGroup]:
    """Meet the others; they part when the process ends.

    Raises ProcessLost where they cannot be met, or one of them is gone.
    """
    gpus = tf.config.list_physical_devices("GPU")
    tf.config.set_visible_devices(gpus[place.device : place.device + 1], "GPU")
    task = {"type": "worker", "index": place.rank}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": place.addresses}, "task": task})
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise not_met(place.addresses[place.rank], error) from error
    try:
        yield KerasGroup(strategy, place.rank, len(place.addresses), _gathering(strategy))
    except tf.errors.OpError as error:
        if "collective" in error.message.lower():
            raise ProcessLost(f"a process lost those it trains with: {error.message}") from error
        raise
