"""The figures of the page: each takes numbers and gives one drawing."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from churnops.evaluation.calibration import Bin
from churnops.report.curves import Curve, Outcomes
from churnops.report.drawing import draw, ink, pen
from churnops.report.result import Churn, Span

_BARS = 40
_SPAN_COLOURS = {"train": "stayed", "validation": "ochre", "test": "chosen"}
_WIDE = (9.0, 3.2)
_MOST_ROWS = 24  # of a timeline, before they grow thinner


def roc(curves: Mapping[str, Curve], chosen: str) -> Markup:
    """Leavers found against stayers bothered."""

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=ink("muted"), linewidth=0.8)
        for name, style in _lines(curves, chosen):
            axes.plot(curves[name].false_alarms_P, curves[name].reached_P, label=name, **style)
        _percent(axes, x="Of those who stayed: called in vain", y="Of those who left: reached")
        axes.legend(loc="lower right")

    return draw("ROC curve of every candidate", paint)


def precision_recall(curves: Mapping[str, Curve], chosen: str, churn_rate: float) -> Markup:
    """How many of the called leave, as more are called."""

    def paint(axes: Axes) -> None:
        axes.axhline(churn_rate, color=ink("muted"), linewidth=0.8)
        for name, style in _lines(curves, chosen):
            line = curves[name]
            axes.plot(line.reached_P, line.precision_P, label=name, drawstyle="steps-pre", **style)
        _percent(axes, x="Of those who left: reached", y="Of those called: leave")
        axes.set_ylim(0, 1.02)
        axes.legend(loc="upper right")

    return draw("Precision and recall of every candidate", paint)


def gain(curves: Mapping[str, Curve], chosen: str, percents: Sequence[int]) -> Markup:
    """Leavers reached by calling the top so many percent, which are marked on the chosen candidate's line."""

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=ink("muted"), linewidth=0.8)
        for name, style in _lines(curves, chosen):
            axes.plot(curves[name].called_P, curves[name].reached_P, label=name, **style)
        share = np.array(percents) / 100.0
        reached = np.interp(share, curves[chosen].called_P, curves[chosen].reached_P)
        axes.plot(share, reached, "o", color=ink("chosen"), markersize=4.5)
        for x, y in zip(share, reached, strict=True):
            axes.annotate(
                f"top {100.0 * x:.0f} %",
                (x, y),
                xytext=(7, -9),
                textcoords="offset points",
                color=ink("chosen"),
            )
        _percent(axes, x="Of all customers: called, likeliest first", y="Of those who left: reached")
        axes.legend(loc="lower right")

    return draw("Leavers reached by the share of customers called", paint)


def reliability(bins: Sequence[Bin]) -> Markup:
    """What was promised against what happened, in bins of equal count, with 95 % Wilson intervals."""

    def paint(axes: Axes) -> None:
        promised = np.array([one.mean_score for one in bins])
        happened = np.array([one.churn_rate for one in bins])
        ends = np.array([[one.low for one in bins], [one.high for one in bins]])
        most = min(1.0, 1.05 * max(promised.max(), ends.max()))
        axes.plot([0, most], [0, most], color=ink("muted"), linewidth=0.8)
        axes.vlines(promised, *ends, color=ink("chosen"), linewidth=1.2)
        axes.plot(promised, happened, "o", color=ink("chosen"), markersize=4.5)
        _percent(axes, x="Promised: mean score of the bin", y="Happened: share that left")

    return draw("Reliability: promised against observed churn rate", paint)


def distribution(outcomes: Outcomes, threshold: float) -> Markup:
    """Scores of those who left and of those who stayed, each group's bars adding up to 100 %."""

    def paint(axes: Axes) -> None:
        score_N = outcomes.chosen_N
        top = min(1.0, np.ceil(10.0 * max(score_N.max(), threshold, 0.05)) / 10.0)
        edges = np.linspace(0.0, top, _BARS + 1)
        for name, word, inside_N in (
            ("stayed", "stayed", ~outcomes.churned_N),
            ("churned", "left", outcomes.churned_N),
        ):
            share, _ = np.histogram(score_N[inside_N], edges)
            axes.stairs(share / inside_N.sum(), edges, fill=True, color=ink(name), alpha=0.4)
            axes.stairs(share / inside_N.sum(), edges, color=ink(name), linewidth=1.2, label=word)
        axes.axvline(threshold, color=ink("ink"), linestyle="--", linewidth=1.0, label="threshold")
        _percent(axes, x="Score", y="Share of the group")
        axes.legend(loc="upper right")

    return draw("Distribution of scores by outcome", paint, size=_WIDE)


def horizon(churn: Churn) -> Markup:
    """The trade-off between being wrong about the lost and waiting long to say so."""

    def paint(axes: Axes) -> None:
        days = [choice.horizon_days for choice in churn.choices]
        returns = [choice.returns_ratio for choice in churn.choices]
        lapsed = [choice.lapsed_ratio for choice in churn.choices]
        axes.plot(days, returns, color=ink("chosen"), marker=".", label="of those called lost: come back")
        axes.plot(
            days, lapsed, color=ink("churned"), marker=".", linestyle="--", label="of silences: last so long"
        )
        axes.axvline(
            churn.horizon_days, color=ink("ink"), linewidth=1.2, label=f"chosen: {churn.horizon_days} days"
        )
        if churn.proposed_days is not None and churn.proposed_days != churn.horizon_days:
            proposed = f"proposed: {churn.proposed_days} days"
            axes.axvline(churn.proposed_days, color=ink("muted"), linestyle=":", label=proposed)
        axes.set_xlabel("Days of silence waited for before a customer is called lost")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axes.set_ylim(0.0, None)
        axes.legend(loc="upper right")

    return draw("Horizon: customers who come back against days waited", paint, size=_WIDE)


def timeline(spans: Mapping[str, Span], churn: Churn | None) -> Markup:
    """Each as_of in time: a point, before it the look-back that was asked for, after it the label."""
    rows = [(name, _days(when)) for name, span in spans.items() for when in span.when]

    def paint(axes: Axes) -> None:
        for place, (name, as_of) in enumerate(rows):
            colour = ink(_SPAN_COLOURS.get(name, "violet"))
            if churn is not None:
                axes.barh(place, -churn.active_days, left=as_of, height=0.2, color=ink("muted"), alpha=0.45)
                axes.barh(place, churn.horizon_days, left=as_of, height=0.6, color=colour, alpha=0.6)
            axes.plot(as_of, place, "o", color=colour, markersize=4.5)
        axes.set_yticks(*_row_labels([name for name, _ in rows]))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.xaxis_date()

    return draw("Timeline of the spans", paint, size=(9.0, 1.0 + 0.22 * min(len(rows), _MOST_ROWS)))


def _days(when: str) -> float:
    """Days since 1970-01-01, by which Matplotlib places dates."""
    moment = dt.datetime.fromisoformat(when)
    return (moment - dt.datetime(1970, 1, 1, tzinfo=moment.tzinfo)) / dt.timedelta(days=1)


def _row_labels(names: Sequence[str]) -> tuple[list[float], list[str]]:
    """One label per span, in the middle of its rows."""
    spans = dict.fromkeys(names)
    middles = [float(np.mean([place for place, name in enumerate(names) if name == span])) for span in spans]
    return middles, list(spans)


def _lines(curves: Mapping[str, Curve], chosen: str) -> list[tuple[str, dict[str, Any]]]:
    """Candidates with their line styles, the chosen one last and so on top."""
    others = [name for name in curves if name != chosen]
    styles = [
        (name, dict(zip(("color", "linestyle"), pen(place), strict=True)))
        for place, name in enumerate(others)
    ]
    return [*styles, (chosen, {"color": ink("chosen"), "linewidth": 2.4})]


def _percent(axes: Axes, *, x: str, y: str) -> None:
    """Both axes in percent; the upright one is named where it reads without turning the head."""
    axes.set_xlabel(x)
    axes.set_title(y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
