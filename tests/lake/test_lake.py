"""Versions: one writer wins, a reader sees one version whole, and what goes is what nobody needs."""

import datetime as dt
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tables import publish, values, write_table

from churnops.errors import Conflict, StorageError
from churnops.lake.content import read_back
from churnops.lake.lake import Draft, Lake, Made
from churnops.lake.manifest import Version
from churnops.storage import Storage

LONG_AGO = dt.timedelta()
A_WEEK = dt.timedelta(days=7)


@pytest.fixture
def lake(place):
    return Lake(Storage(place))


def tomorrow():
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


def test_a_version_comes_back_as_it_was_published(lake, tmp_path):
    assert lake.version("shop/orders") is None
    made = publish(lake, tmp_path / "w", orders=[1, 2], lines=[])

    lake.fetch(made, tmp_path / "r")

    assert lake.version("shop/orders") == lake.version("shop/orders", 1) == made
    assert (made.number, made.rows, set(made.tables)) == (1, 2, {"orders", "lines"})
    assert values(tmp_path / "r", "orders") == [1, 2]
    assert values(tmp_path / "r", "lines") == []
    assert (tmp_path / "r" / "note.json").read_bytes() == b"{}"
    assert made.bytes == sum(path.stat().st_size for path in (tmp_path / "r").iterdir())


def test_versions_follow_each_other_and_stay(lake, tmp_path):
    made = [publish(lake, tmp_path, key=f"{i}", orders=[i]) for i in range(3)]

    assert [one.number for one in made] == [1, 2, 3]
    assert {name: list(of) for name, of in lake.datasets().items()} == {"shop/orders": [1, 2, 3]}
    assert lake.made_by("shop/orders", "2") == made[2]
    assert lake.made_by("shop/orders", "1") is None
    lake.fetch(made[0], tmp_path / "r")
    assert values(tmp_path / "r", "orders") == [0]


def test_the_same_content_makes_no_new_version_but_another_note_does(lake, tmp_path):
    first = publish(lake, tmp_path, key="a", orders=[1])

    assert publish(lake, tmp_path, key="b", orders=[1]) == first
    assert publish(lake, tmp_path, key="c", orders=[1], note=b'{"rows": 1}').number == 2


def test_of_sixteen_writers_one_wins_and_the_others_are_told(lake, tmp_path):
    drafts = [lake.draft("shop/orders") for _ in range(16)]

    def write(i):
        try:
            return publish(lake, tmp_path, draft=drafts[i], key=f"{i}", orders=[i])
        except Conflict as error:
            return str(error)

    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(write, range(16)))
    (won,) = [one for one in said if isinstance(one, Version)]
    told = [one for one in said if one != won]
    assert all("published version 1 meanwhile" in one and "Run again" in one for one in told)
    assert lake.version("shop/orders") == won
    lake.fetch(won, tmp_path / "r")
    assert values(tmp_path / "r", "orders") == [int(won.key)]


def test_writers_of_the_same_both_win(lake, tmp_path):
    drafts = [lake.draft("shop/orders") for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda draft: publish(lake, tmp_path, draft=draft, orders=[1]), drafts))

    assert {one.number for one in said} == {1}
    assert len({one.folder for one in said}) == 1


def test_a_late_writer_of_the_same_is_told_of_the_version_it_made_even_when_others_followed(lake, tmp_path):
    late = lake.draft("shop/orders")
    first = publish(lake, tmp_path, key="a", orders=[1])
    publish(lake, tmp_path, key="b", orders=[2])

    assert publish(lake, tmp_path, draft=late, key="a", orders=[1]) == first
    with pytest.raises(Conflict):
        publish(lake, tmp_path, draft=Draft("shop/orders", follows=0), orders=[3])


def test_a_reader_sees_the_old_version_or_the_new_one(lake, tmp_path):
    publish(lake, tmp_path / "w", key="0", orders=[0], lines=[0])
    done = threading.Event()

    def write():
        for i in range(1, 15):
            publish(lake, tmp_path / "w", key=f"{i}", orders=[i] * 50, lines=[i] * 50)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set() or not seen or seen[-1] != 14:
        version = lake.version("shop/orders")
        lake.fetch(version, tmp_path / "r")
        (one,) = {*values(tmp_path / "r", "orders"), *values(tmp_path / "r", "lines")}
        assert version.key == str(one)
        seen.append(one)
    writer.join()
    assert seen == sorted(seen)


def test_a_draft_without_a_manifest_is_not_seen(lake, tmp_path):
    first = publish(lake, tmp_path, orders=[1])
    draft = lake.draft("shop/orders")
    path = write_table(tmp_path / "part-0.parquet", {"n": [2]})
    lake.storage.upload(path, draft.name("orders.parquet/part-0.parquet"))

    assert lake.version("shop/orders") == first
    assert lake.tables_of(draft) == ["orders"]
    assert lake.read_draft(draft, "orders", tmp_path / "r" / "orders.parquet").rows == 1
    with pytest.raises(StorageError, match=r"nosuch\.parquet: holds no Parquet file"):
        lake.read_draft(draft, "nosuch", tmp_path / "r" / "nosuch.parquet")


def test_a_table_of_many_files_comes_back_as_one_in_the_order_of_their_names(lake, tmp_path):
    draft = lake.draft("shop/orders")
    for i in range(30):
        path = write_table(tmp_path / "parts" / f"part-{i:05}.parquet", {"n": [2 * i, 2 * i + 1]})
        lake.storage.upload(path, draft.name(f"orders.parquet/{path.name}"))
    lake.storage.create(draft.name("orders.parquet/_SUCCESS"), b"")
    content = lake.read_draft(draft, "orders", tmp_path / "orders.parquet")
    made = lake.publish(draft, {"orders": content}, Made("key", "spark"))

    lake.fetch(made, tmp_path / "r")

    assert values(tmp_path / "r", "orders") == list(range(60))
    assert len(made.tables["orders"].parts[0].files) == 30
    assert lake.addresses(made) == {"orders": lake.storage.at(draft.name("orders.parquet"))}


@pytest.mark.parametrize("file", ["orders.parquet", "note.json"])
@pytest.mark.parametrize("damage", ["truncated", "exchanged", "deleted"])
def test_what_is_not_what_was_published_is_refused_and_named(lake, tmp_path, file, damage):
    made = publish(lake, tmp_path / "w", orders=list(range(1000)))
    name = f"{made.below}/{file}"
    whole = lake.storage.read(name)
    lake.storage.delete([name])
    if damage == "truncated":
        lake.storage.create(name, whole[: len(whole) // 2])
    elif damage == "exchanged":
        other = write_table(tmp_path / "other.parquet", {"n": list(range(1, 1001))}).read_bytes()
        lake.storage.create(name, other if file == "orders.parquet" else b"[]")

    with pytest.raises(StorageError) as error:
        lake.fetch(made, tmp_path / "r")

    assert lake.storage.at(name) in str(error.value)
    assert not list((tmp_path / "r").glob(".*"))


@pytest.mark.parametrize("damage", ["emptied", "deleted", "joined"])
def test_a_folder_that_executors_read_is_the_one_that_was_published(lake, tmp_path, damage):
    draft = lake.draft("shop/orders")
    parts = [write_table(tmp_path / f"{i}.parquet", {"n": [i]}) for i in range(3)]
    lake.upload_table(parts, "orders.parquet", draft)
    made = lake.publish(draft, {"orders": read_back(parts)}, Made("key", "spark"))
    lake.verify(made)

    name = draft.name(f"orders.parquet/{4 if damage == 'joined' else 2:04}.parquet")
    lake.storage.delete([name])
    if damage != "deleted":
        lake.storage.create(name, b"" if damage == "emptied" else parts[0].read_bytes())

    with pytest.raises(StorageError, match=f"{re.escape(name)}: is not what was published"):
        lake.verify(made)


@pytest.mark.parametrize("content", [b"", b"{", b'{"dataset": "shop/orders", "from_the_future": 1}'])
def test_a_manifest_that_cannot_be_read_stops_readers_and_gc(lake, tmp_path, content):
    publish(lake, tmp_path, orders=[1])
    lake.storage.create("shop/orders/_versions/000002.json", content)

    with pytest.raises(StorageError, match=r"000002\.json: is no manifest, or one of a newer churnops"):
        lake.version("shop/orders")
    with pytest.raises(StorageError, match=r"000002\.json"):
        lake.garbage(keep=1, older_than=LONG_AGO, now=tomorrow())


def test_other_files_among_the_manifests_do_not_matter(lake, tmp_path):
    made = publish(lake, tmp_path, orders=[1])
    for name in ("_SUCCESS", "2.json", "000003.json.tmp", "notes/000009.json"):
        lake.storage.create(f"shop/orders/_versions/{name}", b"x")

    assert lake.version("shop/orders") == made
    assert list(lake.datasets("shop/orders")) == ["shop/orders"]


def test_garbage_is_what_no_kept_version_needs(lake, tmp_path):
    orders = [publish(lake, tmp_path, key=f"{i}", orders=[i]) for i in range(4)]
    publish(lake, tmp_path, dataset="shop/features", sources=[orders[1]], features=[1])
    lake.upload(write_table(tmp_path / "lost.parquet", {"n": [2]}), lake.draft("shop/orders"))

    garbage = lake.garbage(keep=1, older_than=LONG_AGO, now=tomorrow())
    lake.clear(garbage)

    assert [one.name for one in garbage.versions] == [
        "shop/orders/_versions/000001.json",
        "shop/orders/_versions/000003.json",
    ]
    assert {name: list(of) for name, of in lake.datasets().items()} == {
        "shop/features": [1],
        "shop/orders": [2, 4],
    }
    for number in (2, 4):
        lake.fetch(lake.version("shop/orders", number), tmp_path / f"{number}")
    assert lake.garbage(keep=1, older_than=LONG_AGO, now=tomorrow()).files == ()
    assert publish(lake, tmp_path, key="9", orders=[9]).number == 5


def test_what_no_writer_of_a_dataset_put_there_stays(lake, tmp_path):
    made = publish(lake, tmp_path, orders=[1])
    run = "0" * 32
    for name in ("raw/day.csv", "shop/orders/extra.parquet", f"mlflow/{run}/model.onnx", "top.txt"):
        lake.storage.create(name, b"x")

    assert lake.garbage(keep=1, older_than=LONG_AGO, now=tomorrow()).files == ()
    lake.fetch(made, tmp_path / "r")


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('"orders": {', '"../../../evil": {'),
        ('"orders.parquet":', '"../orders.parquet":'),
        ('"note.json"', '"/etc/note.json"'),
        ('"dataset": "shop/orders"', '"dataset": "other/orders"'),
        ('"number": 1', '"number": 7'),
    ],
)
def test_a_manifest_that_points_elsewhere_is_refused(lake, tmp_path, written, instead):
    publish(lake, tmp_path, orders=[1])
    name = "shop/orders/_versions/000001.json"
    text = lake.storage.read(name).decode()
    lake.storage.delete([name])
    lake.storage.create(name, text.replace(written, instead, 1).encode())

    with pytest.raises(StorageError, match=r"000001\.json: is (no|the) manifest"):
        lake.version("shop/orders")


def test_what_is_young_stays_for_those_who_write_or_read_it(lake, tmp_path):
    for i in range(3):
        publish(lake, tmp_path, key=f"{i}", orders=[i])
    lake.upload(write_table(tmp_path / "unfinished.parquet", {"n": [2]}), lake.draft("shop/orders"))

    garbage = lake.garbage(keep=1, older_than=A_WEEK, now=tomorrow())
    later = lake.garbage(keep=1, older_than=A_WEEK, now=tomorrow() + A_WEEK)

    assert (garbage.versions, garbage.files) == ((), ())
    assert (len(later.versions), len(later.files)) == (2, 5)


def test_an_interrupted_gc_is_finished_by_the_next(lake, tmp_path):
    for i in range(2):
        publish(lake, tmp_path, key=f"{i}", orders=[i])
    garbage = lake.garbage(keep=1, older_than=LONG_AGO, now=tomorrow())
    lake.storage.delete([garbage.versions[0].name, garbage.files[0].name])

    rest = lake.garbage(keep=1, older_than=LONG_AGO, now=tomorrow())

    assert (rest.versions, rest.files) == ((), garbage.files[1:])
    lake.clear(garbage)
    lake.fetch(lake.version("shop/orders"), tmp_path / "r")


def test_a_version_published_while_garbage_is_gathered_stays(lake, tmp_path):
    publish(lake, tmp_path, key="0", orders=[0])
    draft = lake.draft("shop/orders")
    path = write_table(tmp_path / "late" / "orders.parquet", {"n": [1]})
    lake.upload(path, draft)
    garbage = lake.garbage(keep=1, older_than=A_WEEK, now=tomorrow())
    made = lake.publish(draft, {"orders": read_back([path])}, Made("1", "duckdb"))

    lake.clear(garbage)

    lake.fetch(made, tmp_path / "r")
    assert values(tmp_path / "r", "orders") == [1]


def test_a_draft_without_a_table_is_not_published(lake):
    with pytest.raises(StorageError, match="holds no table"):
        lake.publish(lake.draft("shop/orders"), {}, Made("key", "spark"))

    assert lake.version("shop/orders") is None
