"""Whether a day in the lake was made from the newest, told from the lake alone."""

import datetime as dt

import pytest
from builders import make_bundle

from churnops.bundle.bundle import write_bundle
from churnops.bundle.manifest import InputColumn
from churnops.config import Settings
from churnops.data_config import DataConfig
from churnops.errors import ConfigError, StaleData
from churnops.features.definitions import feature_hash, taken
from churnops.jobs.features import make_features
from churnops.jobs.freshness import Allowed, check_scores
from churnops.jobs.score import Request, score
from churnops.lake.lake import Lake
from churnops.storage import Storage

CONFIG = DataConfig.model_validate(
    {
        "name": "shop",
        "shape": "purchases",
        "transactions": {
            "path": "orders.csv",
            "format": "csv",
            "id": "customer",
            "time": {"column": "day", "format": "%Y-%m-%d"},
            "amount": "paid",
        },
        "churn": {"horizon_days": 30, "active_days": 365},
    }
)
DAY = dt.date(2024, 2, 1)
INPUT = InputColumn(name="recency_days", kind="numeric", nullable=True, text="", minimum=0, maximum=100)


class Shop:
    """A shop in a folder: its orders, and what is done with them."""

    def __init__(self, folder):
        self.orders = folder / "orders.csv"
        self.settings = Settings(data_dir=folder / "var", source_dir=str(folder))
        self.lake = Lake(Storage(self.settings.lake_address))
        manifest = {
            "name": "shop",
            "shape": "purchases",
            "horizon_days": 30,
            "active_days": 365,
            "feature_hash": feature_hash(taken(CONFIG, [INPUT.name])),
        }
        self.bundle = write_bundle(make_bundle([INPUT], **manifest), folder / "bundle")
        self.sell("ann,2024-01-05,10", "bob,2024-02-03,20")

    def sell(self, *lines):
        self.orders.write_text("\n".join(["customer,day,paid", *lines]) + "\n")

    def make(self, day=DAY, told=lambda *_: None):
        return make_features(CONFIG, self.settings, as_of=day, tell=told)

    def score(self, day=DAY, **options):
        asked = {"bundle": str(self.bundle), "published": True, "as_of": day} | options
        return score(Request(CONFIG, dt.datetime.now(dt.UTC), **asked), self.settings, lambda *_: None)

    def check(self, *, hours=0):
        """As of so many hours from now."""
        now = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
        return check_scores(self.lake, "shop", DAY, Allowed(now))


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_a_day_that_was_made_and_scored_is_fresh_however_long_ago(shop):
    shop.make()
    scored = shop.score()

    assert shop.check(hours=5_000).rows == scored.rows == 1


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([], r"no features: churnops features CONFIG --as-of 2024-02-01"),
        ([dt.date(2024, 1, 31)], r"no features: churnops features"),
        ([DAY], r"no scores: churnops score CONFIG --as-of 2024-02-01"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_makes_it(shop, made, message):
    for day in made:
        shop.make(day)

    with pytest.raises(StaleData, match=message):
        shop.check()


def test_features_of_another_day_are_not_scored_in_place_of_those_that_are_missing(shop):
    shop.make(dt.date(2024, 1, 31))

    with pytest.raises(StaleData, match="there are no features"):
        shop.score()

    assert [name for name in shop.lake.datasets() if "scores" in name] == []


def test_features_made_anew_leave_the_scores_behind(shop):
    shop.make()
    shop.score()
    shop.sell("ann,2024-01-05,10", "ann,2024-01-20,10", "bob,2024-02-03,20")
    shop.make()

    with pytest.raises(StaleData, match=r"made anew since it was scored: churnops score"):
        shop.check()


def test_scores_that_late_orders_would_change_are_listed_beside_their_features(shop):
    told = []
    shop.make()
    shop.score()
    shop.sell("ann,2024-01-05,10", "ann,2024-01-20,10", "bob,2024-02-03,20")

    shop.make(told=lambda *line: told.append(": ".join(line)))

    days = "shop/features/as_of=2024-02-01, shop/scores/as_of=2024-02-01"
    assert [line for line in told if f"changed from 2024-01-20 on; made from those before: {days}; " in line]


def test_newer_clean_tables_may_wait_a_day_and_no_longer(shop):
    shop.make()
    shop.score()
    shop.sell("ann,2024-01-05,10", "bob,2024-02-03,20", "cyd,2024-02-04,20")
    shop.make(dt.date(2024, 2, 5))

    assert shop.check(hours=23).rows == 1
    with pytest.raises(StaleData, match="from before the clean tables changed"):
        shop.check(hours=25)


def test_a_day_made_again_is_fresh_though_nothing_in_it_changed(shop):
    shop.make()
    shop.score()
    shop.sell("ann,2024-01-05,10", "bob,2024-02-03,20", "cyd,2024-02-04,20")
    shop.make()
    shop.score()

    versions = shop.lake.datasets()
    assert list(versions[f"shop/features/as_of={DAY}"]) == [1, 2]
    assert list(versions[f"shop/scores/as_of={DAY}"]) == [1]
    assert shop.check(hours=5_000).rows == 1


def test_published_features_are_those_of_a_day_and_of_the_configs_own_customers(shop):
    with pytest.raises(ConfigError, match="needs --as-of"):
        shop.score(None)


def test_published_features_score_as_those_made_on_the_way(shop):
    shop.make()
    shop.score()
    first = shop.lake.version(f"shop/scores/as_of={DAY}")
    shop.score(published=False)

    assert shop.lake.version(f"shop/scores/as_of={DAY}") == first
