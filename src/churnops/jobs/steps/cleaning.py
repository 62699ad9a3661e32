"""Step 1: clean tables out of the files the config names."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from churnops.config import Settings
from churnops.data_config import DataConfig
from churnops.engines.on_duckdb import DuckDB
from churnops.jobs.steps.ledger import Done, Ledger, write_json
from churnops.sources.clean import clean
from churnops.sources.files import identify

REPORT = "clean.json"


def clean_step(
    config: DataConfig, settings: Settings, engine: DuckDB, ledger: Ledger, *, aside: bool = False
) -> Done:
    """Clean tables and the account of every repair; done anew when a source file changes.

    `aside` leaves the tables of the last run where they are, and uses them if they would come out the same.
    """
    sources = {name: source for name, source in config if name in ("customers", "transactions") and source}
    depends_on = {
        "sources": {name: source.model_dump(mode="json") for name, source in sources.items()},
        "files": {
            name: [asdict(file) for file in identify(source, settings.source_dir)]
            for name, source in sources.items()
        },
        "repairs": config.repairs.model_dump(mode="json"),
    }

    def work(to: Path) -> None:
        report = clean(config, engine, source_dir=settings.source_dir, to=to)
        write_json(to / REPORT, report.to_dict())

    name = "scoring/clean" if aside and not ledger.is_done("clean", depends_on) else "clean"
    return ledger.step(name, depends_on, work)


def read_report(cleaned: Done) -> dict[str, Any]:
    """`CleanReport` as JSON has it."""
    report: dict[str, Any] = cleaned.read_json(REPORT)
    return report


def tables(cleaned: Done) -> dict[str, str]:
    """The clean tables by name."""
    return {path.stem: str(path) for path in sorted(cleaned.folder.glob("*.parquet"))}


def fingerprint(cleaned: Done) -> str:
    """A hash over the hashes of all source files, in order."""
    files = read_report(cleaned)["files"]
    hashes = [file["sha256"] for name in sorted(files) for file in files[name]]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()
