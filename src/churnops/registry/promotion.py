"""Whether a challenger may become the champion: a pure decision over evidence and gates. It fails closed."""

import math
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from churnops.bundle.manifest import Metric
from churnops.config import FrozenModel


class Gates(FrozenModel):
    """What a challenger must show. `configs/promotion.toml` says why each value is what it is.

    Bounds keep a gate a gate: none can be set so wide that it lets everything through.
    """

    recency_margin: float = Field(default=0.0, ge=0.0, le=0.5)
    """ROC AUC. The interval of the gain over the one-column baseline must lie above it."""
    champion_margin: float = Field(default=0.0, ge=-0.02, le=0.5)
    """ROC AUC. The gain's interval over the champion must lie above it; below 0: almost as good will do."""
    max_calibration_error: float = Field(default=0.1, gt=0.0, le=0.2)
    """The largest mean gap between promised and seen churn rate, on the test span."""
    max_parity: float = Field(default=1e-5, gt=0.0, le=1e-5)
    """The largest difference between a score of the exported graph and the framework's."""
    retire_champion: str = ""
    """The model version of a champion that cannot be compared and may be replaced all the same."""


def _measured(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _measured_interval(metric: Metric | None) -> Metric | None:
    if metric is None or not all(map(math.isfinite, (metric.value, metric.low, metric.high))):
        return None
    return metric


Figure = Annotated[float | None, AfterValidator(_measured)]
Interval = Annotated[Metric | None, AfterValidator(_measured_interval)]


class Evidence(FrozenModel):
    """What is known of one challenger. None says "not measured", and so does a figure that is not finite.

    Gains are paired differences of ROC AUC on the test span, challenger minus the other, with intervals.
    """

    candidate: str
    one_column: str = "recency"
    """The candidate that stands for recency: the best single column of a table that knows no recency."""
    gain_over_recency: Interval = None
    champion: str | None = None
    """Model version of the champion it was held against; None when there was no champion."""
    gain_over_champion: Interval = None
    champion_problem: str = ""
    """Why the champion could not be compared: its columns are gone, another horizon."""
    calibration_error: Figure = None
    parity: Figure = None
    labels_mature: bool | None = None
    open_findings: tuple[str, ...] | None = None
    """Leakage findings nobody has dealt with, in words; None when no audit was made."""


def failed_gates(evidence: Evidence, gates: Gates) -> tuple[str, ...]:
    """Every gate the challenger fails, in words with the figures; empty means promote."""
    return (
        *_recency_gate(evidence, gates),
        *_champion_gate(evidence, gates),
        *_limit_gate("calibration error", evidence.calibration_error, limit=gates.max_calibration_error),
        *_limit_gate("ONNX parity", evidence.parity, limit=gates.max_parity),
        *_maturity_gate(evidence),
        *_leakage_gate(evidence),
    )


def overtaken(evidence: Evidence, champion: str | None) -> tuple[str, ...]:
    """Why the evidence no longer holds, given the model version that is champion today."""
    if evidence.champion == champion:
        return ()
    return (
        f"compared with {evidence.champion or 'no champion'}, but the champion is now {champion or 'none'}",
    )


def _recency_gate(evidence: Evidence, gates: Gates) -> Iterator[str]:
    if evidence.candidate == evidence.one_column:
        yield f"{evidence.candidate} is the one-column baseline itself: it cannot be better than itself"
    else:
        yield from _gain_gate(evidence.one_column, evidence.gain_over_recency, margin=gates.recency_margin)


def _champion_gate(evidence: Evidence, gates: Gates) -> Iterator[str]:
    name, gain, problem = evidence.champion, evidence.gain_over_champion, evidence.champion_problem
    if problem and gates.retire_champion != name:
        yield (
            f"champion {name} cannot be compared: {problem} "
            f'(to replace it on the other gates alone, set retire_champion = "{name}")'
        )
    # A gain that was measured counts whatever else is said, and without a problem there must be one.
    if gain is not None or (name is not None and not problem):
        yield from _gain_gate(f"champion {name}", gain, margin=gates.champion_margin)


def _gain_gate(over: str, gain: Metric | None, *, margin: float) -> Iterator[str]:
    if gain is None:
        yield f"gain over {over} was not measured"
    elif gain.low > gain.high:
        yield f"gain over {over}: [{gain.low:+.4f}, {gain.high:+.4f}] is not an interval"
    elif not gain.low > margin:
        yield (
            f"gain over {over}: ROC AUC {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}], "
            f"the interval does not lie above {margin:+g}"
        )


def _limit_gate(what: str, figure: float | None, *, limit: float) -> Iterator[str]:
    if figure is None:
        yield f"{what} was not measured"
    elif not 0 <= figure <= limit:
        yield f"{what} {figure:.3g} is not between 0 and {limit:g}"


def _maturity_gate(evidence: Evidence) -> Iterator[str]:
    if evidence.labels_mature is None:
        yield "whether the test labels are mature is unknown"
    elif not evidence.labels_mature:
        yield "the test labels are not mature: some customers' horizons had not ended"


def _leakage_gate(evidence: Evidence) -> Iterator[str]:
    if evidence.open_findings is None:
        yield "no leakage audit was made"
    else:
        yield from (f"leakage finding open: {finding}" for finding in evidence.open_findings)
