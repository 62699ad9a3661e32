"""What `churnops train` asks SageMaker for, and what it refuses before any work."""

import datetime as dt
from dataclasses import replace

import pytest
from aws_model import faults
from gym import GYM, write_gym

from churnops.config import Settings
from churnops.errors import ConfigError
from churnops.jobs.run import Plan
from churnops.jobs.train import Where, requests
from churnops.registry.promotion import Gates
from churnops.training.recipe import Recipe, recipe_of

FILE = """
role = "arn:aws:iam::123456789012:role/churnops-training"
bucket = "s3://lake/churnops"

[images]
torch = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/churnops:torch"
"""


@pytest.fixture
def where(tmp_path):
    (tmp_path / "sagemaker.toml").write_text(FILE)
    return Where("sagemaker", 2, "ml.m5.xlarge", spot=True, file=tmp_path / "sagemaker.toml")


def asked(where, folder, *frameworks):
    at = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
    plan = Plan(frameworks, GYM, Recipe(seed=3), Gates(), at, "anna")
    settings = Settings(data_dir=folder / "var", source_dir=str(write_gym(folder)))
    return requests(plan, where, settings, lambda *_: None)


def test_a_dry_run_shows_requests_that_aws_would_take(where, tmp_path):
    (request,) = asked(where, tmp_path, "lightgbm", "torch")

    assert faults("CreateTrainingJob", request) == []
    assert request["ResourceConfig"]["InstanceCount"] == 2
    assert request["EnableManagedSpotTraining"]
    hyperparameters = dict(request["HyperParameters"])
    assert hyperparameters.pop("framework") == "torch"
    assert recipe_of(hyperparameters, where="hyperparameters") == Recipe(seed=3)
    assert {channel["ChannelName"] for channel in request["InputDataConfig"]} == {
        "train",
        "validation",
        "test",
    }


def test_the_same_work_has_the_same_name_and_other_work_another(where, tmp_path):
    one, again = (asked(where, tmp_path, "torch")[0]["TrainingJobName"] for _ in range(2))
    other = asked(replace(where, instances=3), tmp_path, "torch")

    assert one == again
    assert other[0]["TrainingJobName"] != one


def test_a_machine_that_is_none_is_named(where, tmp_path):
    with pytest.raises(ConfigError, match="instance_type: String should match"):
        asked(replace(where, instance_type="big"), tmp_path, "torch")


@pytest.mark.parametrize(
    ("frameworks", "says"),
    [
        (("tensorflow",), r"sagemaker.toml, images:\n  - tensorflow: there is no image"),
        (("lightgbm",), r"--frameworks:\n  - none of them learns on SageMaker: torch, tensorflow do"),
    ],
)
def test_what_cannot_be_trained_there_is_said_before_any_work(where, tmp_path, frameworks, says):
    with pytest.raises(ConfigError, match=says):
        asked(where, tmp_path, *frameworks)

    assert not (tmp_path / "var").exists()
