"""Reading MLflow's registry without MLflow, which would take a server seconds to import and twice its memory.

A tracking server is asked over its REST API, a local SQLite is read, never written.
"""

import base64
import json
import os
import re
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.request import Request

import msgspec

from churnops.bundle.bundle import FILES
from churnops.bundle.manifest import SHA256
from churnops.bundle.signature import SIGNATURE_FILE
from churnops.errors import ConfigError, RegistryError
from churnops.serving.fetching import Refused, fetched
from churnops.storage import Storage, is_remote
from churnops.writing import write_whole

_SECONDS = 5
_BUNDLE_SECONDS = 60
_MOST_ANSWER_BYTES = 4 << 20
_MOST_FILE_BYTES = 256 << 20
_SQLITE = "sqlite:///"
_BY_SERVER = "mlflow-artifacts"
_ARTIFACTS = f"{_BY_SERVER}/artifacts"
_FETCHED = {*FILES, SIGNATURE_FILE}


@dataclass(frozen=True)
class Standing:
    """What the registry says of a model now."""

    aliases: Mapping[str, int]
    """Alias -> version."""
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Registered:
    """One version, as `registry.aliases` registered it."""

    number: int
    model_version: str
    content_hash: str
    source: str
    """Where its bundle lies."""
    tags: Mapping[str, str]


class Orders(Protocol):
    """What people order of a registry. All methods raise RegistryError where it does not answer."""

    def standing(self, name: str) -> Standing:
        """Aliases and tags of the model `name`; none where there is no such model."""

    def version(self, name: str, number: int) -> Registered:
        """Version `number` of the model `name`."""

    def tag(self, name: str, key: str, value: str) -> bool:
        """Tag the model `name`; False where only MLflow's own tools may write."""

    def point(self, name: str, alias: str, number: int) -> bool:
        """Move an alias to a version; False where only MLflow's own tools may write."""


class Registry(Orders, Protocol):
    """A tracking server or a local database, that servers read."""

    def fetch(self, source: str, to: Path) -> None:
        """Bring the files of a version's bundle into the folder `to`."""


def is_server(uri: str) -> bool:
    """Whether a tracking server is asked, over HTTP."""
    return uri.startswith(("http://", "https://"))


def registry_at(uri: str) -> Registry:
    """The registry at an MLflow tracking URI; raises ConfigError for one that cannot be followed."""
    if is_server(uri):
        return _Server(uri)
    if uri.startswith(_SQLITE):
        return _Database(Path(uri.removeprefix(_SQLITE)))
    kind = uri.partition(":")[0]
    raise ConfigError(
        "CHURNOPS_TRACKING_URI",
        [f"a server follows a tracking server (http://, https://) or a local SQLite, not {kind}"],
    )


class _NotThere(RegistryError):
    """A registry answers that it has no such thing."""


class _Alias(msgspec.Struct):
    alias: str
    version: str


class _Tag(msgspec.Struct):
    key: str
    value: str = ""


class _Model(msgspec.Struct):
    aliases: list[_Alias] = []
    tags: list[_Tag] = []


class _Version(msgspec.Struct):
    source: str = ""
    tags: list[_Tag] = []


class _File(msgspec.Struct):
    path: str


class _ModelAnswer(msgspec.Struct):
    registered_model: _Model


class _VersionAnswer(msgspec.Struct):
    model_version: _Version


class _FilesAnswer(msgspec.Struct):
    files: list[_File] = []


_Answer = TypeVar("_Answer", _ModelAnswer, _VersionAnswer, _FilesAnswer)


class _Server:
    def __init__(self, uri: str) -> None:
        parts = urllib.parse.urlsplit(uri)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        self._base = f"{parts.scheme}://{host}{port}{parts.path}".rstrip("/")
        self._headers = {"Content-Type": "application/json"} | _login(parts)

    def standing(self, name: str) -> Standing:
        try:
            model = self._asked("mlflow/registered-models/get", _ModelAnswer, name=name).registered_model
        except _NotThere:
            return Standing({}, {})
        try:
            aliases = {one.alias: int(one.version) for one in model.aliases}
        except ValueError as error:
            raise RegistryError(f"{self._base}: the version of an alias: {error}") from error
        return Standing(aliases, _tags(model.tags))

    def version(self, name: str, number: int) -> Registered:
        asked = {"name": name, "version": str(number)}
        found = self._asked("mlflow/model-versions/get", _VersionAnswer, **asked).model_version
        return registered(name, number, _tags(found.tags), found.source)

    def fetch(self, source: str, to: Path) -> None:
        parts = urllib.parse.urlsplit(source)
        if parts.scheme != _BY_SERVER:
            _fetch(source, to)
            return
        path = parts.path.strip("/")
        listed = self._asked(_ARTIFACTS, _FilesAnswer, path=path).files
        until = time.monotonic() + _BUNDLE_SECONDS
        for name in _FETCHED.intersection(Path(file.path).name for file in listed):
            request = self._request(f"{_ARTIFACTS}/{urllib.parse.quote(f'{path}/{name}')}")
            with self._named(), (to / name).open("wb") as here:
                here.writelines(fetched(request, until=until, most_bytes=_MOST_FILE_BYTES))

    def tag(self, name: str, key: str, value: str) -> bool:
        self._told("set-tag", name=name, key=key, value=value)
        return True

    def point(self, name: str, alias: str, number: int) -> bool:
        self._told("alias", name=name, alias=alias, version=str(number))
        return True

    def _told(self, verb: str, **order: str) -> None:
        with self._named():
            self._content(f"mlflow/registered-models/{verb}", json.dumps(order).encode())

    def _asked(self, verb: str, kind: type[_Answer], **query: str) -> _Answer:
        with self._named():
            return msgspec.json.decode(self._content(f"{verb}?{urllib.parse.urlencode(query)}"), type=kind)

    def _content(self, path: str, body: bytes | None = None) -> bytes:
        until = time.monotonic() + _SECONDS
        return b"".join(fetched(self._request(path, body), until=until, most_bytes=_MOST_ANSWER_BYTES))

    def _request(self, path: str, body: bytes | None = None) -> Request:
        return Request(f"{self._base}/api/2.0/{path}", body, self._headers)  # noqa: S310 - http or https

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Whatever is wrong with an answer is an error of this registry."""
        try:
            yield
        except Refused as error:
            kind = _NotThere if "RESOURCE_DOES_NOT_EXIST" in str(error) else RegistryError
            raise kind(f"{self._base}: {error}") from error
        except (OSError, HTTPException, ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise RegistryError(f"{self._base}: {error}") from error


class _Database:
    def __init__(self, path: Path) -> None:
        self._path = path

    def standing(self, name: str) -> Standing:
        with self._open() as database:
            aliases = database.execute(
                "SELECT alias, version FROM registered_model_aliases WHERE name = ?", [name]
            ).fetchall()
            tags = database.execute(
                "SELECT key, coalesce(value, '') FROM registered_model_tags WHERE name = ?", [name]
            ).fetchall()
            return Standing(msgspec.convert(dict(aliases), dict[str, int]), _texts(tags))

    def version(self, name: str, number: int) -> Registered:
        with self._open() as database:
            found = database.execute(
                "SELECT source FROM model_versions WHERE name = ? AND version = ?", [name, number]
            ).fetchone()
            tags = database.execute(
                "SELECT key, coalesce(value, '') FROM model_version_tags WHERE name = ? AND version = ?",
                [name, number],
            ).fetchall()
            return registered(name, number, _texts(tags), str(found[0] or "") if found else "")

    def fetch(self, source: str, to: Path) -> None:
        _fetch(source, to)

    def tag(self, name: str, key: str, value: str) -> bool:
        del name, key, value
        return False

    def point(self, name: str, alias: str, number: int) -> bool:
        del name, alias, number
        return False

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        address = f"file:{urllib.parse.quote(str(self._path))}?mode=ro"
        try:
            self._path.stat()
            with closing(sqlite3.connect(address, uri=True, timeout=_SECONDS)) as database:
                yield database
        except FileNotFoundError:
            raise RegistryError(f"nothing was run yet (there is no registry {self._path})") from None
        except (OSError, sqlite3.Error, msgspec.MsgspecError) as error:
            raise RegistryError(f"registry {self._path}: {error}") from error


def registered(name: str, number: int, tags: Mapping[str, str], source: str) -> Registered:
    """The version that stands in a registry so; raises RegistryError where churnops did not register it."""
    content_hash, model_version = tags.get("content_hash", ""), tags.get("model_version", "")
    if not source or not model_version or not re.fullmatch(SHA256, content_hash):
        raise RegistryError(f"the registry holds no version {number} of {name} that churnops registered")
    return Registered(number, model_version, content_hash, source, tags)


def _fetch(source: str, to: Path) -> None:
    if is_remote(source):
        storage = Storage(source, patience_seconds=_SECONDS)
        for name in _FETCHED.intersection(file.name for file in storage.files()):
            storage.download(name, to / name)
        return
    parts = urllib.parse.urlsplit(source)
    if parts.scheme not in ("", "file"):
        raise RegistryError(f"{source}: a server fetches from a folder, S3 or a tracking server only")
    folder = Path(urllib.parse.unquote(parts.path) if parts.scheme else source)
    try:
        names = _FETCHED.intersection(file.name for file in folder.iterdir() if file.is_file())
        files = {name: (folder / name).read_bytes() for name in names}
    except OSError as error:
        raise RegistryError(f"{folder}: the registry says that a bundle is there: {error}") from error
    for name, content in files.items():
        write_whole(to / name, content)


def _tags(found: list[_Tag]) -> dict[str, str]:
    return {one.key: one.value for one in found}


def _texts(rows: list[tuple[Any, Any]]) -> dict[str, str]:
    return msgspec.convert(dict(rows), dict[str, str])


def _login(parts: urllib.parse.SplitResult) -> dict[str, str]:
    """As MLflow's own clients log in: by MLFLOW_TRACKING_TOKEN, or by a name and a password."""
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if token:
        return {"Authorization": f"Bearer {token}"}
    user = urllib.parse.unquote(parts.username or "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = urllib.parse.unquote(parts.password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if not user:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
