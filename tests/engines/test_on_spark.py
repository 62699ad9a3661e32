"""Spark as an engine: what it says when something is wrong, how it ends, and how it is started."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from orders import Order, write_orders

import churnops
from churnops.errors import ConfigError, EngineError

pytestmark = [
    pytest.mark.spark,
    # PySpark leaves the socket of a small result to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*<socket:pytest.PytestUnraisableExceptionWarning"),
]

CHURNOPS = str(Path(sys.executable).with_name("churnops"))
CONFIG = """
name = "shop"
version = 1
shape = "purchases"
churn = { horizon_days = 30, active_days = 365 }

[transactions]
path = "orders.csv"
format = "csv"
id = "who"
time = { column = "day", format = "%Y-%m-%d" }
"""


@pytest.fixture
def job(tmp_path):
    """A folder with a config and its purchases, and the environment of a process that works there."""
    (tmp_path / "shop.toml").write_text(CONFIG)
    lines = [f"c{i % 7},2024-01-{1 + i % 28:02}" for i in range(100)]
    (tmp_path / "orders.csv").write_text("\n".join(["who,day", *lines]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHURNOPS_")}
    return tmp_path, kept | {"SPARK_LOCAL_DIRS": str(tmp_path / "scratch"), "SPARK_LOCAL_IP": "127.0.0.1"}


def started(command, job):
    folder, environment = job
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def left_behind(folder: Path) -> list[str]:
    """The commands of processes that still have the scratch folder in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder / "scratch").encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:  # it has ended meanwhile, or is another user's
            continue
    return found


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:4] + b"<html>no such key</html>",
        lambda content: content[:50] + b"damaged" * 20 + content[190:],
    ],
)
def test_a_damaged_file_among_good_ones_is_named(tmp_path, spark, damage):
    table = tmp_path / "orders"
    table.mkdir()
    good = Path(write_orders(table / "a.parquet", *(Order(f"c{i}", -i) for i in range(200)))).read_bytes()
    (table / "b.parquet").write_bytes(damage(good))

    with pytest.raises(EngineError, match=r"orders/b\.parquet: is truncated or damaged"):
        spark.write("select * from orders", {"orders": str(table)}, str(tmp_path / "copy"))
    with pytest.raises(EngineError, match=r"orders/b\.parquet: is truncated or damaged"):
        spark.query("select count(distinct customer_id) from orders", {"orders": str(table)})


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select * from nothing", "nothing.parquet"),
        ("select cast('x' as int)", "CAST_INVALID_INPUT"),
        ("select 2147483647 + 1", "ARITHMETIC_OVERFLOW"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(tmp_path, spark, sql, says):
    tables = {"nothing": str(tmp_path / "nothing.parquet")} if "nothing" in sql else {}
    with pytest.raises(EngineError, match=says) as caught:
        spark.query(sql, tables)

    assert "\n" not in str(caught.value)


def test_without_its_connector_to_s3_it_is_said_which_to_add(spark):
    with pytest.raises(ConfigError, match=r"hadoop-aws:\d+\.\d+\.\d+` to spark-defaults"):
        spark.query("select * from remote", {"remote": "s3://bucket/orders"})


def test_the_session_is_in_utc_wherever_it_runs(spark):
    sql = "select current_timezone() as zone, typeof(timestamp '2024-01-01') as type"
    (row,) = spark.query(sql, {}).to_pylist()

    assert row == {"zone": "UTC", "type": "timestamp_ntz"}


@pytest.mark.parametrize("name", ["made", "may [1]*? be, it's"])
def test_writing_again_replaces_what_was_there(tmp_path, spark, name):
    made = tmp_path / name / "table.parquet"
    for sql, rows in (("select * from range(1000)", 1000), ("select * from range(3)", 3)):
        assert spark.write(sql, {}, str(made)) == rows

    assert pq.read_table(made).num_rows == 3
    assert spark.query("select count(*) as n from made", {"made": str(made)})["n"].to_pylist() == [3]


@pytest.mark.parametrize(
    "master", ["spark://127.0.0.1:1", "spark://nowhere.invalid:7077", "spark://host", "flink"]
)
def test_a_wrong_master_is_told_before_spark_tries_it(master):
    from churnops.engines.on_spark import Spark

    with pytest.raises(ConfigError, match=master):
        Spark(master).query("select 1", {})


def test_without_java_it_is_said_what_to_install(job):
    folder, environment = job
    command = [CHURNOPS, "features", "shop.toml", "--engine", "spark", "--master", "local[2]"]
    done = started(command, (folder, environment | {"JAVA_HOME": str(folder / "no-java")}))

    assert done.returncode == 2
    assert "openjdk-17-jre-headless" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_is_quiet_and_leaves_no_java_behind(job):
    folder, _ = job
    done = started([CHURNOPS, "features", "shop.toml", "--engine", "spark", "--master", "local[2]"], job)

    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if not line.startswith(("scoring/clean ", "features/"))]
    assert told in ([], ["WARNING: Using incubator modules: jdk.incubator.vector"])  # Java itself says so
    assert left_behind(folder) == []
    assert [*(folder / "scratch").iterdir()] == []


def test_spark_submit_runs_a_zip_of_the_package(job):
    folder, environment = job
    import pyspark

    source = Path(churnops.__file__).parent
    with zipfile.ZipFile(folder / "churnops.zip", "w") as package:
        for path in sorted(source.rglob("*.*")):
            package.write(path, path.relative_to(source.parent))
    shutil.copy(source / "__main__.py", folder / "entry.py")
    submit = [str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", "local[2]"]
    command = ["--py-files", "churnops.zip", "entry.py", "features", "shop.toml", "--out", "made.parquet"]
    elsewhere = environment | {"PYTHONPATH": "", "PYSPARK_PYTHON": sys.executable}
    done = started([*submit, *command, "--engine", "spark", "--master", ""], (folder, elsewhere))

    assert done.returncode == 0, done.stderr[-3000:]
    made = pq.read_table(folder / "made.parquet")
    assert made["customer_id"].to_pylist() == [f"c{i}" for i in range(7)]
    assert left_behind(folder) == []


def test_parts_in_several_folders_are_one_table_blanks_and_all(spark, tmp_path):
    for folder in ("one", "other"):
        (tmp_path / "a lake" / folder).mkdir(parents=True)
        pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "a lake" / folder / "orders.parquet")

    both = {"orders": str(tmp_path / "a lake" / "{one,other}" / "orders.parquet")}

    assert spark.query("select count(*) as n from orders", both).to_pylist() == [{"n": 4}]
