"""Drawings for a page: same bytes, no ids twice, nothing of a file of its own."""

import re

from matplotlib.axes import Axes

from churnops.report.drawing import COLOURS, draw, ink


def paint(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], "o-", color=ink("chosen"), label="$a_1$ <b>")
    axes.legend()


def test_same_drawing_has_the_same_bytes() -> None:
    assert draw("A line", paint) == draw("A line", paint)


def test_ids_of_two_drawings_differ() -> None:
    first, second = (set(re.findall(r'\bid="([^"]+)"', draw(label, paint))) for label in ("One", "Two"))
    assert first
    assert not first & second


def test_colours_are_variables_of_the_page() -> None:
    drawing = draw("A line", paint)
    assert "var(--chosen)" in drawing
    assert not [colour for colour in COLOURS.values() if colour.light in drawing]


def test_light_colours_are_all_different() -> None:
    assert len({colour.light for colour in COLOURS.values()}) == len(COLOURS)


def test_text_is_escaped_and_no_formula() -> None:
    drawing = draw('A "label" <i>', paint)
    assert "$a_1$ &lt;b&gt;" in drawing
    assert 'aria-label="A &#34;label&#34; &lt;i&gt;"' in drawing


def test_nothing_of_a_file_of_its_own_remains() -> None:
    drawing = draw("A line", paint)
    assert not re.search(r"<\?xml|DOCTYPE|http|<style|<metadata|\d{4}-\d\d-\d\d", drawing)
