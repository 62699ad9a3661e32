"""`churnops serve`: a bundle behind HTTP, until told to stop."""

import gc
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from churnops.bundle.bundle import read_bundle
from churnops.errors import ConfigError
from churnops.serving.app import create_app
from churnops.serving.cache import Cache
from churnops.serving.follow import Follower
from churnops.serving.model import Models, Served
from churnops.serving.registered import registry_at

_PORTS = range(65_536)
_BACKLOG = 2048
_GRACE_SECONDS = 10


@dataclass(frozen=True)
class Followed:
    """The version of a model that holds an alias in the registry, whichever that is."""

    name: str
    alias: str
    tracking_uri: str
    folder: Path
    """For what outlives the processes: bundles, how trials stand."""

    def follower(self) -> Follower:
        """What keeps a process up to date, not started yet."""
        return Follower(self.name, self.alias, registry_at(self.tracking_uri), Cache(self.folder))


def serve(source: Path | Followed, host: str, port: int, *, workers: int = 1) -> None:
    """Answer on `host`:`port` (0: any free port) until SIGINT or SIGTERM, then finish what is being answered.

    The bundle is loaded, and has scored a row, before the port opens. More than one of `workers` are
    processes that share the port, each with a model of its own; one that dies is replaced. Raises
    BundleError, and ConfigError where the address cannot be had; for what is followed RegistryError and
    StorageError, where it cannot be had, nor was there one before. There is no authentication: whoever
    reaches `host` may ask.
    """
    models = _models_of(source, started=workers == 1)
    config = uvicorn.Config(
        partial(_app_of, models) if workers == 1 else partial(_app_in, source),
        factory=True,
        workers=workers,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    with _listener(host, port) as listener, suppress(KeyboardInterrupt):
        url = f"http://{host}:{listener.getsockname()[1]}"
        structlog.get_logger().info("serving", url=url, model_version=models.current.model_version)
        if workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
        else:
            Multiprocess(config, sockets=[listener]).run()


def _models_of(source: Path | Followed, *, started: bool) -> Models:
    if isinstance(source, Path):
        return Models(Served(read_bundle(source)))
    follower = source.follower()
    if started:
        follower.start()
    else:
        follower.close()
    return follower.models


def _app_in(source: Path | Followed) -> ASGIApp:
    """What a worker calls when it starts."""
    return _app_of(_models_of(source, started=True))


def _app_of(models: Models) -> ASGIApp:
    app = create_app(models)
    gc.freeze()  # what is there now stays: the collector, which stops every answer, need not look at it
    return app


def _listener(host: str, port: int) -> socket.socket:
    if port not in _PORTS:
        raise ConfigError(f"{host}:{port}", [f"a port is a number up to {_PORTS[-1]}"])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(f"{host}:{port}", [f"cannot be listened on: {error.strerror}"]) from error
    # Connections inherit it. asyncio sets it only on sockets of its own; without it an answer waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
