"""Files by name, on disk and on a real S3 server: one suite for both."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from churnops.errors import ConfigError, StorageError
from churnops.storage import Storage, delivered
from churnops.writing import write_whole

ODD = ["a b.csv", "Zoë #1.csv", "50%20.csv", "a+b.csv", "it's~.csv", "as_of=2024-06-01/x?*[1].csv"]


@pytest.fixture
def storage(place):
    return Storage(place)


def test_a_file_is_created_once_and_read_as_written(storage):
    assert storage.read("a/b.txt") is None
    assert storage.file("a/b.txt") is None
    assert storage.create("a/b.txt", b"first")
    assert not storage.create("a/b.txt", b"second")
    assert storage.read("a/b.txt") == b"first"
    assert storage.file("a/b.txt") == next(iter(storage.files()))
    assert storage.at("a/b.txt") == f"{storage.address}/a/b.txt"


def test_of_many_writers_one_succeeds(storage):
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: storage.create("a.txt", f"{i}".encode()), range(16)))

    assert won.count(True) == 1
    assert storage.read("a.txt") == f"{won.index(True)}".encode()


@pytest.mark.parametrize("name", ODD)
def test_names_may_hold_what_people_write(storage, tmp_path, name):
    (tmp_path / "file").write_bytes(b"content")

    storage.upload(tmp_path / "file", name)
    storage.download(name, tmp_path / "back")

    assert [file.name for file in storage.files()] == [name]
    assert (tmp_path / "back").read_bytes() == b"content"


def test_a_listing_is_of_a_folder_and_sorted(storage):
    for name in ("a/2", "a/1", "ab/1", "a/b/1"):
        storage.create(name, b"12345")

    files = list(storage.files("a"))

    assert [file.name for file in files] == ["a/1", "a/2", "a/b/1"]
    assert {file.bytes for file in files} == {5}
    assert all(abs(file.written_at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5) for file in files)
    assert list(storage.files("nosuch")) == []


def test_a_mark_changes_with_the_content(storage, tmp_path):
    marks = set()
    for content in (b"one", b"three"):
        (tmp_path / "file").unlink(missing_ok=True)
        (tmp_path / "file").write_bytes(content)
        storage.delete(["a"])
        storage.upload(tmp_path / "file", "a")
        marks.add(storage.file("a").mark)
    assert len(marks) == 2


def test_what_is_gone_already_may_be_deleted(storage):
    storage.create("a", b"")
    storage.delete(["a", "b"])
    assert list(storage.files()) == []


def test_a_file_that_is_not_there_is_named_and_nothing_comes_of_it(storage, tmp_path):
    (tmp_path / "to").write_bytes(b"old")

    with pytest.raises(StorageError, match=r"nosuch\.parquet: there is no such file"):
        storage.download("nosuch.parquet", tmp_path / "to")

    assert (tmp_path / "to").read_bytes() == b"old"
    assert not list(tmp_path.glob(".to*"))


def test_a_file_for_somebody_appears_when_it_is_whole(place):
    def fail():
        with delivered(f"{place}/half.csv"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with delivered(f"{place}/whole.csv") as path:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, b"whole")

    storage = Storage(place)
    assert storage.file("half.csv") is None
    assert storage.read("whole.csv") == b"whole"


def test_an_address_of_another_kind_is_refused():
    for slip in ("gs://bucket", "s3:/bucket", "s3://", "S3://bucket"):
        with pytest.raises(ConfigError, match=f"{slip}: is neither a folder nor s3://bucket/prefix"):
            Storage(slip).read("a")


@pytest.mark.parametrize("name", ["../a", "a/../b", "a//b"])
def test_a_name_that_leads_elsewhere_is_refused(storage, name):
    with pytest.raises(ConfigError, match=r"names have no `\.\.`, and nothing empty"):
        storage.read(name)


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises((StorageError, OSError), match="file/lake"):
        Storage(str(Path(tmp_path, "file", "lake"))).create("a", b"")


@pytest.mark.servers
def test_marks_of_folders_are_no_files(s3, tmp_path):
    s3.put_object(Bucket="lake", Key=f"{tmp_path.name}/day/", Body=b"")
    s3.put_object(Bucket="lake", Key=f"{tmp_path.name}/day/x.csv", Body=b"")

    assert [file.name for file in Storage(f"s3://lake/{tmp_path.name}").files()] == ["day/x.csv"]
