"""Callers with a token of an issuer."""

import asyncio
import hashlib
import time
from collections.abc import Mapping

import jwt
import structlog

from churnops.serving.denied import Denied
from churnops.serving.protection import Tokens

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_LEEWAY_SECONDS = 30
_BELIEVED_SECONDS = 60  # how long a token that was found good is not looked at again
_MOST_BELIEVED = 10_000
_KEYS_SECONDS = 300
_KEYS_AGAIN_SECONDS = 10
_TIMEOUT_SECONDS = 5


class Issuer:
    """The tokens of one issuer. Its keys are fetched when first needed and kept."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._client = jwt.PyJWKClient(tokens.keys_url, cache_jwk_set=False, timeout=_TIMEOUT_SECONDS)
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = -float("inf")
        self._fetching = asyncio.Lock()
        self._believed: dict[bytes, tuple[str, float]] = {}

    def believed(self, token: bytes) -> str | None:
        """Who sent it, where that was checked a moment ago."""
        caller, until = self._believed.get(hashlib.sha256(token).digest(), ("", 0.0))
        return caller if time.time() < until else None

    async def caller(self, token: bytes) -> str:
        """Who sent it; raises Denied for a token that is not good here."""
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

    async def _key(self, name: str) -> jwt.PyJWK:
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
        except (jwt.PyJWTError, OSError, ValueError) as error:
            structlog.get_logger().warning(
                "the issuer's keys cannot be read", url=self._tokens.keys_url, problem=str(error)
            )
            if not self._keys:
                raise Denied(503, "", "the issuer of tokens cannot be reached") from None
            return  # the keys it showed before stay good
        self._keys = {key.key_id: key for key in found if key.key_id}
