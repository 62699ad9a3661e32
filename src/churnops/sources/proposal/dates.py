"""How dates are written: which strptime formats a text may follow, and which of two readings is likelier."""

import re
from collections import Counter
from collections.abc import Collection, Iterator

_DATES = (  # the group is what stands between the parts
    (r"\d{4}([-/.])\d{1,2}\1\d{1,2}", ("%Y{0}%m{0}%d",)),
    (r"\d{1,2}([-/.])\d{1,2}\1\d{4}", ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y")),
    (r"\d{1,2}([-/.])\d{1,2}\1\d{2}", ("%d{0}%m{0}%y", "%m{0}%d{0}%y")),
    (r"\d{4}([-/])\d{1,2}", ("%Y{0}%m",)),
    (r"\d{8}()", ("%Y%m%d",)),
    (r"\d{6}()", ("%Y%m",)),
    (r"\d{1,2}([-/ ]?)[A-Za-z]{3}\1\d{4}", ("%d{0}%b{0}%Y",)),
    (r"\d{1,2}([-/ ]?)[A-Za-z]{3}\1\d{2}", ("%d{0}%b{0}%y",)),
    (r"\d{1,2}( )[A-Za-z]{3,9}\1\d{4}", ("%d{0}%B{0}%Y",)),
    (r"[A-Za-z]{3}( )\d{1,2},\1\d{4}", ("%b{0}%d,{0}%Y",)),
    (r"[A-Za-z]{3,9}( )\d{1,2},\1\d{4}", ("%B{0}%d,{0}%Y",)),
    (r"[A-Za-z]{3}( )\d{1,2}\1\d{4}", ("%b{0}%d{0}%Y",)),
)
_CLOCKS = (
    (r"\d{1,2}:\d{2}", "%H:%M"),
    (r"\d{1,2}:\d{2}:\d{2}", "%H:%M:%S"),
    (r"\d{1,2}:\d{2}:\d{2}\.\d{1,6}", "%H:%M:%S.%f"),
    (r"\d{1,2}:\d{2}:\d{2}\.\d{7,9}", "%H:%M:%S.%n"),
    (r"\d{1,2}:\d{2}( ?)[AaPp][Mm]", "%I:%M{0}%p"),
    (r"\d{1,2}:\d{2}:\d{2}( ?)[AaPp][Mm]", "%I:%M:%S{0}%p"),
    (r"\d{6}", "%H%M%S"),
)
_ZONES = (
    (r"", ""),
    (r"[+-]\d{2}(?::?\d{2})?|[Zz]", "%z"),
    (r" [+-]\d{2}(?::?\d{2})?", " %z"),
    (r" UTC", " UTC"),
)
_SHORTEST, _LONGEST = 6, 40
_ENOUGH = 0.5
"""The share of values that must have the shape of a format for it to be tried on all rows."""


def possible_formats(values: Collection[str]) -> tuple[str, ...]:
    """The formats most of `values` have the shape of; the engine still has to find each in the calendar."""
    counts = Counter(format_ for value in values for format_ in _formats(value))
    return tuple(sorted(format_ for format_, n in counts.items() if n >= _ENOUGH * len(values)))


def _formats(value: str) -> Iterator[str]:
    if not _SHORTEST <= len(value) <= _LONGEST or not value.isascii():
        return
    for shape, formats in _DATES:
        date = re.match(shape, value)
        if date:
            rest = value[date.end() :]
            for format_ in formats:
                yield from (format_.format(date[1]) + clock for clock in _clock_formats(rest))


def _clock_formats(rest: str) -> Iterator[str]:
    """What may follow a date: nothing, or a time of day with or without an offset."""
    if not rest:
        yield ""
    gap = re.match(r"[ T]|, |(?=\d{6}$)", rest)
    if gap is None:
        return
    for shape, format_ in _CLOCKS:
        for zone_shape, zone in _ZONES:
            clock = re.fullmatch(
                f"({shape})(?:{zone_shape})".replace("( ?)", "(?P<blank> ?)"), rest[gap.end() :]
            )
            if clock:
                yield gap[0] + format_.format(clock.groupdict().get("blank", "")) + zone
