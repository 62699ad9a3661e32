"""Clients of AWS, and its errors in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from churnops.errors import CloudError

_ADVICE = {
    "AccessDenied": "your credentials may not do this: see docs/sagemaker.md for the rights it takes",
    "ExpiredToken": "sign in again",
    "NoCredentials": "sign in, or set AWS_PROFILE",
    "NoRegion": "set AWS_REGION or AWS_DEFAULT_REGION",
    "ResourceLimitExceeded": "ask AWS for a higher quota, or choose another --instance-type",
    "Validation": "look at role, images and bucket in the file given with --sagemaker",
    "EndpointConnection": "is the network up, and is the region right?",
}


@dataclass(frozen=True)
class Aws:
    """Clients of one account and region."""

    s3: Any
    sagemaker: Any
    logs: Any


def connect() -> Aws:
    """Clients by boto3's own credentials, region and endpoints; raises CloudError where these are missing."""
    config = Config(retries={"mode": "standard", "max_attempts": 5})
    with told("connecting to AWS"):
        return Aws(*(boto3.client(name, config=config) for name in ("s3", "sagemaker", "logs")))


@contextmanager
def told(doing: str) -> Iterator[None]:
    """AWS's errors in words: what was being done, what AWS says, and what helps."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        message = error.response.get("Error", {}).get("Message", str(error))
        raise CloudError(f"{doing}: {message} ({code}){_advice(code)}") from error
    except BotoCoreError as error:
        raise CloudError(f"{doing}: {error}{_advice(type(error).__name__)}") from error
    except Boto3Error as error:
        raise CloudError(f"{doing}: {error}") from error


def _advice(code: str) -> str:
    return next((f": {advice}" for start, advice in _ADVICE.items() if code.startswith(start)), "")
