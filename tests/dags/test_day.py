"""A real scheduler on a real PostgreSQL, the lake on a real S3 server: a day, a backfill, and faults.

One Airflow serves all tests, in this order: each builds on the days that those before it have made.
"""

import datetime as dt
import os
import time

import pytest
from airflow_environment import airflow
from airflow_server import running
from filelock import FileLock
from typer.testing import CliRunner

from churnops import cli
from churnops.lake.lake import Lake
from churnops.storage import Storage

pytestmark = pytest.mark.airflow

END = dt.date(2024, 2, 5)
"""The day after the last purchase."""
BACKFILLED = [END - dt.timedelta(days=n) for n in range(31, 1, -1)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with running(tmp_path_factory.mktemp("airflow")) as server:
        yield server


@pytest.fixture(scope="module")
def lake(shop):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shop.jobs.items():
            patch.setenv(name, value)
        yield Lake(Storage(shop.jobs["CHURNOPS_LAKE"]))


def content(lake, kind):
    """The hash of what the lake holds of each day."""
    names = [name for name in lake.datasets() if name.startswith(f"demo/{kind}/")]
    return {name: lake.version(name).sha256 for name in names}


def test_today_fails_at_once_where_its_purchases_have_not_come_and_somebody_is_told(shop):
    runs = shop.wait("churn_features_demo", 1)

    assert [run["state"] for run in runs] == ["failed"]
    assert shop.tasks(runs[0])["features"]["try_number"] == 1
    assert any(
        "churn_features_demo" in text and "everybody would look silent" in text for text in shop.alerts
    )
    assert shop.runs("churn_train_demo") == []


def test_a_day_goes_from_features_to_training_to_scores_to_their_check(shop, lake):
    shop.trigger("churn_features_demo", logical_date=f"{END}T00:00:00Z")
    runs = [shop.wait(f"churn_{stage}_demo", 1)[-1] for stage in ("train", "score", "monitor")]

    assert [run["state"] for run in runs] == ["success"] * 3
    assert {run["partition_key"] for run in runs} == {str(END)}
    scores = lake.version(f"demo/scores/as_of={END}")
    assert [source.dataset for source in scores.sources] == [f"demo/features/as_of={END}"]


def test_a_backfill_of_thirty_days_holds_what_a_straight_run_does(shop, lake, tmp_path, monkeypatch):
    words = ["--from-date", f"{BACKFILLED[0]}T00:00", "--to-date", f"{BACKFILLED[-1]}T23:00"]
    airflow(
        "backfill",
        "create",
        "--dag-id",
        "churn_features_demo",
        *words,
        "--max-active-runs",
        "2",
        env=shop.env,
    )
    for stage in ("score", "monitor"):
        assert {run["state"] for run in shop.wait(f"churn_{stage}_demo", 31)} == {"success"}
    trained = [run for run in shop.runs("churn_train_demo") if shop.tasks(run)["run"]["state"] == "success"]
    assert len(trained) == 1

    monkeypatch.setenv("CHURNOPS_LAKE", "s3://lake/straight")
    monkeypatch.setenv("CHURNOPS_TRACKING_URI", f"sqlite:///{shop.jobs['CHURNOPS_DATA_DIR']}/mlflow.db")
    monkeypatch.setenv("CHURNOPS_DATA_DIR", str(tmp_path))
    for day in [*BACKFILLED, END]:
        for verb in (["features"], ["score", "--published"]):
            said = CliRunner().invoke(
                cli.app, [*verb, shop.config, "--as-of", str(day)], catch_exceptions=False
            )
            assert said.exit_code == 0

    straight = Lake(Storage("s3://lake/straight"))
    for kind in ("features", "scores"):
        made = content(lake, kind)
        assert len(made) == 31
        assert made == content(straight, kind)


def test_a_day_triggered_twice_at_once_is_made_once(shop, lake):
    day = END - dt.timedelta(days=40)
    before = len(shop.runs("churn_features_demo"))
    first, second = (shop.trigger("churn_features_demo", logical_date=f"{day}T00:00:00Z") for _ in range(2))
    shop.trigger("churn_features_demo", logical_date=None, conf={"as_of": str(day)})
    runs = shop.wait("churn_features_demo", before + 2)

    assert ("dag_run_id" in first, "dag_run_id" in second) == (True, False)
    assert [run["state"] for run in runs[-2:]] == ["success", "success"]
    assert list(lake.history(f"demo/features/as_of={day}")) == [1]


def test_a_run_waits_for_another_process_that_is_at_work(shop):
    day = END - dt.timedelta(days=41)
    before = len(shop.runs("churn_features_demo"))
    with FileLock(f"{shop.jobs['CHURNOPS_DATA_DIR']}/runs/demo/.lock"):
        run = shop.trigger("churn_features_demo", logical_date=f"{day}T00:00:00Z")
        shop.until(lambda: shop.tasks(run)["features"]["state"] == "up_for_retry")
    run = shop.wait("churn_features_demo", before + 1)[-1]

    assert run["state"] == "success"
    assert shop.tasks(run)["features"]["try_number"] > 1


def test_a_run_ends_well_though_airflows_database_was_gone(shop):
    before = len(shop.runs("churn_train_demo"))
    run = shop.trigger("churn_train_demo", logical_date=None, conf={"as_of": str(END)})
    shop.until(lambda: shop.tasks(run)["run"]["state"] == "running")
    shop.database.stop()
    time.sleep(float(os.environ.get("DATABASE_GONE_SECONDS", "20")))
    shop.database.start()
    run = shop.wait("churn_train_demo", before + 1)[-1]

    assert run["state"] == "success"


def test_a_day_whose_features_are_missing_is_not_scored(shop, lake):
    day = END - dt.timedelta(days=60)
    before = len(shop.runs("churn_score_demo"))
    run = shop.trigger("churn_score_demo", logical_date=None, conf={"as_of": str(day)})
    shop.until(lambda: len(shop.done("churn_score_demo")) > before)

    assert shop.tasks(run)["score"]["state"] == "failed"
    assert any("there are no features" in text for text in shop.alerts)
    assert lake.version(f"demo/scores/as_of={day}") is None
