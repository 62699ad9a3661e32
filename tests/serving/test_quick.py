"""The quick reader: what it accepts, the careful one accepts too, and reads alike."""

import json

import numpy as np
import pytest
from builders import COLUMNS, make_bundle
from hypothesis import given
from hypothesis import strategies as st

from churnops.serving.model import Served
from churnops.serving.quick import QuickReader, Rows
from churnops.serving.request import Refusal, RequestReader

INPUTS = [column.model_copy(update={"name": column.name.replace('"', "'")}) for column in COLUMNS]
BUNDLE = make_bundle(INPUTS)
CAREFUL = RequestReader(BUNDLE.manifest)
GOOD = {"tenure months": 12, "spend.30d": 3.5, "class": 1, "1st 'plan'": "pro", "city_tier": "2"}


@pytest.fixture(scope="module")
def quick():
    return _reader(BUNDLE)


def _reader(bundle) -> QuickReader:
    return QuickReader(bundle.manifest, bundle.categories)


def _rows(quick, body) -> Rows | None:
    customers = quick.read(body)
    return None if customers is None else quick.rows(customers)


def _texts(bundle, rows):
    return bundle.categories.texts(rows.category_NC, rows.others)


def _body(*customers) -> bytes:
    return json.dumps({"customers": customers}).encode()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"tenure months": -4.5},
        {"class": True},
        {"spend.30d": None},
        {"city_tier": 3},
        {"city_tier": None},
        {"city_tier": " \t"},
        {"1st 'plan'": "never seen"},
        {"customer_id": "a:b"},
        {"customer_id": 17},
        {"customer_id": None},
        {"notes": {"any": ["thing"]}},
    ],
)
def test_what_is_good_is_read_at_once(quick, change):
    _agrees(quick, _body(GOOD | change, GOOD), at_once=True)


def test_what_may_be_left_out_is_missing(quick):
    rows = _rows(quick, _body({"tenure months": 12, "1st 'plan'": "pro"}))
    assert np.isnan(rows.numeric_NF[0, 1:]).all()
    assert _texts(BUNDLE, rows).tolist() == [["pro", ""]]
    assert rows.customer_ids == [None]


_CHARACTERS = st.characters(codec="utf-8")
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(_CHARACTERS)
    | st.sampled_from([10**400, 1e39, " ", "\x1c", "\u2003", "", 3.0, 1 << 63, -(1 << 63), "x" * 201])
)
_CHANGED = st.dictionaries(st.sampled_from([*GOOD, "customer_id", "notes", "note"]), _LEAVES, max_size=3).map(
    lambda change: GOOD | change
)
_CUSTOMERS = st.lists(_CHANGED | st.dictionaries(st.sampled_from([*GOOD]), _LEAVES), max_size=3)
_BODIES = _CUSTOMERS.map(lambda customers: _body(*customers)) | st.binary()


@given(body=_BODIES)
def test_it_accepts_only_what_the_careful_reader_accepts(quick, body):
    _agrees(quick, body)


@given(body=_CUSTOMERS.map(lambda customers: _body(*customers, GOOD)), data=st.data())
def test_damaged_text_is_read_alike(quick, body, data):
    at = data.draw(st.integers(0, len(body) - 1))
    _agrees(quick, body[:at] + data.draw(st.binary(max_size=3)) + body[at + data.draw(st.integers(0, 3)) :])


@pytest.mark.parametrize(
    "customers",
    [
        '{"class": 1, "class": 1}',
        '{"class": 1, "class": 1}, {"class": 1}',
        r'{"class": 1, "cl\u0061ss" : 0}',
        '{"notes": 1, "notes": 2}',
        '{"customer_id": 1, "customer_id": 2, "class": null}',
        '{}], "customers": [{"class": 2}',
    ],
)
def test_a_name_sent_twice_is_not_for_the_quick_reader(customers):
    quick = _reader(make_bundle([COLUMNS[2]]))
    assert quick.read(f'{{"customers": [{customers}]}}'.encode()) is None


@pytest.mark.parametrize("name", ['1st "plan"', "a\\b", "tab\t"])
def test_names_that_json_escapes_are_for_the_careful_reader(name):
    served = Served(make_bundle([COLUMNS[0].model_copy(update={"name": name})]))
    body = _body({name: 12})
    assert served.read_quickly(body) is None
    assert served.answer(body).status == 200


@pytest.mark.parametrize(
    "name", ["__class__", "", "_", "a b", "é", "x.y[0]", "None", "$ref", "customers", "f1"]
)
@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_any_other_name_can_be_a_column(name, kind):
    column = COLUMNS[0 if kind == "numeric" else 3].model_copy(update={"name": name, "levels": ("1",)})
    bundle = make_bundle([column])
    rows = _rows(_reader(bundle), _body({name: 1}))
    matrix = rows.numeric_NF if kind == "numeric" else _texts(bundle, rows)
    assert matrix.tolist() == [[1.0 if kind == "numeric" else "1"]]


def _agrees(quick, body: bytes, *, at_once: bool = False) -> None:
    rows = _rows(quick, body)
    if rows is None:
        assert not at_once
        return
    customers = CAREFUL.read(body)
    assert not isinstance(customers, Refusal)
    numeric_NF, categorical_NC = BUNDLE.matrices(customers)
    np.testing.assert_array_equal(rows.numeric_NF, numeric_NF)
    assert _texts(BUNDLE, rows).tolist() == categorical_NC.tolist()
    assert rows.customer_ids == [customer.get("customer_id") for customer in customers]
