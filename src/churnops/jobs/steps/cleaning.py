"""Step 1: clean tables out of the files the config names."""

import hashlib
from dataclasses import asdict
from typing import Any

from churnops.data_config import DataConfig
from churnops.jobs.steps.ledger import Done, write_json
from churnops.jobs.steps.workshop import Place, Published, Workshop
from churnops.sources.clean import clean
from churnops.sources.files import identify
from churnops.sources.mirror import brought_here

REPORT = "clean.json"


def clean_step(config: DataConfig, shop: Workshop, *, aside: bool = False) -> Published:
    """Clean tables and the account of every repair; done anew when a source file changes.

    `aside` leaves the tables of the last run where they are, and uses them if they would come out the same.
    """
    here, source_dir = brought_here(config, shop.settings.source_dir, shop.settings.data_dir / "sources")
    sources = {name: source for name, source in here if name in ("customers", "transactions") and source}
    depends_on = {
        "sources": {name: getattr(config, name).model_dump(mode="json") for name in sources},
        "files": {
            name: [asdict(file) for file in identify(source, source_dir)] for name, source in sources.items()
        },
        "repairs": config.repairs.model_dump(mode="json"),
    }

    def work(to: Place) -> None:
        report = clean(here, shop.duckdb, source_dir=source_dir, to=to.folder)
        write_json(to.folder / REPORT, report.to_dict())

    name = "scoring/clean" if aside and not shop.ledger.is_done("clean", depends_on) else "clean"
    return shop.publish(name, depends_on, work, engine=shop.duckdb)


def read_report(cleaned: Done) -> dict[str, Any]:
    """`CleanReport` as JSON has it."""
    report: dict[str, Any] = cleaned.read_json(REPORT)
    return report


def fingerprint(cleaned: Done) -> str:
    """A hash over the hashes of all source files, in order."""
    files = read_report(cleaned)["files"]
    hashes = [file["sha256"] for name in sorted(files) for file in files[name]]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()
