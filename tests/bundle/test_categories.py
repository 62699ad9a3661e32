"""Categories by number: the numbers stand for the texts, and the graph reads what they stand for."""

import numpy as np
import pyarrow as pa
import pytest
from builders import COLUMNS, make_bundle
from hypothesis import given
from hypothesis import strategies as st

from churnops.bundle.bundle import category_texts
from churnops.bundle.categories import MISSING, Categories, category_text
from churnops.bundle.tables import category_numbers, numeric_matrix, with_used_levels

BUNDLE = make_bundle()
COLUMN = BUNDLE.categorical[0]
_TEXTS = st.text(max_size=4) | st.sampled_from([level for one in BUNDLE.categorical for level in one.levels])
_VALUES = st.lists(st.none() | st.integers(-9, 9) | _TEXTS, max_size=20)


def _of(*levels: str) -> Categories:
    return Categories([COLUMN.model_copy(update={"levels": levels})])


@given(parts=st.lists(_VALUES, max_size=4))
def test_numbers_stand_for_the_texts_whichever_come_first(parts):
    others: dict[str, int] = {}
    numbers = [BUNDLE.categories.numbers(values, others) for values in parts]
    for values, number_N in zip(parts, numbers, strict=True):
        texts = [category_text(value) for value in values]
        assert BUNDLE.categories.texts(number_N, (*others,)).tolist() == texts
        assert [number == MISSING for number in number_N] == [text == "" for text in texts]


def test_levels_that_are_blank_are_missing():
    assert _of("a", " ").numbers(["a", " ", None, ""], {}).tolist() == [1, MISSING, MISSING, MISSING]


@pytest.mark.parametrize("level", ["a", "a\0b", "é" * 40, "東京"])
def test_the_graph_is_fed_the_texts(level):
    categories = _of(level, "c")
    others: dict[str, int] = {}
    number_N = categories.numbers([level, None, "c"], others)
    for fed_N in (categories.fed(number_N), categories.fed(np.append(number_N, -1), ("b",))[:3]):
        assert [text.decode() if isinstance(text, bytes) else text for text in fed_N] == [level, "", "c"]


@given(values=st.lists(_TEXTS, min_size=1, max_size=20))
def test_a_score_is_the_same_for_texts_and_for_numbers(values):
    numeric_NF = np.ones((len(values), len(BUNDLE.numeric)), np.float32)
    others: dict[str, int] = {}
    number_N1 = BUNDLE.categories.numbers(values, others).reshape(-1, 1)
    number_NC = np.repeat(number_N1, len(BUNDLE.categorical), axis=1)
    by_text = BUNDLE.score(numeric_NF, BUNDLE.categories.texts(number_NC, (*others,)))
    by_number = BUNDLE.score(numeric_NF, BUNDLE.categories.fed(number_NC, (*others,)))
    assert by_number.tolist() == by_text.tolist()


@pytest.mark.parametrize("cut", [slice(0, 6), slice(2, 5), slice(6, 6)])
@pytest.mark.parametrize(
    "column",
    [
        pa.array(["pro", " ", None, "é", "pro", ""]),
        pa.array(["pro", " ", None, "é", "pro", ""], pa.large_string()),
        pa.array(["pro", " ", None, "é", "pro", ""]).dictionary_encode(),
        pa.array([3, None, -1, 3, 0, 2], pa.int8()),
        pa.nulls(6),
        pa.DictionaryArray.from_arrays(pa.array([8, None, 2, 8, 0, 1]), pa.array([None, *"abcdefgh"])),
    ],
)
def test_a_table_has_the_numbers_of_its_texts(column, cut):
    names = [one.name for one in BUNDLE.categorical]
    table = pa.record_batch({names[0]: column, names[1]: pa.array(["2", "1", None, "9", "é", "2"])})[cut]
    others: dict[str, int] = {}
    number_NC = category_numbers(BUNDLE.categorical, table, BUNDLE.categories, others=others)
    texts_NC = BUNDLE.categories.texts(number_NC, (*others,))
    for name, texts_N in zip(names, texts_NC.T, strict=True):
        assert texts_N.tolist() == category_texts(table[name]).tolist()


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.int64()])
@pytest.mark.parametrize("indices", [[900, 7, 900, None, 0], [None, None], [3], []])
def test_of_a_long_dictionary_no_more_levels_are_read_than_there_are_rows(kind, indices):
    levels = pa.array([*map(str, range(1000)), None]).cast(kind)[1:]
    column = pa.DictionaryArray.from_arrays(pa.array([999, *indices], pa.uint32()), levels)[1:]
    used = with_used_levels(column)
    assert used.to_pylist() == column.to_pylist()
    assert len(used.dictionary) <= len(indices)
    used.validate(full=True)


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.float64(), pa.bool_(), pa.decimal128(21, 2), pa.float32(), pa.null()]
)
def test_numbers_of_every_type_are_read(kind):
    names = [one.name for one in BUNDLE.numeric]
    numbers = pa.nulls(2) if kind == pa.null() else pa.array([1, None]).cast(kind, safe=False)
    table = pa.record_batch({names[2]: numbers, names[0]: pa.array([0.25, None])})
    expected = [[0.25, np.nan, np.nan if kind == pa.null() else 1.0], [np.nan] * 3]
    np.testing.assert_array_equal(numeric_matrix(BUNDLE.numeric, table), np.array(expected, np.float32))


def test_what_a_column_knows_is_not_known_of_another():
    first, second = (COLUMN.model_copy(update={"levels": levels}) for levels in (("a",), ("b",)))
    categories = Categories([first, second])
    known_CT = categories.known([first, second])
    numbers = categories.numbers(["", "a", "b"], {})
    assert known_CT[:, numbers].tolist() == [[True, True, False], [True, False, True]]
    assert not known_CT[:, -1].any()


def test_the_columns_of_a_bundle_are_those_of_its_manifest():
    assert (*BUNDLE.numeric, *BUNDLE.categorical) == BUNDLE.manifest.inputs == tuple(COLUMNS)
