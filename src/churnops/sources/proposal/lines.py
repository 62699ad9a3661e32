"""The lines of a purchase log while it is still being found out what their columns are."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from churnops.data_config import TimeColumn
from churnops.sources import mapping
from churnops.sources.proposal.inquiry import Inquiry
from churnops.sources.proposal.keys import IdFormat
from churnops.sources.proposal.names import rank
from churnops.sources.proposal.profile import Column, Profile


@dataclass(frozen=True)
class Log:
    """A log and what is known of it so far; an empty `order` is unknown or does not exist."""

    table: Profile
    inquiry: Inquiry
    id: str
    id_format: IdFormat
    time: TimeColumn | None = None
    order: str = ""
    taken: frozenset[str] = frozenset()
    """Columns that have found their meaning."""

    def taking(self, *names: str, **known: Any) -> "Log":
        """The log with `names` taken, and what else is `known`."""
        return replace(self, taken=self.taken | {*names} - {""}, **known)

    def free(self, patterns: tuple[str, ...]) -> list[Column]:
        """The columns that are not taken and whose names say what `patterns` do, the surest first."""
        columns = [
            column for column in self.table.columns.values() if column.name not in {self.id, *self.taken}
        ]
        named = [column for column in columns if rank(column.name, patterns) and column.kind != "other"]
        return sorted(named, key=lambda column: -rank(column.name, patterns))

    def because(self, key: str, reason: str) -> None:
        """Say why the config has what it has at `transactions.<key>`."""
        self.inquiry.remarks.because(f"transactions.{key}", reason)

    def warn(self, text: str) -> None:
        """Say what a person should know of this log."""
        self.inquiry.remarks.warn(text)

    def count(self, sql: str, **columns: str) -> dict[str, Any]:
        """The one row of `sql` over `lines`: customer, moment, purchase, and `columns`, each as SQL."""
        return next(self.rows(sql, **columns))

    def rows(self, sql: str, **columns: str) -> Iterator[dict[str, Any]]:
        """The rows of `sql` over `lines`, as in `count`."""
        known = {"customer": mapping.identifier(self.table.field(self.id), self.id_format), **columns}
        if self.time:
            known["moment"] = self.moment(self.time)
        if self.order:
            known["purchase"] = mapping.present(self.table.field(self.order))
        typed = ", ".join(f"{expression} as {name}" for name, expression in known.items())
        fields = [self.table.field(name) for name in self.table.columns]
        trimmed = ", ".join(mapping.trimmed(field) for field in fields if field.raw in typed)
        lines = f"lines as (select {typed} from (select {trimmed} from staged))"
        yield from self.inquiry.query(f"with {lines} {sql}", {"staged": self.table.address}).to_pylist()

    def moment(self, time: TimeColumn) -> str:
        """A time column as SQL over raw fields."""
        return mapping.moment(self.table.field(time.column), time)
