"""Figures that depend on what the result holds; the page's tests see the rest."""

import re

import pytest
import sample

from churnops.report.plots import horizon, timeline


@pytest.mark.parametrize(
    ("proposed_days", "words"),
    [
        (84, ["chosen: 90 days", "proposed: 84 days"]),
        (90, ["chosen: 90 days"]),
        (None, ["chosen: 90 days"]),
    ],
)
def test_proposed_horizon_is_drawn_where_it_is_another(proposed_days: int | None, words: list[str]) -> None:
    drawing = horizon(sample.CHURN.model_copy(update={"proposed_days": proposed_days}))
    assert re.findall(r"(?:chosen|proposed): \d+ days", drawing) == words


def test_timeline_without_a_horizon_has_points_and_no_windows() -> None:
    with_windows, without = timeline(sample.SPANS, sample.CHURN), timeline(sample.SPANS, None)
    assert "opacity: 0.6" in with_windows
    assert "opacity: 0.6" not in without
    for name in sample.SPANS:
        assert f">{name}</text>" in without
