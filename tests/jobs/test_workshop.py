"""Steps that publish: what one machine made, another fetches, and nobody overwrites what was published."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churnops.config import Settings
from churnops.errors import Conflict
from churnops.jobs.steps.workshop import Origin, working

BEGUN = dt.datetime(2024, 4, 10, 12, tzinfo=dt.UTC)


@pytest.fixture
def machine(tmp_path, place):
    """A workshop on the machine of that name; all share one lake."""

    def at(name):
        settings = Settings(data_dir=tmp_path / name, lake=place, actor="ann", started_at=BEGUN)
        return working(settings, "shop", lambda *_: None)

    return at


def write(value, calls=None):
    """The work of a step: one table of one row."""

    def work(to):
        if calls is not None:
            calls.append(value)
        (to.folder / "about.json").write_text(f'{{"value": {value}}}')
        pq.write_table(pa.table({"n": [value]}), to.table("orders"))

    return work


def publish(shop, value, *, calls=None, key=None):
    depends_on = {"value": value if key is None else key}
    return shop.publish("orders", depends_on, write(value, calls), engine=shop.duckdb)


def value_of(done):
    return pq.read_table(done.files["orders"])["n"].to_pylist(), done.read_json("about.json")["value"]


def test_what_one_machine_made_another_fetches(machine):
    calls = []
    with machine("a") as here, machine("b") as there:
        made, fetched = publish(here, 1, calls=calls), publish(there, 1, calls=calls)

    assert calls == [1]
    assert fetched.version == made.version
    assert value_of(fetched) == value_of(made) == ([1], 1)


def test_a_version_says_who_made_it_when_with_which_code(machine):
    with machine("a") as shop:
        producer = publish(shop, 1).version.producer

    assert (producer.actor, producer.started_at) == ("ann", BEGUN)
    assert producer.code


def test_a_step_done_again_publishes_nothing_and_another_result_follows(machine):
    with machine("a") as shop:
        first = publish(shop, 1)
        assert publish(shop, 1).version == first.version
        assert publish(shop, 2).version.number == 2


def test_a_kept_step_is_published_into_a_lake_that_lost_it(machine):
    calls = []
    with machine("a") as shop:
        made = publish(shop, 1, calls=calls)
        shop.lake.storage.delete([file.name for file in shop.lake.storage.files()])
        again = publish(shop, 1, calls=calls)

    assert calls == [1]
    assert again.version.sha256 == made.version.sha256
    assert value_of(again) == ([1], 1)


def test_a_version_of_somebody_else_is_not_overwritten(machine):
    with machine("a") as here, machine("b") as there:

        def overtaken(to):
            publish(there, 2)
            write(1)(to)

        with pytest.raises(Conflict, match="Run again"):
            here.publish("orders", {"value": 1}, overtaken, engine=here.duckdb)
        assert here.lake.version("shop/orders").key == publish(there, 2).version.key
        assert publish(here, 1).version.number == 2


def test_a_step_that_fails_publishes_nothing(machine):
    def fail(to):
        write(1)(to)
        raise ZeroDivisionError

    with machine("a") as shop:
        with pytest.raises(ZeroDivisionError):
            shop.publish("orders", {}, fail, engine=shop.duckdb)
        assert list(shop.lake.storage.files()) == []


def test_lineage_names_the_versions_a_step_read(machine):
    with machine("a") as shop:
        orders = publish(shop, 1)
        features = shop.publish("features", {}, write(3), engine=shop.duckdb, origin=Origin((orders,)))

    assert features.version.sources == (orders.version.as_source(),)
