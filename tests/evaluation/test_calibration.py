"""From a logit to a probability that means what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from churnops.evaluation.calibration import fit_platt, reliability


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.3, -2.0), (4.0, 1.0)])
def test_slope_and_intercept_are_recovered(slope, intercept):
    rng = np.random.default_rng(0)
    logit = rng.normal(size=40_000)
    fitted = fit_platt(logit, rng.random(40_000) < expit(slope * logit + intercept))

    assert fitted.slope == pytest.approx(slope, rel=0.1)
    assert fitted.intercept == pytest.approx(intercept, abs=0.1)


@given(st.lists(st.tuples(st.floats(-50, 50), st.booleans()), min_size=1, max_size=30))
def test_the_order_of_customers_stays_and_scores_are_probabilities(rows):
    logit, churned = map(np.array, zip(*rows, strict=True))
    fitted = fit_platt(logit, churned)
    score = fitted.apply(np.sort(logit))

    assert fitted.slope > 0
    assert (np.diff(score) >= 0).all()
    assert ((score >= 0) & (score <= 1)).all()


def test_a_perfect_score_stays_finite():
    fitted = fit_platt(np.array([-3.0] * 50 + [3.0] * 50), np.array([False] * 50 + [True] * 50))

    assert np.isfinite([fitted.slope, fitted.intercept]).all()


@pytest.mark.parametrize("noise", [0.0, 1e-15])
def test_a_model_that_knows_nothing_gives_everybodys_rate(noise):
    logit_N = -2.9 + noise * np.arange(200)
    churned_N = np.arange(200) < 20

    score_N = fit_platt(logit_N, churned_N).apply(-2.9 + noise * np.arange(0, 400, 7))

    np.testing.assert_allclose(score_N, 0.1, atol=0.01)


def test_a_logit_must_be_a_number():
    with pytest.raises(ValueError, match="finite"):
        fit_platt(np.array([0.0, np.nan]), np.array([True, False]))


def test_bins_hold_equal_counts_and_what_happened_in_them():
    score = np.repeat([0.1, 0.9], 500)
    churned = np.concatenate([np.arange(500) < 50, np.arange(500) < 450])
    bins = reliability(churned, score, bins=2)

    assert [one.rows for one in bins] == [500, 500]
    assert [one.mean_score for one in bins] == pytest.approx([0.1, 0.9])
    assert [one.churn_rate for one in bins] == pytest.approx([0.1, 0.9])
    assert all(one.low < one.churn_rate < one.high for one in bins)
