"""What every trainer takes and gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from churnops.errors import NotEnoughData
from churnops.training.dataset import Rows

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


@dataclass(frozen=True)
class Fit:
    """A fitted model, and how it came about."""

    model: "TorchMlp | KerasMlp | Linear | Boosted | BgNbd"
    history: tuple[Epoch, ...] = ()


def both_classes(rows: Rows, span: str) -> None:
    """Raise NotEnoughData unless `rows` hold customers who left and customers who stayed."""
    left = int(rows.churned_N.sum())
    if left in (0, len(rows)):
        raise NotEnoughData(span, [f"{left} of {len(rows)} customers left: a model needs both kinds"])
