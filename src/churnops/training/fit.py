"""What every trainer takes and gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from churnops.errors import NotEnoughData
from churnops.training.dataset import Rows
from churnops.training.group import ALONE, Group, gather_json

if TYPE_CHECKING:
    from churnops.training.baselines import Boosted, Linear
    from churnops.training.bgnbd import BgNbd
    from churnops.training.keras_mlp import KerasMlp
    from churnops.training.torch_mlp import TorchMlp


@dataclass(frozen=True)
class Epoch:
    """One pass over the training rows, counted from 1, and what was measured after it."""

    number: int
    figures: Mapping[str, float]


OnEpoch = Callable[[Epoch], None]
Model = Union["TorchMlp", "KerasMlp", "Linear", "Boosted", "BgNbd"]


@dataclass(frozen=True)
class Fit:
    """A fitted model, and how it came about."""

    model: Model
    history: tuple[Epoch, ...] = ()


@dataclass(frozen=True)
class Census:
    """How many customers all processes hold of one span, and how many of them left."""

    rows: int
    left: int


def census(rows: Rows, span: str, group: Group = ALONE) -> Census:
    """Count; raise NotEnoughData unless there are both customers who left and customers who stayed."""
    everyone = gather_json(group, [len(rows), int(rows.churned_N.sum())])
    counted = Census(*(sum(column) for column in zip(*everyone, strict=True)))
    if counted.left in (0, counted.rows):
        raise NotEnoughData(
            span, [f"{counted.left} of {counted.rows} customers left: a model needs both kinds"]
        )
    return counted
