"""Features and labels of every snapshot, written as one table."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from churnops.contracts.table import check, quoted
from churnops.contracts.tables import CUSTOMERS, DATASET, LABELLED, ORDERS
from churnops.data_config import Churn, DataConfig
from churnops.engines import Engine
from churnops.errors import NotEnoughData
from churnops.features.definitions import Feature, declared
from churnops.features.query import features_query, filled_query
from churnops.features.sql import ATTRIBUTES
from churnops.snapshots.labels import labels_query


@dataclass(frozen=True)
class Built:
    """A table that was written: how many rows, and the features among its columns, in order."""

    rows: int
    features: tuple[Feature, ...]


def build_features(
    engine: Engine, tables: Mapping[str, str], config: DataConfig, as_ofs: Sequence[dt.datetime], *, to: str
) -> Built:
    """Write `customer_id`, `as_of` and the features of each customer active in the look-back before `as_of`.

    Every declared feature, whatever the orders hold: a model may need one that says nothing today. `tables`
    holds the address of `orders` and, where the config has customers, of `customers`. Sorted by `as_of` and
    customer; raises NotEnoughData where nobody was active.
    """
    features = declared(config)
    query = features_query(features, as_ofs, _churn(config).active_days)
    return _write(engine, tables, f"{query} order by as_of, customer_id", features=features, to=to)


def build_dataset(
    engine: Engine, tables: Mapping[str, str], config: DataConfig, as_ofs: Sequence[dt.datetime], *, to: str
) -> Built:
    """The same with `churned` after the key, as the contract DATASET has it.

    Without the features for which the orders hold nothing: there is nothing to learn from them. The orders
    must reach to `horizon_days` after the last of `as_ofs`: `split.plan_spans` plans only such.
    """
    features, churn = _telling(engine, tables, declared(config)), _churn(config)
    names = ", ".join(quoted(feature.name) for feature in features)
    labels = labels_query(as_ofs, churn.active_days, horizon_days=churn.horizon_days)
    query = f"""
        select customer_id, as_of, churned, {names}
        from ({features_query(features, as_ofs, churn.active_days)}) as known
        join ({labels}) as answers using (customer_id, as_of)
        order by as_of, customer_id
    """
    built = _write(engine, tables, query, features=features, to=to)
    check(DATASET, engine.query, to)
    return built


def build_labelled(engine: Engine, labelled: str, config: DataConfig, *, to: str) -> Built:
    """Write a labelled table as a dataset: its attributes, dates as days; sorted by `as_of` and customer."""
    features = declared(config)
    query = f"""
        select customer_id, as_of, churned, {_selected(features)}
        from labelled as {ATTRIBUTES} order by as_of nulls last, customer_id
    """
    built = _write(engine, {LABELLED.name: labelled}, query, features=features, to=to)
    check(DATASET, engine.query, to)
    return built


def build_attributes(
    engine: Engine, customers: str, config: DataConfig, *, as_of: dt.datetime | None, to: str
) -> Built:
    """Customers of a labelled table who are to be scored: the features of `build_labelled`, no label.

    Where the table says when each row was true, only the rows of `as_of` are taken, if it is given.
    """
    dated = config.customers is not None and config.customers.as_of is not None
    features = declared(config)
    instant = "as_of" if dated else "cast(null as timestamp) as as_of"
    chosen = f"where as_of = timestamp '{as_of}'" if dated and as_of else ""
    query = f"""
        select customer_id, {instant}, {_selected(features)}
        from customers as {ATTRIBUTES} {chosen} order by as_of nulls last, customer_id
    """
    return _write(engine, {CUSTOMERS.name: customers}, query, features=features, to=to)


def _selected(features: tuple[Feature, ...]) -> str:
    return ", ".join(f"{feature.expression.sql} as {quoted(feature.name)}" for feature in features)


def _telling(engine: Engine, tables: Mapping[str, str], features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """Those whose columns of the orders hold anything."""
    holds = engine.query(filled_query(), {ORDERS.name: tables[ORDERS.name]}).to_pylist()[0]
    return tuple(one for one in features if all(holds[column] for column in one.needs))


def _churn(config: DataConfig) -> Churn:
    if config.churn is None:
        raise ValueError("only purchases have snapshots to build")
    return config.churn


def _write(
    engine: Engine, tables: Mapping[str, str], query: str, *, features: tuple[Feature, ...], to: str
) -> Built:
    rows = engine.write(query, tables, to)
    if rows == 0:
        problem = "nobody to ask about: no customer was active before, or the table has no row of that day"
        raise NotEnoughData("features", [problem])
    return Built(rows, features)
