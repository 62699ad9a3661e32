"""Shares of an endpoint's traffic."""

import boto3
import pytest
from aws_model import faults
from moto import mock_aws

from churnops.cloud.aws import Aws
from churnops.cloud.endpoints import Variant, give, variants
from churnops.errors import CloudError


@pytest.fixture
def aws():
    """An endpoint `churn` with the variants `v1`, all of the traffic, and `v2`."""
    with mock_aws():
        clients = [boto3.client(name, region_name="eu-central-1") for name in ("s3", "sagemaker", "logs")]
        aws = Aws(*clients)
        role = "arn:aws:iam::123456789012:role/churnops"
        image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/churnops:serving"
        aws.sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": image})
        aws.sagemaker.create_endpoint_config(
            EndpointConfigName="c",
            ProductionVariants=[
                {
                    "VariantName": name,
                    "ModelName": "m",
                    "InitialInstanceCount": 1,
                    "InstanceType": "ml.m5.large",
                    "InitialVariantWeight": weight,
                }
                for name, weight in (("v1", 1.0), ("v2", 0.0))
            ],
        )
        aws.sagemaker.create_endpoint(EndpointName="churn", EndpointConfigName="c")
        yield aws


def shares(aws):
    return {one.name: one.share for one in variants("churn", aws)}


def test_a_variant_gets_its_share_and_gives_it_back(aws):
    assert give("churn", "v2", 0.05, aws) == [Variant("v1", 0.95), Variant("v2", 0.05)]
    assert shares(aws) == pytest.approx({"v1": 0.95, "v2": 0.05})
    give("churn", "v2", 0.2, aws)
    assert shares(aws) == pytest.approx({"v1": 0.8, "v2": 0.2})
    give("churn", "v2", 0.0, aws)
    assert shares(aws) == {"v1": 1.0, "v2": 0.0}


def test_aws_would_take_the_request():
    weights = [{"VariantName": "v1", "DesiredWeight": 0.95}, {"VariantName": "v2", "DesiredWeight": 0.05}]
    request = {"EndpointName": "churn", "DesiredWeightsAndCapacities": weights}
    assert faults("UpdateEndpointWeightsAndCapacities", request) == []


def test_what_cannot_be_shared_is_said(aws):
    with pytest.raises(CloudError, match="has no variant v3, only v1, v2"):
        give("churn", "v3", 0.1, aws)
    with pytest.raises(CloudError, match="no variant but v1"):
        give("churn", "v1", 0.5, aws)
    with pytest.raises(CloudError, match="asking for the endpoint nobody"):
        variants("nobody", aws)
