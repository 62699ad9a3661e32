"""Training jobs of SageMaker: the request, and what happens to it. Times are seconds."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from churnops.cloud.aws import Aws, told
from churnops.cloud.s3 import is_there
from churnops.cloud.settings import Machines, SageMaker
from churnops.errors import CloudError
from churnops.progress import Tell

METRICS = ("train_loss", "validation_loss")
"""What `churnops-train` tells of each epoch, as `name=0.123`."""
_HOUR = 3600
_MOST_ATTEMPTS = 20
_UNKNOWN = ("resource not found", "resourcenotfound", "could not find training job")
_OVER = ("Failed", "Stopped")
_LIMITS = {
    "MaxRuntimeExceeded": "it trained longer than max_hours",
    "MaxWaitTimeExceeded": "it waited and trained longer than max_wait_hours",
}
_BUILT_IN_DISKS = re.compile(r"ml\.([gp][4-9]|trn|[a-z]+\d+[a-z]*d)")
"""Machines whose disks encrypt themselves; SageMaker refuses a key for them."""
_NAME_CHARACTERS = 63

Sleep = Callable[[float], None]


@dataclass(frozen=True)
class Job:
    """One training job, before it has a name of its own among all attempts."""

    name: str
    image: str
    machines: Machines
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, str]
    """Channel -> the S3 address of its parts."""


def request_of(job: Job, settings: SageMaker) -> dict[str, Any]:
    """What `create_training_job` is asked for."""
    machines, encrypted = job.machines, {"KmsKeyId": settings.kms_key} if settings.kms_key else {}
    takes_key = settings.kms_key and not _BUILT_IN_DISKS.match(machines.instance_type)
    volume = {"VolumeKmsKeyId": settings.kms_key} if takes_key else {}
    seconds = {"MaxRuntimeInSeconds": round(settings.max_hours * _HOUR)}
    request = {
        "TrainingJobName": job.name,
        "RoleArn": settings.role,
        "AlgorithmSpecification": {
            "TrainingImage": job.image,
            "TrainingInputMode": settings.input_mode,
            "MetricDefinitions": [{"Name": name, "Regex": rf"{name}=([0-9.]+)"} for name in METRICS],
        },
        "HyperParameters": dict(job.hyperparameters),
        "InputDataConfig": [_channel(name, uri, settings) for name, uri in job.channels.items()],
        "OutputDataConfig": {"S3OutputPath": f"{settings.bucket}/models", **encrypted},
        "CheckpointConfig": {
            "S3Uri": f"{settings.bucket}/checkpoints/{job.name}",
            "LocalPath": "/opt/ml/checkpoints",
        },
        "ResourceConfig": {
            "InstanceType": machines.instance_type,
            "InstanceCount": machines.instances,
            "VolumeSizeInGB": settings.volume_gb,
            **volume,
        },
        "StoppingCondition": seconds,
        "EnableManagedSpotTraining": machines.spot,
        "EnableInterContainerTrafficEncryption": settings.encrypt_between_hosts and machines.instances > 1,
        "EnableNetworkIsolation": True,  # a job talks to nobody but its own hosts
        "Tags": [{"Key": key, "Value": value} for key, value in settings.tags.items()],
    }
    if machines.spot:
        seconds["MaxWaitTimeInSeconds"] = round(settings.max_wait_hours * _HOUR)
    if settings.subnets:
        request["VpcConfig"] = {
            "Subnets": list(settings.subnets),
            "SecurityGroupIds": list(settings.security_groups),
        }
    return request


def job_name(*parts: str) -> str:
    """A name SageMaker takes, ending in the last of `parts` whole."""
    first = "-".join("".join(c if c.isalnum() and c.isascii() else "-" for c in part) for part in parts[:-1])
    return f"{first[: _NAME_CHARACTERS - len(parts[-1]) - 4].rstrip('-')}-{parts[-1]}"


def submit(request: Mapping[str, Any], aws: Aws, tell: Tell) -> str:
    """Start the job, or take up the one that runs or is done; the name of this attempt.

    One that failed, was stopped or whose model is gone stays as it is, since SageMaker never gives a name
    twice: the next attempt has a number, and the same checkpoints.
    """
    name = request["TrainingJobName"]
    attempts = _attempts(name, aws)
    if attempts and not _is_lost(attempts[-1], aws, tell):
        return str(attempts[-1]["TrainingJobName"])
    own = f"{name}-{len(attempts) + 1}" if attempts else name
    if len(attempts) == _MOST_ATTEMPTS:
        raise CloudError(
            f"{name}: {len(attempts)} attempts left no model; look into their logs, then delete them"
        )
    with told(f"starting the training job {own}"):
        try:
            aws.sagemaker.create_training_job(**{**request, "TrainingJobName": own})
        except ClientError as error:
            # Started in the meantime: by another process, or by a request whose answer was lost.
            if error.response["Error"]["Code"] != "ResourceInUse":
                raise
    return own


def follow(name: str, aws: Aws, tell: Tell, *, sleep: Sleep, poll_seconds: float) -> dict[str, Any]:
    """Tell what the last attempt says and comes to until it is done; its description.

    Raises CloudError with SageMaker's reason where it failed or was stopped.
    """
    attempts = _attempts(name, aws)
    if not attempts:
        raise CloudError(f"{name}: SageMaker knows no such training job")
    found, before = attempts[-1], ""
    log = _Log(found["TrainingJobName"], aws)
    while True:
        status = found.get("SecondaryStatus", found["TrainingJobStatus"])
        for what in [status] * (status != before) + log.more():
            tell(log.name, what)
        if found["TrainingJobStatus"] == "Completed":
            return found
        if found["TrainingJobStatus"] in _OVER:
            raise CloudError(f"{log.name}: {found['TrainingJobStatus'].lower()}: {_reason(found)}")
        before = status
        sleep(poll_seconds)
        described = _described(log.name, aws)
        if described is None:
            raise CloudError(f"{log.name}: was deleted while it ran")
        found = described


def _is_lost(found: Mapping[str, Any], aws: Aws, tell: Tell) -> bool:
    """Whether nothing will come of this attempt."""
    if found["TrainingJobStatus"] != "Completed":
        return found["TrainingJobStatus"] in _OVER
    model = found["ModelArtifacts"]["S3ModelArtifacts"]
    with told(f"looking for {model}"):
        if is_there(model, aws):
            return False
    tell(found["TrainingJobName"], f"is done, but {model} is gone: a new attempt")
    return True


def _reason(found: Mapping[str, Any]) -> str:
    limit = _LIMITS.get(found.get("SecondaryStatus", ""))
    if limit:
        return f"{limit}: raise that and start again, which goes on from the last checkpoint"
    return str(found.get("FailureReason") or "no reason was given")


def _channel(name: str, uri: str, settings: SageMaker) -> dict[str, Any]:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": f"{uri}/",
        "S3DataDistributionType": "ShardedByS3Key" if settings.shards else "FullyReplicated",
    }
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": source},
        "InputMode": settings.input_mode,
        "ContentType": "application/x-parquet",
    }


def _attempts(name: str, aws: Aws) -> list[dict[str, Any]]:
    """The descriptions of all attempts there were, in their order."""
    names = (name, *(f"{name}-{number}" for number in range(2, _MOST_ATTEMPTS + 1)))
    found = []
    for one in names:
        described = _described(one, aws)
        if described is None:
            break
        found.append(described)
    return found


def _described(name: str, aws: Aws) -> dict[str, Any] | None:
    with told(f"asking for the training job {name}"):
        try:
            found: dict[str, Any] = aws.sagemaker.describe_training_job(TrainingJobName=name)
        except ClientError as error:
            if any(words in str(error).lower() for words in _UNKNOWN):  # SageMaker has no code for it
                return None
            raise
    return found


class _Log:
    """What a job's first host says, line by line; nothing where its log may not be read."""

    def __init__(self, name: str, aws: Aws) -> None:
        self.name, self.aws, self.next = name, aws, ""

    def more(self) -> list[str]:
        """The lines since the last time that tell of an epoch."""
        group = "/aws/sagemaker/TrainingJobs"
        try:
            streams = self.aws.logs.describe_log_streams(
                logGroupName=group, logStreamNamePrefix=f"{self.name}/algo-1-"
            )["logStreams"]
            if not streams:
                return []
            found = self.aws.logs.get_log_events(
                logGroupName=group,
                logStreamName=streams[0]["logStreamName"],
                startFromHead=True,
                **({"nextToken": self.next} if self.next else {}),
            )
        except (ClientError, BotoCoreError):
            return []
        self.next = found["nextForwardToken"]
        return [event["message"] for event in found["events"] if "epoch=" in event["message"]]
