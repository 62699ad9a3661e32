"""Step 1: clean tables out of the files the config names."""

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from churnops.contracts.tables import ORDERS
from churnops.data_config import DataConfig
from churnops.jobs.freshness import CLEAN, clean_history
from churnops.jobs.steps.ledger import Done, write_json
from churnops.jobs.steps.workshop import Origin, Place, Published, Workshop
from churnops.lake.manifest import Version
from churnops.sources.clean import clean
from churnops.sources.files import identify
from churnops.sources.increment import Growth, add_files, first_change
from churnops.sources.mirror import brought_here
from churnops.sources.repairs import CleanReport

REPORT = "clean.json"
_MADE_BY = "made_by"
"""In the report: what decides how files are cleaned, in one hash."""
_LINES = "transactions"


def clean_step(config: DataConfig, shop: Workshop, *, aside: bool = False) -> Published:
    """Clean tables and the account of every repair; done anew when a source file changes.

    Where files only came to those of the newest version, they are added to its tables. What changed of
    orders that were there before is told, with the published days that were made from them. `aside` leaves
    the tables of the last run where they are, and uses them if they would come out the same.
    """
    here, source_dir = brought_here(config, shop.settings.source_dir, shop.settings.data_dir / "sources")
    sources = {name: source for name, source in here if name in ("customers", "transactions") and source}
    files = {name: identify(source, source_dir) for name, source in sources.items()}
    rules = {
        "sources": {name: getattr(config, name).model_dump(mode="json") for name in sources},
        "repairs": config.repairs.model_dump(mode="json"),
    }
    depends_on = {**rules, "files": {name: [asdict(file) for file in found] for name, found in files.items()}}
    run, daily = CLEAN
    name = daily if aside and not shop.ledger.is_done(run, depends_on) else run
    made_by = shop.ledger.key(name, rules)
    kept = shop.ledger.is_done(name, depends_on) or _LINES not in files
    earlier = None if kept else _earlier(name, shop, depends_on, made_by)

    def work(to: Place) -> None:
        found: list[str] = []
        added = None
        if earlier:
            growth = Growth(earlier.folder, account_of(earlier), files)
            added = add_files(here, shop.duckdb, growth, source_dir=source_dir, to=to.folder)
        if isinstance(added, CleanReport):
            report = added
        else:
            found += [f"{_LINES}: cleaned anew: {added.why}"] if added else []
            report = clean(here, shop.duckdb, source_dir=source_dir, to=to.folder)
        before = _newest(shop)
        if before and not (earlier and before == earlier.version and report is added):
            found += _behind(before, to, shop)
        for line in found:
            shop.ledger.tell(name, line)
        report = replace(report, notes=(*report.notes, *found))
        write_json(to.folder / REPORT, {**report.to_dict(), _MADE_BY: made_by})

    return shop.publish(name, depends_on, work, engine=shop.duckdb, origin=Origin(earlier=earlier))


def _earlier(step: str, shop: Workshop, depends_on: Mapping[str, Any], made_by: str) -> Published | None:
    """The newest version of the step, if it was made by the same rules of other files."""
    version = shop.newest(step)
    if version is None or version.key == shop.ledger.key(step, depends_on):
        return None
    account = shop.note(version, REPORT)
    return shop.here(version) if account and account.get(_MADE_BY) == made_by else None


def _newest(shop: Workshop) -> Version | None:
    """The clean tables that were published last, by whichever step."""
    published = clean_history(shop.lake, shop.name)
    if not published:
        return None
    _, dataset, number = published[-1]
    return shop.lake.version(dataset, number)


def _behind(before: Version, to: Place, shop: Workshop) -> list[str]:
    """In words, since when orders are other than `before`, and which published days were made from those."""
    if ORDERS.name not in before.tables or not Path(to.table(ORDERS.name)).exists():
        return []
    columns = [column.name for column in ORDERS.columns if column.name in before.tables[ORDERS.name].columns]
    orders = shop.here(before).files[ORDERS.name]
    since = first_change(orders, to.table(ORDERS.name), shop.duckdb.query, columns=columns)
    missed = _published_after(since, shop) if since else []
    if not missed:
        return []
    anew = "churnops features CONFIG --as-of DAY makes a day anew"
    return [f"orders: changed from {since} on; made from those before: {', '.join(missed)}; {anew}"]


def _published_after(day: dt.date, shop: Workshop) -> list[str]:
    """The datasets of features and scores that see what became known on that day."""
    dated = (
        (dataset, dataset.partition("/as_of=")[2])
        for kind in ("features", "scores")
        for dataset in shop.lake.datasets(f"{shop.name}/{kind}")
    )
    return [dataset for dataset, as_of in dated if as_of and dt.date.fromisoformat(as_of) > day]


def account_of(cleaned: Done) -> CleanReport:
    """The account of every repair."""
    account = read_report(cleaned)
    return TypeAdapter(CleanReport).validate_python({k: v for k, v in account.items() if k != _MADE_BY})


def repairs_told(cleaned: Done) -> tuple[str, ...]:
    """A line for each kind of repair: what was done to how many rows, and where examples of them are."""
    return tuple(
        f"{one.told}: {one.rule}{f' in {one.column!r}' if one.column else ''}; see {cleaned.folder / REPORT}"
        for one in account_of(cleaned).repairs
    )


def read_report(cleaned: Done) -> dict[str, Any]:
    """`CleanReport` as JSON has it."""
    report: dict[str, Any] = cleaned.read_json(REPORT)
    return report


def fingerprint(cleaned: Done) -> str:
    """A hash over the hashes of all source files, in order."""
    files = read_report(cleaned)["files"]
    hashes = [file["sha256"] for name in sorted(files) for file in files[name]]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()
