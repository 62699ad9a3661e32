"""A shop whose orders come as a file a day: what a new day touches, on the machine and in the lake."""

import datetime as dt
import re
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exports import purchases

from churnops.config import Settings
from churnops.errors import ConfigError
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


def write(folder, name, *lines):
    """A file of lines `customer,order,date,paid`; of their header only, where there are none."""
    path = folder / "lines" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["customer,order,date,paid", *lines]) + "\n")


LINES = purchases(path="lines", order="order", amount="paid", time={"column": "date", "format": "%Y-%m-%d"})
FIRST_FILE = ("ann,A1,2024-06-20,5", "bob,B1,2024-06-22,5", "zoe,Z2,2024-06-24,5")


@pytest.fixture
def published(machine, tmp_path):
    """Features of three days are published; what then is told of `features` and the days it names."""
    settings, _ = machine("a")

    def features(day=None, told=lambda *_: None):
        as_of = day and dt.date(2024, 6, day)
        return make_features(LINES, settings, as_of=as_of, tell=told)

    write(tmp_path, "a.csv", *FIRST_FILE)
    for day in (21, 24, 25):
        features(day)

    def told():
        lines = []
        before = {
            name: list(of) for name, of in Lake(Storage(settings.lake)).datasets("shop/features").items()
        }
        made = features(None, lambda *line: lines.append(": ".join(line)))
        after = Lake(Storage(settings.lake)).datasets("shop/features")
        same = before.keys() - {f"shop/features/as_of={made.as_of:%Y-%m-%d}"}
        assert {name: list(after[name]) for name in same} == {name: before[name] for name in same}
        found = [line for line in lines if "orders: changed" in line]
        assert [line.partition(": ")[2] for line in found] == [
            note for note in made_notes(settings) if note.startswith("orders: changed")
        ]
        return lines, [int(day) for line in found for day in re.findall(r"as_of=2024-06-(\d\d)", line)]

    return told


def made_notes(settings):
    with working(settings, LINES.name, lambda *_: None) as shop:
        return shop.note(shop.newest("scoring/clean"), "clean.json")["notes"]


@pytest.mark.parametrize(
    ("files", "why", "days"),
    [
        ({"b.csv": ["bob,B2,2024-06-22,9"]}, "1 lines of 1 customers are no later", [24, 25]),
        ({"b.csv": ["zoe,Z2,2024-06-25,9"]}, "1 orders that were there have more lines", [25]),
        ({"a.csv": [*FIRST_FILE, "bob,B2,2024-06-23,9"]}, "a.csv has changed or is gone", [24, 25]),
        ({"a.csv": [FIRST_FILE[0], "bob,B1,2024-06-22,6", FIRST_FILE[2]]}, "a.csv has changed", [24, 25]),
        ({"a.csv": FIRST_FILE[1:]}, "a.csv has changed or is gone", [21, 24, 25]),
        ({"a.csv": [*FIRST_FILE, "cyd,C1,2024-06-26,9"]}, "a.csv has changed or is gone", []),
        ({"b.csv": [FIRST_FILE[1]]}, "1 lines of 1 customers are no later", []),
        ({"a.csv": [*FIRST_FILE, FIRST_FILE[1]]}, "a.csv has changed or is gone", []),
        ({"b.csv": ["cyd,C1,2024-06-26,9"]}, None, []),
        ({"b.csv": []}, None, []),
    ],
    ids=[
        "a late order",
        "an old order goes on",
        "a row in the file that was there",
        "an amount that was corrected",
        "a row that is gone",
        "the file exported again a day later",
        "a row repeated in a new file",
        "a row repeated in the file that was there",
        "a new day",
        "a new day without purchases",
    ],
)
def test_published_days_that_would_be_other_now_are_listed_and_left(published, tmp_path, files, why, days):
    for name, lines in files.items():
        write(tmp_path, name, *lines)

    lines, listed = published()

    anew = [line for line in lines if "transactions: cleaned anew: " in line]
    assert listed == days
    assert [why in line for line in anew] == ([True] if why else [])


@pytest.mark.parametrize("name", ["2024-06-25.csv", "tx_20240625.csv", "day=2024-06-25/a.csv"])
def test_a_day_without_purchases_has_features_where_its_file_says_which_day_it_is(machine, tmp_path, name):
    settings, _ = machine("a")

    def features():
        return make_features(LINES, settings, as_of=dt.date(2024, 6, 26), tell=lambda *_: None)

    write(tmp_path, "2024-06-24.csv", *FIRST_FILE)
    with pytest.raises(ConfigError, match=r"is after the data's end \(2024-06-25\)"):
        features()
    write(tmp_path, "2024-06-23-again.csv")
    with pytest.raises(ConfigError, match=r"is after the data's end \(2024-06-25\)"):
        features()
    write(tmp_path, name)

    assert features().rows == 3


def test_what_the_daily_verbs_clean_anew_is_held_against_the_tables_of_the_last_run(machine, tmp_path):
    told = []
    write(tmp_path, "a.csv", *FIRST_FILE)
    settings, holding = machine("a")
    with holding as shop:
        clean_step(LINES, shop)
    make_features(LINES, settings, as_of=dt.date(2024, 6, 24), tell=lambda *_: None)
    write(tmp_path, "b.csv", "bob,B2,2024-06-22,9")

    make_features(LINES, machine("b")[0], as_of=dt.date(2024, 6, 25), tell=lambda *line: told.append(line))

    changed = [line for step, line in told if step == "scoring/clean" and "changed" in line]
    assert changed == [
        "orders: changed from 2024-06-22 on; made from those before: shop/features/as_of=2024-06-24; "
        "churnops features CONFIG --as-of DAY makes a day anew"
    ]


def test_growing_tables_are_held_against_those_that_the_other_step_published_since(machine, tmp_path):
    told = []
    write(tmp_path, "a.csv", *FIRST_FILE)
    settings, holding = machine("a")
    with holding as shop:
        clean_step(LINES, shop)
    write(tmp_path, "b.csv", "cyd,C1,2024-06-26,9")
    make_features(LINES, settings, as_of=dt.date(2024, 6, 27), tell=lambda *_: None)
    write(tmp_path, "c.csv", "bob,B2,2024-06-25,9")

    with machine("a", lambda *line: told.append(": ".join(line)))[1] as shop:
        assert len(folders_of(clean_step(LINES, shop))) == 2

    assert [line for line in told if "changed from 2024-06-25 on" in line and "as_of=2024-06-27" in line]


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
