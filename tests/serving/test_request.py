"""Reading a scoring request, and every fault in words."""

import json

import pytest
from builders import COLUMNS, make_bundle

from churnops.bundle.manifest import InputColumn
from churnops.serving import request
from churnops.serving.model import Served
from churnops.serving.payloads import MAX_CUSTOMERS, expected
from churnops.serving.request import Refusal, RequestReader

GOOD = {"tenure months": 12, "spend.30d": 3.5, "class": 1, '1st "plan"': "pro", "city_tier": "2"}


@pytest.fixture(scope="module")
def reader(tiny_bundle):
    return RequestReader(tiny_bundle.manifest)


def _body(*customers) -> bytes:
    return json.dumps({"customers": customers}).encode()


def _faults(reader, body: bytes) -> list[tuple]:
    refusal = reader.read(body)
    assert isinstance(refusal, Refusal)
    return [(fault.row, fault.column, fault.problem, fault.expected) for fault in refusal.faults]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"tenure months": 1e30},
        {"tenure months": -4},
        {"class": True},
        {"spend.30d": None},
        {"city_tier": 3},
        {"city_tier": None},
        {"city_tier": "  "},
        {'1st "plan"': "never seen"},
        {'1st "plan"': 7},
        {"customer_id": "0017"},
        {"customer_id": 17},
        {"customer_id": "é" * 200},
        {"customer_id": -(1 << 63)},
        {"customer_id": "a:b"},
        {"customer_id": None},
        {"notes": {"any": ["thing"]}},
    ],
)
def test_what_a_good_value_may_be(reader, change):
    assert reader.read(_body(GOOD | change)) == [GOOD | change]


def test_a_nullable_column_may_be_left_out(reader):
    bare = {"tenure months": 12, '1st "plan"': "pro"}
    assert reader.read(_body(bare)) == [bare]


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("tenure months", "12", 'got the text "12"'),
        ("tenure months", None, "got null"),
        ("tenure months", 1e39, "1e+39 is not a finite number of 32 bits"),
        ("tenure months", float("nan"), "NaN is not a finite number of 32 bits"),
        ("tenure months", float("-inf"), "-Infinity is not a finite number of 32 bits"),
        ("tenure months", 10**400, "1" + 59 * "0" + " is not a finite number of 32 bits"),
        ("tenure months", [12], "got a list"),
        ("spend.30d", {"value": 12}, "got an object"),
        ('1st "plan"', " \t", "blank text, which means missing"),
        ('1st "plan"', None, "got null"),
        ('1st "plan"', 3.0, "got 3.0"),
        ("city_tier", True, "got true"),
        ("city_tier", ["x"], "got a list"),
        ("customer_id", 1.5, "got 1.5"),
        ("customer_id", "", "empty text"),
        ("customer_id", "7" * 201, "text of 201 characters, more than 200"),
        ('1st "plan"', "x" * 1001, "text of 1001 characters, more than 1000"),
        ("city_tier", "x" * 1001, "text of 1001 characters, more than 1000"),
        ("customer_id", 1 << 63, "got 9223372036854775808"),
        ("tenure month", 12, "there is no 'tenure month'"),
    ],
)
def test_a_bad_value_is_one_fault_that_names_it(reader, column, value, problem):
    (fault,) = _faults(reader, _body(GOOD, GOOD | {column: value}))
    assert fault[:3] == (1, column, problem)


def test_long_text_is_shown_short(reader):
    (fault,) = _faults(reader, _body(GOOD | {"class": "x" * 10_000}))
    assert len(fault[2]) < 100


def test_every_fault_of_every_row_is_named(reader):
    body = _body({"tenure month": 1, '1st "plan"': " "}, GOOD, 5, GOOD | {"class": "yes", "city_tier": 2.5})
    assert _faults(reader, body) == [
        (0, "tenure months", "'tenure months' is missing", "a number, in training 0 to 72"),
        (0, '1st "plan"', "blank text, which means missing", 'text such as "basic", "pro"'),
        (0, "tenure month", "there is no 'tenure month'", "perhaps 'tenure months'"),
        (2, None, "got 5", "an object: column name -> value"),
        (3, "class", 'got the text "yes"', "a number, in training 0 to 1, or null"),
        (3, "city_tier", "got 2.5", 'text such as "1", "2", "3", or null'),
    ]


TWICE = "'class' is sent more than once"


@pytest.mark.parametrize(
    ("customers", "faults"),
    [
        (
            r'{"class": 1, "class" : 1, "cl\u0061ss": 0}, {}, {"class": 1, "class": 2}',
            [(0, TWICE), (2, TWICE)],
        ),
        ('{"class": "x", "class": "y"}', [(0, 'got the text "y"'), (0, TWICE)]),
        ('{"class": 1, "class": 1, "clas": 1}', [(0, "there is no 'clas'"), (0, TWICE)]),
        ('5, {"class": 1, "class": 2}', [(0, "got 5"), (1, TWICE)]),
        ('{"class": 1}], "customers": [{"class": 2}', [(None, "'customers' is sent more than once")]),
        ('{}], "customers": [7', [(0, "got 7"), (None, "'customers' is sent more than once")]),
    ],
)
def test_a_name_sent_twice_is_a_fault(customers, faults):
    reader = RequestReader(make_bundle([COLUMNS[2]]).manifest)
    found = _faults(reader, f'{{"customers": [{customers}]}}'.encode())
    assert [(row, problem) for row, _, problem, _ in found] == faults


def test_names_in_a_value_nobody_looks_at_may_repeat():
    reader = RequestReader(make_bundle([COLUMNS[2]]).manifest)
    assert isinstance(reader.read(b'{"customers": [{"notes": {"a": 1, "a": 2}}]}'), list)


def test_no_depth_hides_a_name_that_is_sent_twice():
    """Each reader bears another depth; the stack that is left decides what `json` bears."""
    served = Served(make_bundle([COLUMNS[2]]))
    for depth in range(1100):
        body = b'{"customers": [{"class": 1, "class": 0, "notes": ' + b"[" * depth + b"]" * depth + b"}]}"
        assert served.answer(body).status == 422, depth


def test_what_is_too_deep_to_be_looked_through_is_refused(reader, monkeypatch):
    monkeypatch.setattr(request, "repeated_names", lambda _: None)
    ((*_, problem, _),) = _faults(reader, _body(GOOD | {"notes": {"a": 1}}))
    assert problem == "nested too deeply to see whether a name is sent twice"


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (b"", 422, "not JSON: EOF"),
        (b'{"customers": [{]}', 422, "not JSON: "),
        (b'{"customers": [{"city_tier": "\xff"}]}', 422, "not JSON: "),
        (b'{"customers": [{"city_tier": "\\ud800"}]}', 422, "not JSON: "),
        (b"[" * 10_000, 422, "not JSON: recursion limit"),
        (b"1" * 5000, 422, "not JSON: number out of range"),
        (b"[]", 422, "got a list"),
        (b"null", 422, "got null"),
        (b"{}", 422, "'customers' is missing"),
        (b'{"customers": {}}', 422, "got an object"),
        (b'{"customers": []}', 422, "no customers"),
        (b'{"customers": [' + b"{}," * MAX_CUSTOMERS + b"{}]}", 413, "too many customers"),
    ],
)
def test_a_body_of_another_shape_is_refused(reader, body, status, problem):
    refusal = reader.read(body)
    assert isinstance(refusal, Refusal)
    assert refusal.status == status
    assert refusal.faults[0].problem.startswith(problem)
    assert "customers" in refusal.faults[0].expected


def test_no_more_faults_are_told_than_anybody_reads(reader):
    faults = _faults(reader, _body(*[{f"c{i}": 0} for i in range(1000)]))
    assert len(faults) == 1001
    assert faults[-1][2] == "and more faults"


def test_a_hostile_number_of_faults_is_counted_not_listed(reader):
    body = json.dumps({"customers": [{f"c{i}": 0 for i in range(101_000)}]}).encode()
    (fault,) = _faults(reader, body)
    assert fault[2] == "101002 faults, too many to list"


@pytest.mark.parametrize(
    "name", ["model_config", "__class__", "", "_", "a b", "é", "x.y[0]", "None", "$ref", "customers"]
)
@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_any_name_can_be_a_column(name, kind):
    column = InputColumn(name=name, kind=kind, nullable=False, text="Any.", levels=("1",))
    reader = RequestReader(make_bundle([column]).manifest)
    assert reader.read(_body({name: 1})) == [{name: 1}]
    assert _faults(reader, _body({}))[0][:2] == (0, name)
    assert (
        name
        in reader.openapi()["content"]["application/json"]["schema"]["properties"]["customers"]["items"][
            "properties"
        ]
    )


def test_what_is_expected_says_what_training_saw():
    many = InputColumn(name="c", kind="categorical", nullable=True, text="", levels=tuple("abcdefg"))
    assert expected(many) == 'text such as "a", "b", "c", "d", "e" and 2 more, or null'
    assert expected(COLUMNS[1]) == "a number, in training -5 to 950.25, or null"
    assert expected(InputColumn(name="n", kind="numeric", nullable=False, text="")) == "a number"
