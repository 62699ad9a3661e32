"""Clients of AWS, and its errors in words."""

import os
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
    ("AccessDenied", "403"): (
        "your credentials may not do this: see docs/sagemaker.md for the rights it takes"
    ),
    ("ExpiredToken", "SSOToken", "UnauthorizedSSOToken", "TokenRetrieval"): "sign in again",
    ("InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClient"): (
        "AWS does not know these credentials: sign in again"
    ),
    ("NoCredentials", "PartialCredentials", "ProfileNotFound"): "sign in, or set AWS_PROFILE",
    ("NoRegion",): "set AWS_REGION or AWS_DEFAULT_REGION",
    ("NoSuchBucket",): "look at bucket in the file given with --sagemaker",
    ("PermanentRedirect", "301"): "the bucket is in another region than the one asked",
    ("ResourceLimitExceeded",): "ask AWS for a higher quota, or choose another --instance-type",
    ("Validation",): "look at role, images and bucket in the file given with --sagemaker",
    ("EndpointConnection", "ConnectTimeout", "ReadTimeout", "ConnectionClosed"): (
        "is the network up, and is the region right?"
    ),
}
"""By how AWS's code, or botocore's own error, begins."""


@dataclass(frozen=True)
class Aws:
    """Clients of one account and region."""

    s3: Any
    sagemaker: Any
    logs: Any


def connect() -> Aws:
    """Clients by boto3's own credentials, region and endpoints; raises CloudError where these are missing."""
    config = Config(retries={"mode": "standard", "max_attempts": 5})
    region = os.environ.get("AWS_REGION") or None  # AWS's other tools read it, boto3 does not
    with told("connecting to AWS"):
        try:
            clients = [boto3.client(name, region, config=config) for name in ("s3", "sagemaker", "logs")]
        except ValueError as error:  # botocore has no error of its own for what is no URL
            advice = "look at AWS_ENDPOINT_URL and the region"
            raise CloudError(f"connecting to AWS: {error}: {advice}") from error
    return Aws(*clients)


@contextmanager
def told(doing: str) -> Iterator[None]:
    """AWS's errors in words: what was being done, what AWS says, and what helps."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise CloudError(f"{doing}: {_in_words(error)}") from error
    except Boto3Error as error:  # of a transfer; what S3 said stands behind it
        said = error.__context__
        words = _in_words(said) if isinstance(said, ClientError | BotoCoreError) else str(error)
        raise CloudError(f"{doing}: {words}") from error


def _in_words(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        said = error.response.get("Error", {})
        code, words = said.get("Code", ""), f"{said.get('Message', error)} ({said.get('Code', '')})"
    else:
        code, words = type(error).__name__, str(error)
    return words + next((f": {advice}" for starts, advice in _ADVICE.items() if code.startswith(starts)), "")
