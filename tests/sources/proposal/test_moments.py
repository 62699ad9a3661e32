"""Times, and those that can be read in two ways."""

import datetime as dt
from random import Random

import brands
import pytest
from exports import export
from made_tables import START, lines

from churnops.errors import ConfigError
from churnops.sources.proposal.moments import moment

EARLY = [day for day in range(300) if (START + dt.timedelta(days=day)).day <= 12]
"""Days after the start on which the day of the month may be a month."""
UNORDERED = Random(3).sample(EARLY, len(EARLY))
AMBIGUOUS = {"%d/%m/%Y", "%m/%d/%Y"}


def log(path, format_, days):
    """A log of purchases by twenty customers, at `days` after the start."""
    rows = [
        [i % 20, (START + dt.timedelta(days=day)).strftime(format_), 5 + i % 7] for i, day in enumerate(days)
    ]
    return export(path, *lines("customer_id,date,amount", rows))


def test_a_day_beyond_the_twelfth_decides(tmp_path, proposed):
    for format_ in AMBIGUOUS:
        config = proposed(log(tmp_path / "a.csv", format_, range(200))).config
        assert config.transactions.time.format == format_


def test_what_can_be_read_in_two_ways_is_asked_about(tmp_path, proposed):
    (path,) = brands.ambiguous(tmp_path)
    proposal = proposed(path)
    (question,) = proposal.questions
    assert question.key == "transactions.time.format"
    assert set(question.options) == AMBIGUOUS
    assert "'date' may have the day or the month first" in question.text
    assert any(question.text in warning for warning in proposal.warnings)
    for option in AMBIGUOUS:
        answered = proposed(path, **{question.key: option})
        assert (answered.config.transactions.time.format, answered.questions) == (option, ())


@pytest.mark.parametrize(
    ("format_", "days", "why"),
    [
        ("%d/%m/%Y", EARLY, "rows are in order"),
        ("%m/%d/%Y", EARLY, "rows are in order"),
        ("%d.%m.%Y", UNORDERED, "written so, the day comes first"),
    ],
)
def test_what_speaks_for_a_reading_is_said(tmp_path, proposed, format_, days, why):
    proposal = proposed(log(tmp_path / "a.csv", format_, days))
    assert proposal.config.transactions.time.format == format_
    assert why in "\n".join(proposal.warnings)


def test_dates_of_the_other_table_decide(tmp_path, proposed):
    people = [[i, f"{13 + i % 15}/{1 + i % 12}/19{60 + i}"] for i in range(20)]
    proposal = proposed(
        export(tmp_path / "people.csv", *lines("customer_id,date_of_birth", people)),
        log(tmp_path / "a.csv", "%d/%m/%Y", UNORDERED),
    )
    assert proposal.config.transactions.time.format == "%d/%m/%Y"
    assert "other dates of these files can only be read so" in "\n".join(proposal.warnings)


@pytest.mark.parametrize("name", ["amount", "zip", "score"])
def test_numbers_are_no_times_though_they_could_be(tmp_path, looked_at, name):
    table = looked_at(
        export(tmp_path / "a.csv", *lines(f"id,{name}", [[i, 201900 + i % 12 + 1] for i in range(50)]))
    )
    assert moment(table.columns[name]) is None


def test_a_table_without_times_says_which_column_nearly_was_one(tmp_path, proposed):
    rows = [[i % 20, f"2021-01-{1 + i % 28:02d}" if i % 3 else "yesterday", i] for i in range(200)]
    with pytest.raises(ConfigError, match=r"'when' is a time as '%Y-%m-%d' in only 66% of its rows"):
        proposed(export(tmp_path / "a.csv", *lines("customer_id,when,amount", rows)))
