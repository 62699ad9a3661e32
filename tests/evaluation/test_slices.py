"""Where a model is better or worse than on the whole."""

import numpy as np
from scipy.special import expit

from churnops.evaluation.slices import slices


def test_the_segment_the_model_is_wrong_about_comes_first():
    rng = np.random.default_rng(0)
    logit = rng.normal(size=4000)
    country = rng.choice(np.array(["AT", "CH", "DE"], dtype=object), 4000)
    score = expit(logit)
    truth = np.where(country == "CH", 0.5, score)  # there the model knows nothing
    found = slices(
        rng.random(4000) < truth, score, categorical={"country": country}, numeric={"logit": logit}
    )

    assert (found[0].column, found[0].level) == ("country", "CH")
    assert found[0].distance > 4
    assert found[0].roc_auc < 0.6


def test_missing_values_are_a_segment_and_small_ones_are_left_out():
    plan = np.array(["a"] * 300 + [None] * 200 + ["rare"] * 10, dtype=object)
    age = np.where(np.arange(510) < 150, np.nan, 1.0)
    churned = np.arange(510) % 3 == 0
    found = slices(churned, np.full(510, 0.3), categorical={"plan": plan}, numeric={"age": age})

    assert {(one.column, one.level) for one in found} >= {
        ("plan", "a"),
        ("plan", "missing"),
        ("age", "missing"),
    }
    assert "rare" not in {one.level for one in found}
    assert {one.rows for one in found if one.level == "missing"} == {200, 150}
