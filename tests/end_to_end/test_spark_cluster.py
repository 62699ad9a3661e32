"""Spark on a real cluster and a real S3, beside DuckDB on local files."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import CHURNOPS, ROOT, churnops, environment
from orders import make_orders
from s3_server import s3_client, serving
from spark_cluster import cluster, s3_connector, settings_of

from churnops.lake.lake import Lake
from churnops.storage import Storage

pytestmark = [pytest.mark.spark, pytest.mark.servers]

SHOP = """
name = "shop"
version = 1
shape = "purchases"
churn = { horizon_days = 30, active_days = 365 }

[transactions]
path = "orders.parquet"
format = "parquet"
id = "customer_id"
amount = "amount"
time = { column = "event_timestamp", format = "native" }
"""
PUBLIC_DATA = Path(os.environ.get("PUBLIC_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """The variables under which S3 is a server of ours, and Spark finds it."""
    folder = tmp_path_factory.mktemp("s3")
    with serving(folder) as address, pytest.MonkeyPatch.context() as patched:
        s3_client(address).create_bucket(Bucket="brand")
        known = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }
        for name, value in (known | settings_of(folder / "conf", s3_connector())).items():
            patched.setenv(name, value)
        yield address


@pytest.fixture(scope="module")
def brand(tmp_path_factory):
    """The folder of a made-up brand's files, and its config."""
    folder = tmp_path_factory.mktemp("brand")
    churnops("data", "--out", folder, "--customers", 2000, data_dir=folder / "var")
    tables = [f"{name}.csv" for name in ("customers", "transactions")]
    config = folder / "brand.toml"
    churnops(
        *("init", *tables, "--yes", "--name", "brand", "--out", config),
        data_dir=folder / "var",
        source_dir=folder,
    )
    return folder, config


def compared(folder, config, address, spark, tmp_path):
    """Run `config` on local files with DuckDB, and on S3 with Spark; the hashes and metrics of both."""
    name = config.stem
    client = s3_client(address)
    for path in folder.glob("*.*"):
        client.upload_file(str(path), "brand", f"{name}/raw/{path.name}")
    here = {"source_dir": folder, "lake": tmp_path / "lake", "engine": "duckdb"}
    there = {
        "source_dir": f"s3://brand/{name}/raw",
        "lake": f"s3://brand/{name}/lake",
        "engine": "spark",
        "spark_master": spark.master,
    }
    for where, settings in (("here", here), ("there", there)):
        churnops("run", config, "--frameworks", "lightgbm", data_dir=tmp_path / where, **settings)
        churnops("features", config, data_dir=tmp_path / where, **settings)
        lake = Lake(Storage(str(settings["lake"])))
        result = json.loads((tmp_path / where / "runs" / name / "result.json").read_text())
        made = {dataset: lake.version(dataset) for dataset in lake.datasets()}
        yield {
            "content": {dataset: version.sha256 for dataset, version in made.items()},
            "candidates": [(one["name"], one["metrics"]) for one in result["candidates"]],
            "engines": {version.engine for dataset, version in made.items() if "clean" not in dataset},
        }


def test_a_run_on_s3_with_spark_is_one_on_local_files_with_duckdb(brand, s3, spark, tmp_path):
    here, there = compared(*brand, s3, spark, tmp_path)

    assert (here.pop("engines"), there.pop("engines")) == ({"duckdb"}, {"spark"})
    assert len(here["content"]) == 3
    assert here == there


@pytest.mark.skipif(not (PUBLIC_DATA / "CDNOW_master.txt").exists(), reason="PUBLIC_DATA has no CDNOW")
def test_cdnow_on_s3_with_spark_is_cdnow_on_local_files_with_duckdb(s3, spark, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "CDNOW_master.txt").symlink_to((PUBLIC_DATA / "CDNOW_master.txt").resolve())
    here, there = compared(raw, ROOT / "configs" / "data" / "cdnow.toml", s3, spark, tmp_path)

    assert here["content"] == there["content"]
    assert here["candidates"] == there["candidates"]


def test_an_executor_killed_in_the_middle_changes_nothing(spark, tmp_path):
    make_orders(tmp_path / "orders.parquet", rows=400_000, customer="'c' || (i * 7 % 20011)", days=500)
    config = tmp_path / "shop.toml"
    config.write_text(SHOP)
    settings = {"source_dir": tmp_path, "engine": "spark", "spark_master": spark.master}
    churnops("features", config, data_dir=tmp_path / "here", source_dir=tmp_path, engine="duckdb")
    earlier = spark.shuffled()
    with subprocess.Popen(
        [CHURNOPS, "features", str(config)],
        cwd=ROOT,
        env=environment(tmp_path / "there", **settings) | settings_of(tmp_path / "conf", {}),
        stderr=subprocess.PIPE,
        text=True,
    ) as job:
        while job.poll() is None and not (needed := {*spark.shuffled()}.difference(earlier)):
            time.sleep(0.02)
        os.kill(needed.pop(), signal.SIGKILL)
        told = job.communicate(timeout=300)[1]

    assert job.returncode == 0, told
    assert "Lost executor" in told
    here, there = (Lake(Storage(str(tmp_path / where / "lake"))) for where in ("here", "there"))
    made = {dataset: here.version(dataset).sha256 for dataset in here.datasets()}
    assert made == {dataset: there.version(dataset).sha256 for dataset in there.datasets()}
