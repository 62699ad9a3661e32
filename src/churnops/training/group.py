"""Processes that train one network together: what they tell each other, and which rows each of them holds."""

import json
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from churnops.errors import ProcessLost

Index = npt.NDArray[np.intp]
Words = npt.NDArray[np.int32]
"""Bytes as collectives carry them, four to a number."""


@dataclass(frozen=True)
class Place:
    """Where a process of a group is found."""

    rank: int
    addresses: tuple[str, ...]
    """`host:port` of every process, by rank."""
    device: int = 0
    """Which of its machine's GPUs is its own, if there are any."""


def local_places(processes: int) -> list[Place]:
    """Places for processes of this machine, at ports that are free now."""
    with ExitStack() as open_at_once:
        sockets = [
            open_at_once.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(processes)
        ]
        addresses = tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    return [Place(rank, addresses, device=rank) for rank in range(processes)]


def not_met(address: str, error: Exception) -> ProcessLost:
    """What to raise where a process cannot listen at `address`, or find there those it trains with."""
    said = str(error).partition("\n")[0]
    return ProcessLost(
        f"{address}: could not listen there, or meet the others of this training: {said}; is the port taken, "
        "or a host out of reach?"
    )


class Group(Protocol):
    """All processes of one training, seen from one of them."""

    @property
    def rank(self) -> int:
        """The number of this process; 0 is the one that writes."""

    @property
    def size(self) -> int:
        """How many they are."""

    def gather(self, content: bytes) -> list[bytes]:
        """What each of them hands in here, in the order of their ranks. All must call it, equally often."""


@dataclass(frozen=True)
class Alone:
    """A group of one."""

    rank: int = 0
    size: int = 1

    def gather(self, content: bytes) -> list[bytes]:
        """What was handed in."""
        return [content]


ALONE = Alone()


@dataclass(frozen=True)
class Host:
    """One process that learns: its group, the rows it holds, and where it leaves its checkpoints."""

    group: Group = ALONE
    number_N: Index | None = None
    """The number of each of its training rows among the rows of all; None: it holds all, in their order."""
    checkpoint: Path | None = None
    """Written by rank 0 after every epoch, and read when training begins. None: nothing is kept."""

    def own(self, batches: Sequence[Index]) -> list[Index]:
        """Those rows of each batch that are here, as places among the rows held."""
        if self.number_N is None:
            return list(batches)
        place_of = np.full(sum(map(len, batches)), -1, dtype=np.intp)
        place_of[self.number_N] = np.arange(self.number_N.size)
        here = (place_of[batch] for batch in batches)
        return [places[places >= 0] for places in here]


LONE_HOST = Host()
"""This process alone, without checkpoints."""


def gather_bytes(content: bytes, stacked: Callable[[Words], Words]) -> list[bytes]:
    """What each process hands in, by what `stacked` makes of their integer arrays of one length.

    `stacked`: [L] int32, of the same L in every process -> [size, L]; collectives know no bytes.
    """
    lengths = stacked(np.array([len(content)], np.int32)).ravel()
    padded = np.zeros(max(1, -(-int(lengths.max()) // 4)), np.int32)
    padded.view(np.uint8)[: len(content)] = np.frombuffer(content, np.uint8)
    return [part.tobytes()[:length] for part, length in zip(stacked(padded), lengths, strict=True)]


def gather_array(group: Group, values_N: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The one-dimensional arrays of all processes, one after another; of one type, of any length each."""
    if group.size == 1:
        return values_N
    parts = group.gather(values_N.tobytes())
    return np.concatenate([np.frombuffer(part, dtype=values_N.dtype) for part in parts])


def gather_json(group: Group, value: Any) -> list[Any]:
    """The JSON value of each process."""
    return [json.loads(content) for content in group.gather(json.dumps(value).encode())]
