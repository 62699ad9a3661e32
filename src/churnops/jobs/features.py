"""`churnops features`: one row of features for everybody who is asked about on one day."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from churnops.config import Settings
from churnops.contracts.tables import CUSTOMERS, ORDERS
from churnops.data_config import DataConfig
from churnops.engines import Engine
from churnops.errors import ConfigError
from churnops.features.build import build_attributes, build_features
from churnops.jobs.steps.cleaning import clean_step, tables
from churnops.jobs.steps.ledger import working
from churnops.progress import Tell
from churnops.snapshots.split import history_query


@dataclass(frozen=True)
class Made:
    """Where the features are, and the instant they are of; None: the rows have no date, or each its own."""

    rows: int
    path: Path
    as_of: dt.datetime | None


def make_features(
    config: DataConfig, settings: Settings, *, as_of: dt.date | None, to: Path, tell: Tell
) -> Made:
    """Write the features of `config`'s customers at `as_of` to the Parquet file `to`.

    Purchases: of those active in the look-back, by default at the end of the data. Labelled tables: of every
    row, whether it has a label or not, or of the rows of `as_of` where the table has that column. Raises
    InputError where the data cannot be used or end before `as_of`, and Busy.
    """
    with working(settings, config.name, tell) as (engine, ledger):
        cleaned = clean_step(_unlabelled(config), settings, engine, ledger, aside=True)
        tell("features", "started")
        if config.shape == "purchases":
            made = _of_purchases(config, engine, tables(cleaned), as_of=as_of, to=to)
        else:
            made = _of_attributes(config, engine, tables(cleaned), as_of=as_of, to=to)
        tell("features", "done")
    return made


def _of_purchases(
    config: DataConfig, engine: Engine, tables: dict[str, str], *, as_of: dt.date | None, to: Path
) -> Made:
    instant = _instant(engine, tables[ORDERS.name], as_of)
    built = build_features(engine, tables, config, [instant], to=str(to))
    return Made(built.rows, to, instant)


def _of_attributes(
    config: DataConfig, engine: Engine, tables: dict[str, str], *, as_of: dt.date | None, to: Path
) -> Made:
    instant = _midnight(as_of) if as_of else None
    built = build_attributes(engine, tables[CUSTOMERS.name], config, as_of=instant, to=str(to))
    return Made(built.rows, to, instant)


def _unlabelled(config: DataConfig) -> DataConfig:
    """Who is scored has no label yet."""
    if config.customers is None or config.customers.label is None:
        return config
    return config.model_copy(update={"customers": config.customers.model_copy(update={"label": None})})


def _instant(engine: Engine, orders: str, as_of: dt.date | None) -> dt.datetime:
    end: dt.datetime = engine.query(history_query(), {ORDERS.name: orders})["end"][0].as_py()
    instant = _midnight(as_of) if as_of else end
    if instant > end:
        problem = f"{instant:%Y-%m-%d} is after the data's end ({end:%Y-%m-%d}): everybody would look silent"
        raise ConfigError("--as-of", [problem])
    return instant


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time())
