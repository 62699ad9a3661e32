"""How sure we are of a figure: every metric again on resampled customers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from churnops.evaluation.metrics import METRICS, Array, Ranked, rank, weigh

_COVERAGE = 0.95
_CHUNK = 200_000  # rows x resamples at a time: fits a core's cache, and 1 million rows stay under 200 MB


@dataclass(frozen=True)
class Interval:
    """A figure on the data as it is, and the 95 % percentile interval of its resamples.

    Always holds its value: where resampling shifts a metric (noise only adds to the calibration error), the
    nearer end moves to the value, so such an interval is the wider one.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Resamples:
    """Metrics by candidate: on the data as it is, and on each resample, the same ones for every candidate."""

    values: Mapping[str, Mapping[str, float]]
    drawn: Mapping[str, Mapping[str, Array]]


def bootstrap(
    churned: npt.ArrayLike,
    scores: Mapping[str, npt.ArrayLike],
    *,
    groups: npt.ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
) -> Resamples:
    """Resample customers with replacement: all rows of one customer, as `groups` tells, come and go together.

    One core takes about 0.2 s per candidate for 1,000 resamples of 5,000 rows, 1.2 s of 25,000 and 2 minutes
    of 1 million: ask for fewer there. Raises as `metrics.rank` does.
    """
    ranked = {name: rank(churned, score) for name, score in scores.items()}
    _, row_groups = np.unique(np.asarray(groups), return_inverse=True)
    as_is = np.ones((1, row_groups.size))
    parts = [
        {name: _metrics(ranking, weight_BN) for name, ranking in ranked.items()}
        for weight_BN in _weightings(row_groups, resamples, seed=seed)
    ]
    return Resamples(
        values={
            name: {metric: float(figure[0]) for metric, figure in _metrics(ranking, as_is).items()}
            for name, ranking in ranked.items()
        },
        drawn={
            name: {metric: np.concatenate([part[name][metric] for part in parts]) for metric in METRICS}
            for name in ranked
        },
    )


def intervals(resamples: Resamples) -> dict[str, dict[str, Interval]]:
    """By candidate and metric."""
    return {
        name: {metric: _interval(value, resamples.drawn[name][metric]) for metric, value in values.items()}
        for name, values in resamples.values.items()
    }


def paired_difference(resamples: Resamples, candidate: str, other: str) -> dict[str, Interval]:
    """By metric, `candidate` minus `other`, each resample compared with itself."""
    return {
        metric: _interval(
            value - resamples.values[other][metric],
            resamples.drawn[candidate][metric] - resamples.drawn[other][metric],
        )
        for metric, value in resamples.values[candidate].items()
    }


def _weightings(row_groups: npt.NDArray[np.intp], resamples: int, *, seed: int) -> Iterator[Array]:
    """How often each row was drawn, a few resamples at a time; each draws as many groups as there are."""
    rng = np.random.default_rng(seed)
    n_groups = int(row_groups.max()) + 1
    step = max(1, _CHUNK // row_groups.size)
    for start in range(0, resamples, step):
        drawn = [
            np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)[row_groups]
            for _ in range(min(step, resamples - start))
        ]
        yield np.stack(drawn).astype(np.float64)


def _metrics(ranked: Ranked, weight_BN: Array) -> dict[str, Array]:
    weighed = weigh(ranked, weight_BN)
    return {name: metric(weighed) for name, metric in METRICS.items()}


def _interval(value: float, drawn: Array) -> Interval:
    # A resample that drew only one class has no AUC: it says nothing, either way.
    low, high = np.nanquantile(drawn, [(1.0 - _COVERAGE) / 2.0, (1.0 + _COVERAGE) / 2.0])
    return Interval(value, min(float(low), value), max(float(high), value))
