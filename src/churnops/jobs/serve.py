"""`churnops serve`: a bundle behind HTTP, until told to stop."""

import fcntl
import gc
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from churnops import log
from churnops.bundle.bundle import read_bundle, write_bundle
from churnops.errors import ChurnopsError, ConfigError
from churnops.jobs.steps.apart import when_parent_ends
from churnops.serving.app import PATHS, create_app
from churnops.serving.cache import Cache
from churnops.serving.connections import GuardedConnection
from churnops.serving.follow import Follower
from churnops.serving.metrics import Meter
from churnops.serving.model import Models, Note, Served, unheard
from churnops.serving.protected import protected
from churnops.serving.protection import Protection
from churnops.serving.registered import registry_at
from churnops.serving.threads import Threads

_PORTS = range(65_536)
_BACKLOG = 2048


@dataclass(frozen=True)
class Followed:
    """The version of a model that holds an alias in the registry, whichever that is."""

    name: str
    alias: str
    tracking_uri: str
    folder: Path
    """For what outlives the processes: bundles, how trials stand."""


@dataclass(frozen=True)
class Shield:
    """What stands between callers and the model."""

    protection: Protection = field(default_factory=Protection)
    file: Path | None = None
    """Where `protection` was read: its keys are read again when it changes."""
    no_login: bool = False
    """Answer whoever asks, on any address."""
    log_json: bool = False
    """How workers log."""


def serve(
    source: Path | Followed, host: str, port: int, *, workers: int = 1, shield: Shield | None = None
) -> None:
    """Answer on `host`:`port` (0: any free port) until SIGINT or SIGTERM, then finish what is being answered.

    The bundle is loaded, and has scored a row, before the port opens. More than one of `workers` are
    processes that share the port, each with a model of its own; one that dies is replaced. Raises
    BundleError, and ConfigError where the address cannot be had, or others reach it and there is no login;
    for what is followed RegistryError and StorageError, where it cannot be had, nor was there one before.
    """
    shield = shield or Shield()
    shield.protection.check_host(host, no_login=shield.no_login)
    meter = Meter() if workers == 1 else None
    models = _models_of(source, shield, meter)
    with ExitStack() as stack:
        listener = stack.enter_context(_listener(host, port))
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{listener.getsockname()[1]}"
        structlog.get_logger().info("serving", url=url, model_version=models.current.model_version)
        stack.enter_context(suppress(KeyboardInterrupt))
        if meter:
            config = _config(partial(_app_of, models, shield, meter), shield)
            signal.signal(signal.SIGTERM, _ended)  # uvicorn sends it on when everything is answered
            if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup ignores it
                signal.signal(signal.SIGHUP, _told_to_end)
            uvicorn.Server(config).run(sockets=[listener])
        else:
            shared = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="churnops-serve-")))
            fcntl.flock(os.open(shared, os.O_RDONLY), fcntl.LOCK_SH)  # systemd clears away what is old, else
            (counts := shared / "counts").mkdir()
            if isinstance(source, Path):
                # Whatever becomes of its folder, a worker that is replaced has what the others have. The pipe
                # that starts a worker is no way: a parent waits there for ever for one that died.
                source = write_bundle(models.current.bundle, shared / "bundle")
                shield = replace(shield, protection=shield.protection.model_copy(update={"signed_by": ""}))
            config = _config(partial(_app_in, source, shield, counts), shield, workers)
            Multiprocess(config, sockets=[listener]).run()


def _ended(*_: object) -> None:
    raise SystemExit(0)


def _told_to_end(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _config(factory: Callable[[], ASGIApp], shield: Shield, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        factory,
        factory=True,
        http=GuardedConnection,
        loop="churnops.serving.loop:Loop",
        workers=workers,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=shield.protection.limits.idle_seconds,
        timeout_graceful_shutdown=shield.protection.limits.drain_seconds,
    )


def _models_of(source: Path | Followed, shield: Shield, meter: Meter | None) -> Models:
    """The models of the process whose scores `meter` counts; None: of one that only sees whether it can."""
    read = partial(read_bundle, signed_by=shield.protection.signed_by)
    note: Note = meter.scored if meter else unheard
    if isinstance(source, Path):
        return Models(Served(read(source), note=note))
    cache = Cache(source.folder, read, lambda bundle, names: Served(bundle, names=names, note=note))
    follower = Follower(source.name, source.alias, registry_at(source.tracking_uri), cache)
    if meter:
        follower.start()
    else:
        follower.close()
    return follower.models


def _app_in(source: Path | Followed, shield: Shield, counts: Path) -> ASGIApp:
    """What a worker calls when it starts."""
    # Nobody would replace this worker, nor end it, and it would hold the port.
    when_parent_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
    log.configure(json=shield.log_json)
    meter = Meter(counts)
    try:
        return _app_of(_models_of(source, shield, meter), shield, meter)
    except ChurnopsError as error:  # it could be had when the parent began
        structlog.get_logger().error("a worker cannot serve", error=str(error))
        raise SystemExit(1) from None  # the parent tries again; at 3, uvicorn's own, it would end all


def _app_of(models: Models, shield: Shield, meter: Meter) -> ASGIApp:
    meter.events = models.counts.items
    app = create_app(models, Threads(shield.protection.limits.long_in_flight), shield.protection)
    app = protected(app, meter, shield.protection, paths=PATHS, file=shield.file)
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
