"""The account of what was found in the sources and what was done about it."""

from dataclasses import asdict, dataclass
from typing import Any

from churnops.sources.files import SourceFile


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


@dataclass(frozen=True)
class RowCount:
    """Rows of one table before and after cleaning; the difference is what the repairs dropped."""

    rows_read: int
    rows_kept: int


@dataclass(frozen=True)
class CleanReport:
    """What cleaning leaves behind beside its tables; `tables`, `files` and `columns` are keyed by
    the table's name."""

    tables: dict[str, RowCount]
    repairs: tuple[Repair, ...]
    notes: tuple[str, ...]
    files: dict[str, tuple[SourceFile, ...]]
    columns: dict[str, dict[str, str]]
    """Of the sources as they came: types by name."""
    sparse: dict[str, dict[str, str]]
    """Columns that were left out, as not all files have them: of each, a file that has it."""

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        return asdict(self)
