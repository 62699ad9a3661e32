"""How a server is protected: the file `churnops serve --config` reads."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from churnops.bundle.manifest import SHA256
from churnops.bundle.signature import read_public_key
from churnops.config import FrozenModel
from churnops.errors import ConfigError

_LONGEST_NAME = 100


def _sha256(text: str) -> str:
    if not re.fullmatch(SHA256, text):
        raise ValueError("is not the hash of a key: take the line that `churnops key` prints")
    return text


def caller_name(text: str) -> str:
    """`text`; raises ValueError where a line of the log could not show it as the name of a caller."""
    if not text.strip() or not text.isprintable() or len(text) > _LONGEST_NAME:
        raise ValueError(
            f"{text[:_LONGEST_NAME]!r} names no caller: it takes 1 to {_LONGEST_NAME} characters"
        )
    return text


def _named_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins:
        raise ValueError("name each origin; '*' lets every page of the web ask")
    return origins


def _public_key(pem: str) -> str:
    if pem:
        read_public_key(pem)
    return pem


Sha256 = Annotated[str, AfterValidator(_sha256)]
CallerName = Annotated[str, AfterValidator(caller_name)]
_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0)]


def _safe_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return url
    raise ValueError("must be https://, or http:// on this machine: whoever can alter it can sign tokens")


class Tokens(FrozenModel):
    """Whose JWTs are accepted, as `Authorization: Bearer`."""

    issuer: str
    audience: str
    keys_url: Annotated[str, AfterValidator(_safe_url)]
    """The issuer's public keys: a JWKS document."""
    scope: str = Field(default="", pattern=r"^[\x21\x23-\x5b\x5d-\x7e]*$")
    """What the claim `scope` (or `scp`) must hold; empty: nothing."""


class Limits(FrozenModel):
    """What one process bears."""

    in_flight: _Count = 64
    """Requests being answered or waiting for it; those beyond get 503 at once."""
    long_in_flight: _Count = 16
    """How many of them may be long ones, which are answered on threads."""
    connections: _Count = 2000
    arrival_seconds: _Seconds = 10
    """How long a request may take to come in, headers and body; a large body gets a second more per 64 kB."""
    answer_seconds: _Seconds = 30
    """A request that has not gone on for so long is given up with 503."""
    idle_seconds: _Count = 75
    """How long a connection is kept for the next request.

    Longer than a proxy in front keeps it: else the proxy sends requests into what has just been closed.
    """
    drain_seconds: _Count = 25
    """How long requests that have begun may take once the server was told to end; then they are cut.

    Less than it is given before it is killed: in Kubernetes 30.
    """


def _address(url: str) -> str:
    if url and not re.match(r"https?://[^/]", url):
        raise ValueError(f"{url} is no address such as http://collector:4318/v1/metrics")
    return url


class Protection(FrozenModel):
    """Who may ask, how much, and what is told about it."""

    keys: Mapping[CallerName, Sha256] = Field(default_factory=dict)
    """Name of a caller -> SHA-256 of its API key, as `churnops key` prints them."""
    tokens: Tokens | None = None
    limits: Limits = Limits()
    signed_by: Annotated[str, AfterValidator(_public_key)] = ""
    """The public key (Ed25519, PEM) of whom bundles must be signed by; empty: they need not be."""
    cors_origins: Annotated[tuple[str, ...], AfterValidator(_named_origins)] = ()
    """Pages of these origins may read answers in a browser."""
    access_log_ratio: float = Field(default=0.01, ge=0, le=1)
    """The share of requests that is logged; failures always are."""
    otlp_endpoint: Annotated[str, AfterValidator(_address)] = ""
    """Where metrics are sent over OTLP/HTTP, such as http://collector:4318/v1/metrics; empty: nowhere."""
    otlp_seconds: _Seconds = 30

    @property
    def asks_who(self) -> bool:
        """Whether a caller must say who it is."""
        return bool(self.keys or self.tokens)

    def check_host(self, host: str, *, no_login: bool) -> None:
        """Raise ConfigError for an address that others reach while nobody is asked who they are."""
        if self.asks_who or no_login or is_loopback(host):
            return
        raise ConfigError(
            f"serve on {host}",
            [
                "others reach this address and no login is asked for: make a key with `churnops key NAME`,"
                " put its line under [keys] of a file and give that with --config (or set [tokens] there),"
                " listen on 127.0.0.1, or say --no-login where a mesh or gateway in front checks callers"
            ],
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
