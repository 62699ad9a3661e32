"""Colours, and figures as SVG that sits inside a page and follows its light or dark theme."""

import io
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Dashes = str | tuple[float, tuple[float, ...]]


class Colour(NamedTuple):
    """One colour on a light page and on a dark one."""

    light: str
    dark: str


# Figures are drawn in the light colours, which then give way to CSS variables of the same names: each light
# colour is here once only, and none is #000000, which Matplotlib leaves out of its SVG.
COLOURS = {
    "paper": Colour("#ffffff", "#12161b"),
    "panel": Colour("#f4f6f8", "#1b2128"),
    "grid": Colour("#d5dae0", "#363f49"),
    "muted": Colour("#57606a", "#a0aab4"),
    "ink": Colour("#1b1f24", "#e6e9ec"),
    "chosen": Colour("#0b5cc4", "#6cb0ff"),
    "churned": Colour("#b7410e", "#ff9d66"),
    "stayed": Colour("#4b7a8c", "#86b9cc"),
    "good": Colour("#1a7a45", "#5fd39a"),
    "violet": Colour("#7a3fb5", "#c79bff"),
    "rose": Colour("#b0276b", "#ff8fc0"),
    "ochre": Colour("#8a6400", "#e0b23f"),
}
_PENS: tuple[tuple[str, Dashes], ...] = (
    ("churned", "--"),
    ("good", "-."),
    ("violet", (0.0, (5.0, 1.5, 1.0, 1.5, 1.0, 1.5))),
    ("ochre", (0.0, (2.5, 1.2))),
    ("rose", ":"),
)
_SIZE = (5.2, 3.7)
_FONT_POINTS = 9.0
_UNSIGNED = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # says neither when nor with what


def ink(name: str) -> str:
    """The colour to draw with; the page shows it in the reader's theme."""
    return COLOURS[name].light


def pen(place: int) -> tuple[str, Dashes]:
    """Colour and dashes for the n-th of the candidates not chosen: dashes tell them apart in print too."""
    name, dashes = _PENS[place % len(_PENS)]
    return ink(name), dashes


def draw(label: str, paint: Callable[[Axes], None], *, size: tuple[float, float] = _SIZE) -> Markup:
    """What `paint` draws on empty axes, as one `<svg>` that says `label` to those who cannot see it.

    `size` is in inches, but the page scales the drawing to its own width. The same drawing gives the same
    bytes; drawings of one page need labels of their own, which keep their ids apart.
    """
    written = io.StringIO()
    with rc_context({**_style(), "svg.hashsalt": label}):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.subplots())
        figure.savefig(written, format="svg", transparent=True, metadata=_UNSIGNED)
    return _inline(written.getvalue(), label)


def _style() -> dict[Any, Any]:
    return {
        "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and copied
        "text.parse_math": False,
        "font.family": "DejaVu Sans",  # comes with Matplotlib, so that every machine lays out alike
        "font.size": _FONT_POINTS,
        "text.color": ink("ink"),
        "axes.labelcolor": ink("ink"),
        "axes.titlecolor": ink("ink"),
        "axes.titlelocation": "left",
        "axes.titlesize": _FONT_POINTS,
        "axes.edgecolor": ink("muted"),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": ink("grid"),
        "grid.linewidth": 0.6,
        "xtick.color": ink("muted"),
        "ytick.color": ink("muted"),
        "legend.frameon": False,
        "lines.linewidth": 1.4,
    }


def _inline(document: str, label: str) -> Markup:
    """The drawing without what only a file of its own needs, and without ids that a page would hold twice."""
    opening, body = document[document.index("<svg") :].split(">", 1)
    width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', opening)
    body = re.sub(r"<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body).replace("xlink:href", "href")
    body = body.replace(f"font-size: {_FONT_POINTS:g}px; font-family: 'DejaVu Sans'; ", "")  # the page's own
    for name, colour in COLOURS.items():
        body = body.replace(colour.light, f"var(--{name})")
    start = Markup('<svg role="img" aria-label="{}" viewBox="0 0 {} {}">').format(label, width, height)
    # Matplotlib's SVG writer escaped every text of the body.
    return start + Markup(re.sub(r"\s*\n\s*", "\n", body))  # noqa: S704
