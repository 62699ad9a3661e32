"""Which columns are times, and how one that can be read in two ways is to be read."""

from collections.abc import Iterable
from dataclasses import dataclass

from churnops.sources import mapping
from churnops.sources.headers import FILE, ROW
from churnops.sources.proposal.inquiry import Inquiry, Question
from churnops.sources.proposal.names import TIME, rank
from churnops.sources.proposal.profile import Column, Profile, TimeFit

_BARE_DIGITS = ("epoch", "epoch_ms", "%Y%m", "%Y%m%d")
_MANY = 20  # so many different numbers are no dates by chance, if all of them are days of the calendar
_CLEARLY, _BY_CHANCE = (
    4,
    2,
)  # one reading turns back so many times as often as the other, and more than by chance


@dataclass(frozen=True)
class _Reading:
    fit: TimeFit
    turns: int
    """How often the rows of the file turn back; or forth, in a file with the newest row first."""
    month_days: int
    """How many different days of the month."""

    @property
    def density(self) -> float:
        return self.fit.days / ((self.fit.last - self.fit.first).days + 1)


def moment(column: Column) -> TimeFit | None:
    """The column as times, unless they may as well be numbers: digits alone need a name or company."""
    fit = column.time
    if fit is None or fit.format not in _BARE_DIGITS or rank(column.name, TIME):
        return fit
    return fit if fit.format == "%Y%m%d" and column.distinct >= _MANY else None


def almost_times(table: Profile) -> list[str]:
    """In words, the columns that would be times if they were written in one way."""
    return [
        f"'{column.name}' is a time as '{fit.format}' in only {fit.fits / column.present:.0%} of its rows"
        for column in table.columns.values()
        for fit in column.times[:1]
        if column.time is None and fit.format not in _BARE_DIGITS
    ]


def day_first(tables: Iterable[Profile]) -> bool | None:
    """Whether dates that can be read in one way only have the day first; None if there are none, or both."""
    fits = [column.times for table in tables for column in table.columns.values() if column.time]
    sure = [times[0].format for times in fits if not _rival(times)]
    seen = {
        format_.startswith("%d") for format_ in sure if format_.startswith(("%d", "%m")) and "%m" in format_
    }
    return seen.pop() if len(seen) == 1 else None


def format_of(table: Profile, name: str, key: str, inquiry: Inquiry) -> str:
    """The format of the time column `name`; where day and month may be swapped, it is asked at `key`."""
    fits = table.columns[name].times
    rival = _rival(fits)
    if rival is None:
        return fits[0].format
    day, month = sorted((fits[0], rival), key=lambda fit: fit.format)
    readings = _readings(table, name, (day, month), inquiry)
    likelier, why = _likelier(*readings, decimal=table.source.decimal, elsewhere=inquiry.day_first)
    return inquiry.remarks.ask(
        Question(
            key=f"{key}.format",
            text=f"'{name}' may have the day or the month first: {_span(day)} or {_span(month)}.",
            options=(day.format, month.format),
            default=likelier.format,
            why=why,
        )
    )


def _rival(fits: tuple[TimeFit, ...]) -> TimeFit | None:
    """The best format with day and month swapped, if it fits as many values and says something else."""
    best = fits[0]
    for fit in fits[1:]:
        swapped = {fit.format[:2], best.format[:2]} == {"%d", "%m"}
        same = fit.days == best.days == 1 and fit.first == best.first
        if swapped and fit.fits == best.fits and not same:
            return fit
    return None


def _span(fit: TimeFit) -> str:
    return f"'{fit.format}' from {fit.first:%Y-%m-%d} to {fit.last:%Y-%m-%d}"


def _readings(table: Profile, name: str, fits: tuple[TimeFit, TimeFit], inquiry: Inquiry) -> list[_Reading]:
    field = table.field(name)
    moments = ", ".join(f"{mapping.instant(field, fit.format, 'UTC')} as t{j}" for j, fit in enumerate(fits))
    counts = ", ".join(
        f"count(distinct extract(day from t{j})) as month_days_{j},"
        f" least(count(*) filter (where t{j} < b{j}), count(*) filter (where t{j} > b{j})) as turns_{j}"
        for j in range(len(fits))
    )
    before = ", ".join(f"lag(t{j}) over (order by {FILE}, {ROW}) as b{j}" for j in range(len(fits)))
    sql = f"""
        with typed as (
            select {FILE}, {ROW}, {moments}
            from (select {mapping.trimmed(field)}, {FILE}, {ROW} from staged)),
        stepped as (select *, {before} from typed where t0 is not null)
        select {counts} from stepped
    """
    (found,) = inquiry.query(sql, {"staged": table.address}).to_pylist()
    return [_Reading(fit, found[f"turns_{j}"], found[f"month_days_{j}"]) for j, fit in enumerate(fits)]


def _likelier(day: _Reading, month: _Reading, *, decimal: str, elsewhere: bool | None) -> tuple[TimeFit, str]:
    """The likelier of two readings and what speaks for it, the strongest evidence first."""
    if elsewhere is not None:
        return (day if elsewhere else month).fit, "other dates of these files can only be read so"
    straight, crooked = sorted((day, month), key=lambda each: each.turns)
    if crooked.turns > _CLEARLY * straight.turns + _BY_CHANCE:
        return straight.fit, "so the rows are in order"
    if "." in day.fit.format or decimal == ",":
        return day.fit, "where numbers or dates are written so, the day comes first"
    if (day.month_days == 1) != (month.month_days == 1):
        return min(day, month, key=lambda each: each.month_days).fit, "so all are the same day of a month"
    if max(day.density, month.density) > 2 * min(day.density, month.density):
        return max(day, month, key=lambda each: each.density).fit, "so there are fewer days without a row"
    return month.fit, "nothing speaks for either, and with this mark the month first is commoner"
