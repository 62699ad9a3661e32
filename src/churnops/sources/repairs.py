"""The account of what was found in the sources and what was done about it."""

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from churnops.sources.files import SourceFile

_DAY = re.compile(r"(?<!\d)(20\d\d)\D{0,7}(\d\d)\D{0,7}(\d\d)(?!\d)")
"""In a file's name: 2024-06-24, 20240624, year=2024/month=06/day=24."""


@dataclass(frozen=True)
class Repair:
    """Rows of one table that broke one rule; an example reads `orders.csv row 17: date='31/31/2020'`."""

    table: str
    rule: str
    """A field of the config's `repairs`, `cancelled`, or `empty_file`."""
    column: str
    """Empty where the rule is about whole rows."""
    rows: int
    """Of `damaged_file` and `empty_file`, files."""
    action: str
    """`dropped`, `kept` or `made missing`."""
    examples: tuple[str, ...]

    @property
    def told(self) -> str:
        """What was done to how many rows, or files."""
        what = "files" if self.rule in ("damaged_file", "empty_file") else "rows"
        return f"{self.rows} {what} of {self.table} {self.action}"


@dataclass(frozen=True)
class RowCount:
    """Rows of one table before and after cleaning; the difference is what the repairs dropped."""

    rows_read: int
    rows_kept: int


@dataclass(frozen=True)
class CleanReport:
    """What cleaning leaves behind beside its tables; mappings are by the table's name."""

    tables: dict[str, RowCount]
    repairs: tuple[Repair, ...]
    notes: tuple[str, ...]
    files: dict[str, tuple[SourceFile, ...]]
    columns: dict[str, dict[str, str]]
    """Of the sources as they came: types by name."""
    sparse: dict[str, dict[str, str]]
    """Columns that were left out, as not all files have them: of each, a file that has it."""

    empty: dict[str, tuple[str, ...]]
    """Of the files with a header and no rows, the names."""

    @property
    def silent_day(self) -> dt.date | None:
        """The last day of which a file without purchases is there; None: none says in its name of which."""
        return max(_days(self.empty.get("transactions", ())), default=None)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        return asdict(self)


def _days(names: tuple[str, ...]) -> Iterator[dt.date]:
    """The days that files are called by."""
    for name in names:
        for year, month, day in _DAY.findall(name):
            with suppress(ValueError):  # such a day does not exist
                yield dt.date(int(year), int(month), int(day))
