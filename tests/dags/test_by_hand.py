"""`airflow dags test`: each DAG once, without a scheduler, on SQLite and a lake on disk."""

import pytest
from airflow_environment import ROOT, airflow, environment
from airflow_server import make_shop

from churnops.lake.lake import Lake
from churnops.storage import Storage

pytestmark = pytest.mark.airflow

STAGES = ("features", "train", "score", "monitor", "overdue")


def test_each_dag_runs_by_hand_for_the_day_it_is_given(tmp_path):
    jobs = {"CHURNOPS_DATA_DIR": str(tmp_path / "var"), "PYTHONPATH": str(ROOT / "src")}
    asked = {"CHURN_TRAIN_OPTIONS": "--frameworks lightgbm", "CHURN_DEADLINE_MINUTES": "0"}
    config = make_shop(tmp_path / "shop", jobs)
    env = environment(tmp_path / "home", CHURN_CONFIGS=str(config), **asked, **jobs)
    airflow("db", "migrate", env=env)
    airflow("pools", "set", "churnops", "1", "one at a time", env=env)

    for stage in STAGES:
        airflow("dags", "test", f"churn_{stage}_demo", "2024-02-05", env=env)

    assert "demo/scores/as_of=2024-02-05" in Lake(Storage(str(tmp_path / "var" / "lake"))).datasets()
