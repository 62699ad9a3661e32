"""Source files on S3 come to this machine once, and again when they change."""

import pytest
from exports import purchases

from churnops.errors import SourceError
from churnops.sources.files import list_files
from churnops.sources.mirror import brought_here, mirror

pytestmark = pytest.mark.servers


@pytest.fixture
def put(s3, tmp_path):
    """Put text below this test's folder in the bucket."""

    def done(name, text):
        s3.put_object(Bucket="lake", Key=f"{tmp_path.name}/{name}", Body=text.encode())

    return done


@pytest.fixture
def address(tmp_path):
    return f"s3://lake/{tmp_path.name}"


def texts(cache, path):
    root = cache / path
    files = [root] if root.is_file() else sorted(one for one in root.rglob("*") if one.is_file())
    return {one.relative_to(root).as_posix(): one.read_text() for one in files}


def stamps(cache):
    return {path: path.stat().st_mtime_ns for path in cache.rglob("*.csv")}


def test_only_what_changed_comes_again_and_what_is_gone_goes(put, s3, address, tmp_path):
    for name in ("orders/a.csv", "orders/day=2/b.csv", "orders/c.csv", "other.csv"):
        put(name, f"1 {name}")
    cache = tmp_path / "cache"
    mirror(f"{address}/orders", cache)
    before = stamps(cache)

    put("orders/c.csv", "2")
    s3.delete_object(Bucket="lake", Key=f"{tmp_path.name}/orders/a.csv")
    path = mirror(f"{address}/orders/", cache)

    assert texts(cache, path) == {"c.csv": "2", "day=2/b.csv": "1 orders/day=2/b.csv"}
    assert {path.name for path, stamp in stamps(cache).items() if before[path] == stamp} == {"b.csv"}


def test_what_was_lost_here_comes_again(put, address, tmp_path):
    put("orders/a.csv", "1")
    path = tmp_path / "cache" / mirror(f"{address}/orders", tmp_path / "cache")
    (path / "a.csv").unlink()

    mirror(f"{address}/orders", tmp_path / "cache")

    assert (path / "a.csv").read_text() == "1"


def test_one_file_a_bucket_and_odd_names_can_be_sources(put, s3, address, tmp_path):
    put("Zoë's orders #1, 50%.csv", "1")
    put("orders.csv.gz", "other")
    s3.create_bucket(Bucket="only-sources")
    s3.put_object(Bucket="only-sources", Key="a.csv", Body=b"2")

    one = mirror(f"{address}/Zoë's orders #1, 50%.csv", tmp_path)

    assert texts(tmp_path, one) == {".": "1"}
    for bucket in ("s3://only-sources", "s3://only-sources/"):
        assert texts(tmp_path, mirror(bucket, tmp_path))["a.csv"] == "2"


def test_marks_of_folders_do_not_come(put, address, tmp_path):
    put("orders/day=1/", "")
    put("orders/day=1/a.csv", "1")

    assert texts(tmp_path, mirror(f"{address}/orders", tmp_path)) == {"day=1/a.csv": "1"}


def test_an_address_without_files_is_an_error(put, address, tmp_path):
    put("orders/a.csv", "1")

    with pytest.raises(SourceError, match=f"{address}/order:\n  - no such file or folder"):
        mirror(f"{address}/order", tmp_path)


def test_relative_paths_start_on_s3_and_absolute_ones_here(put, address, tmp_path):
    put("orders.csv", "1")
    (tmp_path / "customers.csv").write_text("2")
    customers = {"path": str(tmp_path / "customers.csv"), "format": "csv", "id": "customer"}
    config = purchases(customers=customers)

    here, source_dir = brought_here(config, address, tmp_path / "cache")

    (orders,) = list_files(here.transactions, source_dir).values()
    assert orders.read_text() == "1"
    assert here.customers.path == str(tmp_path / "customers.csv")
    assert brought_here(config, str(tmp_path), tmp_path / "cache") == (config, tmp_path)
