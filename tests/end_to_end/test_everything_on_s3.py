"""The whole path with sources, tables, scores, bundles and MLflow's files on a real S3 server."""

import io
import json

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from command import churnops
from s3_server import s3_client, serving, settings_of

from churnops.bundle.bundle import read_bundle
from churnops.lake.lake import Lake
from churnops.storage import Storage

pytestmark = [pytest.mark.e2e, pytest.mark.servers]

RUN = ("run", "--frameworks", "lightgbm")


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A brand's export, and the config that reads it."""
    folder = tmp_path_factory.mktemp("brand")
    churnops("data", "--out", folder / "raw", "--customers", 1500, "--days", 400, data_dir=folder / "var")
    words = ("customers.csv", "transactions.csv", "--yes", "--name", "brand", "--out", folder / "brand.toml")
    churnops("init", *words, data_dir=folder / "var", source_dir=folder / "raw")
    return folder


@pytest.fixture(scope="module")
def bucket(export, tmp_path_factory):
    """The export in a bucket, and whatever comes of it."""
    with serving(tmp_path_factory.mktemp("s3")) as address:
        client = s3_client(address)
        client.create_bucket(Bucket="shop")
        for path in (export / "raw").glob("*.csv"):
            client.upload_file(str(path), "shop", f"raw/{path.name}")
        with pytest.MonkeyPatch.context() as environment:
            for name, value in settings_of(address).items():
                environment.setenv(name, value)
            yield client


@pytest.fixture(scope="module")
def places(export):
    """The settings under which everything is on S3 but for what churnops works with."""
    return {
        "data_dir": export / "remote",
        "source_dir": "s3://shop/raw",
        "lake": "s3://shop/lake",
        "artifacts": "s3://shop/mlflow",
        "actor": "ann",
    }


@pytest.fixture(scope="module")
def remote(export, places, bucket):
    """What a run on S3 found; the bucket beside it."""
    churnops(*RUN, export / "brand.toml", **places)
    return json.loads((export / "remote/runs/brand/result.json").read_text()), bucket


def keys(bucket, prefix):
    return [one["Key"] for one in bucket.list_objects_v2(Bucket="shop", Prefix=prefix).get("Contents", [])]


def test_a_run_on_s3_gives_what_one_on_this_machine_gives(export, places, remote):
    churnops(*RUN, export / "brand.toml", data_dir=export / "local", source_dir=export / "raw")
    here = json.loads((export / "local/runs/brand/result.json").read_text())
    found, _ = remote
    lakes = [Lake(Storage(places["lake"])), Lake(Storage(str(export / "local/lake")))]

    assert found["bundle_hash"] == here["bundle_hash"]
    assert found["candidates"] == here["candidates"]
    for name in ("brand/clean", "brand/dataset"):
        there, mine = [lake.version(name) for lake in lakes]
        assert (there.sha256, there.notes) == (mine.sha256, mine.notes)
        assert there.producer.actor == "ann"


def test_another_machine_fetches_what_was_made(export, places, remote):
    second = places | {"data_dir": export / "second"}
    said = churnops(*RUN, export / "brand.toml", **second).stderr

    assert "fetched version 1" in said
    found = json.loads((export / "second/runs/brand/result.json").read_text())
    assert found["bundle_hash"] == remote[0]["bundle_hash"]


def test_bundles_scores_and_features_are_read_from_and_written_to_s3(export, places, remote):
    _, bucket = remote
    manifest, *_ = [key for key in keys(bucket, "mlflow/brand/") if key.endswith("bundle/manifest.json")]
    bundle = f"s3://shop/{manifest.rpartition('/')[0]}"
    config = export / "brand.toml"
    churnops("score", config, "--bundle", bundle, "--out", "s3://shop/out/scores.csv", **places)
    churnops("features", config, "--out", "s3://shop/out/features.parquet", **places)

    as_text = pyarrow.csv.ConvertOptions(column_types={"customer_id": "string"})
    written = io.BytesIO(Storage("s3://shop/out").read("scores.csv"))
    scores = pyarrow.csv.read_csv(written, convert_options=as_text)
    features = pq.read_table(io.BytesIO(Storage("s3://shop/out").read("features.parquet")))
    assert {*scores["customer_id"].to_pylist()} == {*features["customer_id"].to_pylist()}
    assert read_bundle(export / "remote/bundles/s3" / bundle.removeprefix("s3://")).manifest.name == "brand"
    said = churnops("lake", "ls", "brand", **places).stdout
    assert {line.split()[0].partition("=")[0] for line in said.splitlines()[1:]} == {
        "brand/clean",
        "brand/dataset",
        "brand/features/as_of",
        "brand/scores/as_of",
    }


def test_the_registry_gives_the_bundle_it_keeps_on_s3(export, places, remote):
    found, bucket = remote
    words = ("score", export / "brand.toml", "--out", "s3://shop/out/by_champion.parquet")
    if found["registry"]["promoted"]:
        churnops(*words, **places)
        assert keys(bucket, "out/by_champion")
    else:
        churnops(*words, **places, expect=3)


@pytest.mark.usefixtures("bucket")
def test_a_bundle_that_is_not_there_is_named(export, places):
    words = ("score", export / "brand.toml", "--bundle", "s3://shop/nosuch/bundle")
    done = churnops(*words, **places, expect=2)
    assert "s3://shop/nosuch/bundle" in done.stderr
