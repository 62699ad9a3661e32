"""A disk that is full is named, nothing half-written is seen, and with room the work goes on."""

import errno
import os
import subprocess
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import make_bundle

from churnops.bundle.bundle import write_bundle
from churnops.config import Settings
from churnops.engines.on_duckdb import DuckDB
from churnops.errors import EngineError
from churnops.jobs.steps.workshop import working
from churnops.serving.registered import registry_at

MIB = 1 << 20


@pytest.fixture
def small(tmp_path):
    """A folder on a disk of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs root, to mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def many(tmp_path):
    """Two columns of a million rows in no order."""
    rows = [os.urandom(8).hex() for _ in range(200_000)]
    pq.write_table(pa.table({"a": rows}), tmp_path / "many.parquet")
    return str(tmp_path / "many.parquet")


def test_a_spill_folder_without_room_is_named(small, many, tmp_path):
    engine = DuckDB("32MB", small / "spill")
    sql = "select m.a, n.a as b from many as m cross join (select a from many limit 40) as n order by b, m.a"

    with pytest.raises(EngineError, match=f"DuckDB.*{small}") as error:
        engine.write(sql, {"many": many}, str(tmp_path / "sorted.parquet"))

    assert error.value.exit_code == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many.parquet", "small"]


@pytest.mark.parametrize("name", ["sorted.parquet", 'the "hashes".csv'])
def test_a_disk_without_room_for_a_table_is_named_by_the_table(small, many, name):
    engine, to = DuckDB("1GB", small.parent / "spill"), small / name
    write = engine.write_csv if name.endswith(".csv") else engine.write

    with pytest.raises(OSError, match="No space left") as error:
        write("select md5(a || range) from many cross join range(4)", {"many": many}, str(to))

    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(to))
    assert not list(small.iterdir())


def test_a_table_that_vanished_has_nothing_to_do_with_memory(tmp_path):
    engine, gone = DuckDB("1GB", tmp_path / "spill"), str(tmp_path / "gone.parquet")

    with pytest.raises(EngineError, match=f"DuckDB: .*{gone}") as error:
        engine.query("select * from gone", {"gone": gone})

    assert "spill" not in str(error.value)


def publish(settings, n_bytes, key):
    def work(to):
        rows = pa.table({"n": pa.array(range(n_bytes // 8))})
        pq.write_table(rows, to.table("orders"), compression="none", use_dictionary=False)

    with working(settings, "shop", lambda *_: None) as shop:
        return shop.publish("orders", {"key": key}, work, engine=shop.duckdb)


@pytest.mark.parametrize("full", ["lake", "run folder"])
def test_a_disk_without_room_is_named_and_the_old_version_stays(small, tmp_path, full):
    places = {"lake": tmp_path / "lake", "data_dir": tmp_path / "var"}
    places |= {"lake": small / "lake"} if full == "lake" else {"data_dir": small / "var"}
    settings = Settings(data_dir=places["data_dir"], lake=str(places["lake"]))
    first = publish(settings, MIB, "first")

    with pytest.raises(OSError, match=str(small)) as error:
        publish(settings, 8 * MIB, "second")

    assert error.value.errno == errno.ENOSPC
    with working(settings, "shop", lambda *_: None) as shop:
        assert shop.lake.version("shop/orders") == first.version
        shop.lake.fetch(first.version, tmp_path / "back")
    assert publish(settings, MIB // 2, "third").version.number == 2


def test_a_disk_without_room_for_a_bundle_is_not_the_registrys_fault(small, tmp_path):
    source, to = tmp_path / "bundle", small / "fetched"
    write_bundle(make_bundle(), source)
    to.mkdir()
    with suppress(OSError):
        (small / "full").write_bytes(b"x" * 4 * MIB)
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(OSError, match="No space left") as error:
        registry_at(f"sqlite:///{tmp_path}/mlflow.db").fetch(str(source), to)
    assert error.value.filename.startswith(str(to))
