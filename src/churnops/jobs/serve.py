"""`churnops serve`: a bundle behind HTTP, until told to stop."""

import signal
import socket
from contextlib import suppress
from pathlib import Path

import structlog
import uvicorn

from churnops.bundle.bundle import read_bundle
from churnops.config import Settings
from churnops.errors import ConfigError
from churnops.serving.app import create_app
from churnops.serving.cache import Cache
from churnops.serving.follow import Follower
from churnops.serving.model import Models, Served
from churnops.serving.registered import registry_at

_PORTS = range(65_536)
_BACKLOG = 2048
_GRACE_SECONDS = 10


def serve(bundle_folder: Path, host: str, port: int) -> None:
    """Answer on `host`:`port` (0: any free port) until SIGINT or SIGTERM, then finish what is being answered.

    The bundle is loaded, and has scored a row, before the port opens. Raises BundleError, and ConfigError
    where the address cannot be had. There is no authentication: whoever reaches `host` may ask.
    """
    _serve(Models(Served(read_bundle(bundle_folder))), host, port)


def serve_followed(name: str, alias: str, settings: Settings, host: str, port: int) -> None:
    """As `serve`, with the version of `name` that holds `alias` in the registry, whichever that is.

    Raises RegistryError, StorageError or BundleError where none can be had, nor was there one before.
    """
    cache = Cache(settings.data_dir / "serving" / name)
    follower = Follower(name, alias, registry_at(settings.mlflow_uri), cache)
    # What ends the process once all is answered must not end it before the follower.
    signal.signal(signal.SIGTERM, _end)
    follower.start()
    try:
        _serve(follower.models, host, port)
    finally:
        follower.close()


def _end(number: int, frame: object) -> None:
    del frame
    raise SystemExit(128 + number)


def _serve(models: Models, host: str, port: int) -> None:
    config = uvicorn.Config(
        create_app(models),
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
        uvicorn.Server(config).run(sockets=[listener])


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
