"""The page a run leaves behind for people: one HTML file, without scripts, that fetches nothing."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from churnops.bundle.manifest import Metric
from churnops.evaluation.calibration import reliability
from churnops.evaluation.metrics import TOP_PERCENTS
from churnops.report import plots
from churnops.report.curves import Outcomes, curve
from churnops.report.drawing import COLOURS
from churnops.report.result import CandidateResult, Result, Segment

_SHOWN_FEATURES = 20
_SHOWN_SLICES = 12
_ODD = 2.0  # standard errors
_LOOKS = 2  # a slice is held against the whole twice: by its AUC and by its calibration gap

METRIC_WORDS: Mapping[str, str] = {
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "calibration_error": "Calibration error",
    **{f"lift_top_{percent}pct": f"Lift, top {percent} %" for percent in TOP_PERCENTS},
    **{f"precision_top_{percent}pct": f"Precision, top {percent} %" for percent in TOP_PERCENTS},
}


@dataclass(frozen=True)
class Top:
    """Calling the top `percent` % of the test rows, each figure with its interval."""

    percent: int
    rows: int
    precision: Metric
    reach: Metric
    lift: Metric


@dataclass(frozen=True)
class Chance:
    """How odd slices may be without meaning anything, in standard errors."""

    slices: int
    odd: int
    """Slices more than two standard errors off."""
    expected: float
    """How many of them chance alone would give, were the slices strangers to each other."""
    limit: float
    """What the oddest of all slices passes by chance alone in one run out of twenty."""
    beyond: tuple[Segment, ...]
    """The slices past `limit`."""


@dataclass(frozen=True)
class Action:
    """Acting on every score at or above the threshold."""

    called: int
    called_ratio: float
    churned_ratio: float
    """Of the called, the share that left; 0 when nobody is called."""


def render(result: Result, predictions: pa.Table) -> str:
    """The whole page. `predictions` holds `churned` and a column of calibrated test scores per candidate.

    The same arguments give the same bytes. 200,000 rows and five candidates take about 2 s. Raises as
    `evaluation.metrics.rank` does: the test rows need both outcomes, and finite scores.
    """
    outcomes = _outcomes(result, predictions)
    chosen = next(one for one in result.candidates if one.name == result.chosen)
    features = sorted(result.features, key=lambda one: (-one.importance, one.name))
    return (
        _environment()
        .get_template("page.html")
        .render(
            result=result,
            chosen=chosen,
            colours=COLOURS,
            metric_words=METRIC_WORDS,
            tops=_tops(chosen, outcomes),
            action=_action(outcomes, result.threshold),
            bins=reliability(outcomes.churned_N, outcomes.chosen_N),
            churn_rate=outcomes.churn_rate,
            rows=outcomes.churned_N.size,
            axis=_axis([one.metrics["roc_auc"] for one in result.candidates]),
            features=(features[:_SHOWN_FEATURES], features[_SHOWN_FEATURES:]),
            largest_importance=max((one.importance for one in features), default=0.0),
            slices=(result.slices[:_SHOWN_SLICES], result.slices[_SHOWN_SLICES:]),
            chance=_chance(result.slices),
            reaching=_reaching(result),
            plots=dict(_plots(result, outcomes)),
        )
    )


def _outcomes(result: Result, predictions: pa.Table) -> Outcomes:
    return Outcomes(
        churned_N=predictions["churned"].to_numpy().astype(bool),
        score_N={one.name: predictions[one.name].to_numpy().astype(np.float64) for one in result.candidates},
        chosen=result.chosen,
    )


def _plots(result: Result, outcomes: Outcomes) -> Iterator[tuple[str, Markup]]:
    curves = {name: curve(outcomes.churned_N, score_N) for name, score_N in outcomes.score_N.items()}
    yield "roc", plots.roc(curves, result.chosen)
    yield "precision_recall", plots.precision_recall(curves, result.chosen, outcomes.churn_rate)
    yield "gain", plots.gain(curves, result.chosen, TOP_PERCENTS)
    yield "reliability", plots.reliability(reliability(outcomes.churned_N, outcomes.chosen_N))
    yield "distribution", plots.distribution(outcomes, result.threshold)
    if result.churn is not None and result.churn.choices:
        yield "horizon", plots.horizon(result.churn)
    if result.split == "time":
        yield "timeline", plots.timeline(result.spans, result.churn)


def _tops(chosen: CandidateResult, outcomes: Outcomes) -> tuple[Top, ...]:
    def top(percent: int) -> Top:
        lift = chosen.metrics[f"lift_top_{percent}pct"]
        share = percent / 100.0  # lift is reach over the share called
        return Top(
            percent=percent,
            rows=round(outcomes.churned_N.size * share),
            precision=chosen.metrics[f"precision_top_{percent}pct"],
            reach=Metric(value=lift.value * share, low=lift.low * share, high=min(1.0, lift.high * share)),
            lift=lift,
        )

    return tuple(top(percent) for percent in TOP_PERCENTS)


def _action(outcomes: Outcomes, threshold: float) -> Action:
    called_N = outcomes.chosen_N >= threshold
    churned = int((called_N & outcomes.churned_N).sum())
    return Action(int(called_N.sum()), float(called_N.mean()), churned / max(1, int(called_N.sum())))


def _axis(metrics: Sequence[Metric]) -> tuple[float, float]:
    """From where to where to draw intervals beside each other."""
    low, high = min(metric.low for metric in metrics), max(metric.high for metric in metrics)
    room = 0.05 * (high - low) or 0.01
    return low - room, high + room


def _chance(slices: Sequence[Segment]) -> Chance | None:
    if not slices:
        return None
    normal, looks = NormalDist(), _LOOKS * len(slices)
    within = 1.0 - 2.0 * normal.cdf(-_ODD)
    limit = normal.inv_cdf(1.0 - 0.05 / (2.0 * looks))
    return Chance(
        slices=len(slices),
        odd=sum(one.distance > _ODD for one in slices),
        expected=len(slices) * (1.0 - within**_LOOKS),
        limit=limit,
        beyond=tuple(one for one in slices if one.distance > limit),
    )


def _reaching(result: Result) -> tuple[str, ...]:
    """The spans whose label windows reach into the next span: none, where a purge gap was kept."""
    if result.split != "time" or result.churn is None:
        return ()
    as_ofs = {
        name: [dt.datetime.fromisoformat(when) for when in span.when] for name, span in result.spans.items()
    }
    window = dt.timedelta(days=result.churn.horizon_days)
    return tuple(name for name, later in pairwise(as_ofs) if max(as_ofs[name]) + window > min(as_ofs[later]))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("churnops", "report"),
        autoescape=True,  # column names and levels are whatever people have in their files
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": lambda value, digits=3: f"{value:.{digits}f}",
        "signed": lambda value: f"{round(value, 3) + 0.0:+.3f}",  # and no -0.000
        "percent": lambda value: f"{100.0 * value:.1f} %",
        "count": lambda value: f"{value:,}",
        "place": _place,
    }
    return environment


def _place(value: float, axis: tuple[float, float]) -> str:
    """Where on the axis, in percent of its length; for the page's small bars."""
    low, high = axis
    return f"{100.0 * min(1.0, max(0.0, (value - low) / (high - low))):.1f}"
