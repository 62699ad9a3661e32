"""The models that compete, by name."""

import subprocess
import sys

import numpy as np
import pytest
from customers import make_customers, rows_of
from scipy.special import expit

from churnops.errors import NotEnoughData
from churnops.evaluation.metrics import auc_of
from churnops.training.candidates import candidates_of, fit, one_column
from churnops.training.dataset import Columns
from churnops.training.preprocessing import fit_encoding, fit_preprocessing
from churnops.training.recipe import Boosting, Recipe, Schedule

ALL = ("lightgbm", "torch")
NAMES = sorted({"recency", *candidates_of("labelled", ALL)})
RECIPE = Recipe(schedule=Schedule(max_epochs=6), boosting=Boosting(max_trees=60, patience=10))


def _fit(name, train, validation):
    return fit(name, train, validation, RECIPE, on_epoch=lambda _: None)


def _toy(n, seed):
    """Who is long silent leaves, whatever the noise beside it says. Rows, and their true chance."""
    rng = np.random.default_rng(seed)
    silent_days_N, noise_N3 = rng.uniform(0, 90, n), rng.standard_normal((n, 3))
    chance_N = expit(silent_days_N / 15 - 4)
    columns = Columns(("a", "b", "c", "recency_days"), ())
    values = np.column_stack([noise_N3, silent_days_N])
    return rows_of(columns, values, [()] * n, churned_N=rng.random(n) < chance_N), chance_N


@pytest.mark.parametrize(
    ("shape", "plain"),
    [("purchases", ("recency", "bgnbd", "logistic")), ("labelled", ("single_column", "logistic"))],
)
def test_every_shape_has_its_baselines_and_its_one_column(shape, plain):
    assert candidates_of(shape, ("torch", "lightgbm")) == (*plain, "lightgbm", "torch")
    assert one_column(shape) == plain[0]


@pytest.mark.parametrize("name", NAMES)
def test_what_can_be_learnt_is_learnt(name):
    (train, _), (validation, _), (test, chance_N) = _toy(4000, 0), _toy(1000, 1), _toy(4000, 2)

    model = _fit(name, train, validation).model

    bound = auc_of(test.churned_N, chance_N)
    assert bound - 0.01 < auc_of(test.churned_N, model.logits(test)) < bound + 0.002


@pytest.mark.parametrize("name", ["logistic", "lightgbm", "torch"])
def test_inputs_are_read_off_the_training_rows_alone(name):
    train, validation = make_customers(300), make_customers(200, seed=1)
    validation.numeric_NF[:] *= 1e6
    validation.categorical_NC[:] = "never seen"

    model = _fit(name, train, validation).model

    if name == "lightgbm":
        assert model.encoding == fit_encoding(train)
    else:
        assert model.preprocessing == fit_preprocessing(train)


@pytest.mark.parametrize("name", NAMES)
def test_training_rows_of_one_kind_are_not_enough(name):
    rows = make_customers(50)
    stayed = rows_of(rows.columns, rows.numeric_NF, rows.categorical_NC)

    with pytest.raises(NotEnoughData, match=r"train:\n.*0 of 50 customers left"):
        _fit(name, stayed, rows)


def test_an_unknown_candidate_is_an_error():
    with pytest.raises(ValueError, match="no candidate is called oracle"):
        _fit("oracle", make_customers(10), make_customers(10))


def test_naming_the_candidates_imports_no_framework():
    script = (
        "import sys, churnops.training.candidates; sys.exit(bool({'torch', 'lightgbm'} & sys.modules.keys()))"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
