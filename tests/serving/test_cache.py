"""What serving processes keep on a machine, and what is left of it."""

import os
import time

import pytest
from builders import make_bundle
from structlog.testing import capture_logs

from churnops.bundle.bundle import write_bundle
from churnops.serving.cache import Cache
from churnops.serving.model import Served


@pytest.fixture
def cache(tmp_path):
    """One that holds a good bundle."""
    cache, bundle = Cache(tmp_path), make_bundle()
    write_bundle(bundle, cache.folder_of(bundle.manifest.content_hash))
    cache.keep(Served(bundle, names=frozenset({"extra"})))
    return cache


def test_the_model_that_was_good_last_is_taken_up(cache, tiny_bundle):
    last = cache.last()
    assert last.bundle == tiny_bundle
    assert "extra" in last.names


def test_what_killed_processes_began_to_fetch_is_deleted_after_a_day(cache, tmp_path):
    fresh, old = (tmp_path / "bundles" / name for name in (".fetching-a", ".fetching-b"))
    for folder in (fresh, old):
        (folder / "bundle").mkdir(parents=True)
    os.utime(old, times=(time.time() - 90_000,) * 2)
    cache.keep(cache.last())
    assert fresh.exists()
    assert not old.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b'{"else": ' + b"[" * 100_000,
        b"[]",
        b'{"content_hash": 7, "names": []}',
        b'{"content_hash": "../..", "names": []}',
        b'{"content_hash": "%s", "names": [1]}',
        b'{"content_hash": "%s", "names": "extra"}',
        b'{"content_hash": "%s", "names": ["\xff"]}',
        b'{"content_hash": "%s", "names": ["\\ud800"]}',
        b'{"content_hash": "%s"}',
    ],
    ids=range(11),
)
def test_what_was_kept_and_is_damaged_counts_as_not_there(content, cache, tmp_path, tiny_bundle):
    (tmp_path / "last.json").write_bytes(content.replace(b"%s", tiny_bundle.manifest.content_hash.encode()))
    with capture_logs() as logs:
        assert cache.last() is None
    assert [line["event"] for line in logs] == ["the last good model cannot be read"]


def test_nothing_that_was_kept_is_no_trouble(tmp_path):
    with capture_logs() as logs:
        assert Cache(tmp_path).last() is None
    assert logs == []
