"""Every kind of model, and the graph made of it: the same score for any row."""

import numpy as np
import pytest
from customers import COLUMNS, EXTREMES, VALUES, make_customers, rows_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trained import KINDS, graph_of, scores, trained

from churnops.export.parity import TOLERANCE, parity
from churnops.training.dataset import Columns

NUMERIC_ONLY = Columns(COLUMNS.numeric, ())
CATEGORICAL_ONLY = Columns((), COLUMNS.categorical)


def _difference(kind, rows):
    return parity(graph_of(kind, rows.columns), rows, scores(trained(kind, rows.columns), rows))


@pytest.mark.parametrize("kind", KINDS)
def test_they_agree_on_customers_like_those_of_training(kind):
    assert _difference(kind, make_customers(2000, seed=2)) < TOLERANCE / 10


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50)
@given(values=st.lists(VALUES, min_size=1, max_size=20))
@example(values=[((x,) * len(COLUMNS.numeric), ("never seen", "")) for x in EXTREMES])
def test_they_agree_on_missing_unknown_and_extreme_values(kind, values):
    numeric, categorical = zip(*values, strict=True)

    assert _difference(kind, rows_of(COLUMNS, numeric, categorical)) < TOLERANCE


@pytest.mark.parametrize("columns", [NUMERIC_ONLY, CATEGORICAL_ONLY], ids=["numeric", "categorical"])
@pytest.mark.parametrize("kind", KINDS)
def test_they_agree_on_columns_of_one_kind(kind, columns):
    assert _difference(kind, make_customers(500, columns, seed=2)) < TOLERANCE / 10


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_they_agree_on_as_many_rows_as_there_are(kind, n):
    rows = make_customers(500, seed=2).take(np.arange(n))

    assert _difference(kind, rows) < TOLERANCE / 10
