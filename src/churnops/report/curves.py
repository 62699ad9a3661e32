"""The curves people look at, thinned to what a page can show: a few hundred points however many rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from churnops.evaluation.metrics import Array, rank, weigh

_POINTS = 400


@dataclass(frozen=True)
class Outcomes:
    """The test rows, N of them: who left, and what each candidate had said, as a probability."""

    churned_N: npt.NDArray[np.bool_]
    score_N: Mapping[str, Array]
    chosen: str

    @property
    def churn_rate(self) -> float:
        """The share that left."""
        return float(self.churned_N.mean())

    @property
    def chosen_N(self) -> Array:
        """What the chosen candidate said."""
        return self.score_N[self.chosen]


@dataclass(frozen=True)
class Curve:
    """What one gets by calling everyone above a score. P points, from nobody down to everyone."""

    called_P: Array
    """Of all customers, the share called."""
    reached_P: Array
    """Of those who left, the share called: also named recall, or true positive rate."""
    false_alarms_P: Array
    """Of those who stayed, the share called."""
    precision_P: Array
    """Of those called, the share who left; at nobody, that of the first point."""


def curve(churned_N: npt.NDArray[np.bool_], score_N: Array) -> Curve:
    """Points on the exact curve, spread evenly along it: no corner between two is cut by more than 0.5 %.

    Raises as `metrics.rank` does.
    """
    weighed = weigh(rank(churned_N, score_N), np.ones((1, score_N.size)))
    called_T, churned_T = weighed.all_BT[0], weighed.churned_BT[0]
    stayed_T = called_T - churned_T
    reached_T, false_alarms_T = churned_T / churned_T[-1], stayed_T / stayed_T[-1]
    along_T = reached_T + false_alarms_T  # strictly growing
    kept_P = np.unique(np.searchsorted(along_T, np.linspace(0.0, along_T[-1], _POINTS)))
    precision_P = churned_T[kept_P[1:]] / called_T[kept_P[1:]]
    return Curve(
        called_P=called_T[kept_P] / called_T[-1],
        reached_P=reached_T[kept_P],
        false_alarms_P=false_alarms_T[kept_P],
        precision_P=np.append(precision_P[:1], precision_P),
    )
