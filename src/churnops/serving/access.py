"""Who may ask: callers with an API key, or with a token of an issuer."""

import asyncio
import hashlib
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
from churnops.serving.around import refuse
from churnops.serving.payloads import Fault
from churnops.serving.protection import Protection, Tokens

if TYPE_CHECKING:
    from jwt import PyJWK  # at run time where tokens are accepted

OPEN = frozenset({"/livez", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready"})
"""Probes: whoever starts and stops the server asks them."""

_PREFIX = "churnops_"  # by which scanners of repositories find a key that leaked
_MAX_CHARACTERS = 8192
_LOOKED_AT_SECONDS = 2.0
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_LEEWAY_SECONDS = 30
_BELIEVED_SECONDS = 60  # how long a token that was found good is not looked at again
_MOST_BELIEVED = 10_000
_KEYS_SECONDS = 300
_KEYS_AGAIN_SECONDS = 10
_TIMEOUT_SECONDS = 5


class Denied(Exception):
    """Why a caller is not let in: the HTTP status and what OAuth calls the error."""

    def __init__(self, status: int, error: str, problem: str) -> None:
        self.status, self.error, self.problem = status, error, problem
        super().__init__(problem)


def new_key() -> tuple[str, str]:
    """A key for one caller, and its SHA-256: 256 random bits need no salt and no slow hash."""
    key = _PREFIX + secrets.token_urlsafe(32)
    return key, hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The API keys of a file, which is read again when it changes; a file that became wrong changes none."""

    def __init__(self, keys: Mapping[str, str], file: Path | None = None) -> None:
        self._keys = _digests(keys)
        self._file = file
        self._stamp = _stamp(file)
        self._looked_at = time.monotonic()

    def caller(self, credential: bytes) -> str | None:
        """Whose key it is. Takes as long for a wrong key as for a right one."""
        if self._file and time.monotonic() - self._looked_at > _LOOKED_AT_SECONDS:
            self._look()
        digest = hashlib.sha256(credential).digest()
        found = None
        for name, expected in self._keys:
            if compare_digest(digest, expected):
                found = name
        return found

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        stamp = _stamp(self._file)
        if self._file is None or stamp == self._stamp:
            return
        self._stamp = stamp
        log = structlog.get_logger()
        try:
            self._keys = _digests(load_toml(Protection, self._file).keys)
            log.info("keys read", file=str(self._file), callers=[name for name, _ in self._keys])
        except ConfigError as error:
            log.warning("keys stay as they were", problem=str(error))


def _digests(keys: Mapping[str, str]) -> list[tuple[str, bytes]]:
    return [(name, bytes.fromhex(digest)) for name, digest in keys.items()]


def _stamp(file: Path | None) -> tuple[int, int] | None:
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino) if found else None


class Issuer:
    """The tokens of one issuer. Its keys are fetched when first needed and kept."""

    def __init__(self, tokens: Tokens) -> None:
        import jwt  # takes a tenth of a second, and most servers check keys only

        self._jwt = jwt
        self._tokens = tokens
        self._client = jwt.PyJWKClient(tokens.keys_url, cache_jwk_set=False, timeout=_TIMEOUT_SECONDS)
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = -float("inf")
        self._fetching = asyncio.Lock()
        self._believed: dict[bytes, tuple[str, float]] = {}

    def believed(self, token: bytes) -> str | None:
        """Who sent it, where that was checked a moment ago."""
        caller, until = self._believed.get(hashlib.sha256(token).digest(), ("", 0.0))
        return caller if time.time() < until else None

    async def caller(self, token: bytes) -> str:
        """Who sent it; raises Denied for a token that is not good here."""
        jwt = self._jwt
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in _ALGORITHMS:
                raise Denied(401, "invalid_token", "the token is signed in a way that is not accepted")
            key = await self._key(str(header.get("kid", "")))
            claims = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                issuer=self._tokens.issuer,
                audience=self._tokens.audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise Denied(401, "invalid_token", "the token is too old") from None
        except (jwt.PyJWTError, ValueError):
            raise Denied(401, "invalid_token", "the token is not one of this service's issuer") from None
        self._check_scope(claims)
        caller = str(claims.get("sub", ""))
        if len(self._believed) >= _MOST_BELIEVED:
            self._believed.clear()
        until = min(time.time() + _BELIEVED_SECONDS, float(claims["exp"]) + _LEEWAY_SECONDS)
        self._believed[hashlib.sha256(token).digest()] = caller, until
        return caller

    def _check_scope(self, claims: Mapping[str, object]) -> None:
        held = claims.get("scope", claims.get("scp", ()))
        scopes = held.split() if isinstance(held, str) else held
        if self._tokens.scope and (not isinstance(scopes, list) or self._tokens.scope not in scopes):
            raise Denied(403, "insufficient_scope", f"the token lacks the scope '{self._tokens.scope}'")

    async def _key(self, name: str) -> "PyJWK":
        async with self._fetching:  # a crowd of tokens fetches once
            age = time.monotonic() - self._fetched_at
            if age > _KEYS_SECONDS or (name not in self._keys and age > _KEYS_AGAIN_SECONDS):
                await self._fetch()
        if name not in self._keys:
            raise Denied(401, "invalid_token", "the token is signed with a key its issuer does not show")
        return self._keys[name]

    async def _fetch(self) -> None:
        self._fetched_at = time.monotonic()
        try:
            found = await asyncio.to_thread(self._client.get_signing_keys, refresh=True)
        except (self._jwt.PyJWTError, OSError, ValueError) as error:
            structlog.get_logger().warning(
                "the issuer's keys cannot be read", url=self._tokens.keys_url, problem=str(error)
            )
            if not self._keys:
                raise Denied(503, "", "the issuer of tokens cannot be reached") from None
            return  # the keys it showed before stay good
        self._keys = {key.key_id: key for key in found if key.key_id}


def guarded(app: ASGIApp, keys: Keys, issuer: Issuer | None) -> ASGIApp:
    """`app`, for callers that say who they are; probes need not."""

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            try:
                scope["churnops.caller"] = await _caller(scope, keys, issuer)
            except Denied as denied:
                await _deny(send, denied)
                return
        await app(scope, receive, send)

    return around


async def _caller(scope: Scope, keys: Keys, issuer: Issuer | None) -> str:
    credential = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, credential = value.partition(b" ")
            if scheme.lower() != b"bearer":
                raise Denied(401, "invalid_request", "'Authorization' is of another kind")
        elif name == b"x-api-key":
            credential = value
    if not credential:
        raise Denied(401, "", "nobody knows who asks")
    if len(credential) > _MAX_CHARACTERS:
        raise Denied(401, "invalid_token", "the key or token is too long")
    caller = keys.caller(credential)
    if caller is None and issuer and credential.count(b".") == 2:
        caller = issuer.believed(credential) or await issuer.caller(credential)
    if caller is None:
        raise Denied(401, "invalid_token", "the key is not one of this service's")
    return caller


async def _deny(send: Send, denied: Denied) -> None:
    error = f', error="{denied.error}"' if denied.error else ""
    challenge = (b"www-authenticate", f'Bearer realm="churnops"{error}'.encode())
    expected = "Authorization: Bearer <key or token>, as who runs this service gave it to you"
    await refuse(send, denied.status, Fault(problem=denied.problem, expected=expected), challenge)
