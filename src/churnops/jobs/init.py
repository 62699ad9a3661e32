"""`churnops init`: look at somebody's files and write the data config that reads them."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from churnops.config import load_toml
from churnops.data_config import NAME, Churn, DataConfig, Snapshots
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import ConfigError
from churnops.jobs.horizon import show_horizon
from churnops.sources.clean import clean
from churnops.sources.detect import detect
from churnops.sources.files import stage
from churnops.sources.mirror import brought_here, mirror
from churnops.sources.proposal.document import render
from churnops.sources.proposal.inquiry import Question
from churnops.sources.proposal.names import plain
from churnops.sources.proposal.profile import Profile, profile
from churnops.sources.proposal.propose import Proposal, propose
from churnops.sources.repairs import CleanReport
from churnops.storage import is_remote

Ask = Callable[[Question], str]
"""Puts a question to a person; returns one of its options."""

_FOLDER = Path("configs/data")
_SAYS_NOTHING = ("customers", "customer", "transactions", "orders", "purchases", "data", "train", "export")
_LONGEST_NAME = 64
_MANY_REPEATS = 0.01


@dataclass(frozen=True)
class Request:
    """What to look at: one table, or customers and transactions in either order; files or folders."""

    customers: str
    transactions: str | None = None
    name: str = ""
    """Empty: made from the path."""
    source_dir: str = "."
    """Where relative paths of the config will start."""
    cache: Path = Path("var/sources")
    """Where tables of S3 are brought to."""


@dataclass(frozen=True)
class Initialised:
    """The config that was written; `dataclasses.asdict` makes it JSON but for the path."""

    path: Path
    shape: str
    warnings: tuple[str, ...]
    questions: tuple[Question, ...]
    """What nobody was asked: the warnings say what was taken for granted."""


def init(
    request: Request, engine: DuckDB, *, out: Path | None = None, ask: Ask | None = None, force: bool = False
) -> Initialised:
    """Propose a config and write it to `out`, by default `configs/data/<name>.toml`, whole or not at all.

    Raises ConfigError for a name no config can have, and where that file exists and `force` is not set; and
    what `propose_config` raises.
    """
    if request.name and not re.fullmatch(NAME, request.name):
        problem = f"'{request.name}': up to 64 small letters, digits, _ and -, the first a letter or a digit"
        raise ConfigError("--name", [problem])
    path = out or _FOLDER / f"{request.name or _name(request)}.toml"
    if path.exists() and not force:
        raise ConfigError(
            str(path), ["exists already: choose another with --out, or replace it with --force"]
        )
    proposal = propose_config(request, engine, ask=ask)
    _write(path, proposal)
    return Initialised(path, proposal.config.shape, proposal.warnings, proposal.questions)


def propose_config(request: Request, engine: DuckDB, *, ask: Ask | None = None) -> Proposal:
    """What the config should say, tried on the files: they have been cleaned with it, and silences measured.

    Without `ask` the likeliest answers are taken for granted. Raises SourceError and ContractError for files
    that cannot be used, ConfigError where they are not recognised, NotEnoughData where no horizon is honest.
    """
    engine.spill_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=engine.spill_dir) as folder:
        tables = list(_look(request, engine, Path(folder)))
        proposal = _answered(request, tables, engine, ask=ask)
        cleaned = Path(folder) / "clean"
        config, source_dir = brought_here(proposal.config, request.source_dir, request.cache)
        report = clean(config, engine, source_dir=source_dir, to=cleaned)
        proposal = _with_counts(proposal, report)
        if proposal.config.shape == "purchases":
            proposal = _with_horizon(proposal, str(cleaned / "orders.parquet"), engine)
    return proposal


def _look(request: Request, engine: DuckDB, folder: Path) -> Iterator[Profile]:
    for i, given in enumerate(filter(None, (request.customers, request.transactions))):
        path, here = _found(given, request)
        source = detect(here)
        staged = stage(source, Path(), folder / f"{i}.parquet", engine=engine)
        yield profile(source.model_copy(update={"path": path}), staged, engine.query)


def _found(given: str, request: Request) -> tuple[str, Path]:
    """The path as the config should have it, and where the table is on this machine.

    As given, or absolute if it does not start in the folder of sources.
    """
    if is_remote(given):
        return given, request.cache / mirror(given, request.cache)
    if is_remote(request.source_dir):
        return given, request.cache / mirror(f"{request.source_dir.rstrip('/')}/{given}", request.cache)
    here = Path(request.source_dir, given)
    if here.exists() or not Path(given).exists():
        return given, here
    return str(Path(given).resolve()), Path(given).resolve()


def _answered(request: Request, tables: list[Profile], engine: DuckDB, *, ask: Ask | None) -> Proposal:
    """The proposal once every question has its answer; an answer may open another question."""
    name = request.name or _name(request)
    answers: dict[str, str] = {}
    while True:
        proposal = propose(name, tables, engine.query, answers=answers)
        if ask is None or not proposal.questions:
            return proposal
        answers |= {question.key: ask(question) for question in proposal.questions}


def _with_counts(proposal: Proposal, report: CleanReport) -> Proposal:
    reasons, warnings = dict(proposal.reasons), list(proposal.warnings)
    for repair in report.repairs:
        place = "transactions.cancelled" if repair.rule == "cancelled" else f"repairs.{repair.rule}"
        where = f" for '{repair.column}'" if repair.column and place.startswith("repairs") else ""
        told = f"{repair.told}{where}"
        if place not in reasons or repair.rule in ("exact_duplicates", "cancelled", "zero_amount"):
            reasons[place] = "; ".join(filter(None, (reasons.get(place, ""), told)))
        rows = report.tables[repair.table].rows_read
        if repair.rule == "exact_duplicates" and repair.rows >= _MANY_REPEATS * rows:
            told = f"{repair.rows} of {rows} rows of {repair.table} repeat an earlier one"
            warnings.append(f"{told} and are {repair.action}.")
    return replace(proposal, reasons=reasons, warnings=tuple(warnings), notes=report.notes)


def _with_horizon(proposal: Proposal, orders: str, engine: DuckDB) -> Proposal:
    found = show_horizon(orders, engine).proposal
    churn = Churn(horizon_days=found.horizon_days, active_days=found.active_days)
    snapshots = Snapshots(spacing_days=found.spacing_days, train=found.train)
    return replace(
        proposal,
        config=proposal.config.model_copy(update={"churn": churn, "snapshots": snapshots}),
        reasons={**proposal.reasons, "churn.horizon_days": found.reason},
        warnings=(*proposal.warnings, *filter(None, [found.warning])),
    )


def _write(path: Path, proposal: Proposal) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(render(proposal), encoding="utf-8")
        if load_toml(DataConfig, unfinished) != proposal.config:
            raise ConfigError(str(path), ["a column's name cannot be written in TOML: rename it"])
        unfinished.replace(path)
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be written: {error.strerror or error}"]) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _name(request: Request) -> str:
    """The name of the file, or of its folder where the file's says nothing; small letters, digits and `_`."""
    path = Path(request.source_dir, request.customers).absolute()
    stem = plain(path.name.split(".")[0])
    said = plain(path.parent.name) if stem in _SAYS_NOTHING else stem
    ascii_only = re.sub(r"[^a-z0-9]+", "_", said).strip("_")
    return ascii_only[:_LONGEST_NAME] or "data"
