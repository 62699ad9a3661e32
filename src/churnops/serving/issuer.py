"""Callers with a token of an issuer."""

import hashlib
import time
from collections.abc import Mapping

import jwt

from churnops.serving.denied import Denied
from churnops.serving.issuer_keys import ALGORITHMS, IssuerKeys
from churnops.serving.protection import Tokens

_LEEWAY_SECONDS = 30
_BELIEVED_SECONDS = 60  # how long a token that was found good is not looked at again
_MOST_BELIEVED = 10_000


class Issuer:
    """The tokens of one issuer."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._keys = IssuerKeys(tokens.keys_url)
        self._believed: dict[bytes, tuple[str, float]] = {}

    def believed(self, token: bytes) -> str | None:
        """Who sent it, where that was checked a moment ago."""
        caller, until = self._believed.get(hashlib.sha256(token).digest(), ("", 0.0))
        return caller if time.time() < until else None

    async def caller(self, token: bytes) -> str:
        """Who sent it; raises Denied for a token that is not good here."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise Denied(401, "invalid_token", "the token is signed in a way that is not accepted")
            key = await self._keys.key(header.get("kid"))
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
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
