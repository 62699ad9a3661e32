"""What a request says it is, and what it would have for an answer."""

from collections.abc import Sequence
from typing import NamedTuple

JSON = "application/json"
CSV = "text/csv"
JSON_LINES = "application/jsonlines"
PARQUET = "application/x-parquet"
ARROW = "application/vnd.apache.arrow.stream"

_ALSO = {
    "application/jsonl": JSON_LINES,
    "application/x-jsonlines": JSON_LINES,
    "application/x-ndjson": JSON_LINES,
    "application/vnd.apache.parquet": PARQUET,
}


class Media(NamedTuple):
    """A media type by the name we know it by, and its parameters."""

    name: str
    parameters: dict[str, str]

    @property
    def has_header(self) -> bool | None:
        """What a CSV says of its first line (RFC 4180); None: nothing."""
        return {"present": True, "absent": False}.get(self.parameters.get("header", ""))


def media(said: str) -> Media:
    """As a Content-Type or a part of Accept names it."""
    name, *parameters = said.split(";")
    pairs = (one.partition("=") for one in parameters)
    name = name.strip().lower()
    return Media(
        _ALSO.get(name, name),
        {key.strip().lower(): value.strip().strip('"').lower() for key, _, value in pairs},
    )


def preferred(accept: str, offered: Sequence[str]) -> Media | None:
    """What an Accept header likes best of what is offered, the best offer first; None where it likes none."""
    wanted = [media(part) for part in accept.split(",") if part.strip()] or [Media("*/*", {})]
    ranked = sorted(wanted, key=lambda one: (-_quality(one), "*" in one.name))
    for one in ranked:
        if _quality(one) > 0:
            kind = one.name.removesuffix("*")
            for name in offered:
                if name == one.name or (kind != one.name and (kind == "*/" or name.startswith(kind))):
                    return Media(name, one.parameters)
    return None


def _quality(one: Media) -> float:
    try:
        return float(one.parameters.get("q", "1"))
    except ValueError:
        return 0.0
