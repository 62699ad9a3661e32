"""The whole path on made-up customers, as a person takes it."""

import csv
import json
import re
import signal
import subprocess

import httpx2
import pyarrow.parquet as pq
import pytest
from command import CHURNOPS, ROOT, churnops, environment

from churnops.bundle.bundle import read_bundle
from churnops.report.result import Result

pytestmark = pytest.mark.e2e

STEPS = (
    "clean",
    "dataset",
    "audit",
    "candidates/recency",
    "candidates/bgnbd",
    "candidates/logistic",
    "candidates/lightgbm",
    "candidates/torch",
    "evaluation",
    "explanation",
    "registry",
)


@pytest.fixture(scope="module")
def brand(tmp_path_factory):
    """A brand's export, its config as `init --yes` writes it, and one undisturbed run."""
    folder = tmp_path_factory.mktemp("brand")
    churnops("data", "--out", folder / "export", "--customers", 3000, data_dir=folder / "var")
    tables = [folder / "export" / f"{name}.csv" for name in ("customers", "transactions")]
    churnops(
        "init", *tables, "--yes", "--name", "brand", "--out", folder / "brand.toml", data_dir=folder / "var"
    )
    churnops("run", folder / "brand.toml", data_dir=folder / "var")
    return folder


def result_of(data_dir):
    return json.loads((data_dir / "runs" / "brand" / "result.json").read_text())


def test_a_run_compares_every_candidate_and_says_where_everything_is(brand):
    result = Result.model_validate(result_of(brand / "var"))

    assert {one.name for one in result.candidates} == {"recency", "bgnbd", "logistic", "lightgbm", "torch"}
    assert (
        0.7
        < next(one for one in result.candidates if one.name == result.chosen).metrics["roc_auc"].value
        < 0.95
    )
    assert result.findings == ()
    assert all((ROOT / path).exists() for path in result.paths.values())
    assert (
        read_bundle(brand / "var" / "runs" / "brand" / "bundle").manifest.content_hash == result.bundle_hash
    )


def test_a_second_run_keeps_every_step_and_gives_the_same_bundle(brand):
    before = result_of(brand / "var")
    again = churnops("run", brand / "brand.toml", data_dir=brand / "var")

    kept = re.findall(r"^(\S+) +kept$", again.stderr, re.MULTILINE)
    assert set(kept) == set(STEPS) - {"registry"}
    assert result_of(brand / "var")["bundle_hash"] == before["bundle_hash"]


def test_a_run_killed_in_every_step_gives_the_bundle_of_an_undisturbed_one(brand, tmp_path):
    for step in STEPS:
        command = [CHURNOPS, "run", str(brand / "brand.toml")]
        with subprocess.Popen(
            command, cwd=ROOT, env=environment(tmp_path), stderr=subprocess.PIPE, text=True
        ) as job:
            assert any(re.match(rf"{re.escape(step)} +started", line) for line in job.stderr), (
                f"{step} never began"
            )
            job.send_signal(signal.SIGKILL)
    churnops("run", brand / "brand.toml", data_dir=tmp_path)

    assert result_of(tmp_path)["bundle_hash"] == result_of(brand / "var")["bundle_hash"]


def test_scores_of_a_table_and_of_the_api_are_the_same(brand, tmp_path):
    run = brand / "var" / "runs" / "brand"
    features, scores = tmp_path / "features.parquet", tmp_path / "scores.csv"
    churnops("features", brand / "brand.toml", "--out", features, data_dir=brand / "var")
    churnops(
        "score", brand / "brand.toml", "--bundle", run / "bundle", "--out", scores, data_dir=brand / "var"
    )
    inputs = [column.name for column in read_bundle(run / "bundle").manifest.inputs]
    customers = {row["customer_id"]: row for row in pq.read_table(features).to_pylist()}
    with scores.open() as file:
        scored = {row["customer_id"]: row for row in csv.DictReader(file)}
    assert customers.keys() == scored.keys()
    asked = list(customers)[:500]
    command = [CHURNOPS, "serve", "--bundle", str(run / "bundle"), "--port", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(brand / "var"), stderr=subprocess.PIPE, text=True
    ) as server:
        url = re.search(r"http://[\d.:]+", server.stderr.readline()).group()
        body = {"customers": [{name: customers[one][name] for name in inputs} for one in asked]}
        answer = httpx2.post(f"{url}/v1/score", json=body).raise_for_status().json()
        server.send_signal(signal.SIGINT)
    for one, served in zip(asked, answer["scores"], strict=True):
        assert served["score"] == pytest.approx(float(scored[one]["score"]), abs=1e-6)
