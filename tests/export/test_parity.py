"""The check itself: it must see what is wrong."""

import numpy as np
import pytest
from customers import make_customers
from trained import graph_of, scores, trained

from churnops.errors import ParityError
from churnops.export.parity import check_parity, parity

KIND = "recency"


def test_largest_difference_counts():
    rows = make_customers(100)
    score_N = scores(trained(KIND), rows)
    score_N[17] += 0.25
    score_N[18] -= 0.5

    assert parity(graph_of(KIND), rows, score_N) == pytest.approx(0.5, abs=1e-6)


def test_more_rows_than_are_scored_at_once():
    rows = make_customers(50_001)
    score_N = scores(trained(KIND), rows)
    score_N[-1] += 0.25

    assert parity(graph_of(KIND), rows, score_N) == pytest.approx(0.25, abs=1e-6)


def test_no_rows_do_not_differ():
    assert parity(graph_of(KIND), make_customers(100).take(np.arange(0)), np.empty(0)) == 0


def test_a_score_that_is_no_number_differs_infinitely():
    rows = make_customers(2)

    assert parity(graph_of(KIND), rows, np.array([np.nan, 0.5])) == np.inf


@pytest.mark.parametrize("wrong_by", [2e-5, np.nan])
def test_a_graph_that_disagrees_is_refused(wrong_by):
    rows = make_customers(100)

    with pytest.raises(ParityError, match="differ"):
        check_parity(graph_of(KIND), rows, scores(trained(KIND), rows) + wrong_by)
