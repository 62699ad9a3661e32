"""Who may ask: callers with an API key, or with a token of an issuer."""

import hashlib
import math
import secrets
import time
from collections.abc import Mapping
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from churnops.config import load_toml
from churnops.errors import ConfigError
from churnops.serving.denied import Denied, Refusals, deny
from churnops.serving.protection import Protection

if TYPE_CHECKING:
    from churnops.serving.issuer import Issuer  # at run time where tokens are accepted

OPEN = frozenset({"/livez", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready"})
"""Probes: whoever starts and stops the server asks them."""

_PREFIX = "churnops_"  # by which scanners of repositories find a key that leaked
_MAX_CHARACTERS = 8192
_LOOKED_AT_SECONDS = 2.0


def new_key() -> tuple[str, str]:
    """A key for one caller, and its SHA-256: 256 random bits need no salt and no slow hash."""
    key = _PREFIX + secrets.token_urlsafe(32)
    return key, hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The API keys of a file, which is read again when it changes; a file that became wrong changes none."""

    def __init__(self, keys: Mapping[str, str], file: Path | None = None) -> None:
        self._keys = _digests(keys)
        self._asked_for = bool(keys)
        self._file = file
        self._stamp: tuple[int, ...] | None = None  # of the file as it was read here last
        self._problem = ""
        self._looked_at = -math.inf  # the file may have changed since `keys` were read

    def asked_for(self) -> bool:
        """Whether callers need one: from the first key on, also when the last was removed."""
        self._look()
        return self._asked_for

    def caller(self, credential: bytes) -> str | None:
        """Whose key it is. Takes as long for a wrong key as for a right one."""
        self._look()
        digest = hashlib.sha256(credential).digest()
        found = None
        for name, expected in self._keys:
            if compare_digest(digest, expected):
                found = name
        return found

    def _look(self) -> None:
        if self._file is None or time.monotonic() - self._looked_at <= _LOOKED_AT_SECONDS:
            return
        self._looked_at = time.monotonic()
        stamp = _stamp(self._file)
        if stamp and stamp == self._stamp:
            return
        log = structlog.get_logger()
        try:
            keys = _digests(load_toml(Protection, self._file).keys)
        except ConfigError as error:  # tried again at the next look: leave to read it changes no stamp
            if str(error) != self._problem:
                log.warning("keys stay as they were", problem=str(error))
            self._problem = str(error)
            return
        self._stamp, self._problem = stamp, ""
        if keys != self._keys:
            self._keys, self._asked_for = keys, True
            log.info("keys read", file=str(self._file), callers=[name for name, _ in keys])


def _digests(keys: Mapping[str, str]) -> list[tuple[str, bytes]]:
    return [(name, bytes.fromhex(digest)) for name, digest in keys.items()]


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def guarded(app: ASGIApp, keys: Keys, issuer: "Issuer | None") -> ASGIApp:
    """`app`, for callers that say who they are, once there are keys or an issuer; probes need not."""
    refusals = Refusals()

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["path"] not in OPEN
        if asked and (issuer or keys.asked_for()):
            try:
                scope["churnops.caller"] = await _caller(scope, keys, issuer)
            except Denied as denied:
                refusals.note(denied)
                await deny(send, denied)
                return
        await app(scope, receive, send)

    return around


async def _caller(scope: Scope, keys: Keys, issuer: "Issuer | None") -> str:
    credentials = []
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, credential = value.partition(b" ")
            if scheme.lower() != b"bearer":
                raise Denied(401, "invalid_request", "'Authorization' is of another kind")
            credentials.append(credential)
        elif name == b"x-api-key":
            credentials.append(value)
    if not any(credentials):
        raise Denied(401, "", "nobody knows who asks")
    if len(credentials) > 1:  # a proxy in front may have looked at the other
        raise Denied(401, "invalid_request", "there is more than one key or token")
    (credential,) = credentials
    if len(credential) > _MAX_CHARACTERS:
        raise Denied(401, "invalid_token", "the key or token is too long")
    caller = keys.caller(credential)
    if caller is None and issuer and credential.count(b".") == 2:
        caller = issuer.believed(credential) or await issuer.caller(credential)
    if caller is None:
        raise Denied(401, "invalid_token", "the key is not one of this service's")
    return caller
