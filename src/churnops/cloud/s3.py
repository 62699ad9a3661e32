"""Folders that go to S3, and models that come back."""

import gzip
import hashlib
import json
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

from botocore.exceptions import ClientError

from churnops.cloud.aws import Aws, told
from churnops.errors import CloudError
from churnops.progress import Tell

_COMPLETE = "_complete.json"
_MOST_BYTES = 2 * 1024**3  # of a fetched model
_CHUNK_BYTES = 1024**2


def address_of(folder: Path, below: str) -> str:
    """Where the Parquet files of `folder` belong: the same content, the same address."""
    digest = hashlib.sha256()
    for name, path in _files(folder).items():
        with path.open("rb") as content:
            digest.update(f"{name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return f"{below}/{digest.hexdigest()[:32]}"


def upload(folder: Path, to: str, aws: Aws, tell: Tell, *, kms_key: str = "") -> None:
    """Bring the Parquet files of `folder` to the address `to`, unless they are all there.

    The last to be written is a list of all, so that half an upload is never taken for a whole one.
    """
    bucket, prefix = _split(to)
    files = _files(folder)
    with told(f"uploading to {to}"):
        if is_there(f"{to}/{_COMPLETE}", aws):
            tell("upload", "kept")
            return
        how = _encrypted(kms_key)
        for i, (name, path) in enumerate(files.items(), start=1):
            aws.s3.upload_file(str(path), bucket, f"{prefix}/{name}", ExtraArgs=how or None)
            tell("upload", f"{i} of {len(files)} files")
        listed = json.dumps({name: path.stat().st_size for name, path in files.items()})
        aws.s3.put_object(Bucket=bucket, Key=f"{prefix}/{_COMPLETE}", Body=listed.encode(), **how)


def put(content: bytes, to: str, aws: Aws, *, kms_key: str = "") -> None:
    """Bring `content` to the address `to`, unless something is there: addresses bear their content's hash."""
    bucket, key = _split(to)
    with told(f"uploading {to}"):
        if not is_there(to, aws):
            aws.s3.put_object(Bucket=bucket, Key=key, Body=content, **_encrypted(kms_key))


def fetch(address: str, to: Path, aws: Aws) -> None:
    """Unpack the `model.tar.gz` at `address` into the folder `to`; raises CloudError for an unsafe one."""
    bucket, key = _split(address)
    with tempfile.TemporaryDirectory(dir=to.parent) as beside:
        packed, unpacked = Path(beside) / "model.tar.gz", Path(beside) / "model"
        with told(f"fetching {address}"):
            aws.s3.download_file(bucket, key, str(packed))
        _unpack(packed, unpacked, address)
        for path in sorted(unpacked.iterdir()):
            shutil.move(path, to / path.name)


def is_there(address: str, aws: Aws) -> bool:
    """Whether there is a file at `address`; to be called within `told`."""
    bucket, key = _split(address)
    try:
        aws.s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.parquet"))}


def _encrypted(kms_key: str) -> dict[str, str]:
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}


def _split(address: str) -> tuple[str, str]:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key


def _unpack(packed: Path, to: Path, address: str) -> None:
    plain = packed.with_name("unpacked.tar")
    try:
        _decompress(packed, plain, address)
        with tarfile.open(plain, "r:") as archive:
            members = archive.getmembers()
            if not members:
                raise CloudError(f"{address}: is empty: the job left no model")
            # Sparse files are larger than their archive.
            if sum(member.size for member in members) > _MOST_BYTES:
                raise _too_large(address)
            if not all(member.isfile() or member.isdir() for member in members):
                raise CloudError(f"{address}: holds links or devices; a model has files only")
            archive.extractall(to, members, filter="data")
    # Of a damaged stream, and of headers that each only announce the next.
    except (tarfile.TarError, EOFError, OSError, zlib.error, RecursionError) as error:
        raise CloudError(f"{address}: cannot be unpacked: {error}") from error


def _decompress(packed: Path, to: Path, address: str) -> None:
    """To its end, where the checksum is: tarfile takes what is damaged for the end of the archive."""
    left = _MOST_BYTES
    with gzip.open(packed) as content, to.open("wb") as plain:
        while chunk := content.read(_CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise _too_large(address)
            plain.write(chunk)


def _too_large(address: str) -> CloudError:
    return CloudError(f"{address}: unpacks to more than {_MOST_BYTES // 1024**3} GB")
