"""Where the model is better or worse than on the whole: metrics by segment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from churnops.evaluation.metrics import Array, auc_of

_BANDS = 4
_LEAST_ERROR = 1e-6
_MISSING = "missing"


@dataclass(frozen=True)
class Slice:
    """One level of a categorical column, or one band of a numeric one."""

    column: str
    level: str
    rows: int
    churn_rate: float
    mean_score: float
    roc_auc: float
    brier: float
    calibration_gap: float
    """Mean score minus churn rate: positive where the model expects too many to leave."""
    distance: float
    """Standard errors between the slice's AUC or calibration gap and the whole's, whichever are more."""


@dataclass(frozen=True)
class _Scored:
    churned_N: npt.NDArray[np.bool_]
    score_N: Array

    def of(self, inside_N: npt.NDArray[np.bool_]) -> "_Scored":
        return _Scored(self.churned_N[inside_N], self.score_N[inside_N])

    @property
    def calibration_gap(self) -> float:
        return float(self.score_N.mean() - self.churned_N.mean())


def slices(
    churned: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    categorical: Mapping[str, npt.NDArray[np.object_]],
    numeric: Mapping[str, Array],
    least_rows: int = 100,
) -> tuple[Slice, ...]:
    """Every slice of at least `least_rows` rows that holds both classes, the oddest first.

    Missing values (None, NaN) are a slice of their own; numeric columns are cut at their quartiles.
    Slices overlap and are many: among 20 that differ by chance alone, one is 2 standard errors off.
    Raises as `metrics.rank` does.
    """
    whole = _Scored(np.asarray(churned, dtype=bool), np.asarray(score, dtype=np.float64))
    whole_auc = auc_of(whole.churned_N, whole.score_N)
    found = []
    for column, level, inside_N in _segments(categorical, numeric, least_rows=least_rows):
        part = whole.of(inside_N)
        if part.churned_N.size >= least_rows and 0 < part.churned_N.sum() < part.churned_N.size:
            found.append(_slice(column, level, part, whole_auc=whole_auc, whole_gap=whole.calibration_gap))
    return tuple(sorted(found, key=lambda row: (-row.distance, row.column, row.level)))


def _segments(
    categorical: Mapping[str, npt.NDArray[np.object_]], numeric: Mapping[str, Array], *, least_rows: int
) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    for column, values in categorical.items():
        named = np.array([_MISSING if value is None else str(value) for value in values], dtype=object)
        levels, code_N, counts = np.unique(named, return_inverse=True, return_counts=True)
        for code in np.flatnonzero(counts >= least_rows):
            yield column, levels[code], code_N == code
    for column, numbers in numeric.items():
        missing = np.isnan(numbers)
        yield column, _MISSING, missing
        edges = _quartiles(numbers[~missing])
        for low, high in pairwise(edges):
            upto = numbers <= high if high == edges[-1] else numbers < high
            yield column, f"{low:.6g} to {high:.6g}", (numbers >= low) & upto


def _quartiles(numbers: Array) -> list[float]:
    """The edges of the bands: fewer than five where values repeat, none without values."""
    return np.unique(np.quantile(numbers, np.linspace(0.0, 1.0, _BANDS + 1))).tolist() if numbers.size else []


def _slice(column: str, level: str, part: _Scored, *, whole_auc: float, whole_gap: float) -> Slice:
    churned, score = part.churned_N, part.score_N
    auc = auc_of(churned, score)
    auc_error = _auc_error(whole_auc, int(churned.sum()), int((~churned).sum()))
    gap_error = np.sqrt((score * (1.0 - score)).sum()) / score.size
    # A perfect or a wholly certain model has no spread to measure by.
    auc_distance = abs(auc - whole_auc) / max(auc_error, _LEAST_ERROR)
    gap_distance = abs(part.calibration_gap - whole_gap) / max(gap_error, _LEAST_ERROR)
    return Slice(
        column=column,
        level=level,
        rows=score.size,
        churn_rate=float(churned.mean()),
        mean_score=float(score.mean()),
        roc_auc=auc,
        brier=float(((churned - score) ** 2).mean()),
        calibration_gap=part.calibration_gap,
        distance=float(max(auc_distance, gap_distance)),
    )


def _auc_error(auc: float, churned: int, stayed: int) -> float:
    """The standard error of an AUC (Hanley and McNeil 1982, Radiology 143, 29-36)."""
    both_churned = auc / (2.0 - auc)
    both_stayed = 2.0 * auc**2 / (1.0 + auc)
    variance = (
        auc * (1.0 - auc) + (churned - 1) * (both_churned - auc**2) + (stayed - 1) * (both_stayed - auc**2)
    )
    return float(np.sqrt(max(variance, 0.0) / (churned * stayed)))
