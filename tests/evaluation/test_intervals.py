"""How sure a figure is."""

import numpy as np
import pytest

from churnops.evaluation.intervals import bootstrap, intervals, paired_difference


def scored(rows=600, seed=0):
    """Labels and a score that knows something of them."""
    rng = np.random.default_rng(seed)
    score = rng.random(rows)
    return rng.random(rows) < 0.2 + 0.5 * score, score


def test_an_interval_holds_its_value_and_narrows_with_more_customers():
    widths = []
    for rows in (200, 3200):
        churned, score = scored(rows)
        auc = intervals(bootstrap(churned, {"a": score}, groups=np.arange(rows), resamples=300))["a"][
            "roc_auc"
        ]
        assert auc.low <= auc.value <= auc.high
        widths.append(auc.high - auc.low)
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.4)


def test_rows_of_one_customer_come_and_go_together():
    churned, score = scored(300)
    many = {"a": np.tile(score, 4)}
    apart = bootstrap(np.tile(churned, 4), many, groups=np.arange(1200), resamples=300)
    together = bootstrap(np.tile(churned, 4), many, groups=np.tile(np.arange(300), 4), resamples=300)

    width = {
        name: intervals(drawn)["a"]["roc_auc"].high - intervals(drawn)["a"]["roc_auc"].low
        for name, drawn in {"apart": apart, "together": together}.items()
    }
    assert width["together"] > 1.6 * width["apart"]


def test_a_candidate_does_not_differ_from_itself():
    churned, score = scored()
    drawn = bootstrap(churned, {"a": score, "b": score}, groups=np.arange(600), resamples=100)

    for difference in paired_difference(drawn, "a", "b").values():
        assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)


def test_a_better_candidate_is_told_from_a_worse_one():
    churned, score = scored(2000)
    noise = np.random.default_rng(1).random(2000)
    drawn = bootstrap(churned, {"a": score, "b": noise}, groups=np.arange(2000), resamples=200)

    assert paired_difference(drawn, "a", "b")["roc_auc"].low > 0.05


def test_the_same_seed_draws_the_same():
    churned, score = scored()
    first, again = (bootstrap(churned, {"a": score}, groups=np.arange(600), resamples=100) for _ in range(2))

    assert intervals(first) == intervals(again)
