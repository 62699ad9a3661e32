"""BG/NBD: purchases as a coin tossed after each, the classic model of customers who leave without a word.

Fader, Hardie and Lee 2005, "Counting Your Customers" the Easy Way, Marketing Science 24(2), 275-284. A
customer buys at a rate that is gamma distributed (`r`, `alpha`) and leaves after any purchase with a chance
that is beta distributed (`a`, `b`). All it knows of a customer: x repeat purchases, the last of them `last`
after the first, `age` since the first; N customers, in one unit of time.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

from churnops.training.dataset import Rows
from churnops.training.fit import Fit, census

Vector = npt.NDArray[np.float64]

COLUMNS = ("orders_total", "tenure_days", "recency_days")
LIMIT = 30.0  # of a logit: e^-30 is certainty enough
LONGEST_DAYS, MOST_ORDERS = 1e5, 1e6  # of a history: what lies beyond is a slip
_STARTS = ((1.0, 1.0, 1.0, 1.0), (0.3, 0.3, 0.5, 2.0), (2.0, 3.0, 0.5, 5.0))
_BOUNDS = ((-8.0, 12.0),) * 4  # of the parameters' logarithms


@dataclass(frozen=True)
class Parameters:
    """`alpha` is in the unit of time, the others have none."""

    r: float
    alpha: float
    a: float
    b: float


@dataclass(frozen=True)
class Histories:
    """What the model knows of each customer."""

    x_N: Vector
    last_N: Vector
    age_N: Vector


@dataclass(frozen=True)
class BgNbd:
    """Fitted parameters, in days, and the question asked of them."""

    parameters: Parameters
    horizon_days: int
    fill: tuple[float, ...]
    """The medians of `COLUMNS` in training: they stand in for what is missing."""

    def logits(self, rows: Rows) -> Vector:
        """The logit of buying nothing within the horizon [N], not calibrated yet."""
        return silence_logit(self.parameters, histories(rows, self.fill), self.horizon_days)


def fit_bgnbd(train: Rows) -> Fit:
    """Maximum likelihood on the last training snapshot, which holds the histories of those before it.

    Raises NotEnoughData where `train` lacks customers who left or who stayed.
    """
    census(train, "train")
    latest = train.take(np.flatnonzero(train.as_of_N == train.as_of_N.max()))
    fill = tuple(float(np.nanmedian(latest.numeric_NF[:, latest.columns.numeric.index(n)])) for n in COLUMNS)
    known = histories(latest, fill)
    unit = max(float(known.age_N.mean()), 1.0)  # a well conditioned problem, whatever the days
    scaled = Histories(known.x_N, known.last_N / unit, known.age_N / unit)
    found = most_likely(scaled)
    parameters = Parameters(found.r, found.alpha * unit, found.a, found.b)
    return Fit(BgNbd(parameters, train.horizon_days, fill))


def histories(rows: Rows, fill: tuple[float, ...]) -> Histories:
    """The model's view of `rows`."""
    columns = [rows.numeric_NF[:, rows.columns.numeric.index(name)].astype(np.float64) for name in COLUMNS]
    orders_N, age_N, silent_N = (
        np.where(np.isnan(column_N), value, column_N) for column_N, value in zip(columns, fill, strict=True)
    )
    age_N = age_N.clip(0.0, LONGEST_DAYS)
    return Histories((orders_N - 1.0).clip(0.0, MOST_ORDERS), (age_N - silent_N).clip(0.0, age_N), age_N)


def most_likely(known: Histories) -> Parameters:
    """The parameters that make the histories likeliest; the best of a few starts."""

    def loss(logarithms: Vector) -> float:
        return -float(log_likelihood(Parameters(*np.exp(logarithms)), known)) / known.x_N.size

    fits = [minimize(loss, np.log(start), method="L-BFGS-B", bounds=_BOUNDS, tol=1e-10) for start in _STARTS]
    return Parameters(*(float(one) for one in np.exp(min(fits, key=lambda fit: fit.fun).x)))


def log_likelihood(parameters: Parameters, known: Histories) -> float:
    """Of all histories together (equation 6)."""
    r, alpha, a, b = parameters.r, parameters.alpha, parameters.a, parameters.b
    x_N, n_N = known.x_N, r + known.x_N
    here_N = betaln(a, b + x_N) - n_N * np.log(alpha + known.age_N)
    gone_N = betaln(a + 1.0, b + np.maximum(x_N, 1.0) - 1.0) - n_N * np.log(alpha + known.last_N)
    either_N = np.where(x_N > 0, np.logaddexp(here_N, gone_N), here_N)
    each_N = gammaln(n_N) - gammaln(r) + r * np.log(alpha) - betaln(a, b) + either_N
    return float(each_N.sum())


def silence_logit(parameters: Parameters, known: Histories, horizon: float) -> Vector:
    """The logit of no purchase in the next `horizon`: gone already, or here and silent that long."""
    r, alpha, a, b = parameters.r, parameters.alpha, parameters.a, parameters.b
    n_N = r + known.x_N
    odds_gone_N = np.log(a / (b + np.maximum(known.x_N, 1.0) - 1.0)) + n_N * np.log(
        (alpha + known.age_N) / (alpha + known.last_N)
    )
    here_N = np.where(known.x_N > 0, -np.logaddexp(0.0, odds_gone_N), 0.0)
    silent_N = n_N * np.log((alpha + known.age_N) / (alpha + known.age_N + horizon))
    buys_N = here_N + np.log(-np.expm1(silent_N))
    return np.asarray(np.log(-np.expm1(buys_N)) - buys_N).clip(-LIMIT, LIMIT)
