"""The models to beat: quiet, repeatable, and as good as they should be."""

import lightgbm as lgb
import numpy as np
import pytest
from customers import COLUMNS, make_customers, rows_of
from scipy.special import expit

from churnops.errors import NotEnoughData
from churnops.training.candidates import fit
from churnops.training.dataset import Columns
from churnops.training.recipe import Boosting, Recipe

BASELINES = ("recency", "logistic", "lightgbm")
RECIPE = Recipe(boosting=Boosting(max_trees=60, patience=10))


def _fit(name, train, validation, recipe=RECIPE):
    return fit(name, train, validation, recipe, on_epoch=lambda _: None)


def _toy(n, seed, *, columns=4):
    """Only `x1` matters, and in a straight line. Rows, and their true chance."""
    rng = np.random.default_rng(seed)
    x_NF = rng.standard_normal((n, columns))
    chance_N = expit(2 * x_NF[:, 1] - 1)
    named = Columns(tuple(f"x{i}" for i in range(columns)), ())
    return rows_of(named, x_NF, [()] * n, churned_N=rng.random(n) < chance_N), chance_N


@pytest.mark.parametrize("name", BASELINES)
def test_same_rows_give_the_same_model_and_say_nothing(name, capfd):
    train, validation = make_customers(600), make_customers(300, seed=1)

    one, again = (_fit(name, train, validation).model.logits(validation) for _ in range(2))

    np.testing.assert_array_equal(one, again)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize(
    "values",
    [np.full((40, 2), np.nan), np.ones((40, 2)), np.full((40, 2), np.inf)],
    ids=["missing", "one", "inf"],
)
def test_columns_that_say_nothing_do_no_harm(name, values):
    rows = rows_of(Columns(("a", "b"), ()), values, [()] * 40, churned_N=np.arange(40) % 4 == 0)

    assert np.isfinite(_fit(name, rows, rows).model.logits(rows)).all()


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("n", [2, 8, 200])
def test_small_tables_can_be_learnt_from(name, n):
    train, _ = _toy(n, 0)
    rows = rows_of(train.columns, train.numeric_NF, train.categorical_NC, churned_N=np.arange(n) % 2 == 0)

    assert np.isfinite(_fit(name, rows, rows).model.logits(rows)).all()


def test_trees_cannot_stop_on_customers_of_one_kind():
    rows = make_customers(50)
    stayed = rows_of(rows.columns, rows.numeric_NF, rows.categorical_NC)

    with pytest.raises(NotEnoughData, match="validation"):
        _fit("lightgbm", rows, stayed)


def test_recency_alone_rises_with_recency():
    model = _fit("recency", make_customers(600), make_customers(300, seed=1)).model
    silent = rows_of(COLUMNS, [[days, 1.0, 40.0] for days in (1, 30, 90)], [("pro", "東京")] * 3)
    spent = rows_of(COLUMNS, [[30.0, spend, np.nan] for spend in (1, 30, 90)], [("", "")] * 3)

    assert (np.diff(model.logits(silent)) > 0).all()
    assert (np.diff(model.logits(spent)) == 0).all()
    assert [number.name for number in model.preprocessing.numeric] == ["recency_days"]


def test_single_column_is_the_one_that_does_best_on_train():
    (train, _), (validation, _) = _toy(500, 0), _toy(500, 1)
    misled = rows_of(  # on these, another column is better: they must not be asked
        train.columns, np.roll(validation.numeric_NF, 1, axis=1), [()] * 500, churned_N=validation.churned_N
    )

    model = _fit("single_column", train, misled).model

    assert [number.name for number in model.preprocessing.numeric] == ["x1"]


def test_single_column_may_be_a_category():
    rng = np.random.default_rng(0)
    plan_N = rng.choice(["basic", "pro"], 500)
    rows = rows_of(
        Columns(("noise",), ("plan",)),
        rng.standard_normal((500, 1)),
        plan_N[:, None],
        churned_N=rng.random(500) < np.where(plan_N == "basic", 0.7, 0.2),
    )

    model = _fit("single_column", rows, rows).model

    assert model.preprocessing.numeric == ()
    assert [category.name for category in model.preprocessing.categorical] == ["plan"]


def test_trees_do_not_depend_on_the_number_of_threads():
    (train, _), (validation, _) = _toy(3000, 0), _toy(500, 1)
    fitted = _fit("lightgbm", train, validation).model
    parameters = fitted.booster.params | {"num_threads": 2}

    data = lgb.Dataset(fitted.encoding.apply(train).astype(np.float64), train.churned_N, params=parameters)
    trees = fitted.booster.num_trees()
    again = lgb.train(parameters, data, num_boost_round=trees)

    x_ND = fitted.encoding.apply(validation)
    np.testing.assert_array_equal(again.predict(x_ND, raw_score=True), fitted.logits(validation))


def test_trees_after_the_best_are_left_out():
    fitted = _fit(
        "lightgbm", make_customers(600), make_customers(300, seed=1), Recipe(boosting=Boosting(patience=5))
    )

    losses = [epoch.figures["validation_loss"] for epoch in fitted.history]
    assert fitted.model.booster.num_trees() == np.argmin(losses) + 1
    assert len(losses) == np.argmin(losses) + 1 + 5


def test_a_progress_callback_hears_of_every_fiftieth_tree():
    seen, unhurried = [], Recipe(boosting=Boosting(max_trees=120, patience=120))

    fitted = fit(
        "lightgbm", make_customers(300), make_customers(200, seed=1), unhurried, on_epoch=seen.append
    )

    assert seen == [fitted.history[49], fitted.history[99]]
