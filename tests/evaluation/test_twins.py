"""Rows that are copies of others."""

import numpy as np
import pytest

from churnops.evaluation.twins import find_twins


def table(rows=1200, seed=0):
    rng = np.random.default_rng(seed)
    numeric_NF = np.column_stack(
        [
            rng.integers(0, 40, rows),
            rng.integers(5, 60, rows),
            rng.normal(150, 40, rows).round(),
            rng.poisson(3, rows),
            rng.integers(10, 30, rows),
        ]
    ).astype(float)
    numeric_NF[rng.random(numeric_NF.shape) < 0.03] = np.nan
    choices = [["a", "b", "c"], ["x", "y"], ["p", "q", "r", "s"]]
    categorical_NC = np.column_stack([rng.choice(np.array(one, dtype=object), rows) for one in choices])
    return numeric_NF, categorical_NC


def test_an_honest_table_has_no_finding():
    twins = find_twins(*table())

    assert not twins.is_finding


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("shift", [(0, 0, 0, 0, 0), (1, 1, 25, 1, 1)])
def test_every_shifted_copy_is_found_wherever_it_stands(shuffled, shift):
    numeric_NF, categorical_NC = table()
    rows = len(numeric_NF)
    both_NF = np.concatenate([numeric_NF, numeric_NF + np.array(shift)])
    both_NC = np.concatenate([categorical_NC, categorical_NC])
    order = np.random.default_rng(1).permutation(2 * rows) if shuffled else np.arange(2 * rows)
    twins = find_twins(both_NF[order], both_NC[order])

    group_N = np.empty(2 * rows, dtype=int)
    group_N[order] = twins.group_N
    assert twins.is_finding
    assert (group_N[:rows] == group_N[rows:]).mean() > 0.97


def test_a_few_repeated_rows_are_grouped_in_silence():
    numeric_NF, categorical_NC = table()
    both_NF = np.concatenate([numeric_NF, numeric_NF[:3]])
    both_NC = np.concatenate([categorical_NC, categorical_NC[:3]])
    twins = find_twins(both_NF, both_NC)

    assert not twins.is_finding
    assert (twins.group_N[:3] == twins.group_N[-3:]).all()


def test_a_coarse_table_is_not_made_of_twins():
    rng = np.random.default_rng(0)
    numeric_NF = rng.integers(0, 4, (4000, 3)).astype(float)
    categorical_NC = rng.choice(np.array(["a", "b"], dtype=object), (4000, 2))

    assert not find_twins(numeric_NF, categorical_NC).is_finding


def test_a_table_of_one_kind_of_column_is_no_trouble():
    numeric_NF, categorical_NC = table(300)

    assert not find_twins(numeric_NF, np.empty((300, 0), dtype=object)).is_finding
    find_twins(np.empty((300, 0)), categorical_NC)
