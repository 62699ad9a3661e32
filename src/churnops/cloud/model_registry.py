"""SageMaker's Model Registry: a package per bundle, its approval that of our own registry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from churnops.cloud.aws import Aws, told
from churnops.cloud.settings import SageMaker

Approval = Literal["PendingManualApproval", "Approved", "Rejected"]
Described = Mapping[str, Any]
"""A package as SageMaker describes it."""
_NAME, _HASH = "name", "content_hash"
_MOST_TEXT = 256  # of a property's value, and of what an approval says
_CONTENT_TYPES = ["application/json", "text/csv"]


@dataclass(frozen=True)
class Package:
    """A bundle as SageMaker is told of it."""

    group: str
    name: str
    """The data config's: a group may hold packages of several."""
    content_hash: str
    model: str
    """The S3 address of its `model.tar.gz`."""
    manifest: str
    """The S3 address of its manifest, which holds the metrics."""
    description: str
    properties: Mapping[str, str]
    """What people filter by: metrics, candidate, commit."""


def package_request(package: Package, settings: SageMaker) -> dict[str, Any]:
    """What `create_model_package` is asked for: a version that nobody has approved yet."""
    properties = {name: value[:_MOST_TEXT] for name, value in package.properties.items() if value}
    return {
        "ModelPackageGroupName": package.group,
        "ModelPackageDescription": package.description[:1024],
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [{"Image": settings.serving_image, "ModelDataUrl": package.model}],
            "SupportedContentTypes": _CONTENT_TYPES,
            "SupportedResponseMIMETypes": _CONTENT_TYPES,
        },
        "ModelMetrics": {
            "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": package.manifest}}
        },
        "CustomerMetadataProperties": {**properties, _NAME: package.name, _HASH: package.content_hash},
    }


def publish(package: Package, settings: SageMaker, aws: Aws) -> None:
    """Make the bundle's package, and its group where there is none."""
    _make_group(package.group, settings, aws)
    with told(f"publishing to the model package group {package.group}"):
        aws.sagemaker.create_model_package(**package_request(package, settings))


def published(group: str, name: str, aws: Aws) -> dict[str, Described]:
    """Content hash -> description of every package in the group that is of the data config `name`."""
    with told(f"listing the model package group {group}"):
        pages = aws.sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
        try:
            arns = [one["ModelPackageArn"] for page in pages for one in page["ModelPackageSummaryList"]]
        except ClientError as error:
            if "does not exist" in str(error):
                return {}
            raise
        described = [aws.sagemaker.describe_model_package(ModelPackageName=arn) for arn in arns]
    of = [(one.get("CustomerMetadataProperties", {}), one) for one in described]
    return {said[_HASH]: one for said, one in of if said.get(_NAME) == name and _HASH in said}


def approve(package: Described, approval: Approval, why: str, aws: Aws) -> bool:
    """Make `approval` the state of a published package; whether it was another before."""
    if package["ModelApprovalStatus"] == approval:
        return False
    arn = package["ModelPackageArn"]
    with told(f"setting the approval of {arn}"):
        aws.sagemaker.update_model_package(
            ModelPackageArn=arn,
            ModelApprovalStatus=approval,
            ApprovalDescription=why[:_MOST_TEXT],
            CustomerMetadataProperties=package["CustomerMetadataProperties"],  # as they are
        )
    return True


def _make_group(group: str, settings: SageMaker, aws: Aws) -> None:
    tags = [{"Key": key, "Value": value} for key, value in settings.tags.items()]
    with told(f"making the model package group {group}"):
        try:
            aws.sagemaker.create_model_package_group(ModelPackageGroupName=group, Tags=tags)
        except ClientError as error:
            if "already exists" not in str(error):
                raise
