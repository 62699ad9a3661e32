"""The verdict of a run, in sentences."""

import pytest

from churnops.bundle.manifest import Metric
from churnops.jobs.steps.summary import verdict
from churnops.report.result import CandidateResult, Span


def candidate(name, auc, gain=None):
    """A candidate with this test ROC AUC; `gain` is its interval against the best baseline."""
    near = Metric(value=auc, low=auc - 0.02, high=auc + 0.02)
    gains = {"roc_auc": Metric(value=sum(gain) / 2, low=gain[0], high=gain[1])} if gain else {}
    return CandidateResult(
        name=name, validation_auc=auc, metrics={"roc_auc": near}, gain=gains, epochs=0, parity=0.0
    )


def a_span(rows=1000, churn_rate=0.2):
    return Span(when=("2024-01-01",), rows=rows, customers=rows, churn_rate=churn_rate)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        ((0.001, 0.02), "beats the best baseline: +0.011 [+0.001, +0.020]"),
        ((0.0, 0.02), "does not beat the best baseline beyond chance: +0.010 [+0.000, +0.020]"),
        ((-0.02, -0.001), "is worse than the best baseline: -0.011 [-0.020, -0.001]"),
    ],
)
def test_the_network_has_to_earn_its_place(gain, said) -> None:
    candidates = [candidate("torch", 0.8, gain), candidate("lightgbm", 0.79)]

    first, second = verdict(candidates, "torch", "lightgbm", a_span())

    assert (
        first
        == "torch did best on the validation span and is in the bundle: test ROC AUC 0.800 [0.780, 0.820]."
    )
    assert second == f"The network (torch) {said} ROC AUC against lightgbm."


@pytest.mark.parametrize(
    ("rows", "churn_rate", "warned"),
    [
        (250, 0.2, None),
        (245, 0.2, "Only 49 of 245 tested rows left: too few for any figure to be trusted."),
        (100, 0.9, "Only 10 of 100 tested rows stayed: too few for any figure to be trusted."),
    ],
)
def test_too_few_to_tell_is_said(rows, churn_rate, warned) -> None:
    candidates = [candidate("torch", 0.8, (0.0, 0.1)), candidate("lightgbm", 0.79)]

    _, _, *more = verdict(candidates, "torch", "lightgbm", a_span(rows, churn_rate))

    assert more == ([warned] if warned else [])
