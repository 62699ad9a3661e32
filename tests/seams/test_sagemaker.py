"""A training request of ours, executed as SageMaker would: two hosts, channels in a real S3 server."""

import datetime as dt
import json
import re

import boto3
import numpy as np
import pytest
from gym import GYM, write_gym
from moto import mock_aws
from s3_server import s3_client, serving
from sagemaker_hosts import Hosts

from churnops.bundle.bundle import read_bundle
from churnops.cloud.aws import Aws
from churnops.cloud.settings import Machines, SageMaker
from churnops.config import Settings
from churnops.jobs.run import Plan, run
from churnops.jobs.steps.candidate import Here
from churnops.jobs.steps.elsewhere import OnSageMaker
from churnops.registry.promotion import Gates
from churnops.training.recipe import Network, Recipe, Schedule

SETTINGS = SageMaker(
    role="arn:aws:iam::123456789012:role/churnops-training",
    bucket="s3://lake/churnops",
    images={"torch": "torch:1", "tensorflow": "tensorflow:1"},
)


def recipe(dropout=0.2, **network):
    return Recipe(
        network=Network(hidden=(32, 16), dropout=dropout, **network),
        schedule=Schedule(max_epochs=3, batch_size=64),
        resamples=100,
    )


@pytest.fixture(scope="module")
def gym(tmp_path_factory):
    return write_gym(tmp_path_factory.mktemp("gym"))


@pytest.fixture(scope="module")
def s3_address(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture
def aws(s3_address, tmp_path):
    """Real S3, an emulated control plane, and real hosts for the jobs it is sent."""
    with mock_aws():
        s3 = s3_client(s3_address)
        if "lake" not in {one["Name"] for one in s3.list_buckets()["Buckets"]}:
            s3.create_bucket(Bucket="lake")
        control = boto3.client("sagemaker", region_name="eu-central-1")
        hosts = Hosts(s3, tmp_path / "hosts")
        hosts.folder.mkdir()
        hosts.attach(control)
        yield Aws(s3, control, boto3.client("logs", region_name="eu-central-1")), hosts


def trained(gym, folder, framework, recipe, trainer):
    settings = Settings(data_dir=folder, source_dir=str(gym))
    plan = Plan((framework,), GYM, recipe, Gates(), dt.datetime(2026, 7, 1, tzinfo=dt.UTC), "ci", trainer)
    return run(plan, settings, lambda *_: None)


def on_sagemaker(aws, **settings):
    changed = SETTINGS.model_copy(update={"poll_seconds": 1, **settings})
    return OnSageMaker("gym", changed, Machines(instances=2), lambda: aws, sleep=lambda _: None)


both = pytest.mark.parametrize(
    "framework", ["torch", pytest.param("tensorflow", marks=pytest.mark.tensorflow)]
)


@both
def test_two_hosts_come_to_what_two_processes_here_do(framework, gym, aws, tmp_path):
    client, hosts = aws

    there = trained(gym, tmp_path / "there", framework, recipe(), on_sagemaker(client))
    here = trained(gym, tmp_path / "here", framework, recipe(), Here(2))

    ((name, said),) = hosts.logs.items()
    assert hosts.exit_codes[name] == [0, 0], said
    weights = [re.search(r"weights ([0-9a-f]{64})", one).group(1) for one in said]
    assert weights[0] == weights[1]
    facts = json.loads((tmp_path / "here/runs/gym/candidates" / framework / "candidate.json").read_text())
    assert facts["weights_sha256"] == weights[0]
    assert there.candidates == here.candidates
    assert there.registry.version == 1
    remote = read_bundle(tmp_path / "there/runs/gym/candidates" / framework)  # as the container left it
    assert remote.manifest == read_bundle(tmp_path / "there/runs/gym/bundles" / framework).manifest


@both
def test_hosts_with_shards_of_their_own_come_to_what_one_process_does(framework, gym, aws, tmp_path):
    client, hosts = aws
    tabm = recipe(dropout=0.0, members=3, shared=True, bins=6)
    trainer = on_sagemaker(client, shards=True, input_mode="FastFile")

    there = trained(gym, tmp_path / "there", framework, tabm, trainer)
    alone = trained(gym, tmp_path / "alone", framework, tabm, Here())

    ((name, said),) = hosts.logs.items()
    assert hosts.exit_codes[name] == [0, 0], said
    for one, other in zip(there.candidates, alone.candidates, strict=True):
        assert one.name == other.name
        assert one.metrics["roc_auc"].value == pytest.approx(other.metrics["roc_auc"].value, abs=1e-4)
    scores = [
        read_bundle(tmp_path / where / "runs/gym/bundles" / framework).score(
            np.array([[3.0], [np.nan], [12.0]], np.float32), np.array([["month"], [""], ["never"]], object)
        )
        for where in ("there", "alone")
    ]
    np.testing.assert_allclose(*scores, atol=1e-5)
