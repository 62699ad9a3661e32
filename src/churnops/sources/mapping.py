r"""SQL that turns one staged column into text, an id, a number, money, an instant or a word of ours.

Every expression is null where the value is missing or cannot be used; `present` is null only where it is
missing. Text loses the blanks around it. Blank is missing, and so are `MISSING` words, except in categories.

A number is digits with the source's decimal sign, and may have a sign, a currency (€ $ £ ¥ ₹ or one of
`CURRENCIES`) before or after it, and thousands separators if every group after the first has three digits and
the first does not start with 0. As accounts have it, (5.00) and 5.00- are negative. A number, but not money,
may be a percentage: 12% is 12. Anything else is no number: 1_000, 0x1F, inf. An instant before 1900 or after
2199 is a slip of the keyboard or stands in for nothing, so it cannot be used either.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from churnops.contracts.table import quoted
from churnops.data_config import TimeColumn
from churnops.sources.csv_text import literal

MISSING = ("nan", "null", "none", "na", "n/a", "#n/a", "nat", "\\n")
"""What programs write for nothing, in small letters."""

CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "INR", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN")
"""Codes that may stand beside a number."""

Kind = Literal["text", "floating", "exact", "boolean", "date", "instant", "zoned", "other"]
_KINDS: dict[Kind, tuple[str, ...]] = {
    "text": ("string", "large_string", "string_view"),
    "floating": ("halffloat", "float", "double"),
    "boolean": ("bool",),
    "date": ("date32[day]", "date64[ms]"),
}

# Also the blanks that Excel and web forms leave behind, and a stray byte order mark.
_BLANKS = " \t\r\n\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{ZERO WIDTH NO-BREAK SPACE}"
_GAPS = "[ \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]"
_THOUSANDS = {".": (",", "'", _GAPS), ",": (r"\.", "'", _GAPS)}


@dataclass(frozen=True)
class Field:
    """One staged column: its name, what Parquet says it holds, and the decimal sign of its text."""

    name: str
    kind: Kind
    decimal: str = "."

    @property
    def raw(self) -> str:
        """The name `trimmed` gives the column: one that no column of ours has."""
        return quoted(f"raw:{self.name}")


def kind_of(arrow_type: pa.DataType) -> Kind:
    """What a staged column holds, as far as reading it is concerned."""
    if pa.types.is_timestamp(arrow_type):
        return "zoned" if arrow_type.tz else "instant"
    if pa.types.is_integer(arrow_type) or pa.types.is_decimal(arrow_type):
        return "exact"
    return next((kind for kind, names in _KINDS.items() if str(arrow_type) in names), "other")


def trimmed(field: Field) -> str:
    """The staged column itself under its `raw` name, text without the blanks around it, blank as null."""
    column = quoted(field.name)
    if field.kind == "text":
        # Looking at both ends of every value is four times faster than trimming every value.
        clean = f"not regexp_matches({column}, '[{_BLANKS}]$')"
        stripped = f"nullif(regexp_replace({column}, '^[{_BLANKS}]+|[{_BLANKS}]+$', '', 'g'), '')"
        column = f"case when {column} between '!' and '~~' and {clean} then {column} else {stripped} end"
    return f"{column} as {field.raw}"


def text(field: Field) -> str:
    """Text; a whole floating number without `.0`, as ids and codes read as floats have it."""
    if field.kind == "text":
        return field.raw
    if field.kind == "floating":
        whole = f"cast(try_cast({field.raw} as bigint) as varchar)"
        is_whole = f"{field.raw} = trunc({field.raw}) and abs({field.raw}) < 1e15"
        return f"case when {is_whole} then {whole} else cast({field.raw} as varchar) end"
    return f"cast({field.raw} as varchar)"


def present(field: Field) -> str:
    """Text, null for `MISSING` words too."""
    longest = max(len(word) for word in MISSING)
    words = ", ".join(literal(word) for word in MISSING)
    value = text(field)
    return f"case when strlen({value}) > {longest} or lower({value}) not in ({words}) then {value} end"


def identifier(field: Field, id_format: str) -> str:
    """An id; `integer` ones without leading zeros and a trailing `.0`, so that 0017 and 17.0 meet."""
    value = present(field)
    return value if id_format == "text" else rf"regexp_replace({value}, '^0*([0-9]+)(\.0*)?$', '\1')"


def word(field: Field) -> str:
    """Text as `as_word` would write it."""
    plain = rf"regexp_replace(lower({text(field)}), '^([0-9]+)\.0+$', '\1')"
    return f"case {plain} when 'true' then '1' when 'false' then '0' else {plain} end"


def as_word(value: str) -> str:
    """A word for comparison: in small letters, `1.0` and `true` as `1`, `0.0` and `false` as `0`."""
    plain = value.strip().lower()
    whole, point, zeros = plain.partition(".")
    plain = whole if whole.isdecimal() and point and zeros and not zeros.strip("0") else plain
    return {"true": "1", "false": "0"}.get(plain, plain)


def number(field: Field) -> str:
    """A finite DOUBLE; booleans are 1 and 0."""
    if field.kind == "text":
        return _in_text(field, "double", ending=" ?%")
    if field.kind == "floating":
        return f"case when isfinite({field.raw}) then cast({field.raw} as double) end"
    if field.kind in ("exact", "boolean"):
        return f"cast({field.raw} as double)"
    return "cast(null as double)"


def money(field: Field) -> str:
    """A DECIMAL(18,4), half a unit rounded away from zero; null beyond 14 digits before the point."""
    if field.kind == "text":
        return _in_text(field, "decimal(18, 4)")
    exact = field.raw if field.kind == "exact" else number(field)
    return f"try_cast({exact} as decimal(18, 4))"


def moment(field: Field, time: TimeColumn) -> str:
    """The instant a time column of the config says, null outside its bounds."""
    read = instant(field, time.format, time.timezone)
    bounds = [f"{read} >= timestamp '{time.earliest}'"] if time.earliest else []
    bounds += [f"{read} < timestamp '{time.latest + dt.timedelta(days=1)}'"] if time.latest else []
    return f"case when {' and '.join(bounds)} then {read} end" if bounds else read


def instant(field: Field, format_: str, timezone: str) -> str:
    """A UTC TIMESTAMP in microseconds; `timezone` is the zone of values without an offset.

    `format_` is strptime's, `epoch`, `epoch_ms` or `native`; typed columns are read as what they are.
    """
    if field.kind == "zoned":
        moment = f"timezone('UTC', cast({field.raw} as timestamptz))"
    elif field.kind in ("instant", "date"):
        moment = _in_utc(f"cast({field.raw} as timestamp)", timezone)
    elif format_ in ("epoch", "epoch_ms"):
        per_unit = {"epoch": "1e6", "epoch_ms": "1e3"}[format_]
        moment = f"make_timestamp(try_cast(round({number(field)} * {per_unit}) as bigint))"
    elif format_ == "native":
        moment = "cast(null as timestamp)"
    elif "%z" in format_ or "%Z" in format_:
        zulu = f"regexp_replace({text(field)}, '[zZ]$', '+00:00')"
        moment = f"timezone('UTC', try_strptime({zulu}, {literal(format_)}))"
    else:
        moment = _in_utc(f"try_strptime({text(field)}, {literal(format_)})", timezone)
    usable = f"{moment} >= timestamp '1900-01-01' and {moment} < timestamp '2200-01-01'"
    return f"case when {usable} then {moment} end"


def _in_utc(moment: str, timezone: str) -> str:
    return moment if timezone == "UTC" else f"timezone('UTC', timezone({literal(timezone)}, {moment}))"


def _in_text(field: Field, sql_type: str, *, ending: str = "") -> str:
    value, point = field.raw, field.decimal
    # Most text is plain: the engine's own reading, but for what it takes for a number and people do not.
    plain = (
        value if point == "." else f"case when not contains({value}, '.') then replace({value}, ',', '.') end"
    )
    read = f"try_cast({plain} as {sql_type})"
    one_sign = f"strlen(translate({value}, '+-(', '')) + 1 >= strlen({value})"
    closed = f"contains({value}, '(') = contains({value}, ')')"
    digits = f"replace(regexp_replace({value}, '[^0-9{point}]', '', 'g'), '{point}', '.')"
    negative = f"case when contains({value}, '-') or contains({value}, '(') then -1 else 1 end"
    return (
        f"case when isfinite(cast({read} as double)) and not contains({value}, '_') then {read}"
        f" when regexp_full_match({value}, {literal(_written(point, ending))}) and {one_sign} and {closed}"
        f" then cast({negative} * try_cast({digits} as {sql_type}) as {sql_type})"
        f" when lower({value}) = 'true' then 1 when lower({value}) = 'false' then 0 end"
    )


def _written(point: str, ending: str) -> str:
    """The pattern of numbers as people write them; `ending` is one more that may stand behind."""
    groups = "|".join(f"(?:{mark}[0-9]{{3}})+" for mark in _THOUSANDS[point])
    body = rf"(?:(?:[1-9][0-9]{{0,2}}(?:{groups})|[0-9]+)(?:\{point}[0-9]*)?|\{point}[0-9]+)"
    unit = f"(?:[€$£¥₹]|{'|'.join(CURRENCIES)})"
    behind = "|".join(filter(None, (f" ?{unit}", ending)))
    return f"[(+-]?(?:{unit} ?)?[+-]?{body}(?:{behind})?[-)]?"
