"""`churnops features`: one row of features for everybody who is asked about on one day."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from churnops.config import Settings
from churnops.contracts.tables import CUSTOMERS, ORDERS
from churnops.data_config import DataConfig
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import ConfigError
from churnops.features.build import build_attributes, build_features
from churnops.jobs.freshness import Allowed, fresh_features
from churnops.jobs.steps.cleaning import account_of, clean_step, repairs_told
from churnops.jobs.steps.workshop import Origin, Place, Published, working
from churnops.progress import Tell
from churnops.snapshots.split import history_query
from churnops.storage import delivered
from churnops.writing import copy_whole

_TABLE = "features"


@dataclass(frozen=True)
class Made:
    """Where the features are, and the instant they are of; None: the rows have no date, or each its own."""

    rows: int
    published: Published
    as_of: dt.datetime | None
    repairs: tuple[str, ...] = ()
    """What was done to rows that broke a rule, in a line for each; of what the lake had, nothing."""

    @property
    def path(self) -> Path:
        """The table on this machine."""
        return Path(self.published.files[_TABLE])

    @property
    def address(self) -> str:
        """The table in the lake."""
        return self.published.addresses[_TABLE]

    def copy(self, to: str) -> None:
        """Write the table to a file of somebody's own, here or on S3."""
        with delivered(to) as path:
            copy_whole(self.path, path)


def make_features(
    config: DataConfig, settings: Settings, *, as_of: dt.date | None, tell: Tell, aside: bool = False
) -> Made:
    """Publish the features of `config`'s customers at `as_of`; `aside` where another config stands in for it.

    Purchases: of those active in the look-back, by default at the end of the data. Labelled tables: of every
    row, whether it has a label or not, or of the rows of `as_of` where the table has that column. Raises
    InputError where the data cannot be used or end before `as_of`, and Busy.
    """
    with working(settings, config.name, tell) as shop:
        cleaned = clean_step(_unlabelled(config), shop, aside=True)
        engine = shop.engine(cleaned)
        if config.shape == "purchases":
            instant: dt.datetime | None = _instant(cleaned, shop.duckdb, as_of)
        else:
            instant = _midnight(as_of) if as_of else None

        def work(to: Place) -> None:
            tables = cleaned.tables(engine)
            if config.shape == "purchases" and instant:
                build_features(engine, tables, config, [instant], to=to.table(_TABLE))
            else:
                build_attributes(engine, tables[CUSTOMERS.name], config, as_of=instant, to=to.table(_TABLE))

        depends_on = {
            "clean": cleaned.key,
            "as_of": str(instant),
            "data": config.model_dump(mode="json", include={"shape", "churn", "customers", "transactions"}),
        }
        step = f"features/as_of={instant:%Y-%m-%d}" if instant else "features/undated"
        step = f"scoring/{step}" if aside else step
        published = shop.publish(step, depends_on, work, engine=engine, origin=Origin((cleaned,)))
    return Made(published.version.rows, published, instant, repairs_told(cleaned))


def published_features(
    config: DataConfig, settings: Settings, *, as_of: dt.date, now: dt.datetime, tell: Tell
) -> Made:
    """The features of `as_of` that are in the lake; raises StaleData, and Busy."""
    with working(settings, config.name, tell) as shop:
        published = shop.here(fresh_features(shop.lake, config.name, as_of, Allowed(now)))
    return Made(published.version.rows, published, _midnight(as_of))


def _unlabelled(config: DataConfig) -> DataConfig:
    """Who is scored has no label yet."""
    if config.customers is None or config.customers.label is None:
        return config
    return config.model_copy(update={"customers": config.customers.model_copy(update={"label": None})})


def _instant(cleaned: Published, engine: DuckDB, as_of: dt.date | None) -> dt.datetime:
    """That of `as_of`; by default the midnight after the last day of which the data are there."""
    orders = {ORDERS.name: cleaned.files[ORDERS.name]}
    (history,) = engine.query(history_query(), orders).to_pylist()
    first, end = history["first_event"], history["end"]
    silent = account_of(cleaned).silent_day
    end = max(end, _midnight(silent + dt.timedelta(days=1))) if silent else end
    instant = _midnight(as_of) if as_of else end
    if instant > end:
        problem = f"{instant:%Y-%m-%d} is after the data's end ({end:%Y-%m-%d}): everybody would look silent"
        raise ConfigError("--as-of", [problem])
    if instant <= first:
        raise ConfigError("--as-of", [f"{instant:%Y-%m-%d} is before the first purchase ({first:%Y-%m-%d})"])
    return instant


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time())
