"""One value at a time: what text and typed values become."""

import datetime as dt
from decimal import Decimal
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnops.sources import mapping
from churnops.sources.mapping import Field, kind_of


def _read_in(folder, engine, expression, values, decimal="."):
    column = pa.chunked_array([pa.array(values)])
    pq.write_table(pa.table({"value": column}), folder / "values.parquet")
    field = Field("value", kind_of(column.type), decimal)
    sql = f"select {expression(field)} as out from (select {mapping.trimmed(field)} from source)"  # noqa: S608
    return engine.query(sql, {"source": str(folder / "values.parquet")})["out"].to_pylist()


@pytest.fixture
def read(tmp_path, engine):
    """Read values with an expression: a list or an Arrow array in, a list out."""
    return partial(_read_in, tmp_path, engine)


NUMBERS = {
    ".": {
        "12": 12,
        " -12.50 ": -12.5,
        "+.5": 0.5,
        "1e3": 1000,
        "1,234.50": 1234.5,
        "1,234,567": 1234567,
        "1 234 567.8": 1234567.8,
        "1'234.50": 1234.5,
        "1\N{NO-BREAK SPACE}234": 1234,
        "€ 12.50": 12.5,
        "-$1,250": -1250,
        "$-5": -5,
        "12.50 €": 12.5,
        "£5": 5,
        "₹1,234": 1234,
        "EUR 12.50": 12.5,
        "$12.50 USD": 12.5,
        "(5.00)": -5,
        "($1,250.00)": -1250,
        "5.00-": -5,
        "true": 1,
        "False": 0,
    },
    ",": {"12,5": 12.5, "1.234,50": 1234.5, "1.234": 1234, "1 234,5 €": 1234.5, "-,5": -0.5, "12": 12}
    | {"1.234,50-": -1234.5, "12,50 EUR": 12.5},
}
NO_NUMBERS = {
    ".": [
        *["12,5", "0,125", "1,23", "1,2345", "12,34.5", "1.234,50"],
        *[
            "1_000",
            "0x1F",
            "inf",
            "1e999",
            "--5",
            "five",
            "(5",
            "5)",
            "-5-",
            "(-5)",
            "12 XYZ",
            "12EURO",
        ],
    ],
    ",": ["12.5", "1,234.50", "0.125", "1,2,3"],
}


@pytest.mark.parametrize("decimal", [".", ","])
def test_numbers_in_text(read, decimal):
    expected = NUMBERS[decimal]
    assert dict(zip(expected, read(mapping.number, list(expected), decimal), strict=True)) == expected
    assert None not in read(mapping.present, list(expected), decimal)


@pytest.mark.parametrize("decimal", [".", ","])
def test_what_is_no_number_is_none_though_present(read, decimal):
    values = NO_NUMBERS[decimal]
    assert read(mapping.number, values, decimal) == [None] * len(values)
    assert read(mapping.money, values, decimal) == [None] * len(values)
    assert read(mapping.present, values, decimal) == values


def test_a_percentage_is_a_number_but_no_money(read):
    assert read(mapping.number, ["12%", "-3.5 %", "%"]) == [12, -3.5, None]
    assert read(mapping.money, ["12%", "-3.5 %", "%"]) == [None] * 3


def test_blanks_and_words_for_nothing_are_missing(read):
    values = ["", "  ", "\t", "\N{NO-BREAK SPACE}", "NaN", "NULL", "None", "n/a", "NA", "NaT", "\\N", None]
    assert read(mapping.number, values) == read(mapping.present, values) == [None] * len(values)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ([True, False, None], [1, 0, None]),
        ([1, None], [1, None]),
        ([1.5, float("nan"), float("inf")], [1.5, None, None]),
        ([Decimal("1.25")], [1.25]),
        ([dt.date(2024, 1, 1)], [None]),
    ],
)
def test_typed_numbers(read, values, numbers):
    assert read(mapping.number, values) == numbers


@pytest.mark.parametrize(
    ("value", "money"),
    [
        ("0.00005", "0.0001"),
        ("-0.00005", "-0.0001"),
        ("99999999999999", "99999999999999"),
        ("999999999999999", None),
        (Decimal("12345678901234.5678"), "12345678901234.5678"),
        (0.1, "0.1"),
    ],
)
def test_money_has_four_digits_after_the_point(read, value, money):
    assert read(mapping.money, [value]) == [money and Decimal(money)]


@pytest.mark.parametrize(
    ("values", "id_format", "ids"),
    [
        ([" 0017", "17", "17.0", "", "null", "A-1"], "text", ["0017", "17", "17.0", None, None, "A-1"]),
        (
            ["0017", "17.0", "17.00", "000", "A-01", "17.5", " "],
            "integer",
            ["17", "17", "17", "0", "A-01", "17.5", None],
        ),
        ([17850.0, 1.5, float("nan"), None], "text", ["17850", "1.5", None, None]),
        ([17850.0, None], "integer", ["17850", None]),
        ([17850, None], "text", ["17850", None]),
    ],
)
def test_ids(read, values, id_format, ids):
    assert read(lambda field: mapping.identifier(field, id_format), values) == ids


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 2**53), st.integers(0, 5)), min_size=1))
def test_integer_ids_meet_however_they_were_read(tmp_path_factory, engine, numbers):
    folder = tmp_path_factory.mktemp("ids")
    ids = [
        _read_in(folder, engine, lambda field: mapping.identifier(field, "integer"), values)
        for values in (
            [f"{'0' * zeros}{number}" for number, zeros in numbers],
            [f"{number}.0" for number, _ in numbers],
            [number for number, _ in numbers],
        )
    ]
    assert ids == [[str(number) for number, _ in numbers]] * 3


NOON = dt.datetime(2024, 7, 1, 12, 0)


@pytest.mark.parametrize(
    ("value", "format_", "timezone", "instant"),
    [
        (" 2024-07-01 12:00 ", "%Y-%m-%d %H:%M", "UTC", NOON),
        ("2024-07-01 12:00", "%Y-%m-%d %H:%M", "Europe/Berlin", NOON - dt.timedelta(hours=2)),
        ("2024-07-01T12:00:00Z", "%Y-%m-%dT%H:%M:%S%z", "Europe/Berlin", NOON),
        ("2024-07-01T14:00:00+02:00", "%Y-%m-%dT%H:%M:%S%z", "UTC", NOON),
        ("20240701", "%Y%m%d", "UTC", NOON.replace(hour=0)),
        (20240701, "%Y%m%d", "UTC", NOON.replace(hour=0)),
        (20240701.0, "%Y%m%d", "UTC", NOON.replace(hour=0)),
        ("1/7/2024", "%d/%m/%Y", "UTC", NOON.replace(hour=0)),
        ("7/1/2024 12:00 PM", "%m/%d/%Y %I:%M %p", "UTC", NOON),
        ("1719835200", "epoch", "UTC", NOON),
        (1719835200.25, "epoch", "Europe/Berlin", NOON.replace(microsecond=250_000)),
        (1719835200000, "epoch_ms", "UTC", NOON),
        (NOON, "native", "Europe/Berlin", NOON - dt.timedelta(hours=2)),
        (
            NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=2))),
            "native",
            "UTC",
            NOON - dt.timedelta(hours=2),
        ),
        (dt.date(2024, 7, 1), "%Y-%m-%d", "UTC", NOON.replace(hour=0)),
        ("31/31/2020", "%d/%m/%Y", "UTC", None),
        ("2024-07-01", "%d/%m/%Y", "UTC", None),
        ("", "%d/%m/%Y", "UTC", None),
        ("1024-07-01", "%Y-%m-%d", "UTC", None),
        ("9999-12-31", "%Y-%m-%d", "UTC", None),
        (1719835200000, "epoch", "UTC", None),
        ("1e99", "epoch", "UTC", None),
    ],
)
def test_instants_are_utc(read, value, format_, timezone, instant):
    assert read(lambda field: mapping.instant(field, format_, timezone), [value]) == [instant]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_instants_of_any_unit_become_microseconds(read, unit):
    moment = partial(mapping.instant, format_="native", timezone="UTC")
    for zone in (None, "Europe/Berlin"):
        values = pa.array([NOON], pa.timestamp(unit, zone))
        assert read(moment, values) == [NOON]
        assert read(lambda field: f"typeof({moment(field)})", values) == ["TIMESTAMP"]


@pytest.mark.parametrize("value", ["Yes", " yes", "YES "])
def test_words_are_compared_in_small_letters(read, value):
    assert read(mapping.word, [value]) == ["yes"] == [mapping.as_word(value)]


@pytest.mark.parametrize("value", ["1", "1.0", "true", "TRUE", "1.00"])
def test_one_and_true_are_one_word(read, value):
    assert read(mapping.word, [value]) == ["1"] == [mapping.as_word(value)]
    assert read(mapping.word, [True]) == read(mapping.word, [1.0]) == read(mapping.word, [1]) == ["1"]


@settings(max_examples=20)
@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"])), min_size=1))
def test_words_of_the_config_and_of_the_data_are_written_alike(tmp_path_factory, engine, values):
    said = _read_in(tmp_path_factory.mktemp("words"), engine, mapping.word, values)
    assert [word or "" for word in said] == [mapping.as_word(value) for value in values]


def test_text_keeps_words_that_stand_for_nothing_elsewhere(read):
    assert read(mapping.text, ["None", " NA ", "", "3.0"]) == ["None", "NA", None, "3.0"]
    assert read(mapping.text, [3.0, 2.5, None]) == ["3", "2.5", None]
