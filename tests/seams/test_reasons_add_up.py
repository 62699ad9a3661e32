"""Base score and effects are the score, whichever model it is and whatever the customer is like."""

import functools

import numpy as np
import pytest
from customers import COLUMNS, EXTREMES, NUMBERS, VALUES, make_customers, rows_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trained import KINDS, PLATT, bundle_around, explained

from churnops.export.onnx import to_onnx
from churnops.jobs.steps.reasons import with_reasons
from churnops.training.bgnbd import COLUMNS as HISTORY
from churnops.training.bgnbd import BgNbd, Parameters
from churnops.training.dataset import Columns

NUMERIC_ONLY = Columns(COLUMNS.numeric, ())
CATEGORICAL_ONLY = Columns((), COLUMNS.categorical)


def _missed(bundle, rows):
    """How far the sum is from the score."""
    effects_NX = bundle.effects(rows.numeric_NF, rows.categorical_NC)
    sum_N = bundle.manifest.reasons.base_score + effects_NX.sum(axis=1)
    return np.abs(sum_N - bundle.score(rows.numeric_NF, rows.categorical_NC)).max(initial=0.0)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50)
@given(values=st.lists(VALUES, min_size=1, max_size=20))
@example(values=[((x,) * len(COLUMNS.numeric), ("never seen", "")) for x in EXTREMES])
def test_with_missing_unknown_and_extreme_values(kind, values):
    assert _missed(explained(kind), rows_of(COLUMNS, *zip(*values, strict=True))) < 1e-4


@pytest.mark.parametrize("columns", [NUMERIC_ONLY, CATEGORICAL_ONLY], ids=["numeric", "categorical"])
@pytest.mark.parametrize("kind", KINDS)
def test_with_columns_of_one_kind(kind, columns):
    assert _missed(explained(kind, columns), make_customers(100, columns, seed=2)) < 1e-5


@pytest.mark.parametrize("n", [0, 1, 300])
def test_for_as_many_rows_as_there_are(n):
    """More than are scored at once."""
    rows = make_customers(300, seed=3)

    assert _missed(explained("logistic"), rows.take(np.arange(n))) < 1e-5


@settings(max_examples=50)
@given(values=st.lists(st.tuples(*[NUMBERS] * len(HISTORY)), min_size=1, max_size=20))
def test_of_bgnbd(values):
    assert _missed(_bgnbd(), rows_of(Columns(HISTORY, ()), values, [()] * len(values))) < 1e-4


@functools.cache
def _bgnbd():
    rng = np.random.default_rng(0)
    model = BgNbd(Parameters(r=0.8, alpha=30.0, a=0.7, b=2.5), horizon_days=90, fill=(3.0, 200.0, 30.0))
    numeric_SF = rng.exponential([3.0, 300.0, 60.0], (100, 3)).astype(np.float32)
    columns = Columns(HISTORY, ())
    return with_reasons(
        bundle_around(to_onnx(model, columns, PLATT), columns), (numeric_SF, np.empty((100, 0), dtype=object))
    )
