"""Bundles in SageMaker's registry, their approval that of ours."""

import io
import tarfile
from dataclasses import replace

import boto3
import pytest
from aws_model import faults
from comparisons import make_comparison
from moto import mock_aws
from trained import explained

from churnops.bundle.bundle import read_bundle, write_bundle
from churnops.cloud.aws import Aws
from churnops.cloud.settings import SageMaker
from churnops.config import Settings
from churnops.errors import ConfigError, RegistryError
from churnops.jobs.publish import publish, request
from churnops.registry.aliases import make_challenger, make_champion
from churnops.registry.tracking import CandidateRun, record

CLOUD = SageMaker(
    role="arn:aws:iam::123456789012:role/churnops-training",
    bucket="s3://lake/churnops",
    images={},
    serving_image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/churnops:serving",
    model_package_group="gym",
)


@pytest.fixture
def aws():
    with mock_aws():
        clients = [boto3.client(name, region_name="eu-central-1") for name in ("s3", "sagemaker", "logs")]
        clients[0].create_bucket(
            Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        yield Aws(*clients)


@pytest.fixture
def settings(tracking_uri, tmp_path):
    return Settings(data_dir=tmp_path / "data", tracking_uri=tracking_uri)


@pytest.fixture
def versions(settings, tmp_path):
    """Two versions of one model, neither with an alias."""
    plain = {"candidates": (CandidateRun("torch", {}),), "files": ()}
    return [record(make_comparison(tmp_path, mark, **plain), settings).version for mark in (0.41, 0.61)]


def approvals(aws):
    listed = aws.sagemaker.list_model_packages(ModelPackageGroupName="gym")["ModelPackageSummaryList"]
    return {one["ModelPackageVersion"]: one["ModelApprovalStatus"] for one in listed}


def test_aws_would_take_the_request(settings, versions):
    asked = request(versions[0].name, versions[0].number, CLOUD, settings)

    assert faults("CreateModelPackage", asked) == []
    assert asked["ModelApprovalStatus"] == "PendingManualApproval"
    assert asked["CustomerMetadataProperties"]["content_hash"] == versions[0].content_hash
    assert asked["CustomerMetadataProperties"]["model_version"] == versions[0].model_version


def test_a_version_waits_until_it_is_champion_and_then_again_when_it_is_no_more(aws, settings, versions):
    name = versions[0].name

    publish(name, versions[0].number, CLOUD, settings, aws)
    assert approvals(aws) == {1: "PendingManualApproval"}

    make_champion(settings.mlflow_uri, versions[0])
    assert len(publish(name, None, CLOUD, settings, aws).moved) == 1
    assert approvals(aws) == {1: "Approved"}

    make_champion(settings.mlflow_uri, versions[1])
    make_challenger(settings.mlflow_uri, versions[0])
    made = publish(name, None, CLOUD, settings, aws)
    assert made.model_version == versions[1].model_version
    assert approvals(aws) == {1: "Rejected", 2: "Approved"}


def test_publishing_again_changes_nothing(aws, settings, versions):
    first = publish(versions[0].name, versions[0].number, CLOUD, settings, aws)
    again = publish(versions[0].name, versions[0].number, CLOUD, settings, aws)

    assert (again.arn, again.moved) == (first.arn, ())
    assert len(approvals(aws)) == 1


def test_what_is_published_is_the_bundle(aws, settings, versions):
    publish(versions[0].name, versions[0].number, CLOUD, settings, aws)

    key = f"churnops/bundles/{versions[0].content_hash}/model.tar.gz"
    assert aws.s3.get_object(Bucket="lake", Key=key)["ContentLength"] > 1000


def test_reasons_go_along_through_the_registry(aws, settings, tmp_path):
    explains = explained("logistic")
    named = explains.manifest.model_copy(update={"name": tmp_path.name})
    plain = {"candidates": (CandidateRun("logistic", {}),), "files": ()}
    bundle = write_bundle(replace(explains, manifest=named), tmp_path / "explains")
    version = record(make_comparison(tmp_path, bundle=bundle, **plain), settings).version

    publish(version.name, version.number, CLOUD, settings, aws)

    key = f"churnops/bundles/{version.content_hash}/model.tar.gz"
    packed = io.BytesIO(aws.s3.get_object(Bucket="lake", Key=key)["Body"].read())
    with tarfile.open(fileobj=packed) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert read_bundle(tmp_path / "unpacked").reasons == explains.reasons


def test_the_same_bundle_is_packed_to_the_same_bytes(aws, settings, versions):
    key = f"churnops/bundles/{versions[0].content_hash}/model.tar.gz"
    packed = []
    for _ in range(2):
        publish(versions[0].name, versions[0].number, CLOUD, settings, aws)
        packed.append(aws.s3.get_object(Bucket="lake", Key=key)["Body"].read())
        aws.s3.delete_object(Bucket="lake", Key=key)

    assert packed[0] == packed[1]
    assert packed[0][4:8] == bytes(4)  # no time of packing


def test_packages_of_other_brands_in_the_group_are_left_alone(aws, settings, versions, tmp_path):
    (tmp_path / "other").mkdir()
    plain = {"candidates": (CandidateRun("torch", {}),), "files": ()}
    other = record(make_comparison(tmp_path / "other", 0.51, **plain), settings).version
    for version in (versions[0], other):
        make_champion(settings.mlflow_uri, version)
        publish(version.name, None, CLOUD, settings, aws)

    assert publish(versions[0].name, None, CLOUD, settings, aws).moved == ()
    assert approvals(aws) == {1: "Approved", 2: "Approved"}


@pytest.mark.parametrize("name", ["a_b-", "ein_name_" * 7 + "b", "a" * 53 + "_b"])
def test_a_group_has_a_name_that_aws_takes(settings, tmp_path, name):
    (tmp_path / name).mkdir()
    plain = {"candidates": (CandidateRun("torch", {}),), "files": ()}
    version = record(make_comparison(tmp_path / name, 0.5, **plain), settings).version
    asked = request(name, version.number, CLOUD.model_copy(update={"model_package_group": ""}), settings)

    made = {"ModelPackageGroupName": asked["ModelPackageGroupName"]}
    assert faults("CreateModelPackageGroup", made) == []


def test_without_a_serving_image_nothing_is_published(settings, versions):
    with pytest.raises(ConfigError, match="serving_image: there is no image"):
        request(
            versions[0].name, versions[0].number, CLOUD.model_copy(update={"serving_image": ""}), settings
        )


def test_without_a_champion_a_version_must_be_named(settings):
    with pytest.raises(RegistryError, match="nobody has no champion: name a version with --version"):
        request("nobody", None, CLOUD, settings)
