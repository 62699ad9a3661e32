"""What is read off the training rows, and what it makes of any others."""

import numpy as np
import pytest
from customers import COLUMNS, make_customers, rows_of
from hypothesis import example, given
from hypothesis import strategies as st

from churnops.training.dataset import Columns
from churnops.training.preprocessing import CLIP, fit_encoding, fit_preprocessing

ONE_NUMBER = Columns(("x",), ())
ONE_CATEGORY = Columns((), ("city",))
_ANY = st.floats(width=32)
_TEXTS = st.sampled_from(["", "a", "b", "never seen", "東京"])


def _numbers(values):
    return rows_of(ONE_NUMBER, [[x] for x in values], [()] * len(values))


def _texts(values):
    return rows_of(ONE_CATEGORY, [()] * len(values), [[text] for text in values])


@given(learnt=st.lists(_ANY, min_size=1, max_size=30), applied=st.lists(_ANY, min_size=1, max_size=10))
@example(learnt=[np.nan], applied=[np.inf, -np.inf, np.nan, 3.4e38])
@example(learnt=[1e-20] * 99 + [1e-18], applied=[1e-18])  # all the same next to 1, under a logarithm
@example(learnt=[7.0, 7.0], applied=[np.inf, 7.0])
def test_any_number_becomes_finite_and_bounded(learnt, applied):
    preprocessing = fit_preprocessing(_numbers(learnt))

    x_ND = preprocessing.apply(_numbers(applied))

    assert x_ND.dtype == np.float32
    assert x_ND.shape == (len(applied), preprocessing.width)
    assert (np.abs(x_ND) <= CLIP).all()  # also false for NaN


@given(learnt=st.lists(_TEXTS, min_size=1, max_size=30), applied=st.lists(_TEXTS, min_size=1, max_size=10))
def test_any_text_has_exactly_one_place(learnt, applied):
    preprocessing = fit_preprocessing(_texts(learnt))
    (category,) = preprocessing.categorical

    x_ND = preprocessing.apply(_texts(applied))

    places = [*category.levels, "unknown"]
    expected = [text if text in category.levels else "unknown" for text in applied]
    assert [places[i] for i in x_ND.argmax(axis=1)] == expected
    assert (x_ND.sum(axis=1) == 1).all()


def test_rows_do_not_depend_on_their_neighbours():
    preprocessing = fit_preprocessing(make_customers(300))
    rows = make_customers(40_000, seed=1)
    index_N = np.array([39_999, 5, 20_000])

    np.testing.assert_array_equal(preprocessing.apply(rows.take(index_N)), preprocessing.apply(rows)[index_N])


def test_training_rows_come_out_standardised():
    rows = make_customers(2000)

    x_NF = fit_preprocessing(rows).apply(rows)[:, [0, 2]]  # the second is clipped and filled

    assert x_NF[:, 0].mean() == pytest.approx(0, abs=1e-4)
    assert x_NF[:, 0].std() == pytest.approx(1, abs=1e-3)


def test_missing_becomes_the_median_and_a_flag_where_training_saw_it_missing():
    preprocessing = fit_preprocessing(_numbers([1.0, 2.0, 9.0, np.nan]))

    x_ND = preprocessing.apply(_numbers([np.nan, 2.0]))

    assert x_ND[0, 0] == x_ND[1, 0]
    assert x_ND[:, 1].tolist() == [1.0, 0.0]


def test_missing_has_no_flag_where_training_never_saw_it():
    assert fit_preprocessing(_numbers([1.0, 2.0])).apply(_numbers([np.nan])).shape == (1, 1)


@pytest.mark.parametrize(
    "values", [[np.nan] * 3, [4.0] * 3, [np.inf] * 3], ids=["missing", "one", "infinite"]
)
def test_a_column_that_says_nothing_becomes_zero(values):
    preprocessing = fit_preprocessing(_numbers(values))

    assert preprocessing.apply(_numbers([values[0] if np.isfinite(values[0]) else np.nan]))[0, 0] == 0


@pytest.mark.parametrize(
    ("values", "log"),
    [
        (np.random.default_rng(0).lognormal(3, 1, 1000), True),
        (-np.random.default_rng(0).lognormal(3, 1, 1000), True),
        (np.random.default_rng(0).normal(50, 10, 1000), False),
        (np.random.default_rng(0).random(1000), False),
    ],
    ids=["heavy tail", "heavy tail of negatives", "bell", "flat"],
)
def test_only_a_heavy_tail_is_taken_to_its_logarithm(values, log):
    assert fit_preprocessing(_numbers(values)).numeric[0].log == log


def test_infinite_values_have_no_say_in_what_is_learnt():
    known, more = fit_preprocessing(_numbers([1.0, 2.0, 4.0])), _numbers([1.0, 2.0, 4.0, np.inf, -np.inf])

    assert fit_preprocessing(more) == known


def test_rare_levels_are_as_good_as_unknown():
    (category,) = fit_preprocessing(_texts(["often"] * 2000 + ["rare"] * 9 + ["enough"] * 10)).categorical

    assert category.levels == ("enough", "often")


def test_in_a_small_table_fewer_rows_make_a_level():
    assert fit_preprocessing(_texts(["a"] * 50 + ["b"])).categorical[0].levels == ("a", "b")


def test_of_many_levels_the_most_frequent_stay():
    counts = {f"city {i:04d}": 10 + (i >= 4950) for i in range(5000)}

    (category,) = fit_preprocessing(
        _texts([city for city, n in counts.items() for _ in range(n)])
    ).categorical

    assert category.levels == tuple(f"city {i:04d}" for i in range(4950, 5000))


def test_missing_text_is_a_level_where_training_saw_it():
    preprocessing = fit_preprocessing(_texts(["", "a"]))

    assert preprocessing.apply(_texts(["", "a", "b"])).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_columns_come_as_numbers_then_flags_then_levels():
    preprocessing = fit_preprocessing(make_customers(500))
    row = rows_of(COLUMNS, [[10.0, np.nan, np.nan]], [["pro", "elsewhere"]])

    x_D = preprocessing.apply(row)[0]

    assert x_D[3:5].tolist() == [1, 1]  # spend and age are missing; recency was never
    assert x_D[5:9].tolist() == [0, 0, 1, 0]  # '', basic, pro, unknown
    assert x_D[9:].tolist() == [0, 0, 0, 1]
    assert len(x_D) == preprocessing.width


def test_columns_are_found_by_name():
    rows = make_customers(200)
    turned = Columns(COLUMNS.numeric[::-1], COLUMNS.categorical[::-1])

    other = rows_of(turned, rows.numeric_NF[:, ::-1], rows.categorical_NC[:, ::-1])

    for fitted in (fit_preprocessing(rows), fit_encoding(rows)):
        np.testing.assert_array_equal(fitted.apply(other), fitted.apply(rows))


def test_trees_see_raw_numbers_and_what_is_missing():
    encoding = fit_encoding(make_customers(500))
    row = rows_of(COLUMNS, [[1e6, np.nan, 30.0]], [["basic", ""]])

    x_D = encoding.apply(row)[0]

    np.testing.assert_array_equal(x_D[:3], np.float32([1e6, np.nan, 30.0]))
    assert x_D[3:].tolist() == [0, 1, 0, 0, 0, 0, 0, 1]


@given(learnt=st.lists(_ANY, min_size=1, max_size=30), applied=st.lists(_ANY, min_size=1, max_size=10))
@example(learnt=[1.0, 2.0, 3.0, 4.0], applied=[np.nan, -np.inf, np.inf, 2.5])
def test_bins_say_how_much_of_each_lies_below(learnt, applied):
    preprocessing = fit_preprocessing(_numbers(learnt), bins=4)

    x_ND = preprocessing.apply(_numbers(applied))

    assert x_ND.shape == (len(applied), preprocessing.width)
    first = x_ND.shape[1] - preprocessing.bins.from_K.size
    filled_NK = x_ND[:, first:]
    assert ((filled_NK >= 0.0) & (filled_NK <= 1.0)).all()
    assert (np.diff(filled_NK, axis=1) <= 0.0).all()  # a bin begins to fill when the one before is full


def test_bins_hold_equally_many_rows_and_none_are_made_of_one_value():
    evenly = fit_preprocessing(_numbers(np.arange(100.0)), bins=4).bins
    alike = fit_preprocessing(_numbers([3.0] * 100), bins=4).bins

    np.testing.assert_allclose(evenly.width_K, evenly.width_K[0], rtol=0.02)
    assert evenly.from_K.size == 4
    assert alike.from_K.size == 0
