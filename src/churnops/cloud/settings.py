"""How training on SageMaker is set up: the model of `configs/sagemaker.toml`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, StringConstraints, model_validator

from churnops.config import FrozenModel, load_toml
from churnops.errors import ConfigError

Framework = Annotated[str, StringConstraints(pattern=r"^(torch|tensorflow)$")]
Image = Annotated[str, StringConstraints(pattern=r"^\S+$", max_length=255)]
TagKey = Annotated[str, StringConstraints(pattern=r"^[\w .:/=+@-]+$", max_length=128)]
TagValue = Annotated[str, StringConstraints(pattern=r"^[\w .:/=+@-]*$", max_length=256)]


class SageMaker(FrozenModel):
    """One account's roles, places and limits. Credentials and region are boto3's own business."""

    role: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[a-zA-Z0-9_+=,.@/-]+$")
    """The role a job runs as: it needs `bucket`, its image and its logs, and nothing else."""
    bucket: str = Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s]*[^/\s])?$")
    """`s3://bucket/prefix`: datasets, checkpoints and models go below it."""
    images: dict[Framework, Image]
    """The training image of each framework, in ECR."""
    volume_gb: int = Field(default=30, ge=1, le=16_384)
    """Of each host's disk."""
    max_hours: float = Field(default=24.0, ge=0.1, le=120.0)
    """The longest a job may train."""
    max_wait_hours: float = Field(default=48.0, ge=0.1, le=240.0)
    """The longest a spot job may train and wait for machines, together."""
    shards: bool = False
    """Whether each host is given parts of its own; else each is given all parts, and reads its share."""
    input_mode: Literal["File", "FastFile"] = "File"
    """Channels are copied to each host's disk, or read from S3 as they are opened."""
    subnets: tuple[Annotated[str, StringConstraints(pattern=r"^subnet-[a-z0-9]+$")], ...] = Field(
        default=(), max_length=16
    )
    security_groups: tuple[Annotated[str, StringConstraints(pattern=r"^sg-[a-z0-9]+$")], ...] = Field(
        default=(), max_length=5
    )
    """Both or neither: with them, jobs run in that VPC."""
    kms_key: str = Field(default="", pattern=r"^[a-zA-Z0-9:/_-]*$")
    """Encrypts datasets, models and disks; empty: the account's default keys. Disks built into a
    machine, as those of GPU machines are, have a key of their own."""
    encrypt_between_hosts: bool = True
    """Slower, and asked for by most who audit."""
    tags: dict[TagKey, TagValue] = Field(default={}, max_length=40)
    poll_seconds: PositiveInt = 20
    """How often a job is asked how it is."""
    model_package_group: str = Field(default="", pattern=r"^([a-zA-Z0-9](-*[a-zA-Z0-9]){0,62})?$")
    """Of `churnops publish`; empty: `churnops-<name>`."""
    serving_image: str = ""
    """The image that serves a published bundle."""

    @model_validator(mode="after")
    def _fits_together(self) -> "SageMaker":
        if bool(self.subnets) != bool(self.security_groups):
            raise ValueError("subnets and security_groups: a VPC needs both")
        if self.max_wait_hours < self.max_hours:
            raise ValueError("max_wait_hours is below max_hours: a spot job could never train so long")
        return self


def read_sagemaker(path: Path) -> SageMaker:
    """Read a `configs/sagemaker.toml`; raises ConfigError for it, and where boto3 is not installed."""
    if find_spec("boto3") is None:
        raise ConfigError("AWS", ["boto3 is not installed: pip install 'churnops[aws]'"])
    return load_toml(SageMaker, path)


class Machines(FrozenModel):
    """What one job runs on."""

    instances: int = Field(default=1, ge=1, le=16)
    instance_type: str = Field(default="ml.m5.xlarge", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    spot: bool = False
    """Spare capacity: cheaper, and taken away at any time; training goes on from its checkpoints."""
