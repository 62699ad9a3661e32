"""A run in a few lines of text, as `churnops run` ends."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from churnops.report.result import Equivalence, Result

_SHOWN = {
    "average_precision": "AP",
    "brier": "Brier",
    "calibration_error": "calibration",
    "lift_top_10pct": "lift at 10 %",
}


def overview(result: Result) -> Iterator[str]:
    """The candidates, what became of the best, and where everything is: line by line."""
    yield _candidates(result)
    yield from result.verdict
    if result.equivalence:
        yield _frameworks(result.equivalence)
    for finding in result.findings:
        yield f"leakage: {finding.text} ({finding.action})"
    registry = result.registry
    yield f"{result.model_version}: " + ("champion" if registry.promoted else "not promoted")
    for reason in registry.reasons:
        yield f"  - {reason}"
    for what, where in result.paths.items():
        yield f"{what:<12} {where}"


def _candidates(result: Result) -> str:
    table = Table(box=None, pad_edge=False)
    for heading in ("candidate", "ROC AUC", "[95 %]", *_SHOWN.values()):
        table.add_column(heading, justify="left" if heading == "candidate" else "right")
    for one in result.candidates:
        auc = one.metrics["roc_auc"]
        figures = [f"{one.metrics[name].value:.3f}" for name in _SHOWN]
        table.add_row(one.name, f"{auc.value:.3f}", f"{auc.low:.3f} to {auc.high:.3f}", *figures)
    console = Console(width=100, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()


def _frameworks(both: Equivalence) -> str:
    gain = both.gain["roc_auc"]
    return (
        "PyTorch and TensorFlow from the same weights without dropout: losses within"
        f" {both.loss:.0e}, scores within {both.score:.0e}; as trained, ROC AUC"
        f" {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] between them."
    )
