"""A shop whose orders come as a file a day: what a new day touches, on the machine and in the lake."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exports import purchases

from churnops.config import Settings
from churnops.jobs.features import make_features
from churnops.jobs.steps.cleaning import clean_step, read_report
from churnops.jobs.steps.workshop import working
from churnops.lake.lake import Lake
from churnops.storage import Storage

FIRST = dt.datetime(2024, 4, 8)
CONFIG = purchases(path="raw", format="parquet", category="what", time={"column": "date", "format": "native"})


@pytest.fixture
def machine(tmp_path, place):
    """The workshop of that name; all read the same files and share one lake."""

    def at(name, told=lambda *_: None):
        settings = Settings(data_dir=tmp_path / name, source_dir=str(tmp_path), lake=place)
        return settings, working(settings, CONFIG.name, told)

    return at


def buy(folder, day, *hours, who="ann"):
    """The file of one day, with a purchase at each of the hours after its midnight."""
    rows = [
        {
            "customer": who,
            "date": FIRST + dt.timedelta(days=day, hours=hour),
            "amount": Decimal(5),
            "what": f"{hour}",
        }
        for hour in hours
    ]
    (folder / "raw").mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "raw" / f"day={day}.parquet")


def cleaned(machine, name, told=lambda *_: None):
    with machine(name, told)[1] as shop:
        return clean_step(CONFIG, shop)


def folders_of(published):
    return [part.folder for part in published.version.tables["orders"].parts]


def test_a_new_day_adds_a_part_and_shares_the_others_in_the_lake(machine, tmp_path):
    buy(tmp_path, 0, 9, 10)
    first = cleaned(machine, "a")
    buy(tmp_path, 1, 9)
    second = cleaned(machine, "a")
    buy(tmp_path, 2, 11)
    third = cleaned(machine, "a")

    assert folders_of(third)[:2] == folders_of(second)
    assert folders_of(second)[:1] == folders_of(first)
    orders = pq.read_table(third.files["orders"]).to_pylist()
    assert [(one["gap_seconds"], one["new_categories"]) for one in orders] == [
        (None, 1),
        (3600, 1),
        (23 * 3600, 0),
        (26 * 3600, 1),
    ]
    assert read_report(third)["tables"]["transactions"] == {"rows_read": 4, "rows_kept": 4}


def test_another_machine_goes_on_where_one_stopped(machine, tmp_path):
    buy(tmp_path, 0, 9)
    cleaned(machine, "a")
    buy(tmp_path, 1, 9)
    here = cleaned(machine, "a")
    fetched = cleaned(machine, "b")
    assert fetched.version == here.version
    assert pq.read_table(fetched.files["orders"]).equals(pq.read_table(here.files["orders"]))

    buy(tmp_path, 2, 9)
    assert folders_of(cleaned(machine, "c"))[:2] == folders_of(here)


def test_features_do_not_show_how_the_files_came(machine, tmp_path):
    for day in range(3):
        buy(tmp_path, day, 9, 17)
        settings, _ = machine("a")
        grown = make_features(CONFIG, settings, as_of=None, tell=lambda *_: None)
    at_once = Settings(data_dir=tmp_path / "z", source_dir=str(tmp_path))

    made = make_features(CONFIG, at_once, as_of=None, tell=lambda *_: None)

    assert len(Lake(Storage(settings.lake)).version("shop/scoring/clean").tables["orders"].parts) == 3
    assert made.published.version.sha256 == grown.published.version.sha256


def test_late_orders_name_the_features_that_were_made_without_them(machine, tmp_path):
    told = []
    for day in range(3):
        buy(tmp_path, day, 9)
        make_features(CONFIG, machine("a")[0], as_of=None, tell=lambda *_: None)
    before = Lake(Storage(machine("a")[0].lake)).version("shop/features/as_of=2024-04-10")
    buy(tmp_path, 3, -40, who="bob")

    settings, _ = machine("a")
    make_features(CONFIG, settings, as_of=None, tell=lambda *line: told.append(line))

    assert (
        "scoring/clean",
        "transactions: made before late orders came, and left as they are: "
        "shop/features/as_of=2024-04-10, shop/features/as_of=2024-04-11",
    ) in told
    assert Lake(Storage(settings.lake)).version("shop/features/as_of=2024-04-10") == before


def test_garbage_keeps_the_parts_that_a_newer_version_shares(machine, tmp_path):
    for day in range(2):
        buy(tmp_path, day, 9)
        last = cleaned(machine, "a")
    lake = Lake(Storage(machine("a")[0].lake))

    lake.clear(
        lake.garbage(keep=1, older_than=dt.timedelta(), now=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    )

    assert lake.version("shop/clean", 1) is None
    lake.fetch(last.version, tmp_path / "read")
    assert pq.read_table(tmp_path / "read" / "orders.parquet").num_rows == 2


def test_a_table_that_lost_its_first_version_is_published_whole(machine, tmp_path):
    buy(tmp_path, 0, 9)
    with machine("a")[1] as shop:
        clean_step(CONFIG, shop)
        buy(tmp_path, 1, 9)
        second = clean_step(CONFIG, shop)
        shop.lake.storage.delete([f"shop/clean/_versions/{n:06}.json" for n in (1, 2)])
        again = clean_step(CONFIG, shop)

    assert len(again.version.tables["orders"].parts) == 1
    assert again.version.rows == second.version.rows
    buy(tmp_path, 2, 9)
    assert pq.read_table(cleaned(machine, "a").files["orders"]).num_rows == 3
