"""What is kept of a training after every epoch, so that a stopped one goes on to the same end."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load
from safetensors.numpy import save as packed

from churnops.errors import ConfigError
from churnops.training.fit import Epoch
from churnops.training.group import Host
from churnops.training.network import Weights
from churnops.training.recipe import Recipe
from churnops.writing import write_whole

_PROGRESS = "progress"


@dataclass(frozen=True)
class Checkpoint:
    """Everything after an epoch that the next one needs."""

    history: tuple[Epoch, ...]
    best_epoch: int
    """0: none yet."""
    best_loss: float
    """What was to be lowest in it: the validation loss, or the AUC's negative."""
    best: Weights
    """Those of the best epoch."""
    weights: Weights = field(default_factory=dict)
    """Those of the last epoch."""
    momentum: Weights = field(default_factory=dict)
    """What the optimiser remembers."""


def owner_of(recipe: Recipe, rows: int) -> str:
    """Whose checkpoint it is: another recipe's, or one of other rows, is none to go on from."""
    decides = f"{rows} {recipe.model_dump_json(include={'seed', 'network', 'schedule'})}"
    return hashlib.sha256(decides.encode()).hexdigest()


def save(done: Checkpoint, host: Host, owner: str) -> None:
    """Write `done` as rank 0, replacing the last checkpoint in one step; raises OSError naming the file."""
    if host.checkpoint is None or host.group.rank != 0:
        return
    host.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    write_whole(host.checkpoint, _packed(done, owner))


def resume(host: Host, owner: str) -> Checkpoint | None:
    """What rank 0 finds at its place, on every process; None where nothing is.

    Raises ConfigError for a checkpoint of another owner, and for a file that is none.
    """
    if host.checkpoint is None:
        return None
    here = host.group.rank == 0 and host.checkpoint.exists()
    content = host.group.gather(host.checkpoint.read_bytes() if here else b"")[0]
    return _unpacked(content, str(host.checkpoint), owner) if content else None


def _packed(done: Checkpoint, owner: str) -> bytes:
    progress = {
        "owner": owner,
        "history": [dict(epoch.figures) for epoch in done.history],
        "best_epoch": done.best_epoch,
        "best_loss": done.best_loss,
    }
    parts = {"best": done.best, "weights": done.weights, "momentum": done.momentum}
    tensors = {f"{part}/{name}": value for part, named in parts.items() for name, value in named.items()}
    tensors[_PROGRESS] = np.frombuffer(json.dumps(progress).encode(), dtype=np.uint8)
    return bytes(packed({name: np.array(value, order="C") for name, value in tensors.items()}))


def _unpacked(content: bytes, where: str, owner: str) -> Checkpoint:
    try:
        tensors = load(content)
        progress = json.loads(tensors.pop(_PROGRESS).tobytes())
    except (SafetensorError, KeyError, ValueError) as error:
        raise ConfigError(where, [f"is no checkpoint: delete it to begin anew ({error})"]) from error
    if progress["owner"] != owner:
        raise ConfigError(
            where, ["is the checkpoint of another recipe or of other rows: delete it, or name another folder"]
        )
    epochs = tuple(Epoch(number, figures) for number, figures in enumerate(progress["history"], start=1))
    parts = {part: _part(tensors, part) for part in ("best", "weights", "momentum")}
    return Checkpoint(epochs, progress["best_epoch"], progress["best_loss"], **parts)


def _part(tensors: Mapping[str, np.ndarray], part: str) -> Weights:
    return {
        name.removeprefix(f"{part}/"): value for name, value in tensors.items() if name.startswith(f"{part}/")
    }
