"""What makes a score good, each figure defined once, for one or many weightings of the rows.

The plain figure weighs every row 1; a bootstrap resample weighs a row by how often it was drawn.
Array names end in their axes: N rows, T ties (rows of one score, the highest first), B weightings.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from churnops.errors import NotEnoughData

Array = npt.NDArray[np.float64]

BINS = 10  # of equal weight, for the calibration error: more bins, more noise in each
TOP_PERCENTS = (1, 5, 10)
_CLIP = float(np.finfo(np.float32).eps)  # scores come out of a float32 graph


@dataclass(frozen=True)
class Ranked:
    """Labels and scores from the highest score down; the order of rows within a tie means nothing."""

    order_N: npt.NDArray[np.intp]
    """Where each ranked row stands in the caller's arrays."""
    churned_N: Array
    score_N: Array
    last_T: npt.NDArray[np.intp]
    """The ranked position of each tie's last row."""


@dataclass(frozen=True)
class Weighed:
    """Ranked rows under B weightings. The cumulative weights begin with a column of zeros."""

    ranked: Ranked
    weight_BN: Array
    all_BT: Array
    churned_BT: Array


def rank(churned: npt.ArrayLike, score: npt.ArrayLike) -> Ranked:
    """Sort once what every weighting shares.

    Any score ranks; all metrics but `roc_auc` and `average_precision` take it for a probability.
    Raises NotEnoughData unless somebody churned and somebody stayed, ValueError if a score is not finite.
    """
    churned_N = np.asarray(churned, dtype=np.float64)
    score_N = np.asarray(score, dtype=np.float64)
    if not np.isfinite(score_N).all():
        raise ValueError("a score is not finite")
    if churned_N.size == 0 or churned_N.min() == churned_N.max():
        raise NotEnoughData("evaluation", ["there must be customers who churned and customers who stayed"])
    order_N = np.argsort(-score_N, kind="stable")
    sorted_N = score_N[order_N]
    last_T = np.append(np.flatnonzero(np.diff(sorted_N)), sorted_N.size - 1)
    return Ranked(order_N, churned_N[order_N], sorted_N, last_T)


def weigh(ranked: Ranked, weight_BN: Array) -> Weighed:
    """Lay weightings, given in the caller's order of rows, over the ranking."""
    weight_BN = np.take(weight_BN, ranked.order_N, axis=1)
    return Weighed(
        ranked,
        weight_BN,
        all_BT=_cumulative(ranked, weight_BN),
        churned_BT=_cumulative(ranked, weight_BN * ranked.churned_N),
    )


def roc_auc(weighed: Weighed) -> Array:
    """The chance that a churned customer scores above a stayed one, a tie counting half; nan without both."""
    churned_BT, stayed_BT = weighed.churned_BT, weighed.all_BT - weighed.churned_BT
    pairs_B = churned_BT[:, -1] * stayed_BT[:, -1]
    area_B = np.trapezoid(churned_BT, stayed_BT, axis=1)
    return np.divide(area_B, pairs_B, out=np.full_like(area_B, np.nan), where=pairs_B > 0)


def average_precision(weighed: Weighed) -> Array:
    """Precision averaged over the churned, each at the threshold of its own tie; nan when nobody churned."""
    churned_BT = weighed.churned_BT
    total_B = churned_BT[:, -1]
    # A tie that no resample drew has weight 0 and adds nothing, whatever its precision is called.
    precision_BT = churned_BT[:, 1:] / np.maximum(weighed.all_BT[:, 1:], np.finfo(np.float64).tiny)
    sum_B = (np.diff(churned_BT, axis=1) * precision_BT).sum(axis=1)
    return np.asarray(np.divide(sum_B, total_B, out=np.full_like(sum_B, np.nan), where=total_B > 0))


def brier(weighed: Weighed) -> Array:
    """The mean squared distance of the score from what happened."""
    ranked = weighed.ranked
    return _mean(weighed, (ranked.churned_N - ranked.score_N) ** 2)


def log_loss(weighed: Weighed) -> Array:
    """The mean negative log likelihood, in nats, of scores kept as far from 0 and 1 as float32 can tell."""
    ranked = weighed.ranked
    likelihood_N = np.where(ranked.churned_N > 0, ranked.score_N, 1.0 - ranked.score_N)
    return _mean(weighed, -np.log(likelihood_N.clip(_CLIP, 1.0 - _CLIP)))


def calibration_error(weighed: Weighed) -> Array:
    """The mean distance between mean score and churn rate over BINS bins of equal weight.

    Noise alone makes it about sqrt(rate * (1 - rate) * BINS / rows), so it is never zero on real data.
    """
    gap_N = weighed.ranked.churned_N - weighed.ranked.score_N
    return np.asarray(np.abs(bin_sums(weighed, gap_N, BINS)).sum(axis=1) / weighed.all_BT[:, -1])


def bin_sums(weighed: Weighed, value_N: Array, bins: int) -> Array:
    """For each weighting, weight times value in bins of equal weight, the highest scores first.

    A row or a tie that lies on an edge is divided between its bins in proportion.
    """
    value_BT = _cumulative(weighed.ranked, weighed.weight_BN * value_N)
    return np.diff(_at_top(weighed.all_BT, value_BT, np.linspace(0.0, 1.0, bins + 1)), axis=1)


def precision_at_top(weighed: Weighed, percent: int) -> Array:
    """The churn rate of the `percent` % of weight that scores highest.

    A row on the edge counts in part, a tie on the edge as if its rows stood in random order.
    """
    top_B = _at_top(weighed.all_BT, weighed.churned_BT, np.array([percent / 100.0]))[:, 0]
    return np.asarray(top_B / (weighed.all_BT[:, -1] * percent / 100.0))


def lift_at_top(weighed: Weighed, percent: int) -> Array:
    """`precision_at_top` over the churn rate of everyone; nan when nobody churned."""
    rate_B = weighed.churned_BT[:, -1] / weighed.all_BT[:, -1]
    precision_B = precision_at_top(weighed, percent)
    return np.divide(precision_B, rate_B, out=np.full_like(rate_B, np.nan), where=rate_B > 0)


METRICS: Mapping[str, Callable[[Weighed], Array]] = {
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "brier": brier,
    "log_loss": log_loss,
    "calibration_error": calibration_error,
    **{f"lift_top_{percent}pct": partial(lift_at_top, percent=percent) for percent in TOP_PERCENTS},
    **{f"precision_top_{percent}pct": partial(precision_at_top, percent=percent) for percent in TOP_PERCENTS},
}
LOWER_IS_BETTER = frozenset({"brier", "log_loss", "calibration_error"})


def evaluate(churned: npt.ArrayLike, score: npt.ArrayLike) -> dict[str, float]:
    """Every metric of one score, a probability. Raises as `rank` does."""
    weighed = weigh(rank(churned, score), np.ones((1, np.size(score))))
    return {name: float(metric(weighed)[0]) for name, metric in METRICS.items()}


def auc_of(churned: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """`roc_auc` of any finite score, probability or not. Raises as `rank` does."""
    return float(roc_auc(weigh(rank(churned, score), np.ones((1, np.size(score)))))[0])


def _mean(weighed: Weighed, value_N: Array) -> Array:
    return np.asarray(weighed.weight_BN @ value_N / weighed.all_BT[:, -1])


def _cumulative(ranked: Ranked, weight_BN: Array) -> Array:
    """Weight from the top down to the end of each tie, behind a column of zeros."""
    total_BN = np.zeros((weight_BN.shape[0], weight_BN.shape[1] + 1))
    np.cumsum(weight_BN, axis=1, out=total_BN[:, 1:])
    if ranked.last_T.size == ranked.order_N.size:
        return total_BN
    return np.take(total_BN, np.append(0, ranked.last_T + 1), axis=1)


def _at_top(all_BT: Array, part_BT: Array, share_E: Array) -> Array:
    """How much of `part_BT` lies in the given top shares of weight: linear within a tie."""
    return np.stack(
        [np.interp(share_E * all_T[-1], all_T, part_T) for all_T, part_T in zip(all_BT, part_BT, strict=True)]
    )
