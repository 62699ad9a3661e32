"""What happens around every request: it is measured, bounded in time and logged, and no trace gets out."""

import asyncio
import uuid
from collections.abc import Iterable
from http import HTTPStatus
from math import inf
from random import random
from time import perf_counter

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from churnops.errors import Overloaded
from churnops.serving.metrics import ERRORS, Meter
from churnops.serving.payloads import Fault, Faults
from churnops.serving.protection import Limits

_HEADERS = ((b"x-content-type-options", b"nosniff"),)  # the server takes a microsecond or two for each
_HEADERS_OF_GET = (
    *_HEADERS,
    (b"cache-control", b"no-store"),  # answers to POST are not stored anyway
    (b"content-security-policy", b"frame-ancestors 'none'"),
)
_RETRY = (b"retry-after", b"1")
_SWEEP_SECONDS = 1.0
_CALLER_GONE = 499  # nginx's number for it; it is sent to nobody

_ENCODED = Fault(problem="the body has a content-encoding", expected="the body as it is")
_ENDING = Fault(problem="the server ends", expected="the same request again: another server answers it")
_FULL = Fault(problem="too many requests at once", expected="the same request a second later")


class Around:
    """The outermost layer. It adds about five microseconds to a request, headers not counted."""

    def __init__(
        self, app: ASGIApp, meter: Meter, *, paths: Iterable[str], limits: Limits, log_ratio: float
    ) -> None:
        self.meter = meter
        self.limits = limits
        self.watched = False
        """Whether a timer looks after the connections."""
        self._app = app
        self._no_answer = Fault(
            problem=f"no answer in {limits.answer_seconds:g} seconds", expected="fewer customers at once"
        )
        self._paths = frozenset(paths)
        self._log_ratio = log_ratio
        # And when each last went on, in a list of its own, which its request changes.
        self._running: dict[asyncio.Task[object], list[float]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._late: set[asyncio.Task[object]] = set()
        self._sweeping = False
        meter.in_flight = self._running.__len__

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: C901  # one flow
        """Answer one request, whatever becomes of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        task = self._task()
        begun = perf_counter()
        status, is_whole = 0, False

        async def receiving() -> Message:
            message = await receive()
            if not status:
                moved[0] = perf_counter()
            return message

        async def sending(message: Message) -> None:
            nonlocal status, is_whole
            if message["type"] == "http.response.start":
                status = message["status"]
                safe = _HEADERS if scope["method"] == "POST" else _HEADERS_OF_GET
                message["headers"] = (*message["headers"], *safe)
            moved[0] = inf  # a caller that does not read is the connection's to end
            await send(message)
            moved[0] = perf_counter()
            is_whole = message["type"] == "http.response.body" and not message.get("more_body")

        self._running[task] = moved = [begun]
        if not self._sweeping:
            self._sweep_later()
        try:
            if _is_encoded(scope):
                await refuse(sending, 415, _ENCODED, (b"accept-encoding", b"identity"))
            else:
                await self._app(scope, receiving, sending)
        except Overloaded:
            await refuse(sending, 503, _FULL, _RETRY)
        except asyncio.CancelledError:
            task.uncancel()
            fault = self._no_answer if task in self._late else _ENDING
            self._late.discard(task)
            if not status:
                await refuse(sending, 503, fault, _RETRY)
            elif fault is self._no_answer:
                structlog.get_logger().warning("an answer stood still", method=scope["method"], status=status)
        except Exception:  # noqa: BLE001  # the last place where it can be told without its trace
            failed = _failed(scope)
            if not status:
                await refuse(sending, 500, failed)
        finally:
            del self._running[task]
            if status and not is_whole:  # the connection ends, or its caller has ended it
                self.meter.count(ERRORS, "cut_short")
            self._noted(scope, status or _CALLER_GONE, perf_counter() - begun)

    async def overloaded(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        """Refuse a request as cheaply as can be."""
        self._noted(scope, 503, 0.0)
        for message in _FULL_MESSAGES:
            await send(message)

    def _task(self) -> asyncio.Task[object]:
        task = asyncio.current_task(self._loop) if self._loop else None
        if task is None:
            self._loop = asyncio.get_running_loop()  # a system call, in Python 3.11
            task = asyncio.current_task(self._loop)
            if task is None:
                raise RuntimeError("an app is called in a task")
        return task

    def _noted(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"]
        if path not in self._paths:  # it may hold anything; a template of FastAPI's does not
            path = getattr(scope.get("route"), "path", "")
        self.meter.answered(scope["method"], path, status, seconds)
        if random() < self._log_ratio or status == HTTPStatus.INTERNAL_SERVER_ERROR:  # noqa: S311  # a sample
            structlog.get_logger().info(
                "answered",
                method=scope["method"],
                route=path,
                status=status,
                milliseconds=round(1000 * seconds, 3),
                caller=scope.get("churnops.caller"),
            )

    def _sweep_later(self) -> None:
        self._sweeping = True
        asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        # One timer for all requests: one for each costs more than the rest of this layer.
        self._sweeping = False
        oldest = perf_counter() - self.limits.answer_seconds
        for task, (moved,) in self._running.items():
            if moved < oldest and task not in self._late:
                self._late.add(task)
                task.cancel()
        if self._running:
            self._sweep_later()


def _is_encoded(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-encoding":
            return bool(value.strip().lower() != b"identity")
    return False


def _failed(scope: Scope) -> Fault:
    name = uuid.uuid4().hex
    structlog.get_logger().exception("request failed", id=name, method=scope["method"])
    return Fault(problem=f"the service failed; its log has {name}", expected="tell who runs it")


async def refuse(send: Send, status: int, fault: Fault, *headers: tuple[bytes, bytes]) -> None:
    """Answer with one fault."""
    for message in _refusal(status, fault, *headers):
        await send(message)


def _refusal(status: int, fault: Fault, *headers: tuple[bytes, bytes]) -> tuple[Message, Message]:
    body = Faults(faults=(fault,)).model_dump_json(exclude_none=True).encode()
    kind = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
    return (
        {"type": "http.response.start", "status": status, "headers": (*kind, *headers)},
        {"type": "http.response.body", "body": body},
    )


_FULL_MESSAGES = _refusal(503, _FULL, _RETRY, *_HEADERS)  # made once: a crowd gets them
