"""Step 1: clean tables out of the files the config names."""

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from pydantic import TypeAdapter

from churnops.data_config import DataConfig
from churnops.jobs.steps.ledger import Done, write_json
from churnops.jobs.steps.workshop import Origin, Place, Published, Workshop
from churnops.sources.clean import clean
from churnops.sources.files import SourceFile, identify
from churnops.sources.increment import Growth, Whole, add_files
from churnops.sources.mirror import brought_here
from churnops.sources.repairs import CleanReport

REPORT = "clean.json"
_MADE_BY = "made_by"
"""In the report: what decides how files are cleaned, in one hash."""
_LINES = "transactions"

Files = Mapping[str, tuple[SourceFile, ...]]
"""The files of each source, as they are."""


def clean_step(config: DataConfig, shop: Workshop, *, aside: bool = False) -> Published:
    """Clean tables and the account of every repair; done anew when a source file changes.

    Where files only came to those of the newest version, they are added to its tables. `aside` leaves the
    tables of the last run where they are, and uses them if they would come out the same.
    """
    here, source_dir = brought_here(config, shop.settings.source_dir, shop.settings.data_dir / "sources")
    sources = {name: source for name, source in here if name in ("customers", "transactions") and source}
    files = {name: identify(source, source_dir) for name, source in sources.items()}
    rules = {
        "sources": {name: getattr(config, name).model_dump(mode="json") for name in sources},
        "repairs": config.repairs.model_dump(mode="json"),
    }
    depends_on = {**rules, "files": {name: [asdict(file) for file in found] for name, found in files.items()}}
    name = "scoring/clean" if aside and not shop.ledger.is_done("clean", depends_on) else "clean"
    made_by = shop.ledger.key(name, rules)
    earlier = (
        None if shop.ledger.is_done(name, depends_on) else _earlier(name, shop, made_by=made_by, files=files)
    )

    def work(to: Place) -> None:
        added = None
        if earlier:
            growth = Growth(earlier.folder, _report(earlier), files)
            added = add_files(here, shop.duckdb, growth, source_dir=source_dir, to=to.folder)
        if isinstance(added, CleanReport):
            report = added
        else:
            why = _why_anew(added, shop) if added else ()
            for line in why:
                shop.ledger.tell(name, line)
            report = clean(here, shop.duckdb, source_dir=source_dir, to=to.folder)
            report = replace(report, notes=(*report.notes, *why))
        write_json(to.folder / REPORT, {**report.to_dict(), _MADE_BY: made_by})

    return shop.publish(name, depends_on, work, engine=shop.duckdb, origin=Origin(earlier=earlier))


def _earlier(step: str, shop: Workshop, *, made_by: str, files: Files) -> Published | None:
    """The newest version, if it was made by the same rules of files that are all there still."""
    version = shop.newest(step)
    account = shop.note(version, REPORT) if version else None
    if version is None or account is None or account.get(_MADE_BY) != made_by:
        return None
    before = {name: {file["sha256"] for file in found} for name, found in account["files"].items()}
    now = {name: {file.sha256 for file in found} for name, found in files.items()}
    grown = before.get(_LINES, set()) < now.get(_LINES, set())
    return shop.here(version) if grown else None


def _why_anew(whole: Whole, shop: Workshop) -> tuple[str, ...]:
    """In words, why new files could not be added, and which features were made before their orders came."""
    why = f"transactions: cleaned anew with the new files: {whole.why}"
    missed = _snapshots_after(whole.late_since, shop) if whole.late_since else []
    if not missed:
        return (why,)
    return (why, f"transactions: made before late orders came, and left as they are: {', '.join(missed)}")


def _snapshots_after(instant: dt.datetime, shop: Workshop) -> list[str]:
    """The datasets of features that would see what happened at that instant."""
    dated = (name.partition("/as_of=") for name in shop.lake.datasets(f"{shop.name}/features"))
    return [
        f"{name}/as_of={day}" for name, _, day in dated if day and dt.datetime.fromisoformat(day) > instant
    ]


def _report(cleaned: Done) -> CleanReport:
    account = read_report(cleaned)
    return TypeAdapter(CleanReport).validate_python({k: v for k, v in account.items() if k != _MADE_BY})


def read_report(cleaned: Done) -> dict[str, Any]:
    """`CleanReport` as JSON has it."""
    report: dict[str, Any] = cleaned.read_json(REPORT)
    return report


def fingerprint(cleaned: Done) -> str:
    """A hash over the hashes of all source files, in order."""
    files = read_report(cleaned)["files"]
    hashes = [file["sha256"] for name in sorted(files) for file in files[name]]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()
