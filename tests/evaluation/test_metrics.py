"""Metrics equal scikit-learn's, for one weighting and for many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from churnops.errors import NotEnoughData
from churnops.evaluation.metrics import METRICS, auc_of, evaluate, rank, weigh

ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.5000001, 0.75, 0.9])),
    min_size=4,
    max_size=40,
).filter(lambda rows: len({churned for churned, _ in rows}) == 2)


@given(ROWS)
def test_metrics_equal_those_of_scikit_learn(rows):
    churned, score = map(np.array, zip(*rows, strict=True))

    found = evaluate(churned, score)

    assert found["roc_auc"] == pytest.approx(roc_auc_score(churned, score))
    assert found["average_precision"] == pytest.approx(average_precision_score(churned, score))
    assert found["brier"] == pytest.approx(brier_score_loss(churned, score))
    assert found["log_loss"] == pytest.approx(log_loss(churned, score), abs=1e-6)


@given(ROWS, st.integers(0, 9))
def test_a_weight_is_as_good_as_so_many_rows(rows, seed):
    churned, score = map(np.array, zip(*rows, strict=True))
    times = np.random.default_rng(seed).integers(0, 4, churned.size)
    again = np.repeat(churned, times)
    if len(set(again.tolist())) < 2:
        return
    weighed = weigh(rank(churned, score), times[None, :].astype(float))
    repeated = weigh(rank(again, np.repeat(score, times)), np.ones((1, again.size)))

    for name, metric in METRICS.items():
        assert metric(weighed)[0] == pytest.approx(metric(repeated)[0]), name


def test_the_best_tenth_of_a_perfect_score_are_all_churners():
    churned = np.arange(100) >= 80
    found = evaluate(churned, np.linspace(0.01, 0.99, 100))

    assert found["precision_top_10pct"] == pytest.approx(1.0)
    assert found["lift_top_10pct"] == pytest.approx(5.0)


def test_a_tie_at_the_edge_counts_in_part():
    churned = np.array([True] * 5 + [False] * 5)
    assert evaluate(churned, np.full(10, 0.5))["precision_top_10pct"] == pytest.approx(0.5)


def test_scores_that_keep_their_promise_have_no_calibration_error():
    score = np.repeat([0.0, 0.25, 0.5, 0.75, 1.0], 40)
    churned = np.concatenate([np.arange(40) < 40 * one for one in (0.0, 0.25, 0.5, 0.75, 1.0)])

    assert evaluate(churned, score)["calibration_error"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("churned", [[True, True], [False, False], []])
def test_without_both_outcomes_nothing_can_be_said(churned):
    with pytest.raises(NotEnoughData, match="who churned and customers who stayed"):
        auc_of(churned, np.zeros(len(churned)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_must_be_a_number(bad):
    with pytest.raises(ValueError, match="not finite"):
        auc_of([True, False], [0.5, bad])
