"""Processes that train together under PyTorch: gloo between processors, NCCL between GPUs."""

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed.nn  # loaded once a group is met, its defaults would keep that group's threads alive
from torch import distributed

from churnops.errors import ProcessLost
from churnops.training.group import Place, Words, gather_bytes, not_met

_PATIENCE = dt.timedelta(minutes=10)  # how long a step may take the slowest of them


@dataclass(frozen=True)
class TorchGroup:
    """A `Group`; DistributedDataParallel uses the same connections."""

    rank: int
    size: int

    def gather(self, content: bytes) -> list[bytes]:
        """What each of them hands in, by rank."""
        return gather_bytes(content, self._stacked)

    def _stacked(self, own: Words) -> Words:
        parts = [torch.empty(own.shape, dtype=torch.int32) for _ in range(self.size)]
        distributed.all_gather(parts, torch.from_numpy(own))
        return np.stack([part.numpy() for part in parts])


def _meet(place: Place | None, backend: str) -> None:
    if place is None:
        distributed.init_process_group(backend, init_method="env://", timeout=_PATIENCE)
        return
    try:
        distributed.init_process_group(
            backend,
            init_method=f"tcp://{place.addresses[0]}",
            rank=place.rank,
            world_size=len(place.addresses),
            timeout=_PATIENCE,
        )
    except RuntimeError as error:
        raise not_met(place.addresses[0], error) from error


@contextmanager
def joined(place: Place | None) -> Iterator[TorchGroup]:
    """Meet the others, and part when done. Without a place, where torchrun's variables say.

    Raises ProcessLost where they cannot be met, or one of them is gone.
    """
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(place.device if place else int(os.environ["LOCAL_RANK"]))
    _meet(place, "cpu:gloo,cuda:nccl" if gpus else "gloo")
    try:
        yield TorchGroup(distributed.get_rank(), distributed.get_world_size())
    except RuntimeError as error:  # gloo raises nothing more special
        if "gloo" in str(error) or isinstance(error, distributed.DistError):
            raise ProcessLost(f"a process lost those it trains with: {error}") from error
        raise
    finally:
        distributed.destroy_process_group()
