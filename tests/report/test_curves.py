"""Curves thinned for the page are still the curves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnops.evaluation.metrics import auc_of, evaluate
from churnops.report.curves import curve

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=80).filter(
    lambda rows: 0 < sum(churned for churned, _ in rows) < len(rows)
)


@given(ROWS)
def test_area_under_the_curve_is_the_auc(rows: list[tuple[bool, int]]) -> None:
    churned, score = (np.array(column) for column in zip(*rows, strict=True))
    line = curve(churned, score / 10.0)
    assert np.trapezoid(line.reached_P, line.false_alarms_P) == pytest.approx(auc_of(churned, score))


@given(ROWS)
def test_curve_goes_from_nobody_to_everyone(rows: list[tuple[bool, int]]) -> None:
    churned, score = (np.array(column) for column in zip(*rows, strict=True))
    line = curve(churned, score / 10.0)
    for share in (line.called_P, line.reached_P, line.false_alarms_P):
        assert (share[0], share[-1]) == (0.0, 1.0)
        assert (np.diff(share) >= 0.0).all()
    assert line.precision_P[-1] == pytest.approx(churned.mean())


def test_many_rows_are_thinned_and_lose_next_to_nothing() -> None:
    rng = np.random.default_rng(0)
    churned = rng.random(50_000) < 0.03
    score = np.clip(0.03 + 0.02 * churned + rng.normal(0, 0.01, churned.size), 0.0, 1.0)
    line, exact = curve(churned, score), evaluate(churned, score)
    assert line.called_P.size <= 400
    assert np.trapezoid(line.reached_P, line.false_alarms_P) == pytest.approx(exact["roc_auc"], abs=1e-3)
    reached = np.interp(0.1, line.called_P, line.reached_P)
    assert reached == pytest.approx(exact["lift_top_10pct"] * 0.1, abs=5e-3)


def test_constant_score_is_a_straight_line() -> None:
    line = curve(np.array([True, False, False, True, False]), np.full(5, 0.3))
    assert line.called_P.tolist() == line.reached_P.tolist() == [0.0, 1.0]
    assert line.precision_P.tolist() == [0.4, 0.4]
