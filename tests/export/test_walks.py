"""Walks give Shapley values: exactly where two columns act together, and close to them elsewhere."""

from itertools import combinations, permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnops.export.walks import Walks, walks


def shapley(value, columns):
    """By definition, over all coalitions; `value` takes rows of columns that had their turn."""
    share = np.zeros(columns)
    for i in range(columns):
        others = [j for j in range(columns) if j != i]
        for size in range(columns):
            weight = factorial(size) * factorial(columns - size - 1) / factorial(columns)
            for coalition in combinations(others, size):
                without, having = np.zeros((2, columns), dtype=bool)
                without[[*coalition]] = having[[*coalition, i]] = True
                share[i] += weight * float(value(having[None])[0] - value(without[None])[0])
    return share


def walked(way, value):
    begins = value(np.zeros((1, way.order_WP.shape[1]), dtype=bool))
    return value(way.own_RP) @ way.weight_RP - way.begun(np.repeat(begins, way.pairs))


def game(columns, acting, seed=0):
    """Sums of products of up to `acting` columns."""
    rng = np.random.default_rng(seed)
    sets = [c for n in range(1, acting + 1) for c in combinations(range(columns), n)]
    weights = rng.normal(size=len(sets))

    def value(own_RP):
        return sum(w * own_RP[:, s].all(axis=1) for w, s in zip(weights, sets, strict=True))

    return value


@given(columns=st.integers(1, 7), rows=st.integers(0, 100), seed=st.integers(0, 99))
def test_shares_add_up_to_what_changed(columns, rows, seed):
    way = walks(np.random.default_rng(seed), columns, rows=rows, most_pairs=9)
    value = game(columns, columns, seed)
    changed = value(np.ones((1, columns), dtype=bool)) - value(np.zeros((1, columns), dtype=bool))

    assert walked(way, value).sum() == pytest.approx(changed[0])


@given(columns=st.integers(1, 6), seed=st.integers(0, 99))
def test_one_pair_is_exact_where_two_columns_act_together(columns, seed):
    way = walks(np.random.default_rng(seed), columns, rows=2 * columns, most_pairs=1)
    value = game(columns, 2, seed)

    assert walked(way, value) == pytest.approx(shapley(value, columns))


def test_all_orders_are_exact():
    way, value = Walks(np.array([*permutations(range(4))])), game(4, 4)

    assert walked(way, value) == pytest.approx(shapley(value, 4))


def test_rows_are_those_that_were_asked_for():
    way = walks(np.random.default_rng(0), 10, rows=100, most_pairs=9)

    assert way.pairs == 5
    assert way.own_RP.shape == way.weight_RP.shape == (5 * 2 * 9 + 1, 10)
    assert way.other_R.max() == way.pairs - 1
