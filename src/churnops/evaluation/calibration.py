"""From a model's logit to a probability that means what it says, and a look at whether it does."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from churnops.evaluation.metrics import BINS, Array, bin_sums, rank, weigh

_LEAST_SLOPE = 1e-3  # a score that knows nothing becomes almost flat, and keeps its order
_ROUNDING = 1e-9  # logits no further apart are one and the same
_Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True)
class Platt:
    """score = sigmoid(slope * logit + intercept), slope positive, so the order of customers stays."""

    slope: float
    intercept: float

    def apply(self, logit: npt.ArrayLike) -> Array:
        """Calibrated scores, strictly between 0 and 1 unless the logit overflows."""
        return np.asarray(expit(self.slope * np.asarray(logit, dtype=np.float64) + self.intercept))


@dataclass(frozen=True)
class Bin:
    """One bin of equal count: what was promised and what happened, with its 95 % Wilson interval."""

    rows: float
    mean_score: float
    churn_rate: float
    low: float
    high: float


def fit_platt(logit: npt.ArrayLike, churned: npt.ArrayLike) -> Platt:
    """Maximum likelihood on smoothed targets (Platt 1999, Advances in Large Margin Classifiers, 61-74).

    The targets are (n + 1) / (n + 2) for the n churned and 1 / (m + 2) for the m others, so a perfect score
    does not send the slope to infinity. Raises ValueError without rows or for a logit that is not finite.
    """
    x = np.asarray(logit, dtype=np.float64)
    y = np.asarray(churned, dtype=bool)
    if x.size == 0 or not np.isfinite(x).all():
        raise ValueError("calibration needs rows, and logits that are finite")
    target = np.where(y, (y.sum() + 1.0) / (y.sum() + 2.0), 1.0 / ((~y).sum() + 2.0))
    centre, spread = x.mean(), x.std()
    scale = spread if spread > _ROUNDING * max(1.0, abs(centre)) else 1.0
    z = (x - centre) / scale  # the same problem, well conditioned
    least = _LEAST_SLOPE * scale
    start = np.array([max(1.0, least), np.log(target.mean() / (1.0 - target.mean()))])

    def loss_and_gradient(parameters: Array) -> tuple[float, Array]:
        logit = parameters[0] * z + parameters[1]
        error = expit(logit) - target
        loss = np.logaddexp(0.0, logit) - target * logit
        return float(loss.mean()), np.array([(error * z).mean(), error.mean()])

    bounds = [(least, None), (None, None)]
    fitted = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-14).x
    slope = float(fitted[0] / scale)
    return Platt(slope, float(fitted[1] - slope * centre))


def reliability(churned: npt.ArrayLike, score: npt.ArrayLike, bins: int = BINS) -> tuple[Bin, ...]:
    """Bins of equal count from the lowest score to the highest, the very bins of `calibration_error`.

    A row or a tie on an edge is shared between its bins, so counts need not be whole.
    Raises as `metrics.rank` does.
    """
    weighed = weigh(rank(churned, score), np.ones((1, np.size(score))))
    rows = np.size(score) / bins
    mean_scores = bin_sums(weighed, weighed.ranked.score_N, bins)[0, ::-1] / rows
    churn_rates = bin_sums(weighed, weighed.ranked.churned_N, bins)[0, ::-1] / rows
    return tuple(
        Bin(rows, float(mean_score), float(churn_rate), *_wilson(float(churn_rate), rows))
        for mean_score, churn_rate in zip(mean_scores, churn_rates, strict=True)
    )


def _wilson(rate: float, rows: float) -> tuple[float, float]:
    middle = rate + _Z**2 / (2.0 * rows)
    half = _Z * np.sqrt(rate * (1.0 - rate) / rows + (_Z / (2.0 * rows)) ** 2)
    return float((middle - half) / (1.0 + _Z**2 / rows)), float((middle + half) / (1.0 + _Z**2 / rows))
