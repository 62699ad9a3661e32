"""Every feature, once: what it is called, what it says to people, what it needs and how it is computed."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from churnops.data_config import Customers, DataConfig
from churnops.features import sql
from churnops.features.sql import Expression

Kind = Literal["numeric", "categorical"]
Shape = Literal["purchases", "labelled"]

WINDOWS_DAYS = (7, 30, 90, 180, 365)
_TRENDS_DAYS = (30, 90)
_MONTH_DAYS = 30.4375
_KEY = ("customer_id", "as_of", "churned")


@dataclass(frozen=True)
class Described:
    """A feature in words, for reports and manifests."""

    name: str
    kind: Kind
    text: str
    """What it is, as a marketer would say it."""
    behavioural: bool
    """Whether it sums up events before `as_of`; if not, it is an attribute nobody has dated."""
    column: str = ""
    """The column of the customer table it is taken from, if any."""


@dataclass(frozen=True)
class Feature:
    """One column of the dataset."""

    described: Described
    expression: Expression
    needs: frozenset[str] = frozenset()
    """Columns of `orders` that must hold anything for the feature to say anything."""

    @property
    def name(self) -> str:
        """What the column is called."""
        return self.described.name


def declared(config: DataConfig) -> tuple[Feature, ...]:
    """Every feature that data of this config can have: the same names whatever the tables hold today."""
    if config.shape == "labelled":
        return attributes(config.customers, config.shape) if config.customers else ()
    behaviour = (*_timing(), *_volume(), *_habits())
    if config.customers is None:
        return behaviour
    return behaviour + attributes(config.customers, config.shape, taken=[one.name for one in behaviour])


def taken(config: DataConfig, names: Collection[str]) -> tuple[Feature, ...]:
    """The declared features of these names, in the order they are declared; names of none are left out."""
    return tuple(feature for feature in declared(config) if feature.name in names)


def feature_hash(features: Collection[Feature]) -> str:
    """SHA-256 of everything the values of `features` depend on: any change of a definition changes it."""
    parts = [f"{one.name}\n{one.described.kind}\n{one.expression!r}" for one in features]
    return hashlib.sha256("\n\n".join(parts).encode()).hexdigest()


def _behaviour(name: str, text: str, expression: Expression, *needs: str) -> Feature:
    return Feature(Described(name, "numeric", text, behavioural=True), expression, frozenset(needs))


def _timing() -> list[Feature]:
    """When the customer buys."""
    recency, tenure = sql.days_since_last(), sql.days_since_first()
    first_to_last = sql.minus(tenure, recency)
    mean_gap = sql.ratio(first_to_last, sql.minus(sql.orders(), sql.number(1)))
    return [
        _behaviour("recency_days", "Days since the last purchase", recency),
        _behaviour("tenure_days", "Days since the first purchase", tenure),
        _behaviour(
            "silence_share",
            "Share of the time as a customer that has passed since the last purchase",
            sql.ratio(recency, tenure),
        ),
        _behaviour("gap_mean_days", "Days between purchases, on average", mean_gap),
        _behaviour(
            "gap_std_days", "How much the days between purchases vary", sql.gap_spread(), "gap_seconds"
        ),
        _behaviour(
            "gap_ratio",
            "Days since the last purchase, as a multiple of the usual days between purchases",
            sql.ratio(recency, mean_gap),
        ),
    ]


def _volume() -> list[Feature]:
    """How much the customer buys, and whether it is getting more or less."""
    months = sql.at_least(1, sql.ratio(sql.days_since_first(), sql.number(_MONTH_DAYS)))
    orders = [
        _behaviour("orders_total", "Purchases so far", sql.orders()),
        _behaviour("orders_per_month", "Purchases per month as a customer", sql.ratio(sql.orders(), months)),
        *(
            _behaviour(f"orders_{days}d", f"Purchases in the last {days} days", sql.orders(days))
            for days in WINDOWS_DAYS
        ),
        *(
            _behaviour(
                f"orders_trend_{days}d",
                _trend_text("Purchases", days),
                _trend(sql.orders(days), sql.orders(2 * days)),
            )
            for days in _TRENDS_DAYS
        ),
    ]
    spend = [
        _behaviour("spend_total", "Money spent so far", sql.spend(), "amount"),
        _behaviour(
            "spend_per_month", "Money spent per month as a customer", sql.ratio(sql.spend(), months), "amount"
        ),
        *(
            _behaviour(f"spend_{days}d", f"Money spent in the last {days} days", sql.spend(days), "amount")
            for days in WINDOWS_DAYS
        ),
        *(
            _behaviour(
                f"spend_trend_{days}d",
                _trend_text("Money spent", days),
                _trend(sql.spend(days), sql.spend(2 * days)),
                "amount",
            )
            for days in _TRENDS_DAYS
        ),
    ]
    return orders + spend


def _trend_text(what: str, days: int) -> str:
    return f"{what} in the last {days} days against the {days} days before (1: all lately, -1: all before)"


def _trend(recent: Expression, both: Expression) -> Expression:
    """(recent - earlier) / (recent + earlier); null where neither window holds anything."""
    earlier = sql.minus(both, recent)
    return sql.ratio(sql.minus(recent, earlier), both)


def _habits() -> list[Feature]:
    """How the customer buys."""
    orders, spend, discount = sql.orders(), sql.spend(), sql.total("discount")
    return [
        _behaviour("basket_lines", "Lines per purchase", sql.ratio(sql.total("lines"), orders), "lines"),
        _behaviour("basket_value", "Money per purchase", sql.ratio(spend, orders), "amount"),
        _behaviour(
            "categories_seen",
            "Different categories bought so far",
            sql.total("new_categories"),
            "new_categories",
        ),
        _behaviour(
            "weekend_share",
            "Share of purchases on a Saturday or Sunday",
            sql.ratio(sql.on_weekends(), orders),
        ),
        _behaviour(
            "discount_share",
            "Discounts as a share of the full price",
            sql.ratio(discount, sql.plus(spend, discount)),
            "amount",
            "discount",
        ),
        _behaviour("returns_total", "Returns so far", sql.returns(), "is_return"),
        _behaviour("returns_share", "Returns per purchase", sql.ratio(sql.returns(), orders), "is_return"),
    ]


def attributes(source: Customers, shape: Shape, *, taken: Collection[str] = ()) -> tuple[Feature, ...]:
    """The features that columns of the customer table make; one whose name is `taken` gets another."""
    names = {name.lower() for name in (*_KEY, *taken)}
    features = []
    for column, said in source.columns.items():
        if said.role == "dropped":
            continue
        feature = _date(column, source, shape) if said.role == "date" else _as_it_is(column, said.role)
        while feature.name.lower() in names:  # engines tell no case
            feature = replace(feature, described=replace(feature.described, name=f"customer_{feature.name}"))
        names.add(feature.name.lower())
        features.append(feature)
    return tuple(features)


def _as_it_is(column: str, kind: Kind) -> Feature:
    return Feature(
        Described(column, kind, column, behavioural=False, column=column), sql.attribute(column, kind)
    )


def _date(column: str, source: Customers, shape: Shape) -> Feature:
    """Purchases are always asked about at an instant, labelled rows only where the table has dates."""
    if shape == "labelled" and source.as_of is None:
        name, text = f"{column}_day", f"{column}, in days since 1970"
        expression = sql.day_number(column)
    else:
        name, text = f"{column}_days_before", f"Days since {column}"
        expression = sql.days_before(column, sql.ATTRIBUTES if shape == "labelled" else sql.SNAPSHOTS)
    return Feature(Described(name, "numeric", text, behavioural=False, column=column), expression)
