"""PyTorch and TensorFlow in one run, and their bundles in each other's place."""

import csv
import json
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
from command import churnops
from mlflow import MlflowClient

from churnops.bundle.bundle import read_bundle

pytestmark = [pytest.mark.e2e, pytest.mark.tensorflow]


@pytest.fixture(scope="module")
def gym(tmp_path_factory):
    """800 members; who comes seldom, or pays by month, tends to leave."""
    folder = tmp_path_factory.mktemp("gym")
    rng = np.random.default_rng(5)
    with (folder / "gym.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["member", "visits", "plan", "left"])
        for i in range(800):
            visits, plan = round(rng.gamma(2, 3), 2), rng.choice(["month", "year"])
            gone = rng.random() < 1 / (1 + np.exp(visits / 2 - 1 - (plan == "month")))
            writer.writerow([f"m{i:04d}", visits if i % 11 else "", plan, "yes" if gone else "no"])
    churnops("init", folder / "gym.csv", "--yes", "--out", folder / "gym.toml", data_dir=folder / "var")
    frameworks = "torch, tensorflow,lightgbm"
    done = churnops("run", folder / "gym.toml", "--frameworks", frameworks, data_dir=folder / "var")
    assert "cuInit" not in done.stderr  # TensorFlow talks of GPUs that nobody asked for
    return folder


def test_both_compete_and_are_held_against_each_other(gym):
    result = json.loads((gym / "var/runs/gym/result.json").read_text())

    names = {one["name"] for one in result["candidates"]}
    assert names == {"single_column", "logistic", "lightgbm", "torch", "tensorflow"}
    assert result["equivalence"]["loss"] < 1e-4
    assert result["equivalence"]["score"] < 1e-5
    gain = result["equivalence"]["gain"]["roc_auc"]
    assert gain["low"] <= 0 <= gain["high"]
    assert (
        "Whether PyTorch and TensorFlow learn one network</h2>"
        in (gym / "var/runs/gym/report.html").read_text()
    )


def test_mlflow_has_how_far_the_two_are_apart(gym):
    client = MlflowClient(f"sqlite:///{gym / 'var/mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("gym").experiment_id])
    (comparison,) = [run for run in runs if run.info.run_name == "comparison"]

    found = comparison.data.metrics
    assert found["equivalence.loss"] < 1e-4
    assert found["equivalence.score"] < 1e-5
    low, gain, high = (found[f"equivalence.roc_auc_gain{end}"] for end in ("_low", "", "_high"))
    assert low <= gain <= high


def test_mlflow_loads_each_network_as_its_users_expect(gym):
    uri = f"sqlite:///{gym / 'var/mlflow.db'}"
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("gym").experiment_id])
    folders = {
        run.info.run_name: client.download_artifacts(run.info.run_id, "model", str(gym))
        for run in runs
        if run.info.run_name == "tensorflow"
    }
    assert not list(Path(folders["tensorflow"]).rglob("*pickle*"))

    network = mlflow.tensorflow.load_model(folders["tensorflow"])

    assert network(np.zeros((3, network.input_shape[-1]), np.float32)).shape == (3, 1)


def test_a_bundle_of_each_takes_the_same_customers(gym, tmp_path):
    bundles = gym / "var/runs/gym/bundles"
    inputs = {
        name: read_bundle(bundles / name).manifest.inputs for name in ("torch", "tensorflow", "lightgbm")
    }
    assert inputs["torch"] == inputs["tensorflow"] == inputs["lightgbm"]

    scores = {}
    for name in ("torch", "tensorflow"):
        to = tmp_path / f"{name}.parquet"
        churnops("score", gym / "gym.toml", "--bundle", bundles / name, "--out", to, data_dir=gym / "var")
        table = pq.read_table(to).sort_by("customer_id")
        scores[name] = table["score"].to_numpy()
    assert np.corrcoef(scores["torch"], scores["tensorflow"])[0, 1] > 0.98
