"""The formats a text may follow."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnops.sources.proposal.dates import possible_formats


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("2021-01-04", {"%Y-%m-%d"}),
        ("20210104", {"%Y%m%d"}),
        ("202101", {"%Y%m"}),
        ("2021-01", {"%Y-%m"}),
        ("12/1/2010 8:26", {"%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"}),
        ("31.12.99", {"%d.%m.%y", "%m.%d.%y"}),
        ("2021-01-04T09:30:00Z", {"%Y-%m-%dT%H:%M:%S%z"}),
        ("2021-01-04 09:30:00 -0500", {"%Y-%m-%d %H:%M:%S %z"}),
        ("2021-01-04 09:30:00 UTC", {"%Y-%m-%d %H:%M:%S UTC"}),
        ("2021-01-04 09:30:00.123+01:00", {"%Y-%m-%d %H:%M:%S.%f%z"}),
        ("2021-01-04 09:30:00.1234567", {"%Y-%m-%d %H:%M:%S.%n"}),
        ("04-JAN-21", {"%d-%b-%y"}),
        ("4 January 2021", {"%d %B %Y"}),
        ("Jan 4, 2021 9:30 PM", {"%b %d, %Y %I:%M %p", "%B %d, %Y %I:%M %p"}),
        ("1/4/2021 9:30PM", {"%d/%m/%Y %I:%M%p", "%m/%d/%Y %I:%M%p"}),
        ("20210104093000", {"%Y%m%d%H%M%S"}),
        ("04.01.2021, 09:30", {"%d.%m.%Y, %H:%M", "%m.%d.%Y, %H:%M"}),
        ("1234.56", set()),
        ("7590-VHVEG", set()),
        ("2021-01-04 and more", set()),
        ("٢٠٢١-٠١-٠٤", set()),  # noqa: RUF001 - digits, but not those that a format means
    ],
)
def test_a_text_has_the_shape_of_its_formats(text, formats):
    assert set(possible_formats([text])) == formats


DATES = st.datetimes(min_value=dt.datetime(1900, 1, 1), max_value=dt.datetime(2199, 12, 31))
WRITTEN = [
    "%Y-%m-%d",
    "%Y%m%d",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %I:%M %p",
    "%d.%m.%y",
    "%d-%b-%Y",
    "%B %d, %Y",
    "%Y-%m-%dT%H:%M:%S.%f",
]


@given(st.lists(DATES, min_size=1, max_size=5), st.sampled_from(WRITTEN))
def test_what_was_written_in_a_format_may_be_read_in_it(moments, written):
    assert written in possible_formats([moment.strftime(written) for moment in moments])


def test_slips_do_not_hide_the_format():
    assert possible_formats(["2021-01-04", "2021-01-05", "soon"]) == ("%Y-%m-%d",)
    assert possible_formats(["2021-01-04", "soon", "later"]) == ()
