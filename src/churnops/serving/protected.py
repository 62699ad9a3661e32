"""An app with everything around it: one process's server."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from churnops.serving.access import Keys, guarded
from churnops.serving.around import Around
from churnops.serving.metrics import PATH, Meter, exposed
from churnops.serving.protection import Protection

if TYPE_CHECKING:
    from churnops.serving.issuer import Issuer

_CORS_HEADERS = ("authorization", "content-type", "x-api-key")


def protected(
    app: ASGIApp, meter: Meter, protection: Protection, *, paths: Iterable[str], file: Path | None = None
) -> Around:
    """`app` behind its limits and its login, counted by `meter`.

    `paths` are those metrics and log may name. `file` is where `protection` was read, and its keys are read
    again.
    """
    answering = exposed(app, meter)
    if protection.asks_who or file:  # which may come to hold keys
        answering = guarded(answering, Keys(protection.keys, file), _issuer(protection))
    if protection.cors_origins:
        # Outside the login: a browser asks for leave without it.
        answering = CORSMiddleware(
            answering,
            allow_origins=protection.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=_CORS_HEADERS,
        )
    if protection.otlp_endpoint:
        from churnops.serving.telemetry import start  # takes a third of a second

        start(meter, protection.otlp_endpoint, protection.otlp_seconds)
    return Around(
        answering,
        meter,
        paths={PATH, *paths},
        limits=protection.limits,
        log_ratio=protection.access_log_ratio,
    )


def _issuer(protection: Protection) -> "Issuer | None":
    if protection.tokens is None:
        return None
    # Here, since PyJWT takes a tenth of a second, and most servers have keys only.
    from churnops.serving.issuer import Issuer

    return Issuer(protection.tokens)
