"""`churnops lake`: what it lists, shows and deletes."""

import datetime as dt

import pytest

from churnops.errors import ConfigError
from churnops.jobs.lake import account, collect, datasets, listing, plan, show
from churnops.lake.content import read_back
from churnops.lake.lake import Lake, Made
from churnops.lake.manifest import Producer
from churnops.storage import Storage
from churnops.writing import write_whole

LOST = 32 * "f"
BEGUN = dt.datetime(2024, 4, 10, 12, tzinfo=dt.UTC)


@pytest.fixture
def lake(place, tmp_path):
    """Two versions of orders, and features made from the first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lake = Lake(Storage(place))

    def publish(dataset, n, *sources):
        draft, path = lake.draft(dataset), tmp_path / f"{n}" / "table.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"n": [n] * n}), path)
        write_whole(path.with_name("about.json"), b"{}")
        for file in (path, path.with_name("about.json")):
            lake.upload(file, draft)
        by = Producer(actor="ann", code="abc", started_at=BEGUN)
        return lake.publish(draft, {"table": read_back([path])}, Made(f"{n}", "duckdb", sources, by))

    first = publish("shop/orders", 1)
    publish("shop/features/as_of=2024-06-01", 3, first.as_source())
    publish("shop/orders", 2)
    publish("other/orders", 4)
    return lake


def test_the_newest_version_of_each_dataset_is_listed(lake):
    found = [(one.version.dataset, one.version.number, one.version.rows, one.count) for one in datasets(lake)]

    assert found == [
        ("other/orders", 1, 4, 1),
        ("shop/features/as_of=2024-06-01", 1, 3, 1),
        ("shop/orders", 2, 2, 2),
    ]
    assert [one.version.dataset for one in datasets(lake, "shop/features")] == [found[1][0]]
    with pytest.raises(ConfigError, match="there is no such dataset"):
        datasets(lake, "nobody")
    lines = list(listing(datasets(lake, "shop")))
    assert lines[0].split() == ["dataset", "version", "rows", "bytes", "engine", "published", "(UTC)"]
    assert len({len(line) for line in lines[1:]}) == 1


def test_a_version_is_shown_with_what_it_was_made_from_and_what_was_made_of_it(lake):
    features = "\n".join(account(show(lake, "shop/features/as_of=2024-06-01/")))
    first = "\n".join(account(show(lake, "shop/orders", 1)))

    assert "made from     shop/orders version 1" in features
    assert "used by       shop/features/as_of=2024-06-01 version 1" in first
    assert "by ann, begun 2024-04-10 12:00:00" in first
    assert "duckdb, abc" in first
    assert "n: int64" in first
    assert "/table.parquet: " in first
    assert "note about.json: 2 bytes" in first
    assert "used by" not in "\n".join(account(show(lake, "shop/orders")))


@pytest.mark.parametrize(
    ("dataset", "number", "says"),
    [("shop/order", None, "no such dataset"), ("shop/orders", 7, "no such version 7")],
)
def test_what_is_not_there_is_an_error(lake, dataset, number, says):
    with pytest.raises(ConfigError, match=says):
        show(lake, dataset, number)


def test_gc_says_first_and_deletes_when_it_is_told_to(lake):
    def gather(*, delete):
        now = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
        return collect(lake, keep=1, older_than=dt.timedelta(days=1), now=now, delete=delete)

    lake.storage.create(f"shop/orders/{LOST}/table.parquet", b"lost")

    said, done = gather(delete=False), gather(delete=True)

    assert said == done
    assert [file.name for file in done.files] == [f"shop/orders/{LOST}/table.parquet"]
    assert list(plan(done, deleted=False)) == [
        f"file     shop/orders/{LOST}/table.parquet  4 bytes",
        "0 versions and 1 files (4 bytes) may be deleted: --delete does it",
    ]
    assert list(plan(gather(delete=False), deleted=True)) == ["0 versions and 0 files (0 bytes) deleted"]
