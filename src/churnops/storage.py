"""Files by name below one address, on disk or on S3: read, listed, and created by one writer only."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from churnops.config import folder_or_s3
from churnops.errors import ConfigError, StorageError
from churnops.writing import link_or_copy, naming

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore, RetryConfig

_SCHEME = "s3://"
_SECONDS = 60.0
_KNOWN = {
    "NoSuchBucket": "there is no such bucket: create it, or correct the address",
    "InvalidAccessKeyId": "the credentials are not known there: check AWS_PROFILE or AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key is wrong: check AWS_PROFILE or AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the credentials have expired: sign in again",
    "InvalidToken": "the session token is not valid: sign in again, or unset AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it by the network",
    "AccessDenied": "access is denied: docs/lake.md lists what the role needs there",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION to it",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION to it",
    "169.254.169.254": "no credentials: sign in, or set AWS_PROFILE",
    "not found": "there is no such file",
    "No such file or directory": "there is no such file",
}
"""What storage says, and what it means; the first that fits counts."""
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
_NO_ANSWER = ("error sending request", "HTTP error", "error decoding response body", "503 Service", "500 Int")


@dataclass(frozen=True)
class StoredFile:
    """One file as a listing shows it."""

    name: str
    bytes: int
    mark: str
    """Changes with the content: on S3 the entity tag, on disk size and time."""
    written_at: datetime


def is_remote(address: str) -> bool:
    """Whether the address is on S3."""
    return address.startswith(_SCHEME)


def check_deliverable(to: str) -> None:
    """Raise ConfigError unless `to` names a file of this machine, or one in a bucket of S3.

    Raises OSError where this machine lets nobody write it; what S3 lets be written is seen when it is.
    """
    try:
        folder_or_s3(f"{to.rpartition('/')[0]}/")
    except ValueError:
        raise ConfigError(to, ["is neither a file of this machine nor s3://bucket/name"]) from None
    if not is_remote(to):
        _try_to_write(Path(to))


def _try_to_write(path: Path) -> None:
    """Write nothing, where the file or the first missing folder on its way will be; only a try knows."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    with naming(path, folder):
        tempfile.TemporaryFile(dir=folder).close()


@contextmanager
def delivered(to: str) -> Iterator[Path]:
    """Where to write the file `to`: itself, or what becomes it on S3, whole, when the block ends well."""
    if not is_remote(to):
        yield Path(to)
        return
    below, _, name = to.rpartition("/")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        yield path
        Storage(below).upload(path, name)


@dataclass(frozen=True)
class Storage:
    """Everything below `address`: a folder, or `s3://bucket/prefix`. Names are relative, with slashes.

    Credentials and region are those AWS's own tools would find; AWS_ENDPOINT_URL names another server.
    Every method raises StorageError where the storage refuses, or cannot be reached for `patience_seconds`: a
    server that restarts is waited for. A full disk, or one that may not be written, is an OSError.
    """

    address: str
    patience_seconds: float = _SECONDS

    def at(self, name: str) -> str:
        """The address of a file or folder."""
        return f"{self.address.rstrip('/')}/{name}"

    def read(self, name: str) -> bytes | None:
        """The content; None where there is no such file."""
        import obstore

        with self._told(f"reading {self.at(name)}"):
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that is not there yet, whole; False where it is: of many writers one succeeds."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._told(f"writing {self.at(name)}"):
            try:
                obstore.put(self._store, name, content, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def upload(self, path: Path, name: str) -> None:
        """Bring the file at `path` here: on disk by a hard link, where the file system has them."""
        import obstore

        with self._told(f"writing {self.at(name)}"):
            if is_remote(self.address):
                obstore.put(self._store, name, path)
            else:
                link_or_copy(path, Path(self.at(name)))

    def download(self, name: str, to: Path) -> None:
        """Bring a file to `to`, in place of what is there, whole or not at all; it is not to be changed."""
        import obstore

        unfinished = to.with_name(f".{to.name}.{os.getpid()}.unfinished")
        to.parent.mkdir(parents=True, exist_ok=True)
        with self._told(f"reading {self.at(name)}", writes=str(to)):
            try:
                if is_remote(self.address):
                    with unfinished.open("wb") as file:
                        for chunk in obstore.get(self._store, name).stream():
                            file.write(chunk)
                else:
                    link_or_copy(Path(self.at(name)), unfinished)
                unfinished.replace(to)
            finally:
                unfinished.unlink(missing_ok=True)

    def files(self, below: str = "") -> Iterator[StoredFile]:
        """Every file below the folder `below`, by name."""
        import obstore

        with self._told(f"listing {self.at(below)}"):
            listed = [one for chunk in obstore.list(self._store, below or None) for one in chunk]
        folders = {str(folder) for one in listed for folder in PurePosixPath(one["path"]).parents}
        for one in sorted(listed, key=lambda one: one["path"]):
            if one["size"] or one["path"] not in folders:  # consoles mark folders by empty files
                yield _stored(one)

    def file(self, name: str) -> StoredFile | None:
        """One file; None where there is no such."""
        import obstore

        with self._told(f"looking for {self.at(name)}"):
            try:
                return _stored(obstore.head(self._store, name))
            except FileNotFoundError:
                return None

    def delete(self, names: list[str]) -> None:
        """Delete files; those that are gone already do not matter."""
        import obstore

        with self._told(f"deleting from {self.address}"):
            for name in names:
                try:
                    obstore.delete(self._store, name)
                except FileNotFoundError:
                    continue

    @cached_property
    def _store(self) -> "ObjectStore":
        from obstore.store import LocalStore, S3Store

        try:
            folder_or_s3(self.address)
        except ValueError as error:
            raise ConfigError("address", [str(error)]) from error
        if not is_remote(self.address):
            return LocalStore(prefix=Path(self.address).resolve(), mkdir=True, automatic_cleanup=True)
        bucket, _, prefix = self.address.removeprefix(_SCHEME).partition("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        known: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
        return S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            client_options={"allow_http": endpoint.startswith("http:")},
            retry_config=_retries(self.patience_seconds),
            credential_provider=_credentials(),
            **known,
        )

    @contextmanager
    def _told(self, doing: str, writes: str = "") -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            code = _disk_fault(error) if writes or not is_remote(self.address) else None
            if code:
                raise OSError(code, os.strerror(code), writes or self.address) from error
            raise StorageError(f"{doing}: {self._meaning(str(error))}") from error
        except ValueError as error:  # of names that obstore takes for none
            raise ConfigError(self.address, [f"{doing}: names have no `..`, and nothing empty"]) from error

    def _meaning(self, text: str) -> str:
        """What the storage said, in a line, and what to do about it."""
        known = next((what for word, what in _KNOWN.items() if word in text), None)
        if known is None and any(word in text for word in _NO_ANSWER):
            return (
                f"no answer within {self.patience_seconds:g} seconds: the server or the network is down, or "
                f"AWS_ENDPOINT_URL names another; run again when it is back"
            )
        return known or " ".join(text.split())[:300]


def _stored(found: "ObjectMeta") -> StoredFile:
    mark = found["e_tag"] or f"{found['size']} {found['last_modified'].isoformat()}"
    return StoredFile(found["path"], found["size"], mark.strip('"'), found["last_modified"])


def _disk_fault(error: Exception) -> int | None:
    """The number the system gives to what is wrong with this machine's disk."""
    return next((code for code in _DISK if os.strerror(code) in str(error)), None)


def _retries(seconds: float) -> "RetryConfig":
    return {
        "max_retries": 1000,  # time is what counts
        "retry_timeout": timedelta(seconds=seconds),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }


def _credentials() -> Callable[[], Any] | None:
    """boto3's chain (profiles and SSO too) where it is installed and finds any; else obstore's own."""
    if os.environ.get("AWS_ACCESS_KEY_ID") or find_spec("boto3") is None:
        return None
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return Boto3CredentialProvider()
    except ValueError:  # it found none
        return None
