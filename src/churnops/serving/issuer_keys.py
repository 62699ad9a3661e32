"""The public keys that an issuer shows (JWKS): fetched when first needed, kept, and fetched again."""

import asyncio
import time
from collections.abc import Sequence
from math import ceil
from typing import Any

import jwt
import msgspec
import structlog

from churnops.serving.denied import Denied
from churnops.serving.fetching import fetched

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

_KEPT_SECONDS = 300
_AGAIN_SECONDS = 10  # from the beginning of one fetch to that of the next
_FETCH_SECONDS = 5
_PATIENCE_SECONDS = 1.0  # how long a token waits for a fetch
_MOST_BYTES = 256 << 10


class IssuerKeys:
    """The keys of one issuer. A key that is held is not waited for, but a moment where it is old."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._begun_at = self._read_at = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, name: str | None) -> jwt.PyJWK:
        """The key of that `kid`; without one, the only key that is shown.

        Raises Denied: 401 where the issuer shows none such, 503 where what it shows cannot be read now.
        """
        if name not in self._keys or time.monotonic() - self._read_at > _KEPT_SECONDS:
            await self._fetched()
        if name in self._keys:  # perhaps an old one: what was good stays so while the issuer is away
            return self._keys[name]
        if self._read_at > self._begun_at:
            raise Denied(401, "invalid_token", "the token is signed with a key its issuer does not show")
        left = ceil(self._begun_at + _AGAIN_SECONDS - time.monotonic())
        raise Denied(503, "", "the keys of the tokens' issuer cannot be read now", retry_seconds=max(1, left))

    async def _fetched(self) -> None:
        """Waits for a fetch, but not long; there is one at a time, for all, and not again at once."""
        if self._fetching is None or self._fetching.done():
            if time.monotonic() - self._begun_at < _AGAIN_SECONDS:
                return
            self._begun_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.wait({self._fetching}, timeout=_PATIENCE_SECONDS)

    async def _fetch(self) -> None:
        log = structlog.get_logger().bind(url=self._url)
        try:
            async with asyncio.timeout(_FETCH_SECONDS):  # to find its address may take longer
                keys = await asyncio.to_thread(_read, self._url)
        except Exception as error:  # noqa: BLE001  # whatever an issuer sends, the log has what is wrong with it
            log.warning("the issuer's keys cannot be read", problem=repr(error))
            return
        if keys.keys() != self._keys.keys():
            log.info("the issuer's keys are others", kids=[*keys])
        self._keys, self._read_at = keys, time.monotonic()


class _Shown(msgspec.Struct):
    keys: list[dict[str, Any]]


def _read(url: str) -> dict[str | None, jwt.PyJWK]:
    until = time.monotonic() + _FETCH_SECONDS
    content = b"".join(fetched(url, until=until, most_bytes=_MOST_BYTES))
    return _named(jwt.PyJWKSet(msgspec.json.decode(content, type=_Shown).keys).keys)


def _named(keys: Sequence[jwt.PyJWK]) -> dict[str | None, jwt.PyJWK]:
    """Keys that sign tokens, by `kid`; where there is one, a token may leave it out (OpenID Connect 10.1)."""
    signing = [
        key for key in keys if key.public_key_use in {None, "sig"} and key.algorithm_name in ALGORITHMS
    ]
    named: dict[str | None, jwt.PyJWK] = {key.key_id: key for key in signing if key.key_id}
    if len(signing) == 1:
        named[None] = signing[0]
    if not signing:
        raise ValueError(f"no key is for signatures by {', '.join(ALGORITHMS)}")
    if not named:
        raise ValueError(f"none of its {len(signing)} keys has a 'kid', so that no token can name one")
    return named
