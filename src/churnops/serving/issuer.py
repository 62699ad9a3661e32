"""Callers with a token of an issuer."""

import hashlib
import time
from collections.abc import Mapping
from typing import Any

import jwt

from churnops.serving.denied import Denied
from churnops.serving.issuer_keys import ALGORITHMS, IssuerKeys
from churnops.serving.protection import Tokens

_LEEWAY_SECONDS = 30
_BELIEVED_SECONDS = 60  # how long a token that was found good is not looked at again
_MOST_BELIEVED = 10_000

_WRONG: Mapping[type[Exception], str] = {
    jwt.InvalidAlgorithmError: "the token is signed in a way that is not accepted",
    jwt.InvalidSignatureError: "the token's signature is not that of its issuer",
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not yet valid: its 'nbf' or 'iat' is to come",
    jwt.InvalidAudienceError: "the token is not for this service: its 'aud' is another",
    jwt.InvalidIssuerError: "the token is not of this service's issuer: its 'iss' is another",
    jwt.exceptions.InvalidSubjectError: "the token's 'sub' is not text",
    jwt.exceptions.InvalidJTIError: "the token's 'jti' is not text",
}
"""What callers are told; of claims only those whose signature is good, as it is looked at before."""


class Issuer:
    """The tokens of one issuer."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._keys = IssuerKeys(tokens.keys_url)
        self._believed: dict[bytes, tuple[str, float]] = {}  # until when, by a clock that nobody sets back

    def believed(self, token: bytes) -> str | None:
        """Who sent it, where that was checked a moment ago."""
        caller, until = self._believed.get(hashlib.sha256(token).digest(), ("", 0.0))
        return caller if time.monotonic() < until else None

    async def caller(self, token: bytes) -> str:
        """Who sent it; raises Denied for a token that is not good here."""
        try:
            claims = await self._claims(token)
        except jwt.MissingRequiredClaimError as error:
            raise Denied(401, "invalid_token", f"the token lacks the claim '{error.claim}'") from None
        except (jwt.PyJWTError, ValueError) as error:
            raise Denied(401, "invalid_token", _WRONG.get(type(error), "the token cannot be read")) from None
        self._check_scope(claims)
        caller = str(claims.get("sub", ""))
        if len(self._believed) >= _MOST_BELIEVED:
            self._believed.clear()
        left = min(_BELIEVED_SECONDS, int(claims["exp"]) + _LEEWAY_SECONDS - int(time.time()))
        self._believed[hashlib.sha256(token).digest()] = caller, time.monotonic() + left
        return caller

    async def _claims(self, token: bytes) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError
        return jwt.decode(
            token,
            await self._keys.key(header.get("kid")),
            algorithms=ALGORITHMS,
            issuer=self._tokens.issuer,
            audience=self._tokens.audience,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud"]},
        )

    def _check_scope(self, claims: Mapping[str, object]) -> None:
        held = claims.get("scope", claims.get("scp", ()))
        scopes = held.split() if isinstance(held, str) else held
        if self._tokens.scope and (not isinstance(scopes, list) or self._tokens.scope not in scopes):
            raise Denied(403, "insufficient_scope", f"the token lacks the scope '{self._tokens.scope}'")
